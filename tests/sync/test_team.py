"""The jobs of one team: a failing one does not delay the others."""

from pathlib import Path

import pytest

from relay.sync.comments import MAX_COMMENT_COUNT, MAX_RECEIVED_COUNT
from tests.penpot.standin import Fault, StandIn
from tests.sync.stage import stage
from tests.sync.synced import DAY, HOUR, MINUTE, NEXT_POLL, synced

pytestmark = pytest.mark.anyio


async def test_the_first_scan_of_an_old_team_sends_nothing(penpot: StandIn, tmp_path: Path) -> None:
    async with stage(penpot, tmp_path) as on:
        on.hook()
        await on.pass_time(HOUR)
        assert await on.bodies() == []
        threads = [t for t in on.world.threads.values() if on.world.team_of_file(t.file) == on.acme]
        assert len(await on.store.sync_threads.fingerprints("acme")) == len(threads) > 8
        assert penpot.count("get-comments") == 0


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


async def test_comments_are_polled_soon_where_some_may_have_been_missed(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with synced(penpot, tmp_path) as on:
        await on.pass_time(MINUTE)
        on.people().begin("missed")
        await on.pass_time(MINUTE)
        assert await on.events() == []
        on.sync.poll_soon("acme")
        await on.pass_time(MINUTE)
        assert [text for _, text in await on.events()] == ["missed"]


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
