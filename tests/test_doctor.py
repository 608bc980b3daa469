"""``relay doctor``: a problem in one channel hides no other finding."""

import os
import re
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from click.testing import CliRunner, Result

from relay import doctor
from relay.channels import stdout
from relay.channels.base import Finding, KeyValueStore
from relay.channels.stdout import StdoutSettings
from relay.cli import main
from relay.config.secret import Secret
from relay.config.settings import (
    AnyChannel,
    Config,
    ServerSettings,
    StoreSettings,
    TeamSettings,
    TemplateSettings,
)
from relay.config.settings import PenpotSettings as PenpotSettings
from relay.delivery.lookups import PENPOT_STATE_KEY
from relay.doctor import apply_fix, examine
from relay.intake import use_key
from relay.penpot.api import PenpotClient
from relay.store.postgres import PostgresStore
from relay.store.records import StoreUnavailable
from relay.store.sqlite import SqliteStore
from relay.sync.webhooks import WebhookFix
from tests.channels import builders
from tests.penpot.standin import TOKEN as STAND_IN_TOKEN
from tests.penpot.standin import Fault, StandIn
from tests.penpot.streams import hook as hook_server
from tests.penpot.world import Webhook
from tests.servers.fixtures import RunningSlack
from tests.servers.hostile import ATTACKS, MAX_MEMORY, Hostile, MemoryGrowth
from tests.servers.loopback import Answer, Request, in_thread
from tests.servers.pgbouncer import pgbouncer
from tests.servers.postgres import Postgres
from tests.servers.proxy import ForwardProxy

pytestmark = pytest.mark.anyio


def odd(request: Request) -> Answer:
    """A server whose responses do not have Slack's shape."""
    if request.path.endswith("auth.test"):
        return Answer.of({"ok": True, "user": "relay"})
    return Answer.of({"ok": True, "channels": {builders.MATRIX_TOKEN: 1}})


async def channel_findings(
    channel: AnyChannel, penpot: str, folder: Path
) -> dict[str, list[tuple[bool, str]]]:
    """The findings about the channel and a second one."""
    log = StdoutSettings(type="stdout", name="log")
    config = Config(
        server=ServerSettings(public_url="https://relay.example.com"),
        store=StoreSettings(url=f"sqlite:///{folder}/relay.db"),
        penpot=PenpotSettings(url=penpot),
        teams={
            "acme": TeamSettings(
                secret=Secret("a-secret-of-24-characters"), channels=(channel, log)
            )
        },
    )
    findings: dict[str, list[tuple[bool, str]]] = {}
    async for subject, finding in examine(config):
        findings.setdefault(subject, []).append((finding.ok, finding.text))
    return findings


async def store_finding(url: str) -> Finding:
    config = Config(
        store=StoreSettings(url=url),
        penpot=PenpotSettings(url="http://127.0.0.1:9"),
        teams={"acme": TeamSettings(secret=Secret("a-secret-of-24-characters"))},
    )
    (finding,) = [
        item async for subject, item in examine(config, templates=False) if subject == "store"
    ]
    return finding


async def test_an_unwritable_data_directory_is_a_problem() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name, "data")
        folder.mkdir(mode=0o500)
        if is_root := os.geteuid() == 0:
            Path(name).chmod(0o755)
            folder.chmod(0o755)
            os.seteuid(65534)
        try:
            finding = await store_finding(f"sqlite:///{folder}/relay.db")
        finally:
            if is_root:
                os.seteuid(0)
    assert not finding.ok
    assert f"{folder} can't be written by user {65534 if is_root else os.geteuid()}" in finding.text
    remedy = "chown 65534:" if is_root else "chmod u+rwX"
    assert f": {remedy}" in finding.text
    assert finding.text.endswith(f" {folder}")


async def test_a_postgresql_is_checked(
    postgres: Postgres, transaction_pooler: Callable[[str], str], tmp_path: Path
) -> None:
    url = postgres.fresh()
    pooled = transaction_pooler(url)
    missing = await store_finding(url)
    assert missing.ok
    assert "`relay serve` creates it" in missing.text
    store = PostgresStore(url)
    await store.open()
    with pgbouncer(postgres, tmp_path, "session") as session:
        for good in (url, pooled, session(url)):
            assert re.fullmatch(
                r"postgresql://.*/relay_\w+ is writable; deliveries that wait: 0",
                (await store_finding(good)).text,
            )
    without_flag = await store_finding(pooled.replace("pgbouncer=true&", ""))
    assert not without_flag.ok
    assert "is a connection pooler in transaction mode: add pgbouncer=true" in without_flag.text
    async with store.pool.connection() as connection:
        await connection.execute("ALTER TABLE relay.probe RENAME TO gone")
    broken = await store_finding(url)
    assert not broken.ok
    assert 'relation "relay.probe" does not exist' in broken.text
    await store.close()
    refused = await store_finding("postgresql://relay:hunter2@127.0.0.1:1/relay")
    assert (refused.ok, "hunter2" in refused.text) == (False, False)
    assert "can't be opened: Connect call failed ('127.0.0.1', 1)" in refused.text


async def test_another_teams_template_folder_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "templates" / "other").mkdir(parents=True)
    log = StdoutSettings(type="stdout", name="log")
    config = Config(
        store=StoreSettings(url=f"sqlite:///{tmp_path}/relay.db"),
        penpot=PenpotSettings(url="http://127.0.0.1:9"),
        templates=TemplateSettings(path=str(tmp_path / "templates")),
        teams={"acme": TeamSettings(secret=Secret("a-secret-of-24-characters"), channels=(log,))},
    )
    for known, is_ok in ((["acme", "other"], True), ([], False)):
        findings = [
            finding
            async for subject, finding in examine(config, known=known)
            if subject == "templates"
        ]
        assert [finding.ok for finding in findings] == [is_ok]


async def test_the_doctor_knows_what_the_queues_have_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would report a room or channel that the queue reaches under its new id."""
    store = SqliteStore(tmp_path / "relay.db")
    await store.open()
    await store.put_value("new-room", "!new:relay.test")
    await store.close()
    seen: list[str | None] = []

    class Remembers:
        def __init__(self, _: object, kv: KeyValueStore) -> None:
            self._kv = kv

        async def check(self) -> list[Finding]:
            seen.append(await self._kv.get("new-room", 3600.0))
            return []

        async def close(self) -> None:
            pass

    monkeypatch.setattr(stdout, "StdoutChannel", Remembers)
    await channel_findings(StdoutSettings(type="stdout", name="a"), "http://127.0.0.1:9", tmp_path)
    assert seen == ["!new:relay.test"] * 2


async def test_an_unexpected_response_is_a_finding(tmp_path: Path) -> None:
    with in_thread(odd) as server:
        slack = builders.slack_bot(f"{server.url}/api", "#design")
        findings = await channel_findings(slack, server.url, tmp_path)
    assert findings["acme/design"] == [
        (False, "unexpected response (AttributeError): check the address")
    ]
    assert findings["acme/log"] == [(True, "Messages are printed to standard output.")]


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_hostile_server_costs_neither_memory_nor_time(
    attack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where people open Penpot, and Slack's API."""
    monkeypatch.setattr(doctor, "CALL_TIMEOUT", 1.0)
    monkeypatch.setattr(doctor, "CHECK_TIMEOUT", 1.0)
    started = time.monotonic()
    with Hostile(attack) as server, MemoryGrowth() as growth:
        findings = await channel_findings(builders.slack_bot(server.url), server.url, tmp_path)
    (penpot,), (slack, *_) = findings["penpot"], findings["acme/design"]
    # any answer shows that the address is right, also a redirect to a page for logins
    assert penpot[0] is (attack in ("redirect loop", "slow charset", "many values")), penpot
    assert not slack[0]
    if "no response" in slack[1]:
        place = server.url.removeprefix("http://")
        assert slack[1] == f"no response from {place} within 1 s: check api_url in the config"
    assert server.requests == 2
    assert growth.bytes < MAX_MEMORY
    assert time.monotonic() - started < 15


async def test_a_channel_that_cannot_be_opened_is_a_finding(tmp_path: Path) -> None:
    gone = tmp_path / "gone.pem"
    with in_thread(odd) as server:
        matrix = builders.matrix("https://matrix.example.org").model_copy(update={"ca_file": gone})
        findings = await channel_findings(matrix, server.url, tmp_path)
    assert findings["acme/room"] == [(False, "can't be opened (ValueError): check its settings")]
    assert findings["acme/log"] == [(True, "Messages are printed to standard output.")]


async def test_a_refused_token_differs_from_an_unavailable_penpot(tmp_path: Path) -> None:
    with StandIn() as penpot:
        for token, words in (
            (STAND_IN_TOKEN, "belongs to"),
            ("wrong", "Create one under Your account"),
        ):
            text = await penpot_findings(token, penpot.url, tmp_path)
            assert words in text
            assert token not in text
        penpot.faults["*"] = Fault(status=503)
        assert "Create one" not in await penpot_findings(STAND_IN_TOKEN, penpot.url, tmp_path)


async def penpot_findings(token: str, url: str, folder: Path) -> str:
    """The findings about Penpot."""
    config = Config(
        store=StoreSettings(url=f"sqlite:///{folder}/relay.db"),
        penpot=PenpotSettings(url=url, access_token=Secret(token)),
        teams={"acme": TeamSettings(secret=Secret("a-secret-of-24-characters"))},
    )
    return "\n".join(
        [finding.text async for subject, finding in examine(config) if subject == "penpot"]
    )


async def test_all_checks_use_one_penpot_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = []

    def counted(url: str, token: str) -> PenpotClient:
        clients.append(PenpotClient(url, token))
        return clients[-1]

    monkeypatch.setattr(doctor, "PenpotClient", counted)
    with StandIn() as penpot:
        subjects = {subject async for subject, _ in examine(team_config(penpot, tmp_path))}
    assert {"penpot", "acme"} <= subjects
    assert len(clients) == 1


async def test_paused_lookups_are_reported(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "relay.db")
    await store.open()
    await store.put_value(
        PENPOT_STATE_KEY, "the access token is unknown to Penpot, expired or revoked"
    )
    await store.close()
    with StandIn() as penpot:
        text = await penpot_findings(STAND_IN_TOKEN, penpot.url, tmp_path)
        assert re.search(
            r"paused its lookups since \d{4}-.* UTC: the access token is unknown", text
        )
        await store.open()
        await store.put_value(PENPOT_STATE_KEY, "")
        await store.close()
        assert "paused" not in await penpot_findings(STAND_IN_TOKEN, penpot.url, tmp_path)


async def test_the_addresses_of_penpot_are_checked(tmp_path: Path) -> None:
    basic = Answer(b"", 401, headers={"WWW-Authenticate": "Basic"})
    teams = {"acme": TeamSettings(secret=Secret("a-secret-of-24-characters"))}

    async def findings(url: str, api_url: str) -> list[tuple[bool, str]]:
        penpot = PenpotSettings(url=url, access_token=Secret(STAND_IN_TOKEN))
        if api_url:
            penpot = penpot.model_copy(update={"api_url": api_url})
        store = StoreSettings(url=f"sqlite:///{tmp_path}/relay.db")
        config = Config(store=store, penpot=penpot, teams=teams)
        return [
            (finding.ok, finding.text)
            async for subject, finding in examine(config, templates=False)
            if subject == "penpot"
        ]

    closed = "http://127.0.0.1:9"
    with StandIn() as penpot, in_thread(lambda _: basic) as behind:
        public, inner, token = await findings(closed, penpot.url)
        assert public[0]
        assert public[1].endswith(f"no problem if people can: messages link to {closed}")
        assert inner == (True, f"{penpot.url} responds")
        assert token[0]
        public, inner, token = await findings(penpot.url, closed)
        assert public == (True, f"{penpot.url} responds")
        assert not inner[0]
        assert "set penpot.api_url to an address at which Relay reaches Penpot" in inner[1]
        assert not token[0]
        page, token = await findings(behind.url, "")
        assert page[0]
        assert page[1].endswith("a proxy in front of Penpot asks for a login (HTTP Basic)")
        assert not token[0]
        assert "can't check penpot.access_token: get-profile returned 401" in token[1]
        assert "Create one under" not in token[1]


async def test_a_response_through_a_proxy_is_reported(
    tmp_path: Path,
    environment_without_proxies: pytest.MonkeyPatch,
    slack_server: RunningSlack,
) -> None:
    for variable, value in {"ALL_PROXY": "socks5://127.0.0.1:9", "NO_PROXY": "fd00::/8,*"}.items():
        environment_without_proxies.setenv(variable, value)
    with StandIn() as penpot, ForwardProxy() as proxy:
        slack = builders.slack_bot(slack_server.api_url)
        findings = await channel_findings(slack, penpot.url, tmp_path)
        assert findings["penpot"] == [(True, f"{penpot.url} responds")]
        for value in ("[::1],fd00::/8", ""):
            environment_without_proxies.setenv("NO_PROXY", value)
            environment_without_proxies.setenv("ALL_PROXY", proxy.address)
            findings = await channel_findings(slack, penpot.url, tmp_path)
            through = f"through the proxy {proxy.address} (ALL_PROXY)"
            assert findings["penpot"] == [(True, f"{penpot.url} responds {through}")]
            assert (True, f"Slack responds {through}.") in findings["acme/design"]
        environment_without_proxies.setenv("NO_PROXY", "127.0.0.1")
        findings = await channel_findings(slack, penpot.url, tmp_path)
        assert "proxy" not in str(findings)
    environment_without_proxies.setenv("NO_PROXY", "")
    findings = await channel_findings(slack, penpot.url, tmp_path)  # the proxy is gone
    assert f"{penpot.url} {through} refuses connections" in str(findings["penpot"])
    place = f"Slack at {slack.server}"
    assert f"{place} {through} refuses connections" in str(findings["acme/design"])


HOOK = "https://relay.example.com/hooks/acme/a-secret-of-24-characters"
ID = "b0000000-0000-4000-8000-000000000001"


def team_config(penpot: StandIn, folder: Path, **team: Any) -> Config:
    return Config(
        server=ServerSettings(public_url="https://relay.example.com"),
        store=StoreSettings(url=f"sqlite:///{folder}/relay.db"),
        penpot=PenpotSettings(url=penpot.url, access_token=Secret(STAND_IN_TOKEN)),
        teams={"acme": TeamSettings(secret=Secret("a-secret-of-24-characters"), **team)},
    )


async def webhook_finding(config: Config) -> tuple[Finding, WebhookFix | None]:
    """The finding about the team's webhook, and its fix."""
    fixes: list[WebhookFix] = []
    (finding,) = [item async for subject, item in examine(config, fixes) if subject == "acme"]
    return finding, fixes[0] if fixes else None


async def test_an_inactive_webhook_can_be_activated(tmp_path: Path) -> None:
    with StandIn() as penpot:
        world = penpot.world
        acme = world.by_name("teams", "acme")
        world.webhooks[ID] = hook = Webhook(ID, acme, HOOK, profile=world.me)
        config = team_config(penpot, tmp_path)
        finding, fix = await webhook_finding(config)
        assert (finding, fix) == (Finding(True, "its webhook in Penpot exists and is on"), None)
        for error, words in (
            ("ssl-validation-error", "it does not trust the certificate of Relay's address"),
            ("blocked-request:uri target is not allowed", "PENPOT_SSRF_ALLOWED_HOSTS"),
            ("something-new", r"its calls failed \(something-new\)"),
            (None, "somebody switched it off, or left it off"),
        ):
            hook.is_active, hook.error_code = False, error
            finding, fix = await webhook_finding(config)
            assert not finding.ok
            assert re.search(f"is off: .*{words}", finding.text)
        assert fix is not None
        assert fix.question == "Switch the webhook of acme on?"
        assert await apply_fix(config, fix) == Finding(True, "its webhook in Penpot is on again")
        assert hook.is_active
        hook.profile, hook.is_active = "", False
        outcome = await apply_fix(config, fix)
        assert (outcome.ok, "editors of the team may" in outcome.text) == (False, True)


async def test_a_missing_webhook_can_be_created(tmp_path: Path) -> None:
    with StandIn() as penpot, hook_server(Answer(b"", 200)) as (url, requests):
        world = penpot.world
        acme, rnd = world.by_name("teams", "acme"), world.by_name("teams", "rnd")
        config = team_config(penpot, tmp_path)
        finding, fix = await webhook_finding(config)  # two teams may have it
        assert fix is None
        assert "set team_id" in finding.text
        del world.teams[rnd].members[world.me]
        _, fix = await webhook_finding(config)
        assert fix is not None
        assert fix.question == "Create the webhook of acme in Penpot, in the team “Acme Design”?"
        config = team_config(penpot, tmp_path, team_id=acme)
        finding, fix = await webhook_finding(config)
        assert fix is not None
        assert finding == Finding(False, "Penpot has no webhook for it")
        refused = await apply_fix(config, fix)  # Penpot can't resolve relay.example.com
        assert not refused.ok
        assert "Penpot sends a HEAD request to the address first: is" in refused.text
        there = config.model_copy(update={"server": ServerSettings(public_url=url)})
        _, fix = await webhook_finding(there)
        assert fix is not None
        assert await apply_fix(there, fix) == Finding(True, "its webhook was created and is on")
        (made,) = world.webhooks.values()
        assert (made.uri, made.is_active) == (f"{url}{config.hook_path('acme')}", True)
        assert [request.method for request in requests] == ["HEAD"]
        finding, fix = await webhook_finding(config)
        assert (finding.ok, fix) == (False, None)
        assert f"Penpot calls its webhook at {url}, which is not server.public_url" in finding.text
        finding, fix = await webhook_finding(config.model_copy(update={"server": ServerSettings()}))
        assert finding.ok
        world.webhooks.clear()
        finding, fix = await webhook_finding(config.model_copy(update={"server": ServerSettings()}))
        assert fix is None
        assert "set server.public_url, and `--fix` creates it" in finding.text
        del world.teams[acme].members[world.me]
        finding, fix = await webhook_finding(config)
        assert (finding.ok, fix) == (False, None)
        assert "add that user" in finding.text


NEW_SECRET = "the-current-secret-of-acme"


async def team_findings(config: Config) -> tuple[list[str], list[WebhookFix]]:
    fixes: list[WebhookFix] = []
    found = [item async for subject, item in examine(config, fixes) if subject == "acme"]
    return [f"{item.status} {item.text}" for item in found], fixes


async def test_a_secret_is_changed_step_by_step(tmp_path: Path) -> None:
    with StandIn() as penpot, hook_server(Answer(b"", 200)) as (url, _):
        world = penpot.world
        acme = world.by_name("teams", "acme")
        old_uri = HOOK.replace("https://relay.example.com", url)
        world.webhooks[ID] = Webhook(ID, acme, old_uri, is_active=True, profile=world.me)
        before = team_config(penpot, tmp_path, team_id=acme)
        secrets = (Secret(NEW_SECRET), Secret("a-secret-of-24-characters"))
        both = before.teams["acme"].model_copy(update={"secret": secrets})
        config = before.model_copy(
            update={"server": ServerSettings(public_url=url), "teams": {"acme": both}}
        )
        store = SqliteStore(tmp_path / "relay.db")
        await store.open()
        await store.put_value(use_key("acme", secrets[1]), "")
        await store.close()

        found, (fix,) = await team_findings(config)
        assert found[0] == (
            "FAIL its webhook in Penpot has the old secret, and none has the current one"
        )
        assert found[1].startswith("note Penpot lists a webhook with the old secret (last call: 20")
        assert await apply_fix(config, fix) == Finding(True, "its webhook was created and is on")
        assert [hook.uri for hook in world.webhooks.values()] == [
            old_uri,
            f"{url}/hooks/acme/{NEW_SECRET}",
        ]
        found, fixes = await team_findings(config)
        assert (found[0], fixes) == ("ok its webhook in Penpot exists and is on", [])
        assert "delete it there" in found[1]
        del world.webhooks[ID]
        found, _ = await team_findings(config)
        assert found[1].startswith("note the old secret is in use (last call: 20")
        connection = sqlite3.connect(tmp_path / "relay.db")
        connection.execute("UPDATE key_values SET at = at - 86400")
        connection.commit()
        connection.close()
        found, _ = await team_findings(config)
        assert found[1].startswith("note the old secret is unused (last call: 20")
        assert found[1].endswith("remove it from teams.acme.secret")
        without_token = config.model_copy(update={"penpot": PenpotSettings(url=penpot.url)})
        found, _ = await team_findings(without_token)
        assert found[0].endswith("teams.acme.secret, if Penpot lists no webhook with it")
        found, _ = await team_findings(before)
        assert not any("old secret" in text for text in found)


async def test_a_store_that_fails_meanwhile_ends_no_other_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_store: SqliteStore, _key: str) -> None:
        raise StoreUnavailable("disk I/O error")

    store = SqliteStore(tmp_path / "relay.db")
    await store.open()
    await store.close()
    with StandIn() as penpot:
        config = team_config(penpot, tmp_path)
        secrets = (Secret(NEW_SECRET), Secret("a-secret-of-24-characters"))
        team = config.teams["acme"].model_copy(update={"secret": secrets})
        settings = PenpotSettings(url=penpot.url)
        config = config.model_copy(update={"penpot": settings, "teams": {"acme": team}})
        monkeypatch.setattr(SqliteStore, "get_value", fail)
        findings = [item async for item in examine(config)]
    text = "can't read when its old secret was used: disk I/O error"
    assert ("acme", Finding(False, text)) in findings


async def test_filters_that_match_nothing_in_penpot_are_listed(tmp_path: Path) -> None:
    with StandIn() as penpot:
        acme = penpot.world.by_name("teams", "acme")
        landing = penpot.world.by_name("files", "landing")
        one = StdoutSettings(
            type="stdout",
            name="one",
            projects=("website*", "!Wesbite Redesign", "zzz"),
            files=("landing page", landing, "!Landing pgae"),
            actors=("ada@example.com", "Ada Lovelance", acme),
        )
        config = team_config(penpot, tmp_path, team_id=acme, channels=(one,))
        findings = [item async for item in examine(config, templates=False)]
        told = [finding.text for subject, finding in findings if subject == "acme/one"]
        nothing = "matches nothing that Penpot knows:"
        assert [text for text in told if nothing in text] == [
            f'projects: "!Wesbite Redesign" {nothing} did you mean "Website Redesign"?',
            f'projects: "zzz" {nothing} check its spelling',
            f'files: "!Landing pgae" {nothing} did you mean "Landing page"?',
            f'actors: "Ada Lovelance" {nothing} did you mean "Ada Lovelace"?',
            f'actors: "{acme}" {nothing} check its spelling',
        ]
        calls = penpot.count("get-project-files")
        viewer = [item async for item in examine(config, known=["acme"], templates=False)]
        assert any(f'projects: "zzz" {nothing}' in finding.text for _, finding in viewer)
        assert penpot.count("get-project-files") == calls


async def test_a_webhook_that_two_teams_list_is_a_problem_until_team_id_decides(
    tmp_path: Path,
) -> None:
    with StandIn() as penpot:
        world = penpot.world
        acme, rnd = world.by_name("teams", "acme"), world.by_name("teams", "rnd")
        for number, team in enumerate((acme, rnd)):
            id_ = f"b0000000-0000-4000-8000-00000000000{number}"
            world.webhooks[id_] = Webhook(id_, team, HOOK, profile=world.me)
        names = f"“{world.teams[acme].name}” ({acme}) and “{world.teams[rnd].name}” ({rnd})"
        config = team_config(penpot, tmp_path)
        findings = [item async for item in examine(config)]
        (about,) = [item for subject, item in findings if names in item.text]
        assert ("penpot", about) in findings  # the inspector hides it from viewers of one team
        assert not about.ok
        assert about.text.endswith("Remove it from the others, or set teams.acme.team_id")
        (own,) = [item for subject, item in findings if subject == "acme"]
        assert not own.ok
        assert "more than one Penpot team lists it" in own.text
        assert rnd not in own.text

        decided = [item async for item in examine(team_config(penpot, tmp_path, team_id=acme))]
        assert all(item.ok for subject, item in decided if subject in ("acme", "penpot"))
        assert any(names in item.text for _, item in decided)


async def test_a_team_that_lists_the_webhook_later_is_named(tmp_path: Path) -> None:
    with StandIn() as penpot:
        world, rnd = penpot.world, penpot.world.by_name("teams", "rnd")
        world.webhooks[ID] = Webhook(ID, world.by_name("teams", "acme"), HOOK, profile=world.me)
        config = team_config(penpot, tmp_path)
        store = SqliteStore(tmp_path / "relay.db")
        await store.open()
        assert (await webhook_finding(config))[0].ok
        assert await store.get_value("team/acme") is None  # `relay serve` stores what it verifies
        narrowed = [item async for item in examine(config, known=["acme", "other"])]
        assert any("its team in Penpot is not known" in item.text for _, item in narrowed)
        await store.put_value("team/acme", world.by_name("teams", "acme"))
        await store.close()
        other = "b0000000-0000-4000-8000-000000000002"
        world.webhooks[other] = Webhook(other, rnd, HOOK)
        findings = [item async for item in examine(config)]
        assert any(not item.ok and rnd in item.text for _, item in findings)
        assert (await webhook_finding(config))[0].ok
        calls = penpot.count("get-webhooks")
        narrowed = [item async for item in examine(config, known=["acme", "other"])]
        assert not any(rnd in item.text for _, item in narrowed)
        assert penpot.count("get-webhooks") == calls + 1


def test_the_command_asks_before_each_fix(tmp_path: Path) -> None:
    with StandIn() as penpot:
        world = penpot.world
        acme = world.by_name("teams", "acme")
        world.webhooks[ID] = hook = Webhook(ID, acme, HOOK, is_active=False, profile=world.me)
        config = tmp_path / "relay.toml"
        config.write_text(
            f'[server]\npublic_url = "https://relay.example.com"\n'
            f'[store]\nurl = "sqlite:///{tmp_path}/relay.db"\n'
            f'[penpot]\nurl = "{penpot.url}"\naccess_token = "{STAND_IN_TOKEN}"\n'
            '[teams.acme]\nsecret = "a-secret-of-24-characters"\n'
        )

        def run(*more: str, says: str = "") -> Result:
            arguments = ["doctor", "--config", str(config), *more]
            return CliRunner().invoke(main, arguments, input=says)

        looked = run()
        assert looked.exit_code == 1
        assert "can fix some of these problems" in looked.stdout
        declined = run("--fix", says="n\n")
        assert (declined.exit_code, hook.is_active) == (1, False)
        done = run("--fix", says="y\n")
        assert "Switch the webhook of acme on? [y/N]: y" in done.output
        assert "ok    acme: its webhook in Penpot is on again" in done.output
        assert (done.exit_code, hook.is_active) == (0, True)
        assert run().exit_code == 0
        assert "a-secret-of-24" not in looked.output + done.output
