"""Who may import whom: the layers of the package, and that no import goes in a circle.

Also that every module has its test file at the same path below ``tests``; tests of several modules
are in ``tests/scenarios``."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "relay").rglob("*.py"))
}
EVERYBODY = {
    "relay", "relay.errors", "relay.bounded_http", "relay.proxy_variables", "relay.proxy_transport",
    "relay.tls_variables",
}  # fmt: skip
"""What any module may import: they import nothing of the package but each other."""
VALUES = {"relay.config.types", "relay.config.secret", "relay.config.schedule"}
LAYERS: dict[str, set[str]] = {
    "relay.errors": set(),
    "relay.bounded_http": set(),
    "relay.proxy_variables": set(),
    "relay.tls_variables": set(),
    "relay.proxy_transport": set(),
    "relay.config.types": {"relay.config.secret"},
    "relay.config.secret": set(),
    "relay.config.schedule": set(),
    "relay.penpot": set(),
    "relay.messages": set(),
    "relay.store": set(),
    "relay.metrics": {"relay.penpot"},
    "relay.channels": {"relay.messages", *VALUES},
    "relay.config": {
        "relay.channels", "relay.messages.locale", "relay.penpot", "relay.store.postgres_url",
    },
    "relay.delivery": {
        "relay.penpot", "relay.messages", "relay.store", "relay.channels", "relay.config",
        "relay.metrics",
    },
}  # fmt: skip
"""What the modules of a package may import beside their own package; the others sit on top."""

MAX_PACKAGE_LINES = 36_500


def imports(path: Path) -> set[str]:
    """The package's modules that one imports, wherever in it, for the type checker too."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules |= (names & MODULES.keys()) or {node.module}
    return modules & MODULES.keys()


GRAPH = {module: imports(path) for module, path in MODULES.items()}


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def layer(module: str) -> str | None:
    """The innermost layer that a module belongs to; None for what sits on top."""
    return max((name for name in LAYERS if within(module, name)), key=len, default=None)


def test_no_import_goes_in_a_circle() -> None:
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


def test_no_import_goes_back_up() -> None:
    upward = []
    for module, imported in GRAPH.items():
        here = layer(module)
        if here is None:
            continue
        allowed = EVERYBODY | LAYERS[here] | {here}
        upward += [
            f"{module} imports {other}"
            for other in sorted(imported)
            if other not in EVERYBODY
            and not any(within(other, package) and package != "relay" for package in allowed)
        ]
    assert upward == []


def test_nothing_imports_what_sits_on_top_but_the_top() -> None:
    entries = {"relay.__main__", "relay.cli", "relay.app", "relay.demo", "relay.server"}
    for entry in ("relay.cli", "relay.app"):
        users = {module for module, imported in GRAPH.items() if entry in imported}
        assert users <= entries


def test_no_module_is_long() -> None:
    lengths = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > 450} == {}
    assert sum(lengths.values()) <= MAX_PACKAGE_LINES


def test_every_module_has_its_test_at_the_same_path() -> None:
    modules = {
        name: path.relative_to(ROOT / "relay")
        for name, path in MODULES.items()
        if path.name != "__init__.py" and name not in ("relay.__main__", "relay.errors")
    }
    unmirrored = {
        name
        for name, path in modules.items()
        if not (ROOT / "tests" / path.parent / f"test_{path.name}").is_file()
    }
    assert sorted(unmirrored) == [], "these need a test file"
