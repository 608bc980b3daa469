"""The task for all teams: refusals, kills, clocks that are set back."""

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from relay.config.secret import Secret
from relay.config.settings import TeamSettings
from relay.store.records import StoreUnavailable
from tests.penpot.standin import TOKEN, Fault, StandIn
from tests.penpot.world import Webhook
from tests.sync.stage import LOG, PUBLIC, SECRET, Direct, stage
from tests.sync.synced import DAY, HOUR, MINUTE, NEXT_POLL, synced

pytestmark = pytest.mark.anyio


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

        async def killed(call: Any = on.sync._context.penpot._call, *args: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > after:
                raise StoreUnavailable("killed")
            return await call(*args)

        real = on.sync._context.penpot._call
        monkeypatch.setattr(on.sync._context.penpot, "_call", lambda *args: killed(real, *args))
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


FIVE_MINUTES = 340.0


async def test_a_team_that_is_not_visible_does_not_delay_others(
    penpot: StandIn, tmp_path: Path
) -> None:
    ids = {"a": "acme", "b": "rnd", "c": "acme"}
    teams = {name: TeamSettings(secret=Secret(f"{SECRET}-{name}"), channels=(LOG,)) for name in ids}
    async with stage(penpot, tmp_path, teams=teams) as on:
        hooks = {}
        for name, short in ids.items():
            uri = f"{PUBLIC}{on.config.hook_path(name)}"
            id_ = f"b0000000-0000-4000-8000-00000000000{name}"
            team = on.world.by_name("teams", short)
            hooks[name] = Webhook(id_, team, uri, is_active=False, error_code="timeout")
            on.world.webhooks[id_] = hooks[name]
            on.world.teams[team].members[on.world.me] = "editor"
        await on.pass_time(60)
        assert all(hook.is_active for hook in hooks.values())
        del on.world.teams[on.world.by_name("teams", "rnd")].members[on.world.me]
        for hook in hooks.values():
            hook.is_active = False
        await on.pass_time(FIVE_MINUTES + 60)
        assert [hook.is_active for hook in hooks.values()] == [True, False, True]


async def test_an_unavailable_penpot_is_called_less_and_less(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with stage(penpot, tmp_path) as on:
        hook = on.hook(active=False, error="timeout")
        penpot.faults["*"] = Fault(status=503)
        await on.pass_time(3600)
        assert 6 <= len(penpot.calls) <= 14
        penpot.faults.clear()
        await on.pass_time(1000)
        assert hook.is_active


async def test_retry_after_is_respected(penpot: StandIn, tmp_path: Path) -> None:
    async with stage(penpot, tmp_path) as on:
        on.hook()
        penpot.faults["*"] = Fault(status=429, times=1)
        await on.pass_time(25)
        assert len(penpot.calls) == 1
        await on.pass_time(30)
        assert len(penpot.calls) > 1


async def test_a_refused_token_is_logged_once_and_tried_again(
    penpot: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage(penpot, tmp_path) as on:
        hook = on.hook(active=False, error="timeout")
        penpot.token = "another"
        await on.pass_time(3600)
        errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert len(errors) == 1
        assert len(penpot.calls) <= 14
        penpot.token = TOKEN
        await on.pass_time(1000)
        assert hook.is_active
