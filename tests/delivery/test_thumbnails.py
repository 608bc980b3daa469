"""Thumbnails are media_ids and fetched in time, and never delay a message for long."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from cachetools import LRUCache, TTLCache

from relay.delivery import thumbnails as pictures
from relay.delivery.thumbnails import Thumbnails
from relay.messages.message import Picture
from relay.metrics import Metrics
from relay.penpot.api import MAX_ANSWER_AGE, PenpotClient
from relay.penpot.events import Event, Subject, Thread
from relay.penpot.events import File as EventFile
from relay.penpot.records import picture
from tests.penpot.paint import board
from tests.penpot.standin import TOKEN, Fault, StandIn
from tests.penpot.world import Asset

pytestmark = pytest.mark.anyio

OF_FILE, OF_BOARD = (f"a0000000-0000-4000-8000-00000000000{n}" for n in (1, 2))
FRAME = "a0000000-0000-4000-8000-000000000003"


class House:
    """The stand-in with thumbnails, and an event about its landing page."""

    def __init__(self, penpot: StandIn) -> None:
        self.penpot = penpot
        landing, page = (
            penpot.world.by_name("files", "landing"),
            penpot.world.by_name("pages", "p1"),
        )
        penpot.world.files[landing].thumbnail = OF_FILE
        penpot.world.files[landing].boards[f"{page}/{FRAME}"] = OF_BOARD
        penpot.world.assets = {OF_FILE: Asset(board(40, 30)), OF_BOARD: Asset(board(80, 60))}
        self.metrics = Metrics()
        self.api = PenpotClient(penpot.url, TOKEN)
        self.pictures = Thumbnails(self.api, self.metrics)
        self.event = Event(
            "create-comment",
            "comments",
            file=EventFile(landing),
            project=Subject(penpot.world.by_name("projects", "web")),
            page=Subject(page),
            thread=Thread("t", board=FRAME),
        )
        self.acme, self.rnd = (penpot.world.by_name("teams", name) for name in ("acme", "rnd"))


@pytest.fixture
async def house() -> AsyncIterator[House]:
    with StandIn() as penpot:
        house = House(penpot)
        yield house
        await house.api.close()


async def test_a_comment_shows_its_board_or_its_file(house: House) -> None:
    on_none = replace(house.event, thread=Thread("t"))
    elsewhere = replace(house.event, thread=Thread("t", board=OF_FILE))

    assert await house.pictures.of(house.event, 2, house.acme) == OF_BOARD
    assert await house.pictures.of(on_none, 2, house.acme) == OF_FILE
    assert await house.pictures.of(elsewhere, 2, house.acme) == OF_FILE
    assert await house.pictures.get(OF_BOARD) == Picture(*picture(board(80, 60)))
    assert await house.pictures.get(OF_FILE) == Picture(*picture(board(40, 30)))


async def test_a_cached_thumbnail_needs_no_call(house: House) -> None:
    media_ids = await asyncio.gather(
        *(house.pictures.of(house.event, 2, house.acme) for _ in range(20))
    )
    calls = len(house.penpot.calls)
    await house.pictures.of(house.event, 2, house.acme)

    assert set(media_ids) == {OF_BOARD}
    assert house.penpot.count("get-file-object-thumbnails") == house.penpot.count("get-team") == 1
    assert len(house.penpot.calls) == calls


@pytest.mark.parametrize("event", ["delete-file", "create-project", "update-font"])
async def test_an_event_without_a_thumbnail_needs_no_call(house: House, event: str) -> None:
    group = {"delete-file": "files", "create-project": "projects", "update-font": "fonts"}[event]

    assert (
        await house.pictures.of(replace(house.event, name=event, group=group), 2, house.acme) == ""
    )
    assert house.penpot.calls == []


@pytest.mark.parametrize("method", ["get-file-object-thumbnails", "get-project-files", "asset"])
async def test_a_slow_answer_times_out(house: House, method: str) -> None:
    house.penpot.faults[method] = Fault(hang=True)
    event = house.event if method != "get-project-files" else replace(
        house.event, thread=Thread("t")
    )  # fmt: skip
    started = time.monotonic()

    assert await house.pictures.of(event, 0.2, house.acme) == ""
    assert time.monotonic() - started < 3


async def test_after_a_failure_no_calls_are_made_for_a_while(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    house.penpot.faults["asset"] = Fault(status=500)

    assert await house.pictures.of(house.event, 2, house.acme) == ""
    house.penpot.faults.clear()
    assert await house.pictures.get(OF_FILE) is None
    assert caplog.text.count("without pictures for 60 s") == 1
    assert b'method="asset",outcome="busy"' in house.metrics.text()

    monkeypatch.setattr(house.pictures._breaker, "_clock", lambda: time.monotonic() + 60)
    assert await house.pictures.of(house.event, 2, house.acme) == OF_BOARD


async def test_an_invalid_picture_does_not_affect_others(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.penpot.world.assets[OF_BOARD] = Asset(b"<svg/>")

    assert await house.pictures.of(house.event, 2, house.acme) == ""
    assert await house.pictures.get(OF_BOARD) is None
    assert caplog.text.count("no picture in PNG") == 1
    assert await house.pictures.get(OF_FILE) == Picture(*picture(board(40, 30)))


async def test_thumbnails_of_another_team_are_not_fetched(house: House) -> None:
    web, other = (house.penpot.world.by_name("projects", name) for name in ("web", "rnd1"))
    on_none = replace(house.event, thread=Thread("t"))

    assert await house.pictures.of(house.event, 2, house.rnd) == ""
    assert await house.pictures.of(on_none, 2, house.rnd) == ""
    assert {call.method for call in house.penpot.calls} == {"get-team"}
    for event in (house.event, on_none):
        assert await house.pictures.of(replace(event, project=Subject(other)), 2, house.acme) == ""
    assert {call.method for call in house.penpot.calls} == {"get-team", "get-project"}
    assert await house.pictures.of(replace(on_none, project=Subject(web)), 2, house.acme) == OF_FILE


async def test_a_file_that_is_newer_than_the_cached_list_is_found(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = replace(house.event, thread=Thread("t"))
    other = house.penpot.world.by_name("files", "nl")
    file = house.penpot.world.files.pop(house.event.file.id)
    assert await house.pictures.of(replace(event, file=EventFile(other)), 2, house.acme) == ""

    house.penpot.world.files[file.id] = file
    monkeypatch.setattr(pictures, "_REFRESH_INTERVAL", 0.0)
    assert await house.pictures.of(event, 2, house.acme) == OF_FILE


async def test_expired_lists_are_dropped(house: House) -> None:
    now = 0.0
    answers = house.pictures._penpot._answers = TTLCache(9, MAX_ANSWER_AGE, lambda: now)
    await house.pictures.of(house.event, 2, house.acme)
    assert [method for method, _ in answers] == ["get-project", "get-file-object-thumbnails"]
    now = MAX_ANSWER_AGE
    await house.pictures.of(replace(house.event, thread=Thread("t")), 2, house.acme)
    assert [method for method, _ in answers] == ["get-project-files"]


async def test_cached_pictures_are_bounded(house: House) -> None:
    view = house.pictures._penpot
    assert isinstance(view._assets, LRUCache)
    assets = view._assets = LRUCache(len(board(80, 60)) + 1, view._assets.getsizeof)
    await house.pictures.get(OF_FILE)
    await house.pictures.get(OF_BOARD)

    assert [media for _, media in assets] == [OF_BOARD]
    assert assets.currsize == len(board(80, 60))


async def test_many_pictures_of_one_team_leave_calls_for_another(house: House) -> None:
    house.penpot.latency = 0.1
    files = [f"11111111-2222-4333-8444-{number:012}" for number in range(40)]
    events = [replace(house.event, file=EventFile(file)) for file in files]
    pending = [asyncio.create_task(house.pictures.of(e, 2, house.acme)) for e in events]
    await asyncio.sleep(0.02)
    assert await house.pictures.of(house.event, 2, house.rnd) == ""
    assert sum(task.done() for task in pending) < 20
    assert house.penpot.max_concurrent <= pictures.MAX_TEAM_FETCHES + 1
    await asyncio.gather(*pending)
