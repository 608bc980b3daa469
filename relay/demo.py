"""``relay demo``: the whole service on a temporary store, fed with one sample of each event."""

import asyncio
import secrets
import socket
import tempfile
from pathlib import Path

import click
import httpx
from uvicorn import Server

from relay.config import Config
from relay.penpot.events import CATALOGUE
from relay.penpot.samples import ORDER, sample
from relay.server import server
from relay.store import store_at
from relay.store.base import Store

PATIENCE = 10.0
"""Seconds that a sample has to become a message."""


async def run(*, stay: bool) -> None:
    """Run Relay on a free port of loopback, post the samples through HTTP, print the messages.

    Where it is to ``stay`` it goes on, with the inspector to look at, until it is interrupted.
    """
    with tempfile.TemporaryDirectory(prefix="relay-demo-") as folder:
        port = _free_port()
        config = Config.model_validate(
            {
                "server": {"host": "127.0.0.1", "port": port},
                "store": {"url": f"sqlite:///{Path(folder) / 'relay.db'}"},
                "teams": {
                    "acme": {
                        "secret": secrets.token_urlsafe(24),
                        "channels": [{"name": "demo", "type": "stdout", "events": ["*"]}],
                    }
                },
            }
        )
        listening = server(config)
        serving = asyncio.create_task(listening.serve())
        watch = store_at(config.store.url.reveal())
        try:
            await _start(listening)
            await watch.open(service=False)
            hook = f"http://127.0.0.1:{port}{config.hook_path('acme')}"
            await _tell(hook, watch)
            _say_what_next(hook, f"http://127.0.0.1:{port}/inspector", stay=stay)
            if stay:
                await serving
        finally:
            listening.should_exit = True
            await serving
            await watch.close()


async def _start(listening: Server) -> None:
    while not listening.started:  # noqa: ASYNC110 - uvicorn offers no event to wait for
        await asyncio.sleep(0.01)


async def _tell(hook: str, store: Store) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        for name in ORDER:
            click.secho(f"── {name}: {CATALOGUE[name].when}", dim=True)
            answer = await client.post(
                hook, content=sample(name), headers={"content-type": "application/json"}
            )
            if answer.status_code != 204:
                raise click.ClickException(f"{name} was answered {answer.status_code}")
            await _arrival(store, name)


async def _arrival(store: Store, name: str) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                (entry,) = await store.log(team="acme", state=None, limit=1)
                if entry.deliveries and entry.deliveries[0].state == "sent":
                    return
                await asyncio.sleep(0.005)
    except TimeoutError as error:
        raise click.ClickException(f"{name} did not become a message") from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _say_what_next(hook: str, inspector: str, *, stay: bool) -> None:
    click.secho(f"── {len(ORDER)} events went through HTTP, the store and a queue.", dim=True)
    click.echo("Try next:")
    click.echo("  relay events                        what Penpot tells, and when")
    click.echo("  relay preview create-comment --channel slack")
    click.echo("  relay check                         read your own relay.toml")
    if not stay:
        click.echo("It ends here. In a terminal, or with --stay, it goes on, with the inspector:")
        click.echo("  relay demo --stay")
    else:
        click.echo("Look at them in the browser, where they can be sent again:")
        click.secho(f"  {inspector}", bold=True)
        click.echo("Post an event of your own, or end with Ctrl-C:")
        click.echo(
            f"  curl -H 'content-type: application/json' {hook} \\\n"
            """    -d '{"name": "create-project", "props": {"name": "My project"}}'"""
        )
