"""Daily lines, from the event to the message, on a real store."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from relay.config.settings import Config
from relay.delivery import activity
from relay.delivery.fact_cache import FactCache
from relay.delivery.fanout import FanOut
from relay.delivery.pipeline import EventPreparer
from relay.delivery.queues import QueueManager
from relay.delivery.routing import Planner
from relay.messages.message import Message
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.penpot.samples import SAMPLES
from relay.store.records import Delivery, NewEvent, StoreUnavailable
from relay.store.search import EventFilters
from relay.store.sqlite import SqliteStore
from tests.delivery.scripted import queue_context
from tests.messages.clock import clock_at

pytestmark = pytest.mark.anyio

STDOUT = {"name": "log", "type": "stdout", "events": ["*"]}
SLACK = {
    "name": "design",
    "type": "slack",
    "token": "xoxb-1",
    "channel": "C0DESIGN0",
    "events": ["*"],
}
NOON = datetime(2026, 3, 9, 12, 0, tzinfo=UTC).timestamp()
PEOPLE = {
    "Ada": SAMPLES["update-file"]["profileId"],
    "Grace": SAMPLES["set-file-shared"]["profileId"],
}
MADRID = ZoneInfo("Europe/Madrid")


@pytest.fixture(autouse=True)
def same_day() -> Iterator[None]:
    with clock_at(NOON):
        yield


class House:
    """A store with a fan-out whose queues do not run."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.metrics = Metrics()
        self.running: asyncio.Task[None] | None = None
        self.number = 0

    def start(self, *channels: dict[str, Any], **team: Any) -> None:
        values = {"secret": "a-secret-of-24-characters", "channels": channels, **team}
        self.config = Config.model_validate(
            {"teams": {"acme": values}, "penpot": {"url": "https://design.example.com"}}
        )
        facts = FactCache(self.store)
        self.planner = Planner(self.config, facts, self.store.activity, Templates(), self.metrics)
        self.fan_out = FanOut(
            EventPreparer(self.config, facts),
            self.planner,
            self.store,
            QueueManager({}, queue_context(self.store, self.metrics)),
            self.metrics,
            is_under_load=lambda: False,
        )
        self.running = asyncio.create_task(self.fan_out.run())

    async def stop(self) -> None:
        self.fan_out.stop()
        if self.running is not None:
            await self.running

    async def accept(self, kind: str, person: str, at: float, **props: Any) -> None:
        self.number += 1
        body = json.loads(json.dumps(SAMPLES[kind]))
        body["props"] |= props | {"number": self.number}
        body["profileId"] = PEOPLE[person]
        digest = b"%d" % self.number
        await self.store.accept(
            NewEvent(
                "acme", "application/json", json.dumps(body).encode(), digest, kind, received_at=at
            )
        )

    async def send(self, kind: str, person: str = "Ada", at: float = NOON, **props: Any) -> None:
        """An event by itself."""
        await self.accept(kind, person, at, **props)
        await self.settle()

    async def settle(self) -> None:
        self.fan_out.wake()
        async with asyncio.timeout(20):
            while await self.store.stored_events(1):  # noqa: ASYNC110
                await asyncio.sleep(0.002)

    async def deliveries(self) -> list[Delivery]:
        entries = await self.store.log(team=None, state=None, limit=1000)
        deliveries = [one for entry in entries for one in entry.deliveries]
        return sorted(deliveries, key=lambda one: one.id)

    async def titles(self) -> list[str]:
        return [Message.loads(one.message).title for one in await self.deliveries()]


@pytest.fixture
async def house(store: SqliteStore) -> AsyncIterator[House]:
    house = House(store)
    yield house
    await house.stop()


async def test_a_single_event_reads_as_it_would_without_lines(house: House) -> None:
    house.start(STDOUT, STDOUT | {"name": "each", "activity": "each"})
    for name in ("rename-file", "update-font", "duplicate-project"):
        await house.send(name)
    assert len(set(await house.titles())) == 3
    held = [one for one in await house.deliveries() if one.state == "held"]
    assert [one.queue for one in held] == ["acme/log"] * 3


async def test_a_line_is_held_until_its_day_ends_and_takes_the_latest_text(house: House) -> None:
    house.start(STDOUT | {"timezone": "Europe/Madrid"})
    await house.send("update-file")
    await house.send("update-file", "Grace", NOON + 60)
    await house.send("rename-file", "Ada", NOON + 7200, name="Start")
    (line,) = await house.deliveries()
    assert line.state == "held"
    assert (
        datetime.fromtimestamp(line.held_until, MADRID).isoformat() == "2026-03-10T00:00:00+01:00"
    )
    message = Message.loads(line.message)
    assert message.title == (
        "Someone worked on Start · 3 times, last 9 Mar, 15:00 · renamed from Landing page"
    )
    assert (message.event, message.activity, message.change) == ("activity", True, None)


async def test_each_day_subject_and_channel_has_a_line(house: House) -> None:
    house.start(STDOUT, STDOUT | {"name": "tokyo", "timezone": "Asia/Tokyo"})
    for at in (NOON, NOON + 2 * 3600, NOON + 4 * 3600):  # in Tokyo the third is on the next day
        await house.send("update-file", at=at)
    await house.send("rename-project", at=NOON)
    lines = [(one.queue, Message.loads(one.message).title) for one in await house.deliveries()]
    by_queue = {queue: [title for each, title in lines if each == queue] for queue, _ in lines}
    assert len(by_queue["acme/log"]) == 2
    assert "3 times" in by_queue["acme/log"][0]
    assert len(by_queue["acme/tokyo"]) == 3
    assert "2 times" in by_queue["acme/tokyo"][0]


async def test_a_channel_that_edits_gets_the_line_at_once(house: House) -> None:
    house.start(SLACK)
    await house.send("update-file")
    await house.send("update-file", at=NOON + 3600)
    first, second = await house.deliveries()
    assert (first.state, second.state) == ("waiting", "waiting")
    message, edit = Message.loads(first.message), Message.loads(second.message)
    assert message.change is None
    assert edit.change is not None
    assert edit.title.endswith("2 times, last at 13:00 UTC")
    assert message.line == edit.line
    assert message.thread == ""


async def test_without_edits_a_chat_gets_the_line_at_the_end_of_the_day(house: House) -> None:
    house.start(SLACK | {"edits": "messages"}, SLACK | {"name": "none", "edits": "none"})
    await house.send("update-file")
    assert [one.state for one in await house.deliveries()] == ["held", "held"]


async def test_events_that_are_fanned_out_together_form_one_delivery(house: House) -> None:
    house.start(SLACK, STDOUT)
    await house.stop()
    for number in range(5):
        await house.accept("update-file", "Ada", NOON + number)
    house.start(SLACK, STDOUT)
    await house.settle()
    assert len(await house.deliveries()) == 2
    assert {title.partition(" · ")[2][:7] for title in await house.titles()} == {"5 times"}
    page = await house.store.queries.events("acme", EventFilters())
    *counted, first = page.rows
    assert first.counted == {}
    assert {row.state for row in counted} == {"fanned-out"}
    assert [row.counted for row in counted] == [{"design": first.id, "log": first.id}] * 4
    assert {row.reason for row in page.rows} == {"part of a daily line: design, log"}


async def test_a_restart_goes_on_counting(house: House) -> None:
    house.start(STDOUT)
    await house.send("update-file")
    await house.stop()
    house.start(STDOUT)
    await house.send("update-file")
    (title,) = await house.titles()
    assert "2 times" in title


async def test_what_could_not_be_stored_is_counted_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, failures = house.store.save_fan_out, [True, False, True]

    async def flaky(batch: Any) -> Any:
        is_failure, is_written = bool(failures), bool(failures) and not failures[-1]
        if failures:
            failures.pop()
        if not is_failure or is_written:
            await save(batch)  # it is written, and only the answer is lost
        if is_failure:
            raise StoreUnavailable("down")
        return batch

    monkeypatch.setattr(house.store, "save_fan_out", flaky)
    monkeypatch.setattr("relay.delivery.fanout.STORE_RETRY_DELAY", 0.01)
    house.start(STDOUT)
    for number in range(4):
        await house.send("update-file", at=NOON + number)
    assert failures == []
    (title,) = await house.titles()
    assert "4 times" in title


async def test_filters_and_events_judge_before_an_event_is_counted(house: House) -> None:
    house.start(
        STDOUT | {"actors": ["Ada Lovelace"]}, STDOUT | {"name": "new", "events": ["!files"]}
    )
    await house.send("create-font-variant")  # names nobody
    await house.send("update-file")
    assert await house.deliveries() == []
    page = await house.store.queries.events("acme", EventFilters())
    assert page.rows[0].state == "ignored"
    assert page.rows[0].skipped["new"] == "!files"


async def test_activity_none_skips_it_and_direct_channels_get_none(house: House) -> None:
    direct = {"name": "direct", "type": "slack", "token": "xoxb-1", "direct": "mentioned"}
    house.start(STDOUT | {"activity": "none"}, direct | {"events": ["*"]})
    await house.send("update-file")
    page = await house.store.queries.events("acme", EventFilters())
    assert page.rows[0].skipped == {"log": "activity: none", "direct": "nobody is mentioned"}


async def test_by_default_only_daily_lines_have_edited_files(house: House) -> None:
    default = {key: value for key, value in STDOUT.items() if key != "events"}
    house.start(default, default | {"name": "each", "activity": "each"})
    await house.send("update-file")
    await house.send("rename-file")
    assert [one.queue for one in await house.deliveries()] == ["acme/log"]


@pytest.mark.parametrize(("keys", "released"), [
    ({"quiet": ["22:00-07:00"]}, "2026-03-10T07:00:00+00:00"),
    ({"quiet": ["06:00-07:00"]}, "2026-03-10T00:00:00+00:00"),
    ({"schedule": ["09:00"]}, "2026-03-10T09:00:00+00:00"),
    ({"schedule": ["fri 15:00"]}, "2026-03-13T15:00:00+00:00"),
])  # fmt: skip
async def test_the_later_of_day_and_hold_decides(
    house: House, keys: dict[str, list[str]], released: str
) -> None:
    house.start(STDOUT | keys)
    await house.send("update-file")
    await house.send("update-file")
    (line,) = await house.deliveries()
    assert datetime.fromtimestamp(line.held_until, UTC).isoformat() == released


async def test_a_line_of_quiet_hours_takes_the_latest_text_where_messages_are_edited(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = datetime(2026, 3, 9, 23, tzinfo=UTC).timestamp()
    monkeypatch.setattr(activity, "time", SimpleNamespace(time=lambda: night))
    house.start(SLACK | {"quiet": ["22:00-07:00"]})
    await house.send("update-file", at=night)
    await house.send("update-file", at=night + 60)
    (line,) = await house.deliveries()
    assert line.held_until == night + timedelta(hours=8).total_seconds()
    assert Message.loads(line.message).change is None
    assert "2 times" in Message.loads(line.message).title


async def test_an_event_after_the_end_of_its_day_is_sent_as_a_line(house: House) -> None:
    house.start(STDOUT)
    await house.send("update-file")
    await house.store.holds.release(time.time())
    await house.send("update-file")
    first, late = await house.deliveries()
    assert first.state == "waiting"
    assert (late.state, late.held_until) == ("held", first.held_until)
    assert "2 times" in Message.loads(late.message).title


async def test_channels_that_share_a_line_share_its_text(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = 0
    render = Templates.render

    def counting(self: Templates, *args: Any, **named: Any) -> Any:
        nonlocal rendered
        rendered += 1
        return render(self, *args, **named)

    monkeypatch.setattr(Templates, "render", counting)
    house.start(*(STDOUT | {"name": f"log{number}"} for number in range(16)))
    await house.send("update-file")
    await house.send("update-file")
    assert rendered == 2


async def test_the_words_of_lines(house: House) -> None:
    house.start(STDOUT)
    await house.send("create-comment-thread", "Ada")  # it names its author
    await house.send("create-comment", "Grace")
    await house.send("set-file-shared", "Grace")  # it names the library
    for name, person in (
        ("rename-project", "Ada"),
        ("update-file", "Ada"),
        ("link-file-to-library", "Grace"),
        ("duplicate-file", "Ada"),
        ("create-font-variant", "Ada"),
        ("create-font-variant", "Ada"),
        ("update-project-pin", "Grace"),
    ):
        await house.send(name, person)
    lines = [Message.loads(one.message) for one in await house.deliveries()]
    titles = [one.title for one in lines if one.event == "activity"]
    assert titles == [
        "Ada Lovelace and Grace Hopper worked on the project Website Redesign · 2 times, last "
        "9 Mar, 12:00 UTC · renamed from Website",
        "Ada Lovelace and Grace Hopper worked on Landing page in Website Redesign · 3 times, last "
        "9 Mar, 12:00 UTC · connected to Acme UI Kit · duplicated",
        "Ada Lovelace uploaded the font Inter · 2 styles, last 9 Mar, 12:00 UTC",
    ]
