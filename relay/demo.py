"""``relay demo``: the service on a temporary store, with one sample of each event."""

import asyncio
import secrets
import shutil
import socket
import sys
import tempfile
from pathlib import Path

import click
import httpx

from relay.channels import CHANNEL_TYPES, DEFAULT_KIND
from relay.config.settings import Config
from relay.penpot.catalogue import CATALOGUE
from relay.penpot.samples import SAMPLE_NAMES, sample, sample_facts
from relay.server import server, serving
from relay.store import store_at
from relay.store.base import Store
from relay.store.records import FanOutResult

SAMPLE_TIMEOUT = 10.0  # seconds from the POST to the message


async def run(*, stay: bool) -> None:
    """Serve on free loopback ports, post the samples over HTTP and print the messages. With
    ``stay`` the service keeps running until it is interrupted."""
    with (
        tempfile.TemporaryDirectory(prefix="relay-demo-") as folder,
        socket.create_server(("127.0.0.1", 0)) as admin,
        socket.create_server(("127.0.0.1", 0)) as hook,
    ):
        channel = {"name": "demo", "type": DEFAULT_KIND, "events": ["*"], "activity": "each"}
        team = {"secret": secrets.token_urlsafe(24), "channels": [channel]}
        config = Config.model_validate(
            {
                "server": {"port": hook.getsockname()[1]},  # for the inspector's commands
                "admin": {"port": admin.getsockname()[1]},
                "store": {"url": f"sqlite:///{folder}/relay.db"},
                "teams": {"acme": team},
            }
        )
        store = store_at(config.store.url.reveal())
        try:
            async with serving(server(config), (admin, hook)) as task:
                await store.open(service=False)
                await _store_names(store)
                url = _url(hook) + config.hook_path("acme")
                await _post_samples(url, store)
                _print_next_steps(url, f"{_url(admin)}/inspector", stay=stay)
                if stay:
                    await task
        finally:
            await store.close()


def _url(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


async def _store_names(store: Store) -> None:
    """Of people, files and projects, as a Relay knows them that has run for some days: the first
    event of the story contains only the id of its file."""
    facts = {key: fact.dumps() for key, fact in sample_facts().items()}
    no_event = 0
    await store.save_fan_out([FanOutResult(no_event, "acme", "", facts=facts)])


async def _post_samples(hook: str, store: Store) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        for name in SAMPLE_NAMES:
            click.secho(f"── {name}: {CATALOGUE[name].when}", dim=True)
            answer = await client.post(
                hook, content=sample(name), headers={"content-type": "application/json"}
            )
            if answer.status_code != 204:
                raise click.ClickException(f"{name} got response {answer.status_code}")
            await _wait_until_sent(store, name)


async def _wait_until_sent(store: Store, name: str) -> None:
    try:
        async with asyncio.timeout(SAMPLE_TIMEOUT):
            while True:
                (entry,) = await store.log(team="acme", state=None, limit=1)
                if entry.deliveries and entry.deliveries[0].state == "sent":
                    return
                await asyncio.sleep(0.005)
    except TimeoutError as error:
        raise click.ClickException(f"{name} was not sent within {SAMPLE_TIMEOUT:.0f} s") from error


def _command() -> str:
    """How the user calls Relay again: `make demo` leaves it outside of ``PATH``."""
    called = Path(sys.argv[0]).absolute()
    if called.name == "__main__.py":
        return f"{sys.executable} -m relay"
    found = shutil.which("relay")
    if found and Path(found).resolve() == called.resolve():
        return "relay"
    here = Path.cwd()
    return str(called.relative_to(here) if called.is_relative_to(here) else called)


def _print_next_steps(hook: str, inspector: str, *, stay: bool) -> None:
    click.secho(f"── {len(SAMPLE_NAMES)} events passed HTTP, store and queue.", dim=True)
    click.echo(
        "Try next:\n"
        f"  {_command()} events            lists the events that Penpot sends\n"
        f"  {_command()} preview create-comment --kind {next(iter(CHANNEL_TYPES))}"
    )
    if not stay:
        click.echo(
            "The demo ends. In a terminal, or with --stay, it keeps running, with the inspector:\n"
            f"  {_command()} demo --stay"
        )
        return
    click.echo("The inspector shows the events and can send them again:")
    click.secho(f"  {inspector}", bold=True)
    click.echo(
        "Post an event of your own, or press Ctrl-C:\n"
        f"  curl -H 'content-type: application/json' {hook} \\\n"
        """    -d '{"name": "create-project", "props": {"name": "My project"}}'"""
    )
