"""Each hook's team in Penpot is the config's, or the only one that lists the hook."""

import logging
from pathlib import Path
from typing import Any

import pytest

from relay.config.secret import Secret
from relay.config.settings import ServerSettings, TeamSettings
from relay.penpot.client import PenpotUnexpected
from relay.sync.directory import REVIEW_KEY, TeamDirectory
from relay.sync.state import load_state
from relay.sync.webhooks import webhook_problems
from tests.penpot.standin import StandIn
from tests.penpot.world import Webhook
from tests.sync.stage import LOG, SECRET, Stage, stage

pytestmark = pytest.mark.anyio

FIVE_MINUTES = 340.0
OTHER = "b0000000-0000-4000-8000-000000000002"


def list_in_other_team(on: Stage, hook: Webhook) -> str:
    """Another Penpot team lists the webhook as well; its id."""
    rnd = on.world.by_name("teams", "rnd")
    on.world.webhooks[OTHER] = Webhook(OTHER, rnd, hook.uri)
    return rnd


async def search(on: Stage, directory: TeamDirectory | None = None) -> str:
    while (id_ := await (directory or on.directory).search("acme", on.client)) is None:
        pass
    return id_


def restart(on: Stage, **team: Any) -> None:
    """A start with other settings of the team."""
    settings = TeamSettings(secret=Secret(SECRET), channels=(LOG,), **team)
    on.config = on.config.model_copy(update={"teams": {"acme": settings}})
    on.start()


async def test_the_only_team_that_lists_the_hook_is_verified_and_stored(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with stage(penpot, tmp_path) as on:
        on.hook()
        assert await search(on) == on.acme
        assert {record.id for record in on.directory.listed_in("acme")} == {on.acme}
        on.start()
        penpot.calls.clear()
        assert await on.directory.verified("acme") == on.acme
        assert await search(on) == on.acme
        assert penpot.calls == []


async def test_the_lists_of_all_teams_are_read_before_one_is_verified(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with stage(penpot, tmp_path) as on:
        on.hook()
        found = []
        while (id_ := await on.directory.search("acme", on.client)) is None:
            found.append(await on.directory.verified("acme"))
        mine = sum(on.world.me in team.members for team in on.world.teams.values())
        assert (id_, set(found)) == (on.acme, {""})
        assert penpot.count("get-webhooks") == mine == 2


async def test_a_hook_that_two_teams_list_belongs_to_none_until_the_config_decides(
    penpot: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage(penpot, tmp_path) as on:
        rnd = list_in_other_team(on, on.hook(active=False, error="timeout"))
        await on.pass_time(3600)
        assert await on.directory.verified("acme") == ""
        assert await load_state(on.store, "acme") is None
        assert {call.method for call in penpot.calls} == {"get-teams", "get-webhooks"}
        ((_, why),) = (await webhook_problems(on.store, ["acme"])).values()
        assert why.startswith("its webhook in Penpot is ambiguous: more than one Penpot team")

        (message,) = await on.messages()
        assert message.title == "More than one Penpot team has this team's webhook"
        assert "Relay reads nothing from Penpot" in message.content.body
        assert on.world.teams[rnd].name not in message.dumps()
        (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert on.acme in error.getMessage()
        assert rnd in error.getMessage()
        on.start()
        await on.pass_time(3600)
        assert len(await on.messages()) == 1  # also after a restart

        restart(on, team_id=on.acme)
        await on.pass_time(60)
        state = await load_state(on.store, "acme")
        assert state is not None
        assert state.team_id == on.acme
        polled = [c.params for c in penpot.calls if c.method == "get-unread-comment-threads"]
        assert polled
        assert all(params == {"teamId": on.acme} for params in polled)


async def test_a_team_that_lists_the_hook_later_changes_nothing_but_is_reported(
    penpot: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage(penpot, tmp_path) as on:
        hook = on.hook()
        assert await search(on) == on.acme
        rnd = list_in_other_team(on, hook)
        on.clock.now += 7200
        while not await on.directory.read(on.client):
            pass
        assert await on.directory.verified("acme") == on.acme
        (message,) = await on.messages()
        assert "Relay reads only the team that it found first" in message.content.body
        assert rnd in caplog.text
        del on.world.webhooks[hook.id]  # and only the other one lists it
        on.start()
        assert await search(on) == on.acme


async def test_the_config_replaces_what_is_stored(penpot: StandIn, tmp_path: Path) -> None:
    async with stage(penpot, tmp_path) as on:
        on.hook()
        assert await search(on) == on.acme
        rnd = on.world.by_name("teams", "rnd")
        restart(on, team_id=rnd.upper())
        assert await on.directory.verified("acme") == rnd
        restart(on)
        assert await on.directory.verified("acme") == rnd


async def test_an_event_changes_no_verified_team(penpot: StandIn, tmp_path: Path) -> None:
    async with stage(penpot, tmp_path) as on:
        rnd = on.world.by_name("teams", "rnd")
        await on.receive({"name": "create-project", "props": {"name": "x", "teamId": rnd}})
        await on.pass_time(60)
        assert await on.directory.verified("acme") == ""
        on.hook()
        await on.pass_time(FIVE_MINUTES)
        assert await on.directory.verified("acme") == on.acme


async def test_a_list_that_can_not_be_read_prevents_that_a_team_is_the_only_one(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with stage(penpot, tmp_path) as on:
        on.hook()
        fix = on.fails(404, teamId=on.world.by_name("teams", "rnd"))
        with pytest.raises(PenpotUnexpected, match="can't list the webhooks of all teams"):
            await search(on)
        assert await on.directory.verified("acme") == ""
        fix()
        on.clock.now += 3600
        assert await search(on) == on.acme


async def test_without_a_public_url_the_path_decides(penpot: StandIn, tmp_path: Path) -> None:
    async with stage(penpot, tmp_path, server=ServerSettings()) as on:
        on.hook().uri = f"http://relay:8080{on.config.hook_path('acme')}"
        assert await search(on) == on.acme


async def test_a_hook_of_another_relay_or_with_another_secret_is_not_listed(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with stage(penpot, tmp_path) as on:
        hook = on.hook()
        path = on.config.hook_path("acme")
        for uri in (f"https://other.example{path}", f"{hook.uri}x", "https://[", "/acme/"):
            hook.uri = uri
            on.start()
            assert await search(on) == ""
            assert on.directory.listed_in("acme") == []


async def test_verified_teams_are_reviewed_once_a_day(
    penpot: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(penpot, tmp_path) as on:
        on.hook()
        assert await on.directory.is_read_due("acme")
        assert await search(on) == on.acme
        read = await on.store.get_value(REVIEW_KEY)
        assert read is not None
        for seconds, is_due in ((0, False), (23 * 3600, False), (25 * 3600, True)):
            on.clock.now = read.at + seconds
            on.start()
            assert await on.directory.is_read_due("acme") is is_due
            assert await on.directory.is_read_due("acme") is is_due
        restart(on, team_id=on.acme)
        assert not await on.directory.is_read_due("acme")


async def test_a_team_that_was_deleted_from_the_config_is_not_verified(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with stage(penpot, tmp_path) as on:
        assert await on.directory.verified("gone") == ""


async def test_an_unknown_team_is_searched_again_after_a_while(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with stage(penpot, tmp_path) as on:
        assert await search(on) == ""
        assert not await on.directory.is_read_due("acme")
        on.hook()
        assert await search(on) == ""
        on.clock.now += FIVE_MINUTES
        assert await on.directory.is_read_due("acme")
        assert await search(on) == on.acme
