"""The table of rooms that `make lint` prints counts packages and files as they are."""

from pathlib import Path

import pytest

from virtfn_release.rooms import HALL, floors, table


@pytest.mark.parametrize(
    ("files", "counted"),
    [
        (["a/__init__.py"], [("a", 1, 1)]),
        (["a/__init__.py", "a/one.py", "a/two.py"], [("a", 1, 3)]),
        (["a/__init__.py", "a/b/__init__.py", "a/b/x.py", "a/c/__init__.py"], [("a", 2, 4)]),
        (["b/__init__.py", "a/__init__.py", "no_package/x.py"], [("a", 1, 1), ("b", 1, 1)]),
    ],
)
def test_a_floor_has_its_inner_packages_or_is_one_room(
    tmp_path: Path, files: list[str], counted: list[tuple[str, int, int]]
) -> None:
    for name in ("__init__.py", *files):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list(floors(tmp_path)) == [*counted, (HALL, 0, 1)]


def test_the_product_has_the_floors_that_the_tour_names() -> None:
    printed = table()
    for floor in ("virtfn_host/core", "virtfn_host/linux", "virtfn_operator/agent", "virtfn_kubectl/judge"):
        assert f"{floor} " in printed
