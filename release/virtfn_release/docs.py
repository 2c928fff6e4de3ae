"""`python -m virtfn_release.docs VERB`: `make reference` and `make docs`."""

import argparse
import sys

from virtfn_lab.paths import repository
from virtfn_lab.progress import say
from virtfn_lab.run import CommandFailedError
from virtfn_release.reference.pages import write_pages
from virtfn_release.site import SITE, BrokenLinkError, OtherHostError, build


def main(words: list[str]) -> int:
    """Run one verb; return the exit status."""
    parser = argparse.ArgumentParser(prog="virtfn_release.docs", description="The generated pages, and the site.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("reference", help="write docs/reference and the list of decisions")
    verbs.add_parser("site", help=f"build the site into {SITE}")
    options = parser.parse_args(words)
    try:
        if options.verb == "reference":
            say(f"wrote {', '.join(write_pages(repository())) or 'nothing: all pages are as generated'}")
        else:
            say(f"wrote {build(repository())}")
    except (
        BrokenLinkError,
        OtherHostError,
        CommandFailedError,
        ValueError,
    ) as error:  # ValueError: a decision without its title
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
