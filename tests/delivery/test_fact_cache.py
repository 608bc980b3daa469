"""The cache of facts: what is known after which event and answer."""

import time

import pytest

from relay.delivery import fact_cache
from relay.delivery.fact_cache import FactCache
from relay.penpot.events import Event, Person, Subject, normalize
from relay.penpot.events import File as EventFile
from relay.penpot.facts import Fact
from relay.store.records import FanOutResult, NewEvent
from relay.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio

LANDING = "4c8d3e30-5d0e-81a4-8006-9a3f00000001"
WEB = "3b7c2d20-5d0e-81a4-8006-9a2f00000001"
ADA = "6eaf5050-5d0e-81a4-8006-9a5f00000001"
SAVED = normalize({"name": "update-file", "props": {"id": LANDING, "name": "Landing page"}})
PLACE = Event("restore-file", file=EventFile(LANDING))


async def file_name(cache: FactCache, team: str = "acme") -> str:
    return (await cache.enriched(PLACE, team, "", "")).file.name


async def test_an_events_names_are_known_to_later_events_of_its_team(store: SqliteStore) -> None:
    cache = FactCache(store)
    assert await file_name(cache) == ""
    new = await cache.new_facts(SAVED, "acme")
    assert [key for key, text in new.items() if "Landing page" in text] == [("file", LANDING)]
    assert await file_name(cache) == "Landing page"
    assert await file_name(cache, "other") == ""
    assert await cache.new_facts(SAVED, "acme") == {}


async def test_stored_facts_are_known_after_a_restart(store: SqliteStore) -> None:
    new = await FactCache(store).new_facts(SAVED, "acme")
    event = NewEvent("acme", "application/json", b"{}", b"1", "x", received_at=time.time())
    await store.accept(event)
    await store.save_fan_out([FanOutResult(1, "acme", "ignored", facts=new)])
    assert await file_name(FactCache(store)) == "Landing page"


async def test_a_reset_forgets_what_was_not_stored_but_not_penpots_answers(
    store: SqliteStore,
) -> None:
    cache = FactCache(store)
    await cache.new_facts(SAVED, "acme")
    await cache.add("acme", [Fact("project", WEB, name="Website")])
    planned = await cache.new_facts(Event("x"), "acme")
    assert "Website" in planned["project", WEB]
    cache.reset()
    assert await file_name(cache) == ""
    assert await cache.new_facts(Event("x"), "acme") == planned
    cache.mark_stored("acme")
    await cache.new_facts(SAVED, "rnd")
    cache.reset("acme")
    assert await cache.new_facts(Event("x"), "acme") == {}
    assert await cache.new_facts(SAVED, "rnd") == {}  # another team's are kept


async def test_penpots_answer_replaces_a_persons_name_and_fills_only_gaps_of_files(
    store: SqliteStore,
) -> None:
    cache = FactCache(store)
    await cache.new_facts(SAVED, "acme")
    await cache.add("acme", [Fact("person", ADA, name="Ada")])
    newer = [Fact("person", ADA, name="Ada L."), Fact("file", LANDING, name="Renamed since")]
    await cache.add("acme", newer)
    event = await cache.enriched(
        Event("x", actor=Person(ADA), file=EventFile(LANDING)), "acme", "", ""
    )
    assert (event.actor.name, event.file.name) == ("Ada L.", "Landing page")


async def test_an_older_answer_does_not_replace_a_projects_name(store: SqliteStore) -> None:
    cache = FactCache(store)
    asked_at = time.monotonic()
    renamed = {"name": "rename-project", "props": {"id": WEB, "name": "New"}}
    await cache.new_facts(normalize(renamed), "acme")
    await cache.add("acme", [Fact("project", WEB, name="Old")], asked_at)
    place = Event("x", project=Subject(WEB))
    assert (await cache.enriched(place, "acme", "", "")).project.name == "New"
    await cache.add("acme", [Fact("project", WEB, name="Newer")])
    assert (await cache.enriched(place, "acme", "", "")).project.name == "Newer"


async def test_names_are_complete_only_if_all_are_known(store: SqliteStore) -> None:
    cache = FactCache(store)
    await cache.new_facts(SAVED, "acme")
    assert await cache.has_names("acme", [("file", LANDING)])
    assert not await cache.has_names("acme", [("file", LANDING), ("project", WEB)])
    assert await cache.has_names("acme", [])


async def test_memory_is_bounded(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fact_cache, "MAX_CACHED_FACTS", 5)
    cache = FactCache(store)
    people = [Fact("person", f"{number:08}{ADA[8:]}", name=f"{number}") for number in range(20)]
    await cache.add("acme", people)
    assert len(cache._facts) == 5
