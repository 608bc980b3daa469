"""The fan-out on a real store: the result for each event, with its reason."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from relay.config.settings import Config
from relay.delivery import fanout, pipeline
from relay.delivery.fact_cache import FactCache
from relay.delivery.fanout import FanOut
from relay.delivery.pipeline import EventPreparer
from relay.delivery.queues import QueueManager
from relay.delivery.routing import Planner
from relay.messages.message import Message
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.penpot.samples import sample
from relay.store.records import Delivery, LeaseLost, NewEvent, StoredEvent, StoreUnavailable
from relay.store.sqlite import SqliteStore
from tests.delivery.scripted import queue_context

pytestmark = pytest.mark.anyio

SECRET = "a-secret-of-24-characters"


def config(**channels: list[str]) -> Config:
    return Config.model_validate(
        {
            "teams": {
                "acme": {
                    "secret": SECRET,
                    "channels": [
                        {"name": name, "type": "stdout", "events": events, "activity": "each"}
                        for name, events in channels.items()
                    ],
                }
            }
        }
    )


class House:
    """A store with a fan-out whose queues do not run."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.running: asyncio.Task[None] | None = None

    def start(self, settings: Config, under_load: bool = False) -> None:
        metrics = Metrics()
        queues = QueueManager({}, queue_context(self.store, metrics))
        facts = FactCache(self.store)
        self.fan_out = FanOut(
            EventPreparer(settings, facts),
            Planner(settings, facts, self.store.activity, Templates(), metrics),
            self.store,
            queues,
            metrics,
            is_under_load=lambda: under_load,
        )
        self.running = asyncio.create_task(self.fan_out.run())

    async def put(self, *bodies: bytes, team: str = "acme") -> None:
        for body in bodies:
            digest = body[:2000] + team.encode()
            await self.store.accept(
                NewEvent(team, "application/json", body, digest, "x", received_at=time.time())
            )
        if self.running is not None:
            self.fan_out.wake()

    async def settled(self) -> list[tuple[StoredEvent, list[Delivery]]]:
        """All events with their deliveries, oldest first, once all are fanned out."""
        async with asyncio.timeout(20):
            while await self.store.stored_events(1):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        entries = await self.store.log(team=None, state=None, limit=1000)
        return [(entry.event, list(entry.deliveries)) for entry in reversed(entries)]

    async def end(self) -> None:
        self.fan_out.stop()
        assert self.running is not None
        await self.running


@pytest.fixture
async def house(store: SqliteStore) -> AsyncIterator[House]:
    house = House(store)
    yield house
    await house.end()


async def test_an_event_that_intake_did_not_report_is_fanned_out(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intake may answer 503 on a slow disk for an event that is stored in the end."""
    monkeypatch.setattr(fanout, "POLL_INTERVAL", 0.05)
    house.start(config(all=["*"]))
    await asyncio.sleep(0.1)
    body = sample("create-comment")
    event = NewEvent("acme", "application/json", body, b"1", "x", received_at=time.time())
    await house.store.accept(event)
    ((_, deliveries),) = await house.settled()
    assert len(deliveries) == 1


async def test_each_channel_that_takes_an_event_gets_one_delivery(house: House) -> None:
    house.start(config(all=["*"], comments=["comments"], fonts=["fonts"]))
    await house.put(sample("create-comment"), sample("delete-font"))
    (_, comments), (_, fonts) = await house.settled()
    assert [delivery.queue for delivery in comments] == ["acme/all", "acme/comments"]
    assert [delivery.queue for delivery in fonts] == ["acme/all", "acme/fonts"]
    keys = {delivery.key for delivery in (*comments, *fonts)}
    assert len(keys) == 4
    message = Message.loads(comments[0].message)
    assert message.event == "create-comment"
    assert message.team == "acme"
    assert message.thread == json.loads(sample("create-comment"))["props"]["threadId"]


async def test_only_a_team_with_a_name_of_its_own_is_named(house: House) -> None:
    team = {"secret": SECRET, "channels": [{"name": "all", "type": "stdout"}]}
    teams = {"default": team, "named": team | {"name": "X&Y"}}
    house.start(Config.model_validate({"teams": teams}))
    await house.put(sample("delete-project"), team="default")
    await house.put(sample("delete-project"), team="named")
    (_, (unnamed,)), (_, (named,)) = await house.settled()
    assert "default" not in Message.loads(unnamed.message).content.footer
    assert "X\\&Y" in Message.loads(named.message).content.footer


async def test_an_event_that_all_channels_skip_is_ignored_with_the_reason(house: House) -> None:
    house.start(config(all=["*", "!update-file"], fonts=["fonts"]))
    await house.put(sample("update-file"))
    ((event, deliveries),) = await house.settled()
    assert (event.state, deliveries) == ("ignored", [])
    assert event.reason == "skipped: all (!update-file), fonts"


async def test_events_of_a_removed_team_are_ignored(house: House) -> None:
    house.start(config(all=["*"]))
    await house.put(sample("update-file"), team="gone")
    ((event, _),) = await house.settled()
    assert (event.state, event.reason) == ("ignored", "its team is not in the config")


async def test_unreadable_events_do_not_hold_up_the_others(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    normalize = pipeline.normalize

    def failing(body: Any) -> Any:
        if body.get("name") == "bug":
            raise ZeroDivisionError
        return normalize(body)

    monkeypatch.setattr(pipeline, "normalize", failing)
    house.start(config(all=["*"]))
    await house.put(b'{"name": 1}', b"[", b'{"name": "bug"}', sample("delete-font"))
    outcome = [(event.state, event.reason) for event, _ in await house.settled()]
    assert outcome == [
        ("unreadable", "the body has no name"),
        ("unreadable", "not JSON: Expecting value at character 1"),
        ("unreadable", "bug: ZeroDivisionError"),
        ("fanned-out", ""),
    ]
    assert "ZeroDivisionError" in caplog.text


async def test_facts_survive_a_restart(house: House) -> None:
    house.start(config(all=["*"]))
    await house.put(sample("create-comment-thread"), sample("update-file"))
    await house.settled()
    await house.end()
    house.start(config(all=["*"]))
    await house.put(sample("create-comment"))
    *_, (_, (delivery,)) = await house.settled()
    assert "Landing page" in Message.loads(delivery.message).title


async def test_an_unavailable_store_loses_neither_events_nor_facts(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "STORE_RETRY_DELAY", 0.01)
    write, failures = house.store.save_fan_out, [StoreUnavailable("disk full")] * 3

    async def failing(batch: Any) -> Any:
        if failures:
            raise failures.pop()
        return await write(batch)

    monkeypatch.setattr(house.store, "save_fan_out", failing)
    house.start(config(all=["*"]))
    await house.put(sample("create-comment-thread"), sample("update-file"), sample("delete-font"))
    outcome = await house.settled()
    assert [event.state for event, _ in outcome] == ["fanned-out"] * 3
    assert failures == []
    await house.end()
    house.start(config(all=["*"]))
    await house.put(sample("create-comment"))
    *_, (_, (delivery,)) = await house.settled()
    assert "Landing page" in Message.loads(delivery.message).title


async def test_a_plan_that_can_not_be_stored_does_not_hold_up_the_others(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = house.store.save_fan_out

    async def failing(batch: Any) -> Any:
        if any(plan.deliveries and plan.event_id == 2 for plan in batch):
            raise OverflowError
        return await write(batch)

    monkeypatch.setattr(house.store, "save_fan_out", failing)
    house.start(config(all=["*"]))
    await house.put(sample("create-comment-thread"), sample("update-file"), sample("delete-font"))
    outcome = [(event.state, event.reason) for event, _ in await house.settled()]
    assert outcome == [("fanned-out", ""), ("unreadable", "bug: OverflowError"), ("fanned-out", "")]
    assert "OverflowError" in caplog.text


async def test_intake_under_load_slows_the_fan_out_but_never_stops_it(house: House) -> None:
    house.start(config(all=["*"]), under_load=True)
    started = time.monotonic()
    await house.put(*(sample(name) for name in ("create-comment", "delete-font", "update-file")))
    outcome = await house.settled()
    assert len(outcome) == 3
    assert time.monotonic() - started >= 2 * fanout.LOAD_DELAY


# Teams beside each other


def teams(*names: str) -> Config:
    team = {"secret": SECRET, "channels": [{"name": "all", "type": "stdout"}]}
    return Config.model_validate({"teams": dict.fromkeys(names, team)})


def comment(number: int) -> bytes:
    values = json.loads(sample("create-comment"))
    values["props"]["content"] = f"no {number}"
    return json.dumps({"number": number} | values).encode()


class Gate:
    """Holds the plans of some teams until it is opened; records all that begin."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *held: str) -> None:
        self.held = set(held)
        self.begun: list[str] = []
        self.most = 0
        self._running = 0
        self._open = asyncio.Event()
        plan = Planner.plan

        async def waiting(planner: Planner, stored: StoredEvent, prepared: Any) -> Any:
            self.begun.append(stored.team)
            self._running += 1
            self.most = max(self.most, self._running)
            await asyncio.sleep(0.001)
            if stored.team in self.held:
                await self._open.wait()
            self._running -= 1
            return await plan(planner, stored, prepared)

        monkeypatch.setattr(Planner, "plan", waiting)

    def open(self) -> None:
        self._open.set()


async def fanned_out(house: House, team: str, count: int) -> list[StoredEvent]:
    """The team's events in the order of their deliveries, once so many are fanned out."""
    async with asyncio.timeout(20):
        while True:
            waiting = await house.store.waiting_deliveries(f"{team}/all", 1000)
            if len(waiting) >= count:
                break
            await asyncio.sleep(0.005)
    events = {entry.event.id: entry.event for entry in await _entries(house, team)}
    return [events[delivery.event_id] for delivery in waiting]


async def _entries(house: House, team: str) -> Any:
    return await house.store.log(team=team, state=None, limit=1000)


async def test_a_slow_team_delays_no_other_and_keeps_its_order(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch, "slow")
    house.start(teams("slow", "other"))
    await house.put(*(comment(number) for number in range(70)), team="slow")
    await house.put(*(comment(number) for number in range(5)), team="other")
    others = await fanned_out(house, "other", 5)
    assert [event.id for event in others] == sorted(event.id for event in others)
    assert await house.store.waiting_queues() == {"other/all": 5}

    gate.open()
    slow = await fanned_out(house, "slow", 70)
    assert [event.id for event in slow] == sorted(event.id for event in slow)


async def test_with_many_teams_each_has_its_turn_beside_a_flood(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "MAX_TEAMS", 3)
    monkeypatch.setattr(fanout, "FAN_OUT_BATCH_SIZE", 4)
    gate = Gate(monkeypatch)
    names = [f"team{number:02}" for number in range(20)]
    for name in names:
        await house.put(*map(comment, range(40 if name == "team07" else 5)), team=name)
    house.start(teams(*names))
    outcome = await house.settled()
    assert len(outcome) == 40 + 19 * 5
    assert gate.most == 3
    # Each has had its first batch before the flood has its third, and all before it ends.
    third = [place for place, team in enumerate(gate.begun) if team == "team07"][8]
    assert set(gate.begun[:third]) == set(names)
    assert set(gate.begun[-10:]) == {"team07"}


async def test_of_large_bodies_one_is_processed_at_a_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "BATCH_BYTES", 20_000)
    gate = Gate(monkeypatch, "large1", "large2", "large3")
    house.start(teams("large1", "large2", "large3", "small"))
    large = comment(1)[:-1] + b', "padding": "' + b"x" * 20_000 + b'"}'
    for team in ("large1", "large2", "large3"):
        await house.put(large, comment(2), team=team)
    await house.put(comment(1), comment(2), team="small")
    await fanned_out(house, "small", 2)
    assert gate.begun.count("small") == 2
    assert len(gate.begun) == 3
    gate.open()
    for team in ("large1", "large2", "large3"):
        events = await fanned_out(house, team, 2)
        assert [event.id for event in events] == sorted(event.id for event in events)


async def test_a_flood_of_large_bodies_does_not_starve_another_teams_large_body(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "BATCH_BYTES", 20_000)
    gate = Gate(monkeypatch)

    def large(number: int) -> bytes:
        return comment(number)[:-1] + b', "padding": "' + b"x" * 20_000 + b'"}'

    await house.put(*map(large, range(8)), team="flood")
    await house.put(large(1), team="later")
    await house.put(large(1), team="before")
    house.start(teams("flood", "later", "before"))
    assert len(await house.settled()) == 10
    assert gate.begun[:4] == ["before", "flood", "later", "flood"]


async def test_a_lost_lease_in_one_teams_batch_ends_the_batches_of_all(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another replica may have fanned them out: nothing is written, and no fact is kept."""
    monkeypatch.setattr(fanout, "SHARED_POLL_INTERVAL", 0.05)
    gate, write, holds = Gate(monkeypatch, "b"), house.store.save_fan_out, [True]
    monkeypatch.setattr(house.store, "acquire_lease", lambda _: _answer(holds[0]))

    async def lost(batch: Any) -> Any:
        if not holds[0]:
            raise LeaseLost("fan-out")
        if batch[0].team == "a":
            holds[0] = False
            raise LeaseLost("fan-out")
        return await write(batch)

    monkeypatch.setattr(house.store, "save_fan_out", lost)
    house.start(teams("a", "b"))
    await house.put(comment(1), team="b")
    async with asyncio.timeout(20):
        while not gate.begun:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    await house.put(comment(1), comment(2), team="a")
    async with asyncio.timeout(20):
        while "lease lost" not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    gate.open()
    await asyncio.sleep(0.1)
    assert len(await house.store.stored_events(10)) == 3
    assert caplog.text.count("lease lost") == 1

    monkeypatch.setattr(house.store, "save_fan_out", write)
    holds[0] = True
    outcome = await house.settled()
    assert [len(deliveries) for _, deliveries in outcome] == [1, 1, 1]
    assert len(await fanned_out(house, "a", 2)) == 2


async def _answer(value: bool) -> bool:
    return value


async def test_a_stop_in_the_middle_of_a_batch_stores_what_is_planned(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch, "slow")
    house.start(teams("slow", "other"))
    await house.put(comment(1), comment(2), team="slow")
    async with asyncio.timeout(20):
        while not gate.begun:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    ending = asyncio.create_task(house.end())
    await asyncio.sleep(0.05)
    assert not ending.done()
    gate.open()
    await ending
    assert gate.begun == ["slow"]
    assert await house.store.waiting_queues() == {"slow/all": 1}
    assert len(await house.store.stored_events(10)) == 1
    house.start(teams("slow", "other"))


async def test_a_batch_that_can_not_be_stored_costs_another_team_no_facts(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "STORE_RETRY_DELAY", 0.01)
    write, failures = house.store.save_fan_out, [StoreUnavailable("disk full")] * 3
    resets: list[str | None] = []
    reset = FactCache.reset
    monkeypatch.setattr(
        FactCache, "reset", lambda cache, team=None: (resets.append(team), reset(cache, team))
    )

    async def failing(batch: Any) -> Any:
        if failures and batch[0].team == "a":
            raise failures.pop()
        return await write(batch)

    monkeypatch.setattr(house.store, "save_fan_out", failing)
    house.start(teams("a", "b"))
    for team in ("a", "b"):
        await house.put(sample("create-comment-thread"), sample("update-file"), team=team)
    await house.settled()
    assert resets == ["a"] * 3
    for team in ("a", "b"):
        await house.put(sample("create-comment"), team=team)
    outcome = await house.settled()
    titles = [Message.loads(deliveries[0].message).title for _, deliveries in outcome[-2:]]
    assert all("Landing page" in title for title in titles)


async def test_under_load_all_teams_together_are_slowed(house: House) -> None:
    house.start(teams("a", "b", "c"), under_load=True)
    started = time.monotonic()
    for team in ("a", "b", "c"):
        await house.put(sample("create-comment"), sample("delete-font"), team=team)
    await house.settled()
    assert time.monotonic() - started >= 5 * fanout.LOAD_DELAY
