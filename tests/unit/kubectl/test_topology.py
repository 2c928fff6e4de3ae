"""`topology`: functions by NUMA node, runs of VFs, pools and holders, as a tree and as shapes."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from fake_cluster import Ask, cluster_of, recorded

from virtfn_kubectl.judge.drawn import DrawnNode, drawn
from virtfn_kubectl.read.whole import read_fleet
from virtfn_kubectl.tell.node_drawing import node_drawing
from virtfn_kubectl.tell.picture import picture_text
from virtfn_kubectl.tell.shapes import Box, Words, svg

SVG = "{http://www.w3.org/2000/svg}"


def run(indexes: Any, *held: str, pool: str | None = "virtfn.dev/fast") -> dict[str, Any]:
    return {"indexes": indexes, "driver": "vfio-pci", "pool": pool, "heldBy": list(held)}


def function(number: int = 1, *runs: dict[str, Any], **more: Any) -> dict[str, Any]:
    own = {"address": f"0000:{number:02x}:00.0", "vendor": "8086", "device": "159b", "driver": "ice", "totalVfs": 64}
    return {**own, "numVfs": 4, "iommuGroup": number, "vfs": list(runs), **more}


def node(*functions: dict[str, Any], name: str = "node-1") -> DrawnNode:
    body = {"metadata": {"name": name, "generation": 1}, "status": {"functions": list(functions)}}
    return drawn(read_fleet([], [body]).nodes[0])


def texts(picture: DrawnNode) -> list[str]:
    return [shape.text for shape in node_drawing(picture).shapes if isinstance(shape, Words)]


def test_functions_are_sorted_by_numa_node_and_address() -> None:
    picture = node(function(3), function(2, numaNode=1), function(9, numaNode=0), function(4, numaNode=0))
    shown = [(place.numa_node, [it.address[5:7] for it in place.functions]) for place in picture.places]
    assert shown == [(0, ["04", "09"]), (1, ["02"]), (None, ["03"])]
    headings = [line for line in picture_text(picture).splitlines() if "NUMA" in line]
    assert headings == ["NUMA node 0", "NUMA node 1", "no NUMA node"]


@pytest.mark.parametrize(
    ("indexes", "held", "squares"),
    [("0-3", (), "□□□□"), ("0,2", ("pod a/b",), "■■"), ("0-99", (), "□ x 100"), ("odd", (), "VF odd")],
)
def test_every_vf_is_a_square_that_is_full_when_it_is_in_use(indexes: str, held: tuple[str, ...], squares: str) -> None:
    (line,) = [it for it in picture_text(node(function(1, run(indexes, *held)))).splitlines() if f"VF {indexes}" in it]
    assert squares in line


@pytest.mark.parametrize("number", [1, 7, 64])
def test_the_drawing_has_a_square_for_every_vf(number: int) -> None:
    picture = node(function(1, run(f"0-{number - 1}")))
    squares = [it for it in node_drawing(picture).shapes if isinstance(it, Box) and it.width == 22]
    assert len(squares) == number
    assert len({(it.x, it.y) for it in squares}) == number


def test_more_vfs_than_can_be_drawn_are_a_number() -> None:
    assert "and 36 more" in texts(node(function(1, run("0-99"))))


def test_who_holds_a_function_is_named() -> None:
    whole = function(2, pool="vendor.example/disk", heldBy=["pod s/spdk"], totalVfs=None)
    picture = node(function(1, run("0", "pod a/b")), whole)
    assert {"pod a/b", "pod s/spdk", "virtfn.dev/fast", "vendor.example/disk"} <= set(texts(picture))
    assert "■  vendor.example/disk  pod s/spdk" in picture_text(picture)


@pytest.mark.parametrize("number", [0, 1, 64, 65, 900])
def test_functions_that_are_left_out_are_counted(number: int) -> None:
    picture = node(*(function(n % 256, address=f"0000:00:{n:04x}.0") for n in range(number)))
    assert picture.more == max(0, number - 64)
    assert ("more functions" in picture_text(picture)) == (number > 64)
    assert any("more functions" in text for text in texts(picture)) == (number > 64)


@pytest.mark.parametrize(
    "evil", ["<script>alert(1)</script>", '"/><image href="http://x"/>', "&lt;", "]]>", "a" * 5000, "pod \u0416/日本"]
)
def test_texts_of_a_node_are_text_in_the_svg(evil: str) -> None:
    picture = node(function(1, run("0-1", evil, pool=evil), netdev=evil, policies=[evil]), name="n")
    root = ET.fromstring(svg(node_drawing(picture)))
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {"svg", "title", "rect", "text", "line"}
    assert not [key for element in root.iter() for key in element.attrib if key.startswith("on") or "href" in key]


@pytest.mark.parametrize("name", ["n", "a-long-name." * 20])
def test_nothing_is_drawn_outside_of_the_picture(name: str) -> None:
    runs = [
        run(f"{n * 10}-{n * 10 + 9}", *([f"pod {'x' * 60}/{n}"] * (n % 3)), pool=f"p.example/{n}") for n in range(40)
    ]
    drawing = node_drawing(node(*(function(n, *runs, numaNode=n % 2) for n in range(5)), name=name))
    for shape in drawing.shapes:
        if isinstance(shape, Box):
            assert shape.x >= 0
            assert shape.x + shape.width <= drawing.width
            assert shape.y + shape.height <= drawing.height
        elif isinstance(shape, Words):
            assert 0 < shape.y < drawing.height
            assert len(shape.text) * shape.size * 0.602 <= drawing.width


def test_json_has_the_same_picture(ask: Ask) -> None:
    document = ask("healthy", "topology", "node-1", "--json").document
    assert [place["numaNode"] for place in document["places"]] == [0, 1]
    assert document["places"][0]["functions"][0]["runs"][0]["holders"] == ["pod default/dpdk-0"]


def test_a_node_that_is_not_there_is_status_4(ask: Ask) -> None:
    answer = ask("healthy", "topology", "node-7")
    assert answer.status == 4
    assert "there are node-1, node-2" in answer.err


def test_a_node_without_functions_says_so(ask: Ask) -> None:
    fleet = recorded("healthy")
    fleet["nodes"][0]["status"]["functions"] = []
    assert "no function is in its status" in ask(cluster_of(fleet), "topology", "node-1").out


def test_a_file_that_cannot_be_written_is_status_1(ask: Ask, tmp_path: Path) -> None:
    answer = ask("healthy", "topology", "node-1", "-o", str(tmp_path / "no/folder.svg"))
    assert answer.status == 1
    assert "No such file" in answer.err
