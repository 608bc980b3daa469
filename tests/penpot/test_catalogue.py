"""The catalogue, compared with the variables of templates."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from relay.penpot.catalogue import CATALOGUE, GROUPS
from relay.penpot.events import Event, normalize
from relay.penpot.facts import Fact, enrich
from relay.penpot.samples import SAMPLES
from relay.penpot.samples import sample_facts as sample_facts
from relay.penpot.wire import decode

PAYLOADS = Path(__file__).parent / "payloads"
WORLD = json.loads((PAYLOADS / "WORLD.json").read_text())


def _memory() -> dict[tuple[str, str], Fact]:
    """The facts that earlier events may have given about the world of the payloads."""
    projects = WORLD["projects"]
    facts = [
        *(Fact.of("person", one["id"], one["fullname"]) for one in WORLD["profiles"].values()),
        *(
            Fact.of("project", one["id"], one["name"], team=WORLD["teams"][one["team"]]["id"])
            for one in projects.values()
        ),
        *(
            Fact.of("file", one["id"], one["name"], project=projects[one["project"]]["id"])
            for one in WORLD["files"].values()
        ),
        *(Fact.of("font", one, f"Old {name}") for name, one in WORLD["fonts"].items()),
        *(
            Fact.of(
                "thread",
                f"c0000001-5d0e-81a4-8006-9b{number:010}",
                file=WORLD["files"]["landing"]["id"],
                page=WORLD["pages"]["p1"]["id"],
                number="15",
                first="First!",
            )
            for number in (1, 2)
        ),
        Fact.of("page", WORLD["pages"]["p1"]["id"], "Page 1"),
        Fact.of("template", "welcome", "Welcome to Penpot"),
    ]
    return sample_facts() | {fact.key: fact for fact in facts}


def _events() -> list[Event]:
    """All payloads, synthetic samples, and cases that the payloads lack."""
    paths = [path for path in PAYLOADS.rglob("*.json") if "expect" not in path.name]
    bodies: list[Any] = [
        decode(path.read_bytes(), "application/json")
        for path in paths
        if "transit" not in path.name and path.name != "WORLD.json"
    ]
    bodies += [SAMPLES[kind.name] for kind in CATALOGUE.values() if kind.synthetic]
    project = WORLD["projects"]["web"]["id"]
    bodies.append(
        {"name": "import-binfile", "props": {"name": {"a": "A", "b": "B"}, "projectId": project}}
    )
    return [normalize(body) for body in bodies]


@pytest.fixture(scope="module")
def given() -> dict[str, set[str]]:
    """The variables that are truthy in at least one case, by event."""
    memory = _memory()
    result: dict[str, set[str]] = defaultdict(set)
    for event in _events():
        known: dict[tuple[str, str], Fact] = {}
        for _ in range(6):
            enriched, missing = enrich(event, known, team_key="acme")
            known |= {key: memory.get(key, Fact(*key)) for key in missing}
        variables = enriched.variables()
        assert variables.pop("event")["name"] == event.name
        result[event.name] |= {name for name, value in variables.items() if value}
    return result


@pytest.mark.parametrize("name", CATALOGUE)
def test_exactly_the_documented_variables_have_values(
    name: str, given: dict[str, set[str]]
) -> None:
    assert given[name] == set(CATALOGUE[name].variables)


def test_every_kind_has_a_group_and_a_sentence() -> None:
    assert sum(not kind.synthetic for kind in CATALOGUE.values()) == 24
    assert {kind.group for kind in CATALOGUE.values()} == set(GROUPS)
    for name, kind in CATALOGUE.items():
        assert kind.name == name
        assert kind.when.endswith(".")
        assert kind.when.count(". ") == 0
