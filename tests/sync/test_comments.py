"""Comments that no webhook sent are detected, sent once, and in order."""

import logging
from datetime import timedelta
from pathlib import Path

import pytest

from relay.config.settings import SyncSettings
from tests.penpot import rows
from tests.penpot.standin import Fault, StandIn
from tests.servers.loopback import Answer
from tests.sync.synced import DAY, HOUR, MINUTE, NEXT_POLL, synced

pytestmark = pytest.mark.anyio


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


async def test_of_a_file_that_a_webhook_named_the_team_is_asked_first(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with synced(penpot, tmp_path) as on:
        people = on.people("rtl")
        thread, begun = people.begin("said in another team")
        await on.receive(begun)
        people.resolve(thread)
        penpot.calls.clear()
        await on.pass_time(NEXT_POLL)
        asked = [call.method for call in penpot.calls if people.file in call.params.values()]
        assert asked == ["get-team"]
        assert len(await on.bodies()) == 1


async def test_a_project_that_a_webhook_named_is_not_listed_before_its_team_is_known(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with synced(penpot, tmp_path) as on:
        other = on.world.by_name("projects", "rnd1")
        begun = on.people("lib").begin("never there")[1]
        on.world.threads.pop(begun["props"]["id"])
        begun["props"]["projectId"] = other
        await on.receive(begun)
        penpot.calls.clear()
        await on.pass_time(MINUTE)
        asked = [call.method for call in penpot.calls if other in call.params.values()]
        assert asked == ["get-project"]


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
