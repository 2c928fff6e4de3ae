"""House rules that no linter sees."""

import ast
import operator
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import yaml

from virtfn_host.core.values.reasons import Reason

ROOT = Path(__file__).resolve().parents[1]


def tracked(*patterns: str) -> list[str]:
    """Files of the checkout, as git lists them; falls back to the tree where there is no git."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *patterns], cwd=ROOT, capture_output=True)
    if listed.returncode == 0:
        return listed.stdout.decode().split()
    return [str(p.relative_to(ROOT)) for pattern in patterns for p in ROOT.rglob(pattern)]


def test_source_roots_are_no_packages() -> None:
    """`operator/__init__.py` would shadow the standard library's operator for whoever starts Python at the root."""
    for root in ("operator", "deviceplugin", "host", "lab", "release"):
        assert not (ROOT / root / "__init__.py").exists()
    assert not Path(operator.__file__ or "").is_relative_to(ROOT)


def test_tests_live_under_tests_only() -> None:
    stray = [path for path in tracked("*.py") if Path(path).name.startswith(("test_", "conftest"))]
    assert [path for path in stray if not path.startswith("tests/")] == []


def test_every_module_opens_with_its_charter() -> None:
    product = [p for p in tracked("*.py") if p.startswith(("host/", "operator/", "deviceplugin/", "kubectl/", "lab/"))]
    written = [ROOT / p for p in product if "_pb2" not in p]
    assert [p for p in written if ast.get_docstring(ast.parse(p.read_text())) is None] == []


def public_types(path: str) -> Iterator[str]:
    """Classes and type aliases of a module: what it calls in CamelCase."""
    for node in ast.parse((ROOT / path).read_text()).body:
        match node:
            case ast.ClassDef(name=name) | ast.Assign(targets=[ast.Name(name)]) | ast.AnnAssign(target=ast.Name(name)):
                if name[0].isupper() and not name.isupper():
                    yield name


def test_no_two_public_classes_or_aliases_of_the_product_have_one_name() -> None:
    found: dict[str, list[str]] = defaultdict(list)
    for path in tracked("*.py"):
        if (
            path.startswith(("host/", "operator/", "deviceplugin/", "kubectl/"))
            and "_pb2" not in path
            and (ROOT / path).is_file()
        ):
            for name in public_types(path):
                found[name].append(path)
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}


def test_no_machine_paths_or_registry_hosts_are_written_down() -> None:
    words = ["/" + "work/", "deb.debian" + ".org", "proxy.golang" + ".org", "files.pythonhosted" + ".org"]
    found = [
        (path, word)
        for path in tracked()
        if (ROOT / path).is_file()
        for word in words
        if word.encode() in (ROOT / path).read_bytes()
    ]
    assert found == []


def test_the_hooks_are_the_lines_of_make_lint_and_fetch_nothing() -> None:
    recipe = (ROOT / "Makefile").read_text().split("\nlint:")[1].split("\n\n")[0].splitlines()[1:]
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local"
    assert {hook["language"] for hook in local["hooks"]} == {"system"}
    assert [hook["entry"] for hook in local["hooks"]] == [line.strip().replace("$(VENV)", ".venv") for line in recipe]


def test_the_runbook_has_every_reason() -> None:
    text = (ROOT / "docs/runbook.md").read_text()
    assert [reason for reason in Reason if f"`{reason}`" not in text] == []


def test_every_test_that_the_docs_name_exists() -> None:
    """`tests/FILE.py` or `tests/FILE.py::test_name`; a name that moved would leave its row without a test."""
    named = re.findall(r"`(tests/[\w/.-]+\.py)(?:::(\w+))?`", (ROOT / "docs/faults.md").read_text())
    assert len(named) > 60
    missing = [(path, name) for path, name in named if not (ROOT / path).is_file() or name not in {"", *names_in(path)}]
    assert missing == []


def names_in(path: str) -> Iterator[str]:
    """Names of the tests of a file."""
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name
