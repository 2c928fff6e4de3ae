"""Prints the rooms of each floor of the product, for `make lint`: how many packages, and how many files they have.

A floor is a package right below a source root's package (docs/architecture.md); what lies beside its floors is counted
as the hall. The import contracts, whose number lint-imports prints, say what may use what.
"""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = (
    "host/virtfn_host",
    "operator/virtfn_operator",
    "deviceplugin/virtfn_deviceplugin",
    "kubectl/virtfn_kubectl",
)
HALL = "(hall)"


def floors(root: Path) -> Iterator[tuple[str, int, int]]:
    """Yield each floor of a package, its rooms and its files; the hall last, with no room.

    Args:
        root: the folder of the package.
    """
    for floor in sorted(init.parent for init in root.glob("*/__init__.py")):
        rooms = [init.parent for init in floor.rglob("__init__.py")]
        inner = len(rooms) - 1
        yield floor.name, inner or 1, len(list(floor.rglob("*.py")))
    yield HALL, 0, len(list(root.glob("*.py")))


def table(root: Path = ROOT) -> str:
    """Return the table of the whole product."""
    lines = [f"{'floor':40} {'rooms':>5} {'files':>5}"]
    for package in PRODUCT:
        for name, rooms, files in floors(root / package):
            lines.append(f"{Path(package).name + '/' + name:40} {rooms:5} {files:5}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
