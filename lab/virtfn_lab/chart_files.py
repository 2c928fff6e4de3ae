"""The chart's files that are made from others: its README.md, and the renderings of eight sets of values.

`python -m virtfn_lab.chart_files readme|goldens` writes them (`make chart-readme`, `make chart-goldens`), and tests
compare.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import yaml

from virtfn_lab.chart import VERSION, render_values
from virtfn_lab.go_tools import helm_docs
from virtfn_lab.paths import repository
from virtfn_lab.product import CHART
from virtfn_lab.progress import say
from virtfn_lab.run import run

README = CHART / "README.md"
GOLDENS = repository() / "tests/cluster/chart_goldens"
"""Two files of each set: NAME.values.yaml, and NAME.rendered.yaml, which `helm template` makes of it."""
OLD = {"everything-off": "1.30.0"}
"""Sets that are rendered for an older API server."""


def readme() -> str:
    """Return README.md as helm-docs makes it from README.md.gotmpl, Chart.yaml and values.yaml."""
    with tempfile.TemporaryDirectory() as folder:
        chart = Path(folder) / "virtfn"
        chart.mkdir()
        for name in ("Chart.yaml", "values.yaml", "README.md.gotmpl"):
            shutil.copy(CHART / name, chart)
        run([helm_docs(), "--chart-search-root", chart, "--sort-values-order", "file", "--log-level", "warning"])
        return (chart / "README.md").read_text()


def sets() -> tuple[str, ...]:
    """Return the names of the sets of values."""
    return tuple(sorted(path.name.removesuffix(".values.yaml") for path in GOLDENS.glob("*.values.yaml")))


def rendered(name: str) -> str:
    """Return the rendering of a set.

    Raises:
        AssertionError: Helm refuses the values.
    """
    values = yaml.safe_load((GOLDENS / f"{name}.values.yaml").read_text())
    return render_values(values, OLD.get(name, VERSION))


def golden(name: str) -> Path:
    """Return the file with the rendering of a set."""
    return GOLDENS / f"{name}.rendered.yaml"


def main(words: list[str]) -> int:
    """Write the files of this kind; return the exit status."""
    if words == ["readme"]:
        README.write_text(readme())
        say(f"wrote {README.relative_to(repository())}")
        return 0
    if words == ["goldens"]:
        for name in sets():
            golden(name).write_text(rendered(name))
            say(f"wrote {golden(name).relative_to(repository())}")
        return 0
    print("usage: python -m virtfn_lab.chart_files readme|goldens", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
