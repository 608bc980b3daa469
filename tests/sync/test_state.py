"""The state of a team across outages, restarts and changes of the config; the jobs' backoff."""

from pathlib import Path

import pytest

from relay.config.secret import Secret
from relay.config.settings import StoreSettings
from relay.store.records import FanOutResult
from relay.store.sqlite import SqliteStore
from relay.sync.state import (
    CLOCK_MARGIN_SECONDS,
    MAX_BACKOFF_DELAY,
    MIN_BACKOFF_DELAY,
    Backoff,
    SyncState,
    forget_sync_state,
    jittered,
    load_state,
    save_state,
)
from tests.penpot.standin import Fault, StandIn
from tests.sync.synced import DAY, HOUR, MINUTE, NEXT_POLL, synced

pytestmark = pytest.mark.anyio


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


DAY = 86400.0


async def test_the_state_is_stored_per_team_and_forgotten(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "relay.db")
    await store.open()
    state = SyncState("id", 7.0, has_read_threads=True, outage_end=3.0)
    assert await load_state(store, "acme") is None
    await save_state(store, "acme", state)
    await save_state(store, "other", SyncState("other", 1.0))
    assert await load_state(store, "acme") == state
    await forget_sync_state(store, ["acme"])
    assert await load_state(store, "acme") == state
    assert await load_state(store, "other") is None
    await store.close()


def test_no_time_is_after_a_clock_that_was_set_back() -> None:
    state = SyncState("id", 10.0, outage_end=9.0, outage_start=3.0, previous_outage_end=2.0)
    assert state.not_after(5.0) == SyncState(
        "id", 5.0, outage_end=5.0, outage_start=3.0, previous_outage_end=2.0
    )
    assert state.not_after(100.0) == state


def test_an_outage_continues_unless_the_gap_is_long() -> None:
    state = SyncState("id", 0.0).in_outage(1000.0, max_gap=60.0)
    assert (state.outage_start, state.outage_end) == (1000.0, 1000.0)
    state = state.in_outage(1060.0, max_gap=60.0)
    assert (state.outage_start, state.outage_end) == (1000.0, 1060.0)
    later = state.in_outage(1121.0, max_gap=60.0)
    assert (later.outage_start, later.outage_end) == (1121.0, 1121.0)
    assert later.previous_outage_end == 1060.0


def test_a_comment_is_new_after_the_last_scan_with_a_margin_for_clocks() -> None:
    assert SyncState("id", 5 * DAY).cutoff(6 * DAY, 30 * DAY) == 5 * DAY - CLOCK_MARGIN_SECONDS


def test_events_that_an_outage_longer_than_the_retention_lost_are_not_new() -> None:
    long = SyncState("id", 0.0, outage_start=DAY, outage_end=9 * DAY)
    assert long.cutoff(10 * DAY, 2 * DAY) == 8 * DAY + CLOCK_MARGIN_SECONDS
    short = SyncState("id", 0.0, outage_start=9 * DAY, outage_end=9.5 * DAY)
    assert short.cutoff(10 * DAY, 2 * DAY) == 0.0


def test_delays_double_up_to_the_maximum_with_little_jitter() -> None:
    backoff = Backoff()
    for number in range(20):
        delay = min(MIN_BACKOFF_DELAY * 2**number, MAX_BACKOFF_DELAY)
        backoff.failed(100.0)
        assert 0.9 * delay <= backoff.until - 100.0 <= 1.1 * delay
    backoff.reset()
    assert (backoff.failures, backoff.until) == (0, 0.0)


def test_the_delay_that_penpot_asked_for_is_kept() -> None:
    backoff = Backoff()
    backoff.failed(100.0, 7.0)
    assert backoff.until == 107.0


def test_jobs_of_many_teams_do_not_coincide() -> None:
    delays = {jittered(100.0) for _ in range(100)}
    assert len(delays) > 50
    assert 90.0 <= min(delays) <= max(delays) <= 110.0
