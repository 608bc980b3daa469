"""``relay doctor``: one channel's trouble costs no other finding."""

import re
from pathlib import Path

import pytest

from relay.config import AnyChannel, Config, Server, StdoutSettings, StoreSettings, Team
from relay.config import Penpot as PenpotSettings
from relay.delivery.lookups import STATE
from relay.doctor import examine
from relay.secret import Secret
from relay.store.sqlite import SqliteStore
from tests.channels import builders
from tests.penpot.standin import TOKEN as STAND_INS
from tests.penpot.standin import Fault, StandIn
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
        server=Server(public_url="https://relay.example.com"),
        store=StoreSettings(url=f"sqlite:///{folder}/relay.db"),
        penpot=PenpotSettings(url=penpot),
        teams={"acme": Team(secret=Secret("a-secret-of-24-characters"), channels=(channel, log))},
    )
    findings: dict[str, list[tuple[bool, str]]] = {}
    async for place, finding in examine(config):
        findings.setdefault(place, []).append((finding.ok, finding.text))
    return findings


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
        teams={"acme": Team(secret=Secret("a-secret-of-24-characters"))},
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
