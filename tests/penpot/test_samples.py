"""The samples of ``relay demo`` and ``relay preview``."""

import json
import re
from pathlib import Path

import pytest

from relay.penpot.catalogue import CATALOGUE
from relay.penpot.events import normalize
from relay.penpot.facts import Fact, Key, enrich, facts_from_event
from relay.penpot.samples import SAMPLE_NAMES, SAMPLES, sample, sample_facts
from relay.penpot.wire import decode

PAYLOADS = Path(__file__).parent / "payloads"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def test_every_kind_has_one_sample() -> None:
    assert sorted(SAMPLE_NAMES) == sorted(CATALOGUE)


@pytest.mark.parametrize("name", [name for name in SAMPLE_NAMES if not CATALOGUE[name].synthetic])
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


def test_later_samples_use_the_names_of_earlier_ones() -> None:
    memory: dict[Key, Fact] = {}
    unknown = {}
    for name in SAMPLE_NAMES:
        event = normalize(SAMPLES[name])
        facts: dict[Key, Fact] = {}
        for _ in range(6):
            enriched, missing = enrich(event, facts, team_key="acme")
            facts |= {key: memory.get(key, Fact(*key)) for key in missing}
        variables = enriched.variables()
        unknown[name] = {key for key in CATALOGUE[name].variables if not variables[key]}
        for fact in facts_from_event(event):
            memory[fact.key] = Fact.merged(memory.get(fact.key), fact)

    assert {name: missed for name, missed in unknown.items() if missed} == {
        "create-comment-thread": {"file", "project"},
        "update-file": {"project"},
        "import-binfile": {"files"},
        "move-files": {"file"},
        "clone-template": {"previous"},
    }


@pytest.mark.parametrize("name", SAMPLE_NAMES)
def test_a_single_sample_has_all_its_names(name: str) -> None:
    event = normalize(SAMPLES[name])
    facts = sample_facts()
    enriched, missing = enrich(event, facts, team_key="acme")
    enriched, missing = enrich(event, facts | {key: Fact(*key) for key in missing}, team_key="acme")

    variables = enriched.variables()
    unknown = {key for key in CATALOGUE[name].variables if not variables[key]}
    assert not missing
    assert unknown <= {"files", "file"}
    names = [str(variables[key]) for key in CATALOGUE[name].variables if key != "files"]
    assert not any(map(UUID.search, names))
