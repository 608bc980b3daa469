"""Each hook's team in Penpot is the config's, or the only one that lists the hook."""

import logging
from pathlib import Path
from typing import Any

import pytest

from relay.config.secret import Secret
from relay.config.settings import ServerSettings, TeamSettings
from relay.delivery.alerts import stop_key
from relay.delivery.directory import REVIEW_KEY, TeamDirectory
from relay.delivery.fact_cache import FactCache
from relay.penpot.client import PenpotBusy, PenpotUnexpected
from relay.penpot.events import Event
from relay.penpot.facts import Fact
from relay.store.records import FanOutResult
from relay.sync.state import load_state
from relay.sync.webhooks import webhook_problems
from tests.penpot.standin import StandIn
from tests.penpot.world import Webhook
from tests.sync.stage import LOG, PUBLIC, SECRET, Direct, Stage, stage

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
        assert message.title == "More than one Penpot team lists this team's webhook"
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


@pytest.mark.parametrize("server", [ServerSettings(public_url=PUBLIC), ServerSettings()])
@pytest.mark.parametrize("base", [PUBLIC, "http://relay:8080", "https://proxy.example/relay"])
async def test_a_webhook_is_found_at_any_host(
    penpot: StandIn, tmp_path: Path, base: str, server: ServerSettings
) -> None:
    async with stage(penpot, tmp_path, server=server) as on:
        on.hook().uri = f"{base}{on.config.hook_path('acme')}"
        assert await search(on) == on.acme


@pytest.mark.parametrize("base", [PUBLIC, "http://relay:8080"])
@pytest.mark.parametrize("other", [PUBLIC, "http://relay:8080", "https://relay.example.com:444"])
async def test_no_host_or_spelling_hides_that_two_teams_list_the_hook(
    penpot: StandIn, tmp_path: Path, base: str, other: str
) -> None:
    """Otherwise whoever knows the address makes another team the only one that lists it."""
    async with stage(penpot, tmp_path) as on:
        path = on.config.hook_path("acme")
        on.hook().uri = f"{base}{path}"
        list_in_other_team(on, Webhook("", "", ""))
        for spelled in (path, path.replace("secret", "%73ecret"), f"{path}?x=1#y"):
            on.world.webhooks[OTHER].uri = f"{other}{spelled}"
            on.start()
            assert await search(on) == ""
            assert len(on.directory.listed_in("acme")) == 2


async def test_two_webhooks_of_one_team_are_no_conflict(penpot: StandIn, tmp_path: Path) -> None:
    async with stage(penpot, tmp_path) as on:
        new = Secret("the-current-secret-of-acme")
        team = TeamSettings(secret=(new, Secret(SECRET)), channels=(LOG,))
        hook = on.hook()
        on.config = on.config.model_copy(update={"teams": {"acme": team}})
        on.world.webhooks[OTHER] = Webhook(
            OTHER, on.acme, PUBLIC + on.config.hook_path("acme"), profile=on.world.me
        )
        on.start()
        assert await search(on) == on.acme
        on.world.webhooks[OTHER].team = on.world.by_name("teams", "rnd")
        await on.store.put_value("team/acme", "")
        on.start()
        assert await search(on) == ""
        assert hook.uri != on.world.webhooks[OTHER].uri


async def test_an_address_with_another_path_is_not_listed(penpot: StandIn, tmp_path: Path) -> None:
    async with stage(penpot, tmp_path) as on:
        hook = on.hook()
        for uri in (f"{hook.uri}x", f"{hook.uri}/", "https://[", "/acme/", PUBLIC, ""):
            hook.uri = uri
            on.start()
            assert await search(on) == ""
            assert on.directory.listed_in("acme") == []


async def test_the_first_of_several_replicas_decides(penpot: StandIn, tmp_path: Path) -> None:
    """The hook moves to another team while two replicas read the lists."""
    async with stage(penpot, tmp_path) as on:
        hook, first = on.hook(), on.directory
        on.start()
        assert await search(on, first) == on.acme
        hook.team = on.world.by_name("teams", "rnd")
        while not await on.directory.read(on.client):
            pass
        assert await on.directory.verified("acme") == on.acme


async def test_what_was_read_of_another_team_is_forgotten_when_the_config_names_one(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with stage(penpot, tmp_path) as on:
        hook = on.hook()
        hook.team = on.world.by_name("teams", "rnd")
        assert await search(on) == hook.team
        cache = FactCache(on.store)
        name = Fact.of("person", "0" * 8, "A name in the other team")
        await cache.add("acme", [name])
        facts = await cache.new_facts(Event("x"), "acme")
        await on.store.save_fan_out([FanOutResult(1, "acme", "fanned-out", facts=facts)])
        for team_id, count in ((hook.team, 1), (on.acme, 0)):
            restart(on, team_id=team_id)
            assert await on.directory.verified("acme") == team_id
            assert len(await on.store.facts("acme", [name.key])) == count


async def test_a_second_listing_is_reported_again_after_it_was_removed(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with stage(penpot, tmp_path) as on:
        hook = on.hook()
        assert await search(on) == on.acme
        for count in (1, 1, 2):
            if count > len(await on.messages()):
                list_in_other_team(on, hook)
            else:
                del on.world.webhooks[OTHER]
            on.clock.now += 7200
            while not await on.directory.read(on.client):
                pass
            assert len(await on.messages()) == count


async def test_a_list_that_can_not_be_read_for_a_while_repeats_no_report(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with stage(penpot, tmp_path) as on:
        rnd = list_in_other_team(on, on.hook())
        assert await search(on) == ""
        fix = on.fails(404, teamId=rnd)
        on.clock.now += 7200
        with pytest.raises(PenpotUnexpected):
            await search(on)
        fix()
        on.clock.now += 7200
        assert await search(on) == ""
        assert len(await on.messages()) == 1


async def test_a_report_waits_for_a_channel_that_works(penpot: StandIn, tmp_path: Path) -> None:
    async with stage(penpot, tmp_path) as on:
        list_in_other_team(on, on.hook())
        await on.store.put_value(stop_key("acme/log"), "not_in_channel")
        assert await search(on) == ""
        assert await on.messages() == []
        await on.store.put_value(stop_key("acme/log"), "")
        on.clock.now += 7200
        assert await search(on) == ""
        assert len(await on.messages()) == 1


async def test_without_notices_nothing_is_stored(penpot: StandIn, tmp_path: Path) -> None:
    """`relay doctor` must not take the place of the service's review."""
    async with stage(penpot, tmp_path) as on:
        on.hook()
        directory = TeamDirectory(on.config, on.store, None, on.clock)
        assert await search(on, directory) == on.acme
        assert await on.directory.verified("acme") == ""
        assert await on.store.get_value(REVIEW_KEY) is None


async def test_a_webhook_that_appears_later_is_found_and_an_outage_verifies_none(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with stage(penpot, tmp_path) as on:
        on.hook()
        on.start(Direct)
        client = on.client
        assert isinstance(client, Direct)
        client.is_down = True
        with pytest.raises(PenpotBusy):
            await search(on)
        assert await on.directory.verified("acme") == ""
        client.is_down = False
        assert await search(on) == on.acme


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
