"""Names in the package: one class per name, and every constant names its unit or kind."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

RELAY = Path(__file__).parent.parent / "relay"
MODULES = {path.relative_to(RELAY.parent).as_posix(): path for path in sorted(RELAY.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}

NUMBER_NAME = re.compile(
    r"^_?(MAX|MIN)_\w+$|_(SIZE|INTERVAL|TTL|TIMEOUT|DELAY|LIMIT|BYTES|SECONDS|COUNT|LENGTH|DEPTH"
    r"|WIDTH|HEIGHT|RATE|RATIO|PORT|STATUS|VERSION|LEVEL|FACTOR|THRESHOLD|SIGNAL|FLAG|OPTION|CODE)$"
)
"""How the name of a number begins or ends."""
PATTERN_NAME = re.compile(r"(^_?PATTERN|_PATTERNS?)$")
"""How the name of a regular expression ends."""


def constants(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """Each constant (NAME, value) of a module and of its classes."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from constants(node.body)
        targets = node.targets if isinstance(node, ast.Assign) else ()
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            targets = (node.target,)
        for target in targets:
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            if len(values) != len(names):
                values = [node.value] * len(names)
            for name, value in zip(names, values, strict=True):
                if isinstance(name, ast.Name) and name.id.isupper() and name.id != "T":
                    yield name.id, value


def is_number(value: ast.expr) -> bool:
    match value:
        case ast.Constant(value=bool()):
            return False
        case ast.Constant(value=int() | float()):
            return True
        case ast.BinOp():
            return is_number(value.left) and is_number(value.right)
        case ast.UnaryOp():
            return is_number(value.operand)
        case ast.Call(func=ast.Name(id="timedelta")):
            return True
    return False


def is_pattern(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func) == "re.compile"


def test_a_class_name_denotes_one_thing_in_the_whole_package() -> None:
    places = defaultdict(list)
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(module)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_a_constant_names_its_unit_or_kind() -> None:
    unnamed = [
        f"{module}: {name} = {ast.unparse(value)[:40]}"
        for module, tree in TREES.items()
        for name, value in constants(tree.body)
        if (is_number(value) and not NUMBER_NAME.search(name))
        or (is_pattern(value) and not PATTERN_NAME.search(name))
    ]
    assert unnamed == []
