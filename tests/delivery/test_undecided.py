"""Deliveries whose channel needs a name that Penpot could not say: from the event to the channel,
on a real store, with the stand-in Penpot."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.config.settings import Config
from relay.delivery import health, undecided
from relay.delivery import holds as holds_module
from relay.delivery.directory import TeamDirectory
from relay.delivery.fact_cache import FactCache
from relay.delivery.fanout import FanOut
from relay.delivery.lookups import Lookups
from relay.delivery.pipeline import EventPreparer, PreparedEvent
from relay.delivery.queue_context import QueueSettings
from relay.delivery.queues import QueueManager
from relay.delivery.routing import Planner
from relay.delivery.undecided import MAX_UNDECIDED_SECONDS, Judge
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.penpot.api import PenpotClient
from relay.penpot.client import PenpotBusy
from relay.penpot.events import Event, File, Subject, Thread
from relay.store.base import Store
from relay.store.records import Delivery, NewEvent, StoredEvent, StoredValue
from relay.store.sqlite import SqliteStore
from tests.delivery.scripted import queue_context
from tests.delivery.test_edits import Wall
from tests.penpot.people import People
from tests.penpot.standin import TOKEN, Fault, StandIn

pytestmark = pytest.mark.anyio

DOWN = Fault(status=503)
REASON = "project not known yet: Penpot did not answer for 15 minutes"


class House:
    """A fan-out and a queue with a filter, and another queue for alerts."""

    def __init__(self, store: Store, penpot: StandIn) -> None:
        self.store = store
        self.penpot = penpot
        self.team_id = penpot.world.by_name("teams", "acme")
        self.wall, self.alerts = Wall(), Wall()
        self.metrics = Metrics()
        landing = penpot.world.by_name("files", "landing")
        self.ada = People(penpot.world, landing, datetime.now(UTC))
        self.count = 0

    def start(self, token: str = TOKEN, digest_after: int = 1000, **keys: Any) -> None:
        channels = [
            {"name": "website", "type": "stdout", "events": ["*"], **keys},
            {"name": "alerts", "type": "stdout", "events": ["!*"]},
        ]
        team = {"secret": "a-secret-of-24-characters", "team_id": self.team_id}
        penpot = {"url": "http://p.example"} | ({"access_token": token} if token else {})
        teams = {"acme": team | {"channels": channels}}
        config = Config.model_validate({"penpot": penpot, "teams": teams})
        context = queue_context(self.store, self.metrics, alert_queues={"acme": ["acme/alerts"]})
        facts, templates = FactCache(self.store), Templates()
        directory = TeamDirectory(config, self.store, context.notices, time.time)
        api = PenpotClient(self.penpot.url, token)
        lookups = Lookups(api, facts, self.store, self.metrics, directory) if token else None
        self.preparer = EventPreparer(config, facts, lookups)
        judge = Judge(config, facts, templates, self.metrics, self.preparer, self.store)
        hold = config.holds.get("acme/website")
        queues = {
            "acme/website": QueueSettings(lambda: self.wall, digest_after=digest_after, hold=hold),
            "acme/alerts": QueueSettings(lambda: self.alerts),
        }
        self.queues = QueueManager(queues, replace(context, judge=judge))
        planner = Planner(config, facts, self.store.activity, templates, self.metrics)
        self.fan_out = FanOut(
            self.preparer, planner, self.store, self.queues, self.metrics, lambda: False
        )
        self.running = [asyncio.create_task(run()) for run in (self.queues.run, self.fan_out.run)]

    async def stop(self) -> None:
        self.fan_out.stop()
        await self.queues.stop(5.0)
        await asyncio.gather(*self.running)
        await self.preparer.close()

    async def put(self, *bodies: dict[str, Any]) -> list[Delivery]:
        """Events, once they are fanned out; all deliveries to the channel so far."""
        for values in bodies:
            self.count += 1
            content = json.dumps(values).encode()
            event = NewEvent("acme", "application/json", content, b"%d" % self.count, "x")
            await self.store.accept(event._replace(received_at=time.time()))
        self.fan_out.wake()
        await until(self._is_fanned_out)
        return await self.deliveries()

    async def _is_fanned_out(self) -> bool:
        return not await self.store.stored_events(1)

    async def deliveries(self, queue: str = "acme/website") -> list[Delivery]:
        entries = await self.store.log(team=None, state=None, limit=1000)
        found = [each for entry in reversed(entries) for each in entry.deliveries]
        return [each for each in found if each.queue == queue]

    async def states(self) -> list[str]:
        return [each.state for each in await self.deliveries()]

    async def settled(self) -> list[str]:
        """The states once nothing waits."""

        async def is_empty() -> bool:
            return not await self.store.waiting_queues()

        await until(is_empty)
        return await self.states()

    @property
    def texts(self) -> list[str]:
        return list(self.wall.shows.values())

    def posts(self, word: str) -> bool:
        return any(word in text for text in self.texts)


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.fixture
async def house(
    store: SqliteStore, penpot: StandIn, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    monkeypatch.setattr(PenpotBusy, "delay", 0.05)
    monkeypatch.setattr(undecided, "retry_delay", lambda _attempts: 0.02)
    house = House(store, penpot)
    yield house
    await house.stop()


def created(name: str) -> dict[str, Any]:
    """An event with all names, in another project."""
    return {"name": "create-project", "props": {"name": name}}


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    clock = SimpleNamespace(time=lambda: time.time() + seconds, monotonic=time.monotonic)
    monkeypatch.setattr(undecided, "time", clock)


async def test_it_waits_for_the_name_and_what_follows_waits_behind_it(house: House) -> None:
    house.penpot.faults["*"] = DOWN
    house.start(projects=["Website*", "!Archive"])
    thread, begun = house.ada.begin("Is this the hero?")
    waiting, other = await house.put(begun, created("Website 2"))
    assert (waiting.state, waiting.undecided) == ("waiting", "projects")
    assert (other.state, other.undecided) == ("waiting", "")
    await asyncio.sleep(0.3)
    assert (house.texts, await house.states()) == ([], ["waiting", "waiting"])
    assert await house.store.undecided_queues() == {"acme/website": 1}
    (waiting, _) = await house.deliveries()
    assert (waiting.attempts, waiting.next_at, waiting.error) == (0, 0.0, "")
    stats = (await house.store.queries.queues(["acme/website"]))["acme/website"]
    assert (stats.undecided, stats.waiting) == ("projects", 2)

    house.penpot.faults.clear()
    assert await house.settled() == ["sent", "sent"]
    assert "hero" in house.texts[0]
    assert "Landing page" in house.texts[0]  # rendered with what is known now
    assert "Website 2" in house.texts[1]
    (waiting, _) = await house.deliveries()
    assert waiting.undecided == ""
    await house.put(house.ada.reply(thread, "It is."))
    assert await house.settled() == ["sent"] * 3


@pytest.mark.parametrize("fault", [DOWN, Fault(cut=True), Fault(status=429)], ids=repr)
async def test_a_filter_that_only_excludes_waits_too(house: House, fault: Fault) -> None:
    house.penpot.faults["*"] = fault
    house.start(projects=["!Website*"])
    _, begun = house.ada.begin("Is this the hero?")
    await house.put(begun, created("Shop"))
    await asyncio.sleep(0.1)
    assert await house.states() == ["waiting", "waiting"]
    house.penpot.faults.clear()
    if fault.status != 429:  # which asks for 30 seconds
        assert await house.settled() == ["skipped", "sent"]
        (skipped, _) = await house.deliveries()
        assert skipped.error == "projects: !Website*"
        assert not house.posts("hero")


@pytest.mark.parametrize(("entry", "expected"), [("Website*", []), ("!Website*", ["sent"])])
@pytest.mark.parametrize("token", [TOKEN, "revoked", ""])
async def test_what_penpot_does_not_have_or_say_is_decided_at_once(
    house: House, token: str, entry: str, expected: list[str]
) -> None:
    house.penpot.faults["*"] = Fault(status=404)
    house.start(token=token, projects=[entry])
    thread, begun = house.ada.begin("Is this the hero?")
    await house.put(begun)
    assert await house.settled() == expected
    house.penpot.faults.clear()
    named = house.ada.reply(thread, "Sure")
    named["props"] |= {"projectId": house.penpot.world.by_name("projects", "web")}
    renamed = {"id": named["props"]["projectId"], "name": "Website", "teamId": house.team_id}
    await house.put({"name": "rename-project", "props": renamed}, named)
    await house.settled()
    assert house.posts("Sure") == bool(expected)  # all of the thread, or nothing


async def test_after_15_minutes_it_is_skipped_with_one_alert_and_so_is_its_thread(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "STOP_TIMEOUT", 0.01)
    house.penpot.faults["*"] = DOWN
    house.start(projects=["Website*"])
    thread, begun = house.ada.begin("Is this the hero?")
    _, second = house.ada.begin("Is this another?")
    await house.put(begun, second, house.ada.reply(thread, "It is."))
    later(monkeypatch, MAX_UNDECIDED_SECONDS - 5)
    await asyncio.sleep(0.2)
    assert await house.states() == ["waiting"] * 3

    later(monkeypatch, MAX_UNDECIDED_SECONDS + 5)
    assert await house.settled() == ["skipped"] * 3
    assert [each.error for each in await house.deliveries()] == [
        REASON,
        REASON,
        "its thread is not there",
    ]
    (alert,) = house.alerts.shows.values()
    assert alert.startswith("⚠️ Messages to **website** are skipped: project not known yet.")
    assert 'relay_queue_stopped{queue="acme/website"} 1' not in house.metrics.text().decode()

    later(monkeypatch, 0)
    house.penpot.faults.clear()
    _, third = house.ada.begin("Now it answers")
    await house.put(house.ada.reply(thread, "Really."), third)
    assert (await house.settled())[3:] == ["skipped", "sent"]
    assert ["Now it answers" in text for text in house.texts] == [True]


async def test_a_restart_and_another_replica_go_on_with_it(house: House) -> None:
    house.penpot.faults["*"] = DOWN
    house.start(projects=["Website*"])
    _, begun = house.ada.begin("Is this the hero?")
    await house.put(begun)
    for fault in (DOWN, Fault(cut=True)):
        await house.stop()
        house.penpot.faults["*"] = fault
        house.start(projects=["Website*"])
        await asyncio.sleep(0.1)
        assert (house.texts, await house.states()) == ([], ["waiting"])
    await house.stop()
    house.penpot.faults.clear()
    house.start(projects=["Website*"])
    assert await house.settled() == ["sent"]


async def test_what_is_resent_is_sent_whatever_the_filter_says(house: House) -> None:
    house.penpot.faults["*"] = DOWN
    house.start(projects=["Shop"])
    _, begun = house.ada.begin("Is this the hero?")
    (waiting,) = await house.put(begun)
    await house.store.resend([waiting.id])
    assert await house.settled() == ["sent"]


async def test_in_quiet_hours_it_is_held_once_it_is_accepted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = 24 * 3600
    night = (time.time() // day + 1) * day + 3600  # 01:00 UTC
    monkeypatch.setattr(holds_module, "time", SimpleNamespace(time=lambda: night))
    monkeypatch.setattr("relay.delivery.routing.time", SimpleNamespace(time=lambda: night))
    house.penpot.faults["*"] = DOWN
    house.start(projects=["Website*"], quiet=["00:00-06:00"])
    _, begun = house.ada.begin("Is this the hero?")
    _, other = await house.put(begun, created("Website"))
    assert (other.state, other.undecided) == ("held", "")
    await asyncio.sleep(0.1)
    assert await house.states() == ["waiting", "held"]
    house.penpot.faults.clear()
    assert await house.settled() == ["held", "held"]
    first, other = await house.deliveries()
    assert (first.held_until, first.undecided) == (other.held_until, "")
    assert "Landing page" in first.message


async def test_no_digest_has_it_before_it_is_decided(house: House) -> None:
    house.penpot.faults["*"] = DOWN
    house.start(projects=["Website*"], digest_after=1)
    _, begun = house.ada.begin("Is this the hero?")
    await house.put(begun, *(created(f"Website {number}") for number in range(4)))
    await asyncio.sleep(0.1)
    assert (house.texts, await house.states()) == ([], ["waiting"] * 5)
    house.penpot.faults.clear()
    assert await house.settled() == ["sent"] * 5
    first, digest = house.texts  # the first one may have been sent by another process
    assert "hero" in first
    assert all(f"Website {number}" in digest for number in range(4))


async def test_a_rename_keeps_its_old_name(house: House) -> None:
    world = house.penpot.world
    landing, web = world.by_name("files", "landing"), world.by_name("projects", "web")
    house.start(projects=["Website*"])
    await house.put({"name": "update-file", "props": {"id": landing, "name": "Start"}})
    house.penpot.faults["*"] = DOWN
    await house.put(
        {"name": "rename-file", "props": {"id": landing, "name": "Landing", "projectId": web}}
    )
    house.penpot.faults.clear()
    await house.settled()
    assert house.posts("Start")


async def test_a_bug_costs_no_message_at_once(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    house.penpot.faults["*"] = DOWN
    house.start(projects=["Website*"])
    with monkeypatch.context() as patch:
        patch.setattr(Judge, "_home", lambda *_, **__: 1 / 0)
        _, begun = house.ada.begin("Is this the hero?")
        await house.put(begun)
        await asyncio.sleep(0.05)
        assert "ZeroDivisionError" in caplog.text
        assert await house.states() == ["waiting"]
    house.penpot.faults.clear()
    assert await house.settled() == ["sent"]


# All of a thread goes to the channel or nothing of it, whenever Penpot answers.


class Known:
    """A preparer of events whose names are known, or not, as a test says."""

    def __init__(self) -> None:
        self.is_named = self.is_unanswered = False

    def prepared(self, thread: int) -> PreparedEvent:
        project = Subject("6eaf5050-5d0e-81a4-8006-9a5f00000001", "a" if self.is_named else "")
        event = replace(
            Event("create-comment", "comments", file=File("f")),
            project=project,
            thread=Thread(f"t{thread}"),
        )
        return PreparedEvent(event, event, self.is_unanswered and not self.is_named)

    async def take(self, stored: StoredEvent) -> PreparedEvent:
        return self.prepared(int(stored.name))


class Values:
    """The facts and values of a store."""

    def __init__(self) -> None:
        self.rows: dict[Any, str] = {}

    async def facts(self, _team: str, keys: Any) -> dict[Any, str]:
        return {key: self.rows[key] for key in keys if key in self.rows}

    async def counts(self, _keys: Any) -> dict[Any, str]:
        return {}

    async def get_value(self, key: str) -> StoredValue | None:
        return StoredValue(self.rows[key], 0.0) if key in self.rows else None

    async def put_new_value(self, key: str, value: str) -> None:
        self.rows.setdefault(key, value)


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("event"), st.integers(0, 2)),
        st.tuples(st.sampled_from(["settle", "give up"]), st.just(0)),
        st.tuples(st.sampled_from(["named", "unanswered"]), st.integers(0, 1)),
    ),
    max_size=25,
)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([["a"], ["b"], ["!a"], ["!b"], ["*", "!a"]]), _steps)
@example(  # the queue accepts the thread without a name, and later its name would reject it
    ["!a"],
    [("unanswered", 1), ("event", 2), ("unanswered", 0), ("settle", 0), ("named", 1), ("event", 2)],
)
def test_all_of_a_thread_is_accepted_or_nothing(
    entries: list[str], steps: Sequence[tuple[str, int]]
) -> None:
    asyncio.run(_live(entries, steps))


async def _live(entries: list[str], steps: Sequence[tuple[str, int]]) -> None:
    team = {"secret": "a-secret-of-24-characters"}
    channel = {"name": "one", "type": "stdout", "projects": entries, "events": ["*"]}
    config = Config.model_validate({"teams": {"acme": team | {"channels": [channel]}}})
    store, known, templates, metrics = Values(), Known(), Templates(), Metrics()
    queue: list[tuple[int, Delivery, StoredEvent]] = []
    outcomes: dict[int, set[bool]] = {}
    number = 0

    async def settle(*, is_last: bool) -> None:
        judge = Judge(config, FactCache(store), templates, metrics, known, store)  # type: ignore[arg-type]
        while queue:
            thread, delivery, stored = queue[0]
            decision, _ = await judge.judge(delivery, stored, is_last=is_last)
            if decision.undecided and not is_last:
                return
            is_accepted = decision.skipped is None and not decision.undecided
            outcomes.setdefault(thread, set()).add(is_accepted)
            del queue[0]

    for action, value in [*steps, ("unanswered", 0), ("settle", 0)]:
        if action == "named":
            known.is_named = bool(value)
        elif action == "unanswered":
            known.is_unanswered = bool(value)
        elif action in ("settle", "give up"):
            await settle(is_last=action == "give up")
        else:
            number += 1
            stored = StoredEvent(number, "acme", "", b"", str(value), "stored", "", 0.0)
            planner = Planner(config, FactCache(store), store, templates, metrics)
            plan = await planner.plan(stored, known.prepared(value))
            store.rows |= dict(plan.facts or {})
            for new in plan.deliveries:
                if new.undecided:
                    delivery = Delivery(
                        number, number, new.queue, new.key, new.message, "waiting", 0, 0.0, "", "",
                        0.0, undecided=new.undecided,
                    )  # fmt: skip
                    queue.append((value, delivery, stored))
                else:
                    outcomes.setdefault(value, set()).add(True)
            if not plan.deliveries:
                outcomes.setdefault(value, set()).add(False)
    assert all(len(accepted) == 1 for accepted in outcomes.values()), outcomes
