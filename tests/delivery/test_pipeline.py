"""From bodies to events that templates can render, and preparing them ahead of their turn."""

import asyncio
import inspect
import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from relay.config.settings import Config
from relay.delivery.fact_cache import FactCache
from relay.delivery.lookups import LookedUp
from relay.delivery.pipeline import EventPreparer, EventSource, examples, prepare
from relay.penpot.events import Event, NotAnEvent
from relay.penpot.samples import SAMPLE_NAMES, SampleFacts, sample
from relay.penpot.wire import UnreadableBody
from relay.store.records import FactKey, StoredEvent

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
PAYLOADS = ROOT / "tests/penpot/payloads"
TRANSIT = sorted(PAYLOADS.glob("*/*.transit.json"))
CHANNEL = {"name": "all", "type": "stdout", "events": ["*"]}
CONFIG = Config.model_validate(
    {
        "penpot": {"url": "https://p.example"},
        "teams": {"acme": {"secret": "a-secret-of-24-characters", "channels": [CHANNEL]}},
    }
)
TEAM_ID = json.loads(sample("update-file"))["props"]["teamId"]
SOURCE = EventSource.of(CONFIG, "acme")


class NoFacts:
    async def facts(self, _team: str, _keys: Any) -> dict[FactKey, str]:
        return {}


class SlowLookups:
    """Lookups that end when a test says so."""

    is_paused = False

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = asyncio.Event()

    async def team_id(self, _team: str) -> str:
        return TEAM_ID

    async def find_team(self, _team: str, _asks: Callable[[], None]) -> str:
        return TEAM_ID

    async def fill(
        self,
        event: Event,
        _team: str,
        _team_id: str,
        _at: float,
        asks: Callable[[], None],
        *,
        needs_member: bool,
        involved: bool,
    ) -> LookedUp:
        self.asked.append(event.name)
        asks()
        await self.answer.wait()
        return LookedUp(event)


def unordered(value: Any) -> Any:
    """Transit's sets, such as a file's features, have no order."""
    if isinstance(value, dict):
        return {key: unordered(item) for key, item in value.items()}
    return sorted(map(unordered, value), key=repr) if isinstance(value, list | tuple) else value


def stored(number: int, body: bytes) -> StoredEvent:
    name = json.loads(body)["name"]
    return StoredEvent(number, "acme", "application/json", body, name, "stored", "", time.time())


@pytest.mark.parametrize("path", TRANSIT, ids=lambda path: f"{path.parent.name}/{path.stem}")
async def test_json_and_transit_give_the_same_event(path: Path) -> None:
    twin = path.with_name(path.name.replace(".transit", "")).read_bytes()
    transit = await prepare(
        path.read_bytes(), "application/transit+json", SOURCE, FactCache(SampleFacts())
    )
    plain = await prepare(twin, "application/json", SOURCE, FactCache(SampleFacts()))
    assert transit.linked.variables()["event"]["name"] == path.parent.name
    assert unordered(asdict(transit)) == unordered(asdict(plain))


async def test_an_event_has_names_and_links() -> None:
    prepared = await prepare(
        sample("create-comment"), "application/json", SOURCE, FactCache(SampleFacts())
    )
    assert (prepared.event.file.name, prepared.event.url) == ("", "")
    assert prepared.linked.file.name == "Landing page"
    assert prepared.linked.url.startswith("https://p.example/#/workspace?")


async def test_the_team_has_the_name_of_the_config_where_no_event_names_it() -> None:
    (event,) = await examples(["rename-file"], EventSource("acme", "Acme Design"))
    assert event.team.name == "Acme Design"
    assert EventSource.of(CONFIG, "gone") == EventSource("gone", "gone", "", "https://p.example")


async def test_bodies_that_are_no_events() -> None:
    for body, kind, error in (
        (b"[", "application/json", UnreadableBody),
        (b"{}", "text/plain", UnreadableBody),
        (b'{"name": 1}', "application/json", NotAnEvent),
    ):
        with pytest.raises(error):
            await prepare(body, kind, SOURCE, FactCache(NoFacts()))


async def test_there_is_an_example_of_each_event() -> None:
    assert [event.name for event in await examples(SAMPLE_NAMES, SOURCE)] == list(SAMPLE_NAMES)
    with pytest.raises(KeyError):
        await examples(["restore-file"], SOURCE)


@pytest.mark.parametrize(
    "call", [r"(?<!def )\badd_links\(", r"(?<!def )(?<!unicodedata\.)\bnormalize\("]
)
def test_no_other_module_repeats_a_part_of_the_way(call: str) -> None:
    """``penpot/samples`` reads the facts in the bodies, and ``penpot/records`` the row of a thread,
    which is no preparation."""
    users = {
        path.relative_to(ROOT / "relay").as_posix()
        for path in (ROOT / "relay").rglob("*.py")
        if re.search(call, path.read_text())
    }
    assert users - {"penpot/samples.py", "penpot/records.py"} == {"delivery/pipeline.py"}


def test_preparing_ahead_has_a_narrow_interface() -> None:
    methods = inspect.getmembers(EventPreparer, inspect.isfunction)
    assert len([name for name, _ in methods if not name.startswith("_")]) <= 5


async def test_lookups_run_concurrently_and_names_are_added_in_order() -> None:
    facts, lookups = FactCache(NoFacts()), SlowLookups()
    preparer = EventPreparer(CONFIG, facts, lookups)  # type: ignore[arg-type]
    first, second = stored(1, sample("update-file")), stored(2, sample("create-comment"))
    await preparer.start([first, second])
    pending = [await preparer.pending(event) for event in (first, second)]
    assert lookups.asked == ["update-file", "create-comment"]
    assert all(done is not None and not done.is_set() for done in pending)

    lookups.answer.set()
    for done in pending:
        assert done is not None
        await done.wait()
    assert await preparer.pending(second) is None
    await facts.new_facts((await preparer.take(first)).event, "acme")
    assert (await preparer.take(second)).linked.file.name == "Landing page"


async def test_what_is_not_wanted_any_more_is_cancelled() -> None:
    lookups = SlowLookups()
    preparer = EventPreparer(CONFIG, FactCache(NoFacts()), lookups)  # type: ignore[arg-type]
    first, second = stored(1, sample("update-file")), stored(2, sample("create-comment"))
    await preparer.start([first, second])
    await preparer.pending(second)
    await preparer.start([second])
    assert await preparer.pending(first) is None
    assert await preparer.pending(second) is not None
    await preparer.reset()
    assert await preparer.pending(second) is None
    lookups.answer.set()
    assert (await preparer.take(second)).linked.comment.text.startswith("Good catch")
    assert lookups.asked == ["update-file", "create-comment", "create-comment"]


async def test_the_preparations_of_another_team_go_on() -> None:
    lookups = SlowLookups()
    preparer = EventPreparer(CONFIG, FactCache(NoFacts()), lookups)  # type: ignore[arg-type]
    first = stored(1, sample("update-file"))
    other = replace(stored(2, sample("create-comment")), team="rnd")
    await preparer.start([first])
    await preparer.start([other])
    await preparer.reset("rnd")
    assert await preparer.pending(first) is not None
    assert await preparer.pending(other) is None
    await preparer.reset()
    assert await preparer.pending(first) is None


async def test_an_unreadable_body_is_not_waited_for() -> None:
    preparer = EventPreparer(CONFIG, FactCache(NoFacts()), SlowLookups())  # type: ignore[arg-type]
    broken = stored(1, b'{"name": 1}')
    await preparer.start([broken])
    assert await preparer.pending(broken) is None
    with pytest.raises(NotAnEvent):
        await preparer.take(broken)
