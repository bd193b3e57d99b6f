"""The tree keeps its rules: who has a test, who touches the machine, who imports whom, what is typed and documented."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "nat_lb"
MODULES = sorted(CORE.rglob("*.py"))
OUTSIDE = ("cli", "demo", "io", "testing")  # who may touch the machine: packages of the core
MACHINE = {"asyncio", "fcntl", "netfilterqueue", "select", "signal", "socket", "subprocess", "threading", "time"}
DISTRIBUTIONS = sorted(path.parent for kind in ("plugins", "helpers") for path in ROOT.glob(f"{kind}/*/pyproject.toml"))


def name(module: Path) -> str:
    return str(module.relative_to(ROOT))


def package(dist: Path) -> Path:
    return dist / "src" / dist.name.replace("-", "_")


def imported(module: Path) -> Iterator[str]:
    """Yield the dotted names that a module imports, in functions and for type checking too."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def functions(module: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, bool]]:
    """Yield the name and node of each class and function at the top or in a class, and whether it is public."""

    def visit(body: list[ast.stmt], prefix: str, public: bool) -> Iterator[tuple[str, ast.AST, bool]]:
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                shown = public and not node.name.startswith("_")
                yield prefix + node.name, node, shown
                if isinstance(node, ast.ClassDef):
                    yield from visit(node.body, f"{prefix}{node.name}.", shown)

    yield from visit(ast.parse(module.read_text()).body, "", True)  # type: ignore[misc]


@pytest.mark.parametrize("module", sorted(CORE.glob("*.py")) + sorted((CORE / "trackers").glob("*.py")), ids=name)
def test_every_module_of_the_core_has_a_unit_test_of_its_name(module: Path) -> None:
    if module.name.startswith("__"):
        assert sum(1 for _ in functions(module)) == 0, f"{name(module)}: move its code to a module that has a test"
        return
    test = ROOT / "tests" / "unit" / module.relative_to(CORE).with_name(f"test_{module.name}")
    assert test.exists(), f"write {name(test)}"
    assert "def test_" in test.read_text()


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_only_the_outer_packages_touch_the_machine(module: Path) -> None:
    if module.relative_to(CORE).parts[0] in OUTSIDE:
        return
    found = {each.partition(".")[0] for each in imported(module)} & MACHINE
    assert not found, f"{name(module)} imports {', '.join(found)}; pass `now` or let nat_lb.io do it"


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_core_rolls_no_dice(module: Path) -> None:
    if module.relative_to(CORE).parts[0] in OUTSIDE:
        return
    found = {each.partition(".")[0] for each in imported(module)} & {"random", "secrets", "uuid"}
    assert not found, f"{name(module)} imports {', '.join(found)}: a decision must be the same in every replay"


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_core_imports_no_plugin(module: Path) -> None:
    packages = {package(dist).name for dist in DISTRIBUTIONS}
    found = {each.partition(".")[0] for each in imported(module)} & packages
    assert not found, f"{name(module)} imports {', '.join(found)}; plugins are found by their entry points"


@pytest.mark.parametrize("dist", DISTRIBUTIONS, ids=lambda dist: dist.name)
def test_plugin_imports_nothing_of_the_core_but_its_api(dist: Path) -> None:
    for module in package(dist).rglob("*.py"):
        found = {each for each in imported(module) if each.partition(".")[0] == "nat_lb"}
        strange = {each for each in found if each != "nat_lb" and not each.startswith("nat_lb.api")}
        assert not strange, f"{name(module)} imports {', '.join(sorted(strange))}"


@pytest.mark.parametrize("dist", DISTRIBUTIONS, ids=lambda dist: dist.name)
def test_plugins_tests_import_the_api_and_the_public_kit_only(dist: Path) -> None:
    for module in (dist / "tests").glob("*.py"):
        found = {each for each in imported(module) if each.startswith("nat_lb.")}
        strange = {each for each in found if not each.startswith(("nat_lb.api", "nat_lb.testing"))}
        assert not strange, f"{name(module)} imports {', '.join(sorted(strange))}"


@pytest.mark.parametrize("dist", DISTRIBUTIONS, ids=lambda dist: dist.name)
def test_plugin_is_a_whole_distribution_with_tests(dist: Path) -> None:
    assert (dist / "README.md").exists()
    assert (package(dist) / "py.typed").exists()
    assert list((dist / "tests").glob("test_*.py"))
    entry = f'{dist.name.removeprefix("nat-lb-")} = "{package(dist).name}"'
    assert entry in (dist / "pyproject.toml").read_text()


SOURCES = MODULES + sorted(module for dist in DISTRIBUTIONS for module in package(dist).rglob("*.py"))


@pytest.mark.parametrize("module", SOURCES, ids=name)
def test_module_opens_with_what_it_is_for(module: Path) -> None:
    assert ast.get_docstring(ast.parse(module.read_text())), name(module)


@pytest.mark.parametrize("module", SOURCES, ids=name)
def test_every_function_is_annotated_in_full(module: Path) -> None:
    for where, node, _ in functions(module):
        if isinstance(node, ast.ClassDef):
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        unsaid = [each.arg for each in arguments if each.annotation is None and each.arg not in ("self", "cls")]
        assert not unsaid, f"{name(module)}: {where}({', '.join(unsaid)})"
        assert node.returns is not None, f"{name(module)}: {where} returns what?"


def test_nearly_every_public_name_is_documented() -> None:
    public = [
        (f"{name(module)}: {where}", node) for module in SOURCES for where, node, shown in functions(module) if shown
    ]
    bare = [where for where, node in public if not ast.get_docstring(node)]
    assert len(bare) <= len(public) // 20, bare


@pytest.mark.parametrize("module", SOURCES, ids=name)
def test_modules_and_functions_stay_readable_in_one_go(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= 450, name(module)
    for where, node, _ in functions(module):
        if not isinstance(node, ast.ClassDef):
            assert (node.end_lineno or 0) - node.lineno < 75, f"{name(module)}: {where}"


TESTS = sorted(path for folder in ("tests", "plugins", "helpers") for path in (ROOT / folder).rglob("test_*.py"))


@pytest.mark.parametrize("module", TESTS, ids=name)
def test_names_of_tests_are_sentences(module: Path) -> None:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            assert len(node.name.split("_")) >= 5 or node.name.startswith("test_hook_"), f"{name(module)}: {node.name}"
