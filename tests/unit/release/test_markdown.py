"""What a page of Markdown has: blocks, headings and their anchors, links, code within text."""

import pytest

from virtfn_release.markdown import Block, Link, anchors, blocks, headings, links, slug, spans

PAGE = """\
# A `page`

Text with `code` and [a link](a.md#b "title"), and `[no](link.md)`.

    indented
      deeper

    the same block

```sh
# no heading
[no](link.md)
```

- an item

    of the item, no code

~~~
tilde
~~~

## Two words ##

A code `over
two lines` ends here.

## Two words
"""


def test_blocks_indented_and_fenced() -> None:
    assert list(blocks(PAGE)) == [
        Block(line=5, language=None, text="indented\n  deeper\n\nthe same block\n"),
        Block(line=11, language="sh", text="# no heading\n[no](link.md)\n"),
        Block(line=20, language="", text="tilde\n"),
    ]


def test_headings_are_not_in_code() -> None:
    assert list(headings(PAGE)) == [(1, "A `page`"), (2, "Two words"), (2, "Two words")]


def test_a_second_heading_of_a_name_has_a_number() -> None:
    assert anchors(PAGE) == {"a-page", "two-words", "two-words-1"}


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("The kubelet's folders", "the-kubelets-folders"),
        ("A b - c", "a-b---c"),
        ("`grant.rdma` (not yet)", "grantrdma-not-yet"),
        ("SriovPolicy spec.devices[]", "sriovpolicy-specdevices"),
        ("With [a link](x.md) in_it", "with-a-link-in_it"),
        ("1. Größe", "1-größe"),
    ],
)
def test_an_anchor_is_made_as_github_does(heading: str, anchor: str) -> None:
    assert slug(heading) == anchor


def test_links_are_not_in_code() -> None:
    assert list(links(PAGE)) == [Link(line=3, target="a.md#b")]


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("![p](p.svg) [q](q.md)", ["p.svg", "q.md"]),
        ("[![p](p.svg)](q.md)", ["q.md", "p.svg"]),
        ("[`c`](c.md), [x[0]](d.md)", ["c.md", "d.md"]),
        ("f(x) [not a link] (a.md)", []),
    ],
)
def test_links_of_a_line(text: str, targets: list[str]) -> None:
    assert [link.target for link in links(text)] == targets


def test_code_within_text_may_go_over_a_line() -> None:
    assert list(spans(PAGE)) == [(1, "page"), (3, "code"), (3, "[no](link.md)"), (26, "over two lines")]
