"""The samples that ``relay demo`` and ``relay preview`` show."""

import json
import re
from pathlib import Path

import pytest

from relay.penpot.events import CATALOGUE, normalize
from relay.penpot.names import Fact, Key, enrich, taught
from relay.penpot.samples import ORDER, SAMPLES, known, sample
from relay.penpot.wire import decode

PAYLOADS = Path(__file__).parent / "payloads"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def test_every_kind_has_one_sample() -> None:
    assert sorted(ORDER) == sorted(CATALOGUE)


@pytest.mark.parametrize("name", [name for name in ORDER if not CATALOGUE[name].own])
def test_a_sample_has_the_keys_of_a_body_that_penpot_sent(name: str) -> None:
    body = decode(sample(name), "application/json")
    real = [
        json.loads(path.read_text())
        for path in (PAYLOADS / name).glob("*.json")
        if "transit" not in path.name and "expect" not in path.name
    ]

    assert body == SAMPLES[name]
    assert all(set(body) == set(other) for other in real)
    optional = {"ownerPhotoId"}
    assert set(body["props"]) in [set(other["props"]) - optional for other in real]
    for key, value in body["props"].items():
        assert any(type(value) is type(other["props"].get(key)) for other in real)


def test_the_story_names_everyone_and_everything_once_it_was_told() -> None:
    memory: dict[Key, Fact] = {}
    unknown = {}
    for name in ORDER:
        event = normalize(SAMPLES[name])
        facts: dict[Key, Fact] = {}
        for _ in range(6):
            told, missing = enrich(event, facts, team_key="acme")
            facts |= {key: memory.get(key, Fact(*key)) for key in missing}
        variables = told.variables()
        unknown[name] = {key for key in CATALOGUE[name].variables if not variables[key]}
        for fact in taught(event):
            memory[fact.key] = Fact.merged(memory.get(fact.key), fact)

    assert {name: missed for name, missed in unknown.items() if missed} == {
        "create-comment-thread": {"file", "project"},
        "update-file": {"project"},
        "import-binfile": {"files"},
        "move-files": {"file"},
        "clone-template": {"previous"},
    }


@pytest.mark.parametrize("name", ORDER)
def test_one_event_alone_is_shown_with_all_its_names(name: str) -> None:
    event = normalize(SAMPLES[name])
    facts = known()
    told, missing = enrich(event, facts, team_key="acme")
    told, missing = enrich(event, facts | {key: Fact(*key) for key in missing}, team_key="acme")

    variables = told.variables()
    unknown = {key for key in CATALOGUE[name].variables if not variables[key]}
    assert not missing
    assert unknown <= {"files", "file"}
    names = [str(variables[key]) for key in CATALOGUE[name].variables if key != "files"]
    assert not any(map(UUID.search, names))
