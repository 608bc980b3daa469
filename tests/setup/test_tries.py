"""What is tried before the config is written."""

import asyncio
import socket
from pathlib import Path

import pytest

from relay import app
from relay.config.listeners import AdminSettings, ServerSettings
from relay.config.secret import Secret
from relay.config.settings import Config
from relay.penpot.client import PenpotBusy
from relay.server import AddressUnavailable
from relay.setup.tries import create_hook, token_teams, unusable_ports
from relay.store.sqlite import SqliteStore
from tests.penpot.sender import deliver
from tests.penpot.standin import TOKEN, Fault, StandIn
from tests.penpot.world import PAYLOADS
from tests.service import free_port, free_ports

pytestmark = pytest.mark.anyio


@pytest.fixture
def config(penpot: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setattr(app, "tune_process", lambda: None)
    port, admin_port = free_ports(2)
    return Config.model_validate(
        {
            "server": {
                "host": "127.0.0.1",
                "port": port,
                "public_url": f"http://127.0.0.1:{port}",
            },
            "admin": {"port": admin_port},
            "store": {"url": f"sqlite:///{tmp_path}/relay.db"},
            "penpot": {"url": penpot.url, "access_token": Secret(TOKEN)},
            "teams": {"acme": {"secret": "a-secret-of-24-characters"}},
        }
    )


def team_id(penpot: StandIn) -> str:
    return next(team.id for team in penpot.world.teams.values() if team.name == "Acme Design")


async def test_the_webhook_is_created_while_relay_listens(penpot: StandIn, config: Config) -> None:
    finding = await create_hook(config, "acme", team_id(penpot))
    assert (finding.ok, finding.text) == (True, "its webhook was created and is on")
    uris = [webhook.uri for webhook in penpot.world.webhooks.values()]
    assert f"{config.server.public_url}{config.hook_path('acme')}" in uris
    assert unusable_ports(config.server, config.admin) == {}  # it no longer listens


async def test_an_event_that_comes_meanwhile_is_stored(
    penpot: StandIn, config: Config, tmp_path: Path
) -> None:
    penpot.faults["create-webhook"] = Fault(delay=0.5, times=1)
    creating = asyncio.create_task(create_hook(config, "acme", team_id(penpot)))
    url = f"{config.server.public_url}{config.hook_path('acme')}"
    payload = PAYLOADS / "create-comment" / "plain.json"
    while (outcome := await asyncio.to_thread(deliver, url, payload)).failure:
        assert not creating.done()
    assert outcome.status == 204
    await creating
    store = SqliteStore(tmp_path / "relay.db")
    await store.open(service=False)
    (entry,) = await store.log(team="acme", state=None, limit=10)
    await store.close()
    assert entry.event.state == "stored"


async def test_penpots_hint_is_in_the_finding(penpot: StandIn, config: Config) -> None:
    elsewhere = config.server.model_copy(update={"public_url": f"http://127.0.0.1:{free_port()}"})
    config = config.model_copy(update={"server": elsewhere})
    finding = await create_hook(config, "acme", team_id(penpot))
    assert not finding.ok
    assert "400 webhook-validation (connection-error)" in finding.text


async def test_a_port_that_was_taken_meanwhile_is_an_error(penpot: StandIn, config: Config) -> None:
    with (
        socket.create_server(("127.0.0.1", config.admin.port)),
        pytest.raises(AddressUnavailable, match=r"admin\.port"),
    ):
        await create_hook(config, "acme", team_id(penpot))


async def test_the_users_own_team_comes_last(penpot: StandIn) -> None:
    finding, teams = await token_teams(penpot.url, TOKEN)
    assert finding.ok
    assert [team.name for team in teams][:1] == ["Acme Design"]
    assert sorted(teams, key=lambda team: team.is_default) == teams
    finding, teams = await token_teams(penpot.url, "wrong")
    assert (finding.ok, teams) == (False, [])
    penpot.faults["get-teams"] = Fault(status=502)
    with pytest.raises(PenpotBusy):
        await token_teams(penpot.url, TOKEN)


def test_ports_in_use_are_found_with_their_keys() -> None:
    with socket.create_server(("127.0.0.1", 0)) as used:
        port, free = used.getsockname()[1], free_port()
        server = ServerSettings(host="127.0.0.1", port=port)
        (problem,) = unusable_ports(server, AdminSettings(port=free)).items()
        assert problem[0] == "server"
        assert f"server.port = {port}: Relay can't listen there" in str(problem[1])
    assert unusable_ports(ServerSettings(port=port), AdminSettings(port=free)) == {}
    same = unusable_ports(ServerSettings(port=free), AdminSettings(port=free))
    assert list(same) == ["admin"]
    unknown = unusable_ports(ServerSettings(host="nowhere.invalid"), AdminSettings(port=free))
    assert "no such host" in str(unknown["server"])
