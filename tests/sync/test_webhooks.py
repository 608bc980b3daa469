"""Webhooks that Penpot disabled are switched on again, with a notice."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from relay.config.secret import Secret
from relay.config.settings import ServerSettings, TeamSettings
from relay.penpot.records import WebhookRecord as Row
from relay.store.records import StoreUnavailable
from relay.sync.webhooks import NOTICE_INTERVAL, load_status, own_webhooks, webhook_problems
from tests.channels import builders
from tests.penpot.standin import StandIn
from tests.penpot.world import PAYLOADS
from tests.sync.stage import LOG, PUBLIC, SECRET, stage

pytestmark = pytest.mark.anyio

FIVE_MINUTES = 340.0
PLAIN = PAYLOADS / "create-comment" / "plain.json"


async def test_a_webhook_that_penpot_disabled_is_switched_on(
    penpot: StandIn, tmp_path: Path
) -> None:
    async with stage(penpot, tmp_path) as on:
        hook = on.hook()
        hook.uri = f"http://127.0.0.1:1{on.config.hook_path('acme')}"  # nobody listens there
        for _ in range(3):
            penpot.fire(PLAIN)
        assert hook.is_active is False
        hook.uri = f"{PUBLIC}{on.config.hook_path('acme')}"
        await on.pass_time(1)
        assert hook.is_active is True
        assert penpot.count("update-webhook") == 1
        (message,) = await on.messages()
        assert message.title == "Penpot's webhook was off and is on again"
        assert "it could not connect to Relay" in message.content.body
        assert on.number('relay_webhooks_reactivated_total{team="acme"}') == 1
        assert on.number('relay_webhook_active{team="acme"}') == 1
        assert await webhook_problems(on.store, ["acme"]) == {}


async def test_the_webhook_is_checked_every_few_minutes(penpot: StandIn, tmp_path: Path) -> None:
    async with stage(penpot, tmp_path) as on:
        hook = on.hook()
        await on.pass_time(1)
        calls_before = penpot.count("get-webhooks")
        await on.pass_time(3600)
        assert 10 <= penpot.count("get-webhooks") - calls_before <= 14
        hook.is_active, hook.error_code = False, "timeout"
        await on.pass_time(FIVE_MINUTES)
        assert hook.is_active
        assert penpot.count("update-webhook") == 1


async def test_only_the_replica_that_runs_the_sync_exports_the_webhook(
    penpot: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def held_by_another(_: str) -> bool:
        return False

    async with stage(penpot, tmp_path) as on:
        on.hook()
        await on.pass_time(1)
        assert "relay_webhook_active{" in on.metrics.text().decode()
        monkeypatch.setattr(on.store, "acquire_lease", held_by_another)
        await on.pass_time(1)
        assert "relay_webhook_active{" not in on.metrics.text().decode()


async def test_a_kill_right_after_a_webhook_was_switched_on_loses_no_notice(
    penpot: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(penpot, tmp_path) as on:
        hook = on.hook(active=False, error="connection-error")

        async def killed(*_: object) -> None:
            raise StoreUnavailable("killed")

        with monkeypatch.context() as patch:
            patch.setattr(on.store, "announce", killed)
            await on.pass_time(1)
        assert hook.is_active
        assert await on.messages() == []
        on.start()
        await on.pass_time(FIVE_MINUTES)
        (message,) = await on.messages()
        assert "it could not connect to Relay" in message.content.body
        assert penpot.count("update-webhook") == 1


async def test_notices_are_limited_in_rate(penpot: StandIn, tmp_path: Path) -> None:
    async with stage(penpot, tmp_path) as on:
        hook = on.hook()
        for _ in range(4):
            hook.is_active, hook.error_code = False, "blocked-request:uri target is not allowed"
            await on.pass_time(FIVE_MINUTES)
            assert hook.is_active
        (message,) = await on.messages()
        assert "PENPOT" in message.content.body
        on.clock.now += NOTICE_INTERVAL
        hook.is_active = False
        await on.pass_time(FIVE_MINUTES)
        assert len(await on.messages()) == 2


async def test_a_webhook_created_inactive_is_switched_on_once(
    penpot: StandIn, tmp_path: Path
) -> None:
    """Penpot's form creates inactive webhooks; one switched off after that stays off."""
    async with stage(penpot, tmp_path) as on:
        hook = on.hook(active=None)
        await on.pass_time(1)
        assert hook.is_active
        assert "recorded no failed call" in (await on.messages())[0].content.body
        hook.is_active = False
        await on.pass_time(3600)
        assert not hook.is_active
        ((_, why),) = (await webhook_problems(on.store, ["acme"])).values()
        assert "somebody switched it off in Penpot" in why
        hook.error_code = "timeout"  # now Penpot disabled it
        await on.pass_time(FIVE_MINUTES)
        assert hook.is_active


async def test_no_webhook_with_the_old_secret_is_switched_on(
    penpot: StandIn, tmp_path: Path
) -> None:
    old = "the-old-secret-of-the-team"
    team = TeamSettings(secret=[Secret(SECRET), Secret(old)], channels=(LOG,))
    async with stage(penpot, tmp_path, teams={"acme": team}) as on:
        current = on.hook(active=False, error="timeout")
        other = replace(current, id=f"{current.id[:-1]}2", is_active=True)
        current.uri, other.uri = (f"{PUBLIC}{path}" for path in on.config.hook_paths("acme"))
        on.world.webhooks = {other.id: other}  # the new one does not exist yet
        await on.pass_time(FIVE_MINUTES)
        assert await webhook_problems(on.store, ["acme"]) == {}
        other.is_active, other.error_code = False, "timeout"
        await on.pass_time(FIVE_MINUTES)
        assert not other.is_active
        ((_, why),) = (await webhook_problems(on.store, ["acme"])).values()
        assert "Penpot has no webhook for this Relay" in why
        on.world.webhooks = {other.id: other, current.id: current}
        await on.pass_time(FIVE_MINUTES)
        assert (current.is_active, other.is_active) == (True, False)
        assert penpot.count("update-webhook") == 1


async def test_a_token_without_permission_says_what_is_needed(
    penpot: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage(penpot, tmp_path) as on:
        hook = on.hook(active=False, error="timeout")
        hook.profile = ""  # somebody else made it, and the token's user is a viewer
        await on.pass_time(3600)
        assert not hook.is_active
        found = await load_status(on.store, "acme")
        assert found is not None
        assert found.state == "off"
        assert found.why.startswith("Relay did not answer in time; the user of penpot.access_token")
        assert "make that user an editor" in found.why
        assert sum("make that user an editor" in text for text in caplog.messages) == 1
        on.world.teams[on.acme].members[on.world.me] = "editor"
        await on.pass_time(FIVE_MINUTES)
        assert hook.is_active


async def test_a_missing_webhook_is_reported_once(
    penpot: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    team = TeamSettings(
        secret=Secret(SECRET), channels=(LOG,), team_id=penpot.world.by_name("teams", "acme")
    )
    async with stage(penpot, tmp_path, teams={"acme": team}) as on:
        await on.pass_time(1800)
        ((_, why),) = (await webhook_problems(on.store, ["acme"])).values()
        assert "missing" in why
        assert sum("missing" in text for text in caplog.messages) == 1
        assert on.number('relay_webhook_active{team="acme"}') == 0
        del on.world.teams[on.acme].members[on.world.me]
        await on.pass_time(1800)
        ((_, why),) = (await webhook_problems(on.store, ["acme"])).values()
        assert "is not in the team" in why


async def test_the_team_is_found_by_its_webhook(penpot: StandIn, tmp_path: Path) -> None:
    async with stage(penpot, tmp_path) as on:
        await on.pass_time(1)
        ((_, why),) = (await webhook_problems(on.store, ["acme"])).values()
        assert "no team of the user" in why
        hook = on.hook(active=False, error="timeout")
        await on.pass_time(FIVE_MINUTES)
        assert hook.is_active
        searched = penpot.count("get-teams")
        on.start()
        await on.pass_time(3600)
        assert penpot.count("get-teams") == searched


async def test_teams_that_search_for_their_webhooks_share_one_list(
    penpot: StandIn, tmp_path: Path
) -> None:
    teams = {
        f"t{n}": TeamSettings(secret=Secret(f"{SECRET}-{n}"), channels=(LOG,)) for n in range(20)
    }
    async with stage(penpot, tmp_path, teams=teams) as on:
        mine = sum(on.world.me in team.members for team in on.world.teams.values())
        await on.pass_time(60)
        assert penpot.count("get-teams") == 1
        assert penpot.count("get-webhooks") == mine
        await on.pass_time(3600)
        assert penpot.count("get-teams") <= 1 + 3600 / (FIVE_MINUTES / 2)
        assert penpot.count("get-webhooks") == mine * penpot.count("get-teams")


async def test_alerts_go_where_the_config_says(penpot: StandIn, tmp_path: Path) -> None:
    people = builders.slack_bot("https://slack.example.com", "#x").model_copy(
        update={"direct": "mentioned", "name": "people"}
    )
    ops = LOG.model_copy(update={"name": "ops"})
    for alerts_to, queue in (("", "acme/log"), ("ops", "acme/ops")):
        folder = tmp_path / queue.replace("/", "-")
        folder.mkdir()
        team = TeamSettings(secret=Secret(SECRET), channels=(people, LOG, ops), alerts_to=alerts_to)
        async with stage(penpot, folder, teams={"acme": team}) as on:
            on.hook(active=False, error="connection-error")
            await on.pass_time(1)
            assert list(await on.store.waiting_queues()) == [queue]


async def test_the_secret_is_in_no_text(
    penpot: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "relay")
    async with stage(penpot, tmp_path) as on:
        hook = on.hook(active=False, error="connection-error")
        await on.pass_time(1)
        hook.profile, hook.is_active, hook.error_code = "", False, "timeout"
        await on.pass_time(FIVE_MINUTES)
        shown = caplog.text + on.metrics.text().decode()
        shown += "".join(one.dumps() for one in await on.messages())
        shown += str(await webhook_problems(on.store, ["acme"]))
        assert "webhook in Penpot" in shown
        assert SECRET not in shown


def rows(*uris: str) -> list[Row]:
    return [Row(f"b0000000-0000-4000-8000-00000000000{n}", uri) for n, uri in enumerate(uris)]


@pytest.mark.parametrize(("public_url", "uri", "is_own"), [
    (PUBLIC, f"{PUBLIC}/hooks/acme/{SECRET}", True),
    (PUBLIC, f"{PUBLIC}/hooks/acme/{SECRET}-old", True),
    ("", f"{PUBLIC}/hooks/acme/{SECRET}-old", True),
    (PUBLIC, f"{PUBLIC.upper()}/hooks/acme/{SECRET}", True),
    (PUBLIC, f"http://relay.example.com:8080/hooks/acme/{SECRET}?x=1", True),
    (PUBLIC, f"{PUBLIC}/hooks/acme/%{ord(SECRET[0]):x}{SECRET[1:]}", True),
    ("", f"http://anywhere/%68ooks%2facme/{SECRET}", True),
    (PUBLIC, f"https://old.example.com/hooks/acme/{SECRET}", False),
    (PUBLIC, f"{PUBLIC}/hooks/acme/{SECRET}x", False),
    (PUBLIC, f"{PUBLIC}/hooks/rnd/{SECRET}", False),
    (PUBLIC, "https://relay.example.com[/hooks", False),
    (f"{PUBLIC}/relay", f"{PUBLIC}/relay/hooks/acme/{SECRET}", True),
    (f"{PUBLIC}/relay", f"{PUBLIC}/%72elay/hooks/acme/{SECRET}", True),
    (f"{PUBLIC}/relay", f"{PUBLIC}/hooks/acme/{SECRET}", False),
    ("", f"http://anywhere/relay/hooks/acme/{SECRET}", True),
    ("", f"http://anywhere/hooks/rnd/{SECRET}", False),
])  # fmt: skip
def test_own_webhooks_match_by_host_and_path(public_url: str, uri: str, is_own: bool) -> None:
    path = f"/hooks/acme/{SECRET}"
    found = own_webhooks(rows("https://hooks.example.com/x", uri), public_url, path, f"{path}-old")
    assert [row.uri for row in found] == ([uri] if is_own else [])


async def test_it_works_without_a_public_url(penpot: StandIn, tmp_path: Path) -> None:
    async with stage(penpot, tmp_path, server=ServerSettings()) as on:
        hook = on.hook(active=False, error="timeout")
        hook.uri = f"http://relay:8080{on.config.hook_path('acme')}"
        await on.pass_time(1)
        assert hook.is_active
