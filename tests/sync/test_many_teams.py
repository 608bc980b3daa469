"""Many teams share one budget of calls: no one's work holds up what people of another wait for."""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from relay.config import Config
from relay.config import SyncSettings as WatchSettings
from relay.penpot.identity import digest
from relay.store.base import NewEvent
from relay.store.sqlite import SqliteStore
from relay.sync.client import CountedPenpotClient
from relay.sync.hooks import troubles
from relay.sync.pace import BURST
from tests.penpot.people import People
from tests.penpot.standin import StandIn
from tests.sync.many import fill, many, numbered
from tests.sync.stage import Clock, Direct, Stage

pytestmark = pytest.mark.anyio

MINUTE, HOUR = 60.0, 3600.0


@pytest.fixture
def penpot() -> Iterator[StandIn]:
    with StandIn() as penpot:
        yield penpot


class Many(Stage):
    """A stage with many teams in Penpot, of which a Relay watches all or some."""

    def __init__(
        self, config: Config, penpot: StandIn, store: SqliteStore, watched: Sequence[str]
    ) -> None:
        self.files = fill(penpot, config)
        if watched:
            teams = {team: config.teams[team] for team in watched}
            config = config.model_copy(update={"teams": teams})
        super().__init__(config, penpot, store, Clock())

    def start(self, kind: Callable[..., CountedPenpotClient] = Direct) -> None:
        super().start(kind)

    async def first_looks(self) -> None:
        """Until all teams have been looked at."""
        for team in self.config.teams:
            while await self.store.note(f"watch/{team}") is None:
                await self.pass_time(MINUTE, 20)

    def people_of(self, team: str) -> People:
        now = datetime.fromtimestamp(self.clock.now, UTC)
        return People(self.world, self.files[team], now)

    async def begins(self, team: str) -> Any:
        """Somebody comments in a team's file, and Penpot's webhook brings it; the thread."""
        thread, body = self.people_of(team).begin("at work")
        sent = json.dumps(body).encode()
        await self.store.accept(
            NewEvent(team, "application/json", sent, digest(body, sent), body["name"],
                     received_at=self.clock.now)
        )  # fmt: skip
        return thread

    async def resolve_is_told_after(self, team: str, thread: Any) -> float:
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
async def stage(
    config: Config, penpot: StandIn, folder: Path, *watched: str
) -> AsyncIterator[Many]:
    store = SqliteStore(folder / "relay.db")
    await store.open()
    opened = Many(config, penpot, store, watched)
    try:
        yield opened
    finally:
        await opened.close()
        await store.close()


async def test_a_resolve_is_told_in_time_while_many_other_teams_are_caught_up(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with stage(many(60, tmp_path), penpot, tmp_path) as on:
        await on.first_looks()
        for team in on.config.teams:
            for number in range(5):
                on.people_of(team).begin(f"missed {number}")
        on.clock.now += 26 * HOUR
        on.start()
        for team in ("team7", "team59"):
            await on.pass_time(5)
            thread = await on.begins(team)
            await on.pass_time(30)
            assert await on.resolve_is_told_after(team, thread) < 30
        await on.pass_time(HOUR)
        told = [body["name"] for body in await on.bodies()]
        assert told.count("create-comment-thread") == 60 * 5 + 2
        assert told.count("resolve-comment-thread") == 2


async def test_what_one_team_missed_holds_up_no_other(penpot: StandIn, tmp_path: Path) -> None:
    config = many(20, tmp_path)
    config = config.model_copy(
        update={"watch": WatchSettings.model_validate({"hooks_every": "1m"})}
    )
    async with stage(config, penpot, tmp_path) as on:
        await on.first_looks()
        for number in range(1500):
            on.people_of("team7").begin(f"missed {number}")
        on.clock.now += HOUR
        on.start()
        await on.pass_time(30)
        looks = penpot.count("get-webhooks")
        await on.pass_time(2 * MINUTE)
        assert 0 < len(await on.bodies()) < 1000
        assert penpot.count("get-webhooks") - looks > 20


async def test_a_search_that_takes_longer_than_its_list_is_good_comes_to_an_end(
    penpot: StandIn, tmp_path: Path
) -> None:
    config = many(40, tmp_path, known=False)
    config = config.model_copy(update={"watch": WatchSettings(calls_per_minute=1)})
    async with stage(config, penpot, tmp_path, "team3", "team4") as on:
        penpot.world.webhooks.clear()
        await on.pass_time(HOUR)
        assert set(await troubles(on.store, on.config.teams)) == {"team3", "team4"}


async def test_a_search_among_many_teams_keeps_to_the_budget_and_holds_up_nobody(
    penpot: StandIn, tmp_path: Path
) -> None:
    config = many(400, tmp_path, known=False)
    async with stage(config, penpot, tmp_path, "team0", "team399") as on:
        del penpot.world.webhooks[numbered(399, 2)]
        await on.pass_time(10 * MINUTE)
        on.clock.now += 2 * HOUR
        on.start()  # the list is read anew
        penpot.calls.clear()
        thread = await on.begins("team0")
        asked: list[float] = []
        spend = on.client.spend

        def counted() -> None:
            asked.append(on.clock.now)
            spend()

        on.client.spend = counted
        await on.pass_time(20)
        assert penpot.count("get-webhooks") < 150
        assert await on.resolve_is_told_after("team0", thread) < 30
        await on.pass_time(3 * MINUTE)
        assert penpot.count("get-webhooks") >= 400
        in_a_minute = [sum(at <= one < at + MINUTE for one in asked) for at in asked]
        assert max(in_a_minute) <= 300 + 2 * BURST
        ((team, (_, why)),) = (await troubles(on.store, on.config.teams)).items()
        assert (team, "no team of the user" in why) == ("team399", True)


@pytest.mark.parametrize("status", [404, 500])
async def test_a_team_whose_hooks_can_not_be_listed_keeps_no_other_from_being_found(
    penpot: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """That one of the others has no hook is not said, as it may be there."""
    config = many(30, tmp_path, known=False)
    async with stage(config, penpot, tmp_path, "team15", "team29") as on:
        bad = numbered(15, 0)
        mend = on.fails(status, teamId=bad)
        await on.pass_time(MINUTE)
        assert await on.store.note("team/team29") is not None
        assert await on.store.note("team/team15") is None
        assert await troubles(on.store, on.config.teams) == {}
        assert sum("can't be listed" in text for text in caplog.messages) == 1
        assert sum("team15 can't be watched" in text for text in caplog.messages) == 1
        mend()
        await on.pass_time(HOUR)
        note = await on.store.note("team/team15")
        assert note is not None
        assert note.value == bad
