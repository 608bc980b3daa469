"""Resolved, reopened, edited, deleted: changes that Penpot has no webhook for are sent."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from relay.config.settings import SyncSettings
from relay.penpot.client import PenpotBusy
from relay.penpot.events import normalize
from tests.penpot.standin import Fault, StandIn
from tests.sync.stage import Direct, Stage, stage
from tests.sync.synced import HOUR, MINUTE, NEXT_POLL, synced

pytestmark = pytest.mark.anyio


async def news(on: Stage, seconds: float) -> list[tuple[str, str]]:
    """The new events within that time."""
    before = len(await on.bodies())
    await on.pass_time(seconds)
    return (await on.events())[before:]


async def test_a_resolve_is_sent_within_half_a_minute_in_an_active_file(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with synced(penpot, tmp_path) as on:
        thread, begun = on.people().begin("first")
        await on.receive(begun)
        await on.pass_time(10 * MINUTE)
        for _ in range(2):
            on.people().resolve(thread)
            assert await news(on, 28) == [("resolve-comment-thread", "first")]
            on.people().resolve(thread, resolved=False)
            assert await news(on, 28) == [("reopen-comment-thread", "first")]
        assert await news(on, 2 * HOUR) == []


async def test_a_resolve_is_sent_within_half_a_minute_while_the_file_is_edited(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with synced(penpot, tmp_path) as on:
        people = on.people()
        thread = next(t for t in on.world.threads.values() if t.file == people.file)
        name = on.world.files[people.file].name
        for _ in range(3):
            body = {"name": "update-file", "props": {"id": people.file, "name": name},
                    "createdAt": str(on.clock.now)}  # fmt: skip
            await on.receive(body)
            await on.pass_time(5 * MINUTE)
        on.people().resolve(thread)
        assert [event for event, _ in await news(on, 30)] == ["resolve-comment-thread"]


async def test_a_resolve_is_sent_in_time_during_a_scan(penpot: StandIn, tmp_path: Path) -> None:
    slow = SyncSettings(calls_per_minute=60)
    async with synced(penpot, tmp_path, sync=slow) as on:
        busy = on.world.files[on.people().file]
        for number in range(300):
            file = replace(busy, id=f"f0000000-0000-4000-8000-{number:012}", name=f"{number}")
            on.world.files[file.id] = file
        on.clock.now += 26 * HOUR
        on.start(Direct)
        thread, begun = on.people().begin("first")
        await on.receive(begun)
        await on.pass_time(2 * MINUTE)
        asked = penpot.count("get-comment-threads")
        assert asked > 60
        on.people().resolve(thread)
        assert await news(on, 30) == [("resolve-comment-thread", "first")]
        await on.pass_time(MINUTE)
        assert penpot.count("get-comment-threads") > asked + 60


async def test_a_resolve_in_a_quiet_file_is_sent_with_the_next_poll(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with synced(penpot, tmp_path) as on:
        thread = next(iter(on.world.threads.values()))
        on.people().resolve(thread)
        ((event, text),) = await news(on, NEXT_POLL)
        assert (event, text) == ("resolve-comment-thread", thread.comments[0].content)


async def test_a_missed_and_resolved_thread_is_sent_once_as_resolved(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with synced(penpot, tmp_path) as on:
        thread, _ = on.people().begin("first")
        on.people().resolve(thread)
        assert await news(on, NEXT_POLL) == [("create-comment-thread", "first")]
        (body,) = await on.bodies()
        assert normalize(body).thread.resolved is True


async def test_edits_contain_the_previous_text(penpot: StandIn, tmp_path: Path) -> None:
    async with synced(penpot, tmp_path) as on:
        thread, begun = on.people().begin("first")
        await on.receive(begun)
        await on.receive(on.people().reply(thread, "second"))
        await on.pass_time(30)
        people = on.people()
        people.edit(thread, 0, "first, edited")
        people.now += timedelta(seconds=1)
        people.edit(thread, 1, "second, edited")
        found = await news(on, 30)
        assert found == [("update-comment", "first, edited"), ("update-comment", "second, edited")]
        one, other = (await on.bodies())[-2:]
        assert (one["props"]["previousContent"], one["props"]["isFirst"]) == ("first", True)
        assert (other["props"]["previousContent"], other["props"]["isFirst"]) == ("second", False)
        assert one["props"]["id"] == thread.comments[0].id
        assert one["props"]["threadId"] == thread.id
        assert "profileId" not in one
        event = normalize(other)
        assert (event.thread.number, event.page.name) == (thread.seqn, "Page 1")
        assert (event.file.name, event.team.id) == ("Landing page", on.acme)
        assert event.comment.before == "second"
        assert await news(on, HOUR) == []


async def test_an_edit_right_after_the_comment_is_sent(penpot: StandIn, tmp_path: Path) -> None:
    """Before the first poll, only the webhook's data is known."""
    async with synced(penpot, tmp_path) as on:
        thread, begun = on.people().begin("frist")
        await on.receive(begun)
        on.clock.now += 5
        on.people().edit(thread, 0, "first")
        on.people().resolve(thread)
        found = await news(on, 30)
        assert sorted(found) == [("resolve-comment-thread", "first"), ("update-comment", "first")]
        assert (await on.bodies())[1]["props"]["previousContent"] == "frist"


async def test_a_comment_deleted_at_once_is_sent(penpot: StandIn, tmp_path: Path) -> None:
    async with synced(penpot, tmp_path) as on:
        people = on.people()
        thread, begun = people.begin("first")
        other, second = people.begin("second")
        await on.receive(begun)
        await on.receive(second)
        await on.receive(people.reply(thread, "oops"))
        people.delete(thread, 1)
        people.delete(other)
        found = await news(on, 30)
        assert sorted(found) == [("delete-comment", "oops"), ("delete-comment-thread", "second")]
        on.start()
        assert await news(on, HOUR) == []


async def test_deleted_comments_and_threads_are_sent_once(penpot: StandIn, tmp_path: Path) -> None:
    async with synced(penpot, tmp_path) as on:
        thread, begun = on.people().begin("first")
        await on.receive(begun)
        await on.receive(on.people().reply(thread, "second"))
        await on.pass_time(30)
        on.people().delete(thread, 1)
        assert await news(on, 30) == [("delete-comment", "second")]
        body = (await on.bodies())[-1]
        assert body["props"]["isFirst"] is False
        on.people().delete(thread)
        assert await news(on, 30) == [("delete-comment-thread", "first")]
        event = normalize((await on.bodies())[-1])
        assert (event.thread.id, event.thread.number) == (thread.id, thread.seqn)
        assert event.file.name == "Landing page"
        on.start()
        assert await news(on, HOUR) == []


async def test_a_thread_without_its_first_comment_has_no_text_of_another(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with synced(penpot, tmp_path) as on:
        thread, begun = on.people().begin("first")
        await on.receive(begun)
        await on.receive(on.people().reply(thread, "second"))
        await on.pass_time(30)
        on.people().delete(thread, 0)
        assert await news(on, 30) == [("delete-comment", "first")]
        on.people().resolve(thread)
        assert await news(on, 30) == [("resolve-comment-thread", "")]
        event = normalize((await on.bodies())[-1])
        assert (event.thread.id, event.comment.is_first) == (thread.id, False)


async def test_a_very_long_comment_is_not_taken_for_edited(penpot: StandIn, tmp_path: Path) -> None:
    async with synced(penpot, tmp_path) as on:
        thread, begun = on.people().begin("x" * 20_000)
        await on.receive(begun)
        await on.pass_time(30)
        await on.receive(on.people().reply(thread, "second"))
        await on.pass_time(HOUR)
        names = [name for name, _ in await on.events()]
        assert names == ["create-comment-thread", "create-comment"]


async def test_a_thread_deleted_while_relay_was_down_is_sent(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with synced(penpot, tmp_path) as on:
        thread, begun = on.people().begin("first")
        await on.receive(begun)
        await on.pass_time(30)
        on.clock.now += 48 * HOUR
        on.people().delete(thread)
        on.start()
        assert await news(on, MINUTE) == [("delete-comment-thread", "first")]


async def test_a_comment_that_replaces_a_deleted_one_is_detected(
    penpot: StandIn, tmp_path: Path
) -> None:
    """The number of comments is the same."""
    async with synced(penpot, tmp_path) as on:
        thread, begun = on.people().begin("first")
        await on.receive(begun)
        await on.receive(on.people().reply(thread, "second"))
        await on.pass_time(HOUR)
        on.people().delete(thread, 1)
        on.people().reply(thread, "third")
        found = await news(on, NEXT_POLL)
        assert found == [("create-comment", "third"), ("delete-comment", "second")]


async def test_deleting_and_restoring_a_file_sends_nothing(penpot: StandIn, tmp_path: Path) -> None:
    async with synced(penpot, tmp_path) as on:
        people = on.people("nl")
        thread, begun = people.begin("first")
        await on.receive(begun)
        await on.pass_time(30)
        on.world.files[people.file].is_deleted = True
        assert await news(on, 26 * HOUR) == []
        assert (await on.store.sync_threads.fingerprints("acme", people.file))[0].gone_at
        on.world.files[people.file].is_deleted = False
        assert await news(on, 26 * HOUR) == []
        on.people("nl").reply(thread, "second")
        assert await news(on, NEXT_POLL) == [("create-comment", "second")]


async def test_deleting_the_last_thread_of_an_existing_file_is_sent(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with synced(penpot, tmp_path) as on:
        thread, begun = on.people("nl").begin("first")
        await on.receive(begun)
        await on.pass_time(30)
        on.people("nl").delete(thread)
        assert await news(on, 30) == [("delete-comment-thread", "first")]


async def test_an_edit_of_an_old_first_comment_is_sent_and_of_an_old_reply_is_not(
    penpot: StandIn, tmp_path: Path
) -> None:
    """Of threads older than the first scan, only the first comment is known."""
    async with stage(penpot, tmp_path) as on:
        thread, _ = on.people().begin("first")
        on.people().reply(thread, "second")
        on.hook()
        on.clock.now += HOUR
        await on.pass_time(MINUTE)
        on.people().edit(thread, 1, "second, edited")
        assert await news(on, NEXT_POLL) == []
        on.people().edit(thread, 1, "second, edited again")
        assert await news(on, NEXT_POLL) == [("update-comment", "second, edited again")]
        other, _ = on.people().begin("seen")
        assert await news(on, NEXT_POLL) == [("create-comment-thread", "seen")]
    async with stage(penpot, tmp_path / "other") as on:
        on.hook()
        await on.pass_time(MINUTE)
        on.people().edit(other, 0, "edited")
        assert await news(on, NEXT_POLL) == [("update-comment", "edited")]


async def test_a_time_far_ahead_is_cut(penpot: StandIn, tmp_path: Path) -> None:
    async with synced(penpot, tmp_path) as on:
        thread, begun = on.people().begin("first")
        await on.receive(begun)
        await on.pass_time(30)
        people = on.people()
        people.now += timedelta(days=3650)
        people.edit(thread, 0, "edited")
        assert await news(on, NEXT_POLL) == [("update-comment", "edited")]
        created_at = datetime.fromisoformat((await on.bodies())[-1]["createdAt"])
        assert created_at.timestamp() <= on.clock.now + 5 * MINUTE
        on.people().resolve(thread)
        assert await news(on, NEXT_POLL) == [("resolve-comment-thread", "edited")]


async def test_a_deletion_waits_until_the_file_is_known_to_exist(
    penpot: StandIn, tmp_path: Path
) -> None:
    """The comment is only known from its webhook; no list has shown its thread."""
    async with synced(penpot, tmp_path) as on:
        thread, begun = on.people("nl").begin("first")
        await on.receive(begun)
        on.people("nl").delete(thread)
        comments = on.sync._teams["acme"]._comments
        project = {"projectId": on.world.files[thread.file].project}
        comments.notified("create-comment-thread", begun["props"] | project)
        penpot.faults["get-project-files"] = Fault(status=500)
        with pytest.raises(PenpotBusy):
            await comments.poll_file(thread.file, on.acme)
        assert thread.id in comments.received


async def test_moving_a_thread_sends_nothing(penpot: StandIn, tmp_path: Path) -> None:
    async with synced(penpot, tmp_path) as on:
        thread, begun = on.people().begin("first")
        await on.receive(begun)
        await on.pass_time(30)
        thread.position, thread.modified = {"x": 1.0, "y": 2.0}, on.people().now
        assert await news(on, HOUR) == []
