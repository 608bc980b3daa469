"""Comments that no webhook sent are detected, sent once, and in order."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from relay.config.secret import Secret
from relay.config.settings import StoreSettings, SyncSettings
from relay.store.base import FanOutResult, StoreUnavailable
from relay.sync.comments import MAX_RECEIVED_COUNT
from relay.sync.state import forget_sync_state, load_state
from relay.sync.team import MAX_COMMENT_COUNT
from tests.penpot import rows
from tests.penpot.standin import Fault, StandIn
from tests.servers.loopback import Answer
from tests.sync.stage import Direct, Stage, stage

pytestmark = pytest.mark.anyio

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
NEXT_POLL = 17 * MINUTE


@pytest.fixture
def penpot() -> Iterator[StandIn]:
    with StandIn() as penpot:
        yield penpot


@asynccontextmanager
async def synced(penpot: StandIn, folder: Path, **more: Any) -> AsyncIterator[Stage]:
    """A stage after the first scan."""
    async with stage(penpot, folder, **more) as on:
        on.hook()
        await on.pass_time(MINUTE)
        assert await load_state(on.store, "acme") is not None
        on.clock.now += HOUR
        yield on


async def test_the_first_scan_of_an_old_team_sends_nothing(penpot: StandIn, tmp_path: Path) -> None:
    async with stage(penpot, tmp_path) as on:
        on.hook()
        await on.pass_time(HOUR)
        assert await on.bodies() == []
        threads = [t for t in on.world.threads.values() if on.world.team_of_file(t.file) == on.acme]
        assert len(await on.store.sync_threads.fingerprints("acme")) == len(threads) > 8
        assert penpot.count("get-comments") == 0


async def test_missed_comments_are_sent_in_order_with_their_times(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with synced(penpot, tmp_path) as on:
        people = on.people()
        thread, begun = people.begin("first")
        people.now += timedelta(minutes=1)
        one = people.reply(thread, "second")
        people.now += timedelta(minutes=1)
        old = next(t for t in on.world.threads.values() if t.file == thread.file)
        other = people.reply(old, "third")
        people.now += timedelta(minutes=1)
        people.reply(thread, "fourth")
        on.clock.now += HOUR
        await on.pass_time(NEXT_POLL)
        bodies = await on.bodies()
        assert [body["props"]["content"] for body in bodies] == [
            "first",
            "second",
            "third",
            "fourth",
        ]
        for body, sent in zip(bodies, (begun, one, other), strict=False):
            assert body.pop("missed") is True
            # As in Penpot's webhook, but for what changed since and what webhooks leave out.
            changed = ("modifiedAt", "participants", "ownerPhotoId")
            for props in (body["props"], sent["props"]):
                for name in changed:
                    props.pop(name, None)
            assert body == sent
        await on.pass_time(DAY + HOUR)
        assert len(await on.bodies()) == 4


async def test_a_comment_from_a_webhook_is_not_sent_again(penpot: StandIn, tmp_path: Path) -> None:
    async with synced(penpot, tmp_path) as on:
        people = on.people()
        thread, begun = people.begin("first")
        await on.receive(begun)
        await on.pass_time(MINUTE)
        await on.receive(people.reply(thread, "second"))
        people.reply(thread, "missed")
        await on.pass_time(NEXT_POLL)
        assert [text for _, text in await on.events()] == ["first", "second", "missed"]


async def test_a_webhook_that_comes_after_the_poll_is_not_sent_again(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with synced(penpot, tmp_path) as on:
        people = on.people()
        thread, begun = people.begin("first")
        reply = people.reply(thread, "second")
        await on.pass_time(NEXT_POLL)
        await on.receive(begun)
        await on.receive(reply)
        await on.pass_time(NEXT_POLL)
        assert [text for _, text in await on.events()] == ["first", "second"]


async def test_a_comment_that_a_poll_finds_soon_is_not_marked_as_missed(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with synced(penpot, tmp_path) as on:
        people = on.people()
        thread, begun = people.begin("first")
        await on.receive(begun)
        await on.pass_time(30)
        on.people().reply(thread, "second")
        await on.pass_time(30)
        *_, last = await on.bodies()
        assert last["props"]["content"] == "second"
        assert "missed" not in last


async def test_after_a_webhook_was_off_missed_comments_come_at_once(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with synced(penpot, tmp_path, sync=SyncSettings(comments_every="12h")) as on:
        await on.pass_time(MINUTE)
        (hook,) = on.world.webhooks.values()
        on.people().begin("missed")
        hook.is_active, hook.error_code = False, "connection-error"
        await on.pass_time(6 * MINUTE)
        assert hook.is_active
        assert [text for _, text in await on.events()] == ["missed"]


@pytest.mark.parametrize("away", [MINUTE, DAY, 60 * DAY])
async def test_downtime_of_any_length_loses_nothing(
    penpot: StandIn, tmp_path: Path, away: float
) -> None:
    async with synced(penpot, tmp_path) as on:
        thread, begun = on.people().begin("before")
        await on.receive(begun)
        await on.pass_time(MINUTE)
        for number in range(3):
            on.clock.now += away / 6
            on.people().reply(thread, f"reply {number}")
            on.clock.now += away / 6
            on.people().begin(f"thread {number}")
        on.start()
        await on.pass_time(MINUTE)
        expected = [f"{what} {number}" for number in range(3) for what in ("reply", "thread")]
        assert [text for _, text in await on.events()] == ["before", *expected]


async def test_a_day_without_penpot_loses_nothing(penpot: StandIn, tmp_path: Path) -> None:
    async with synced(penpot, tmp_path) as on:
        penpot.faults["*"] = Fault(status=503)
        thread, begun = on.people().begin("brought")
        await on.receive(begun)
        on.people().reply(thread, "missed")
        await on.pass_time(DAY)
        penpot.faults.clear()
        await on.pass_time(2 * NEXT_POLL)
        assert [text for _, text in await on.events()] == ["brought", "missed"]


async def test_a_team_that_was_not_visible_for_a_while_is_caught_up(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with synced(penpot, tmp_path) as on:
        role = on.world.teams[on.acme].members.pop(on.world.me)
        thread, begun = on.people().begin("brought")
        await on.receive(begun)
        on.people().reply(thread, "missed")
        await on.pass_time(2 * DAY)
        assert len(await on.bodies()) == 1  # and no thread is reported as deleted
        on.world.teams[on.acme].members[on.world.me] = role
        await on.pass_time(NEXT_POLL)
        assert [text for _, text in await on.events()] == ["brought", "missed"]


async def test_events_pruned_during_an_outage_are_not_sent_again(
    penpot: StandIn, tmp_path: Path
) -> None:
    """A webhook sent it, and then it got older than the retention."""
    short = StoreSettings(url=Secret(f"sqlite:///{tmp_path}/relay.db"), retention="1d")
    async with synced(penpot, tmp_path, store=short) as on:
        role = on.world.teams[on.acme].members.pop(on.world.me)
        _, begun = on.people().begin("brought")
        await on.receive(begun)
        await on.pass_time(3 * DAY)
        for stored in await on.store.stored_events(10):
            await on.store.save_fan_out([FanOutResult(stored.id, "acme", "ignored")])
        assert await on.store.prune(on.clock.now - DAY, 10) == 1
        on.people().begin("missed")
        on.world.teams[on.acme].members[on.world.me] = role
        await on.pass_time(2 * HOUR)
        assert [text for _, text in await on.events()] == ["missed"]


async def test_a_failed_call_after_long_downtime_loses_nothing(
    penpot: StandIn, tmp_path: Path
) -> None:
    short = StoreSettings(url=Secret(f"sqlite:///{tmp_path}/relay.db"), retention="1d")
    async with synced(penpot, tmp_path, store=short) as on:
        penpot.faults["get-unread-comment-threads"] = Fault(status=502, times=1)
        await on.pass_time(NEXT_POLL)
        for hours in (1, 30, 70):
            on.clock.now += hours * HOUR
            on.people().begin(f"after {hours}")
        on.start()
        penpot.faults["get-unread-comment-threads"] = Fault(status=502, times=1)
        await on.pass_time(NEXT_POLL)
        assert sorted(text for _, text in await on.events()) == ["after 1", "after 30", "after 70"]


async def test_a_file_that_a_scan_could_not_list_is_read_later(
    penpot: StandIn, tmp_path: Path
) -> None:
    """If somebody reads with the token's account, only scans show all threads."""
    async with synced(penpot, tmp_path) as on:
        on.world.notify = "none"
        on.people().begin("missed")
        on.clock.now += 26 * HOUR
        on.start()
        fix = on.fails(404, fileId=on.people().file)
        await on.pass_time(2 * HOUR)
        assert await on.bodies() == []
        fix()
        await on.pass_time(26 * HOUR)
        assert [text for _, text in await on.events()] == ["missed"]


async def test_a_thread_deleted_before_it_is_read_is_forgotten(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with synced(penpot, tmp_path) as on:
        thread, _ = on.people().begin("gone soon")
        on.fails(404, code="object-not-found", threadId=thread.id)
        await on.pass_time(NEXT_POLL)
        team = on.sync._teams["acme"]
        assert list(team._comments.unreadable) == [thread.id]
        on.people().delete(thread)
        await on.receive(on.people().begin("another")[1])
        await on.pass_time(MINUTE)
        assert team._comments.unreadable == {}


async def test_a_thousand_threads_are_caught_up_within_the_budget(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with synced(penpot, tmp_path) as on:
        people = on.people()
        for number in range(1000):
            people.now += timedelta(seconds=1)
            people.begin(f"thread {number:04}")
        on.clock.now += HOUR
        calls, begun = len(penpot.calls), on.clock.now
        on.start(Direct)
        while (
            len(await on.bodies(1)) == 0
            or on.number('relay_sync_events_total{event="create-comment-thread",team="acme"}')
            < 1000
        ):
            await on.pass_time(10)
            assert on.clock.now - begun < 10 * MINUTE
        assert penpot.count("get-comments") == 1000
        minutes = (on.clock.now - begun) / MINUTE
        assert len(penpot.calls) - calls <= 300 * minutes + 60
        entries = await on.store.log(team="acme", state=None, limit=2000)
        assert len(entries) == 1000


@pytest.mark.parametrize("after", range(0, 30, 4))
async def test_a_kill_in_the_middle_neither_loses_nor_duplicates(
    penpot: StandIn, tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with synced(penpot, tmp_path) as on:
        people = on.people()
        for number in range(25):
            people.now += timedelta(seconds=1)
            thread, _ = people.begin(f"thread {number:02}")
            people.reply(thread, f"reply {number:02}")
        calls = 0

        async def killed(call: Any = on.sync._penpot._call, *args: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > after:
                raise StoreUnavailable("killed")
            return await call(*args)

        real = on.sync._penpot._call
        monkeypatch.setattr(on.sync._penpot, "_call", lambda *args: killed(real, *args))
        on.clock.now += HOUR
        await on.pass_time(1)
        on.start()
        await on.pass_time(NEXT_POLL)
        texts = [text for _, text in await on.events()]
        assert sorted(texts) == sorted(
            f"{what} {number:02}" for number in range(25) for what in ("thread", "reply")
        )
        for number in range(25):
            assert texts.index(f"thread {number:02}") < texts.index(f"reply {number:02}")


async def test_a_file_moved_to_the_team_brings_no_old_comments(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with synced(penpot, tmp_path) as on:
        people = on.people("rtl")
        assert on.world.team_of_file(people.file) != on.acme
        people.begin("old talk of another team")
        on.clock.now += 3 * DAY
        await on.pass_time(2 * HOUR)
        on.world.files[people.file].project = on.world.by_name("projects", "web")
        thread, _ = on.people("rtl").begin("said here")
        await on.pass_time(NEXT_POLL)
        assert [text for _, text in await on.events()] == ["said here"]
        on.world.files[people.file].project = on.world.by_name("projects", "rnd1")
        await on.pass_time(2 * NEXT_POLL)
        assert thread.id in on.world.threads
        assert len(await on.bodies()) == 1  # nothing is reported as deleted


async def test_reading_with_the_tokens_account_hides_nothing(
    penpot: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "relay")
    async with synced(penpot, tmp_path) as on:
        thread, begun = on.people().begin("first")
        await on.receive(begun)
        await on.pass_time(2 * HOUR)
        thread.read = on.people().now + timedelta(seconds=1)
        await on.pass_time(NEXT_POLL)
        assert sum("use a separate account for Relay" in text for text in caplog.messages) == 1
        on.people().resolve(thread)
        await on.pass_time(NEXT_POLL)
        assert (await on.events())[1:] == [("resolve-comment-thread", "first")]
        other, _ = on.people("nl").begin("read before Relay came by")
        other.read = on.people().now + timedelta(seconds=1)
        await on.pass_time(2 * HOUR)
        assert (await on.events())[2:] == [("create-comment-thread", "read before Relay came by")]


async def test_an_account_without_comments_on_its_dashboard_still_finds_them(
    penpot: StandIn, tmp_path: Path
) -> None:
    penpot.world.notify = "none"
    async with synced(penpot, tmp_path) as on:
        on.people("nl").begin("first")
        await on.pass_time(2 * HOUR)
        assert [text for _, text in await on.events()] == ["first"]


async def test_scans_replace_a_list_that_is_too_long(penpot: StandIn, tmp_path: Path) -> None:
    huge = Answer(b"[" + b"0," * 400_000 + b"0]", content_type="application/json")
    penpot.faults["get-unread-comment-threads"] = Fault(answer=huge)
    async with synced(penpot, tmp_path) as on:
        on.people("nl").begin("first")
        await on.pass_time(2 * HOUR)
        assert [text for _, text in await on.events()] == ["first"]


async def test_a_failing_file_does_not_delay_others(penpot: StandIn, tmp_path: Path) -> None:
    """Nor does it delay the check of the team's webhook."""
    async with synced(penpot, tmp_path) as on:
        people = on.people()
        _, begun = people.begin("first")
        await on.receive(begun)
        penpot.faults["get-comment-threads"] = Fault(status=500)
        await on.pass_time(MINUTE)
        on.people("nl").begin("second")
        (hook,) = on.world.webhooks.values()
        hook.is_active, hook.error_code = False, "timeout"
        await on.pass_time(3 * NEXT_POLL)
        assert hook.is_active
        assert [text for _, text in await on.events()] == ["first", "second"]


async def test_a_failing_active_file_does_not_delay_others(penpot: StandIn, tmp_path: Path) -> None:
    async with synced(penpot, tmp_path) as on:
        await on.receive(on.people().begin("can't be listed")[1])
        await on.pass_time(MINUTE)
        on.fails(500, fileId=on.people().file)
        thread, begun = on.people("nl").begin("first")
        await on.receive(begun)
        await on.pass_time(MINUTE)
        on.people("nl").resolve(thread)
        await on.pass_time(30)
        assert [name for name, _ in await on.events()][2:] == ["resolve-comment-thread"]


async def test_an_unreadable_thread_does_not_keep_its_file_active(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with synced(penpot, tmp_path) as on:
        bad, _ = on.people().begin("can't be read")
        on.fails(500, threadId=bad.id)
        await on.receive(on.people().begin("first")[1])
        await on.pass_time(HOUR)
        calls_before = penpot.count("get-comment-threads")
        await on.pass_time(3 * HOUR)
        assert penpot.count("get-comment-threads") - calls_before < 60


async def test_an_unavailable_store_at_the_start_loses_nothing(
    penpot: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with synced(penpot, tmp_path) as on:
        on.people().begin("missed")
        on.start()
        note, times = on.store.get_value, 1

        async def away(key: str) -> Any:
            nonlocal times
            if key == "sync/acme" and times:
                times -= 1
                raise StoreUnavailable("away")
            return await note(key)

        monkeypatch.setattr(on.store, "get_value", away)
        await on.pass_time(NEXT_POLL)
        assert times == 0
        assert [text for _, text in await on.events()] == ["missed"]


@pytest.mark.parametrize("status", [404, 500])
async def test_a_failing_thread_does_not_delay_others(
    penpot: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """It is sent once it can be read, also after a scan."""
    async with synced(penpot, tmp_path) as on:
        bad, _ = on.people().begin("can't be read")
        fix = on.fails(status, code="object-not-found", threadId=bad.id)
        on.clock.now += MINUTE
        on.people().begin("second")
        await on.pass_time(NEXT_POLL)
        assert [text for _, text in await on.events()] == ["second"]
        await on.pass_time(DAY + 2 * HOUR)
        on.people().begin("third")
        await on.pass_time(NEXT_POLL)
        assert [text for _, text in await on.events()] == ["second", "third"]
        assert sum("skipping it until a retry" in text for text in caplog.messages) == 1
        fix()
        await on.pass_time(HOUR)
        assert [text for _, text in await on.events()] == ["second", "third", "can't be read"]


async def test_received_events_of_a_team_that_is_never_polled_are_bounded(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with stage(penpot, tmp_path) as on:
        team = on.sync._teams["acme"]
        people = on.people()
        thread, begun = people.begin("first")
        for _ in range(3 * MAX_COMMENT_COUNT):
            props = people.reply(thread, "x" * 700)["props"]
            team.notified("create-comment", props, on.clock.now)
        assert len(team._comments.received[thread.id].comments) == MAX_COMMENT_COUNT
        for number in range(2 * MAX_RECEIVED_COUNT):
            props = begun["props"] | {"id": f"f0000000-0000-4000-8000-{number:012}"}
            team.notified("create-comment-thread", props, on.clock.now)
        assert len(team._comments.received) == MAX_RECEIVED_COUNT
        assert thread.id not in team._comments.received


async def test_a_sync_that_was_off_takes_existing_threads_as_seen(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with synced(penpot, tmp_path) as on:
        old = [thread for thread in on.world.threads.values() if thread.file == on.people().file]
        await forget_sync_state(on.store)  # as at a start with sync off
        on.people().resolve(old[0], resolved=not old[0].is_resolved)
        on.people().edit(old[0], 0, "edited while it was off")
        on.people().delete(old[1])
        thread, _ = on.people().begin("while it was off")
        on.start()
        await on.pass_time(NEXT_POLL)
        assert await on.bodies() == []
        on.people().reply(thread, "since then")
        await on.pass_time(NEXT_POLL)
        assert [text for _, text in await on.events()] == ["since then"]


async def test_a_team_that_was_removed_from_the_config_starts_with_a_first_scan(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with synced(penpot, tmp_path) as on:
        with_it, acme = on.config, on.config.teams["acme"]
        on.config = with_it.model_copy(update={"teams": {"other": acme}})
        on.start()
        await on.pass_time(1)
        on.people().begin("nobody wanted to know")
        on.config = with_it
        on.start()
        await on.pass_time(NEXT_POLL)
        assert await on.bodies() == []
        on.people().begin("since then")
        await on.pass_time(NEXT_POLL)
        assert [text for _, text in await on.events()] == ["since then"]


async def test_a_penpot_without_authors_is_not_caught_up(
    penpot: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before 2.5 webhooks have no comment id, so that their comments can't be matched."""
    real = rows.comment
    monkeypatch.setattr(
        rows, "comment", lambda *args: real(*args) | {"ownerFullname": None, "ownerEmail": None}
    )
    async with synced(penpot, tmp_path) as on:
        thread, _ = on.people().begin("first")
        await on.pass_time(NEXT_POLL)
        assert await on.bodies() == []
        on.people().resolve(thread)
        await on.pass_time(NEXT_POLL)
        assert await on.events() == [("resolve-comment-thread", "first")]


async def test_a_clock_that_is_set_back_stops_nothing(penpot: StandIn, tmp_path: Path) -> None:
    async with synced(penpot, tmp_path) as on:
        await on.pass_time(MINUTE)
        on.clock.now -= 3 * DAY
        thread, _ = on.people().begin("missed")
        await on.pass_time(NEXT_POLL)
        on.people().resolve(thread)
        await on.pass_time(NEXT_POLL)
        assert await on.events() == [
            ("create-comment-thread", "missed"),
            ("resolve-comment-thread", "missed"),
        ]


async def test_a_backoff_ends_when_the_clock_is_set_back(penpot: StandIn, tmp_path: Path) -> None:
    async with synced(penpot, tmp_path) as on:
        on.clock.now += 3 * DAY
        penpot.faults["*"] = Fault(status=503)
        await on.pass_time(HOUR)
        penpot.faults.clear()
        on.clock.now -= 3 * DAY
        on.people().begin("missed")
        await on.pass_time(NEXT_POLL)
        assert [text for _, text in await on.events()] == ["missed"]
