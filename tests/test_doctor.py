"""``relay doctor``: one channel's trouble costs no other finding."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from relay.channels.base import Finding
from relay.cli import main
from relay.config import (
    AnyChannel,
    Config,
    ServerSettings,
    StdoutSettings,
    StoreSettings,
    TeamSettings,
    TemplateSettings,
)
from relay.config import PenpotSettings as PenpotSettings
from relay.delivery.lookups import STATE
from relay.doctor import examine, mended
from relay.secret import Secret
from relay.store.sqlite import SqliteStore
from relay.sync.mending import WebhookFix
from tests.channels import builders
from tests.penpot.standin import TOKEN as STAND_INS
from tests.penpot.standin import Fault, StandIn
from tests.penpot.streams import hook as hook_server
from tests.penpot.world import Webhook
from tests.servers.loopback import Answer, Request, in_thread

pytestmark = pytest.mark.anyio


def odd(request: Request) -> Answer:
    """A server that answers Slack's calls in shapes that Slack has not."""
    if request.path.endswith("auth.test"):
        return Answer.of({"ok": True, "user": "relay"})
    return Answer.of({"ok": True, "channels": {builders.MATRIX_TOKEN: 1}})


async def found(
    channel: AnyChannel, penpot: str, folder: Path
) -> dict[str, list[tuple[bool, str]]]:
    """What is found about the channel and about one beside it."""
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
    async for place, finding in examine(config):
        findings.setdefault(place, []).append((finding.ok, finding.text))
    return findings


async def test_another_teams_folder_of_templates_is_no_fault_of_this_one(tmp_path: Path) -> None:
    (tmp_path / "templates" / "other").mkdir(parents=True)
    log = StdoutSettings(type="stdout", name="log")
    config = Config(
        store=StoreSettings(url=f"sqlite:///{tmp_path}/relay.db"),
        penpot=PenpotSettings(url="http://127.0.0.1:9"),
        templates=TemplateSettings(path=str(tmp_path / "templates")),
        teams={"acme": TeamSettings(secret=Secret("a-secret-of-24-characters"), channels=(log,))},
    )
    for known, good in ((["acme", "other"], True), ([], False)):
        found = [one async for place, one in examine(config, known=known) if place == "templates"]
        assert [one.ok for one in found] == [good]


async def test_an_answer_that_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    with in_thread(odd) as server:
        slack = builders.slack_bot(f"{server.url}/api", "#design")
        findings = await found(slack, server.url, tmp_path)
    assert findings["acme/design"] == [
        (
            False,
            "gave an answer that Relay can't read (AttributeError): is the address right?",
        )
    ]
    assert findings["acme/log"] == [(True, "Messages are printed to standard output.")]


async def test_a_channel_that_cannot_be_set_up_is_a_finding(tmp_path: Path) -> None:
    gone = tmp_path / "gone.pem"
    with in_thread(odd) as server:
        matrix = builders.matrix("https://matrix.example.org").model_copy(update={"ca_file": gone})
        findings = await found(matrix, server.url, tmp_path)
    assert findings["acme/room"] == [(False, "can't be set up (ValueError): check its settings")]
    assert findings["acme/log"] == [(True, "Messages are printed to standard output.")]


async def test_a_refused_token_is_told_apart_from_a_penpot_that_is_away(tmp_path: Path) -> None:
    with StandIn() as penpot:
        for token, words in (
            (STAND_INS, "it belongs to"),
            ("wrong", "Make one under Your account"),
        ):
            told = await asked_with(token, penpot.url, tmp_path)
            assert words in told
            assert token not in told
        penpot.faults["*"] = Fault(status=503)
        assert "Make one" not in await asked_with(STAND_INS, penpot.url, tmp_path)


async def asked_with(token: str, url: str, folder: Path) -> str:
    """What is found about Penpot with a token."""
    config = Config(
        store=StoreSettings(url=f"sqlite:///{folder}/relay.db"),
        penpot=PenpotSettings(url=url, access_token=Secret(token)),
        teams={"acme": TeamSettings(secret=Secret("a-secret-of-24-characters"))},
    )
    return "\n".join(
        [finding.text async for place, finding in examine(config) if place == "penpot"]
    )


async def test_the_services_own_trouble_with_penpot_is_told(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "relay.db")
    await store.open()
    await store.keep_note(STATE, "the access token is unknown to Penpot, expired or revoked")
    await store.close()
    with StandIn() as penpot:
        told = await asked_with(STAND_INS, penpot.url, tmp_path)
        assert re.search(
            r"paused its lookups since \d{4}-.* UTC: the access token is unknown", told
        )
        await store.open()
        await store.keep_note(STATE, "")
        await store.close()
        assert "paused" not in await asked_with(STAND_INS, penpot.url, tmp_path)


HOOK = "https://relay.example.com/hooks/acme/a-secret-of-24-characters"
ID = "b0000000-0000-4000-8000-000000000001"


def team_config(penpot: StandIn, folder: Path, **team: str) -> Config:
    return Config(
        server=ServerSettings(public_url="https://relay.example.com"),
        store=StoreSettings(url=f"sqlite:///{folder}/relay.db"),
        penpot=PenpotSettings(url=penpot.url, access_token=Secret(STAND_INS)),
        teams={"acme": TeamSettings(secret=Secret("a-secret-of-24-characters"), **team)},
    )


async def of_hook(config: Config) -> tuple[Finding, WebhookFix | None]:
    """What is found about the team's webhook, and what can be done about it."""
    mends: list[WebhookFix] = []
    (found,) = [one async for place, one in examine(config, mends) if place == "acme"]
    return found, mends[0] if mends else None


async def test_a_hook_that_is_off_can_be_switched_on(tmp_path: Path) -> None:
    with StandIn() as penpot:
        world = penpot.world
        acme = world.by_name("teams", "acme")
        world.webhooks[ID] = hook = Webhook(ID, acme, HOOK, profile=world.me)
        config = team_config(penpot, tmp_path)
        found, mend = await of_hook(config)
        assert (found, mend) == (Finding(True, "its webhook in Penpot is there and on"), None)
        for error, words in (
            ("ssl-validation-error", "it does not trust the certificate of Relay's address"),
            ("blocked-request:uri target is not allowed", "PENPOT_SSRF_ALLOWED_HOSTS"),
            ("something-new", r"its calls failed \(something-new\)"),
            (None, "somebody switched it off, or left it off"),
        ):
            hook.is_active, hook.error_code = False, error
            found, mend = await of_hook(config)
            assert not found.ok
            assert re.search(f"is off: .*{words}", found.text)
        assert mend is not None
        assert mend.question == "Switch the webhook of acme on?"
        assert await mended(config, mend) == Finding(True, "its webhook in Penpot is on again")
        assert hook.is_active
        hook.profile, hook.is_active = "", False
        outcome = await mended(config, mend)
        assert (outcome.ok, "editors of the team may" in outcome.text) == (False, True)


async def test_a_hook_that_is_not_there_can_be_made(tmp_path: Path) -> None:
    with StandIn() as penpot, hook_server(Answer(b"", 200)) as (url, requests):
        world = penpot.world
        acme, rnd = world.by_name("teams", "acme"), world.by_name("teams", "rnd")
        config = team_config(penpot, tmp_path)
        found, mend = await of_hook(config)  # of which of two teams?
        assert mend is None
        assert "set team_id" in found.text
        del world.teams[rnd].members[world.me]
        _, mend = await of_hook(config)
        assert mend is not None
        assert mend.question == "Make the webhook of acme in Penpot, in the team “Acme Design”?"
        config = team_config(penpot, tmp_path, team_id=acme)
        found, mend = await of_hook(config)
        assert mend is not None
        assert found == Finding(False, "Penpot has no webhook for it")
        refused = await mended(config, mend)  # Penpot does not find relay.example.com
        assert not refused.ok
        assert "is `relay serve` running" in refused.text
        there = config.model_copy(update={"server": ServerSettings(public_url=url)})
        _, mend = await of_hook(there)
        assert mend is not None
        assert await mended(there, mend) == Finding(True, "its webhook is made, and on")
        (made,) = world.webhooks.values()
        assert (made.uri, made.is_active) == (f"{url}{config.hook_path('acme')}", True)
        assert [request.method for request in requests] == ["HEAD"]
        found, mend = await of_hook(config)
        assert (found.ok, mend) == (False, None)
        assert f"Penpot calls its hook at {url}, which is not server.public_url" in found.text
        found, mend = await of_hook(config.model_copy(update={"server": ServerSettings()}))
        assert found.ok
        world.webhooks.clear()
        found, mend = await of_hook(config.model_copy(update={"server": ServerSettings()}))
        assert mend is None
        assert "once server.public_url tells" in found.text
        del world.teams[acme].members[world.me]
        found, mend = await of_hook(config)
        assert (found.ok, mend) == (False, None)
        assert "let that user in" in found.text


def test_the_command_asks_before_it_mends(tmp_path: Path) -> None:
    with StandIn() as penpot:
        world = penpot.world
        acme = world.by_name("teams", "acme")
        world.webhooks[ID] = hook = Webhook(ID, acme, HOOK, is_active=False, profile=world.me)
        config = tmp_path / "relay.toml"
        config.write_text(
            f'[server]\npublic_url = "https://relay.example.com"\n'
            f'[store]\nurl = "sqlite:///{tmp_path}/relay.db"\n'
            f'[penpot]\nurl = "{penpot.url}"\naccess_token = "{STAND_INS}"\n'
            '[teams.acme]\nsecret = "a-secret-of-24-characters"\n'
        )

        def run(*more: str, says: str = "") -> Result:
            arguments = ["doctor", "--config", str(config), *more]
            return CliRunner().invoke(main, arguments, input=says)

        looked = run()
        assert looked.exit_code == 1
        assert "can mend some of this" in looked.stderr
        declined = run("--fix", says="n\n")
        assert (declined.exit_code, hook.is_active) == (1, False)
        done = run("--fix", says="y\n")
        assert "Switch the webhook of acme on? [y/N]: y" in done.output
        assert "   ok  acme: its webhook in Penpot is on again" in done.output
        assert (done.exit_code, hook.is_active) == (0, True)
        assert run().exit_code == 0
        assert "a-secret-of-24" not in looked.output + done.output
