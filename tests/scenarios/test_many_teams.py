"""Many teams share one budget of calls: no team delays what people of another wait for."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from relay.config.settings import Config, SyncSettings
from relay.penpot.api import PenpotClient
from relay.penpot.client import MIN_BURST_SIZE
from relay.penpot.text import deduplication_key
from relay.store.records import NewEvent
from relay.store.sqlite import SqliteStore
from relay.sync.webhooks import webhook_problems
from tests.penpot.people import People
from tests.penpot.standin import StandIn
from tests.sync.many import fill, many, numbered
from tests.sync.stage import Clock, Direct, Stage

pytestmark = pytest.mark.anyio

MINUTE, HOUR = 60.0, 3600.0


class Many(Stage):
    """A stage with many teams in Penpot; Relay syncs all or some."""

    def __init__(
        self, config: Config, penpot: StandIn, store: SqliteStore, synced: Sequence[str]
    ) -> None:
        self.files = fill(penpot, config)
        if synced:
            teams = {team: config.teams[team] for team in synced}
            config = config.model_copy(update={"teams": teams})
        super().__init__(config, penpot, store, Clock())

    def start(self, kind: Callable[..., PenpotClient] = Direct) -> None:
        super().start(kind)

    async def first_scans(self) -> None:
        """Until the first scans of all teams are done."""
        for team in self.config.teams:
            while await self.store.get_value(f"sync/{team}") is None:
                await self.pass_time(MINUTE, 20)

    def people_of(self, team: str) -> People:
        now = datetime.fromtimestamp(self.clock.now, UTC)
        return People(self.world, self.files[team], now)

    async def begins(self, team: str) -> Any:
        """Somebody comments in a team's file, and Penpot's webhook sends it; the thread."""
        thread, body = self.people_of(team).begin("at work")
        sent = json.dumps(body).encode()
        await self.store.accept(
            NewEvent(team, "application/json", sent, deduplication_key(body, sent), body["name"],
                     received_at=self.clock.now)
        )  # fmt: skip
        return thread

    async def resolve_delay(self, team: str, thread: Any) -> float:
        """Seconds from a resolve to its event."""
        self.people_of(team).resolve(thread)
        resolved = self.clock.now
        while not any(
            body["name"] == "resolve-comment-thread" and body["props"]["id"] == thread.id
            for body in await self.bodies()
        ):
            assert self.clock.now < resolved + HOUR
            await self.pass_time(1, 4)
        return self.clock.now - resolved


@asynccontextmanager
async def stage(config: Config, penpot: StandIn, folder: Path, *synced: str) -> AsyncIterator[Many]:
    store = SqliteStore(folder / "relay.db")
    await store.open()
    opened = Many(config, penpot, store, synced)
    try:
        yield opened
    finally:
        await opened.close()
        await store.close()


async def test_a_resolve_is_sent_in_time_while_many_other_teams_are_caught_up(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with stage(many(60, tmp_path), penpot, tmp_path) as on:
        await on.first_scans()
        for team in on.config.teams:
            for number in range(5):
                on.people_of(team).begin(f"missed {number}")
        on.clock.now += 26 * HOUR
        on.start()
        for team in ("team7", "team59"):
            await on.pass_time(5)
            thread = await on.begins(team)
            await on.pass_time(30)
            assert await on.resolve_delay(team, thread) < 30
        await on.pass_time(HOUR)
        names = [body["name"] for body in await on.bodies()]
        assert names.count("create-comment-thread") == 60 * 5 + 2
        assert names.count("resolve-comment-thread") == 2


async def test_catching_up_one_team_does_not_delay_others(penpot: StandIn, tmp_path: Path) -> None:
    config = many(20, tmp_path)
    config = config.model_copy(
        update={"sync": SyncSettings.model_validate({"webhooks_every": "1m"})}
    )
    async with stage(config, penpot, tmp_path) as on:
        await on.first_scans()
        for number in range(1500):
            on.people_of("team7").begin(f"missed {number}")
        on.clock.now += HOUR
        on.start()
        await on.pass_time(30)
        calls_before = penpot.count("get-webhooks")
        await on.pass_time(2 * MINUTE)
        assert 0 < len(await on.bodies()) < 1000
        assert penpot.count("get-webhooks") - calls_before > 20


async def test_a_search_that_takes_longer_than_the_directory_is_valid_ends(
    penpot: StandIn, tmp_path: Path
) -> None:
    config = many(40, tmp_path, known=False)
    config = config.model_copy(update={"sync": SyncSettings(calls_per_minute=1)})
    async with stage(config, penpot, tmp_path, "team3", "team4") as on:
        penpot.world.webhooks.clear()
        await on.pass_time(HOUR)
        assert set(await webhook_problems(on.store, on.config.teams)) == {"team3", "team4"}


async def test_a_search_among_many_teams_keeps_to_the_budget_and_delays_nobody(
    penpot: StandIn, tmp_path: Path
) -> None:
    config = many(400, tmp_path, known=False)
    async with stage(config, penpot, tmp_path, "team0", "team399") as on:
        del penpot.world.webhooks[numbered(399, 2)]
        await on.pass_time(10 * MINUTE)
        on.clock.now += 2 * HOUR
        on.start()  # the directory is read again
        penpot.calls.clear()
        thread = await on.begins("team0")
        asked: list[float] = []
        budget = on.sync._budget
        spend = budget.spend

        def counted() -> None:
            asked.append(on.clock.now)
            spend()

        budget.spend = counted  # type: ignore[method-assign]
        await on.pass_time(20)
        assert penpot.count("get-webhooks") < 150
        assert await on.resolve_delay("team0", thread) < 30
        await on.pass_time(3 * MINUTE)
        assert penpot.count("get-webhooks") >= 400
        in_a_minute = [sum(at <= one < at + MINUTE for one in asked) for at in asked]
        assert max(in_a_minute) <= 300 + 2 * MIN_BURST_SIZE
        ((team, (_, why)),) = (await webhook_problems(on.store, on.config.teams)).items()
        assert (team, "no team of the user" in why) == ("team399", True)


@pytest.mark.parametrize("status", [404, 500])
async def test_while_the_webhooks_of_a_team_can_not_be_listed_no_team_is_verified(
    penpot: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """That team may list any hook, too."""
    config = many(30, tmp_path, known=False)
    async with stage(config, penpot, tmp_path, "team15", "team29") as on:
        bad = numbered(15, 0)
        fix = on.fails(status, teamId=bad)
        await on.pass_time(MINUTE)
        assert await on.store.get_value("team/team29") is None
        assert await on.store.get_value("team/team15") is None
        assert await webhook_problems(on.store, on.config.teams) == {}
        assert sum("can't list the webhooks of team " in text for text in caplog.messages) == 1
        for team in on.config.teams:
            assert sum(f"team {team}: sync job failed" in text for text in caplog.messages) == 1
        fix()
        await on.pass_time(HOUR)
        for team, id_ in (("team15", bad), ("team29", numbered(29, 0))):
            note = await on.store.get_value(f"team/{team}")
            assert note is not None
            assert note.value == id_
