"""The commands that run the service, or ask it: serve, demo, health."""

import asyncio
import contextlib
import logging
import sys
import urllib.request
from http.client import HTTPException

import click

from relay.cli.command import CONFIG, NO_FILE, Command, config_place
from relay.cli.store import store_of, store_place
from relay.config.listeners import local_url
from relay.config.load import load
from relay.config.settings import Role
from relay.logs import configure_logging
from relay.store.base import Store

log = logging.getLogger(__name__)


@click.command(cls=Command)
@CONFIG
@click.option(
    "--role",
    "name",
    type=click.Choice([role.value for role in Role]),
    default=Role.ALL.value,
    envvar="RELAY_ROLE",
    show_default=True,
    help="With several replicas on one PostgreSQL: only accept events, or only deliver them.",
)
def serve(path: str | None, name: str) -> None:
    """Run the service."""
    from relay.server import deny_tracing, server

    deny_tracing()
    config = load(path)
    in_user_terms = click.get_current_context().obj
    configure_logging(config.log.level, config.log.format, in_user_terms)
    log.info("config: %s; store: %s", config_place(path) or NO_FILE, store_place(config))
    store = store_of(config)
    role = Role(name)
    if role is not Role.ALL and not store.shared:
        raise click.BadParameter(
            f"{name!r} needs a store that replicas share, but store.url is "
            f'{config.store.display_url}: use a PostgreSQL ("postgresql://…") or role "all"',
            param_hint="--role",
        )
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C: raised after the graceful stop
        asyncio.run(_open_and_close(store))
        server(config, role).run()


async def _open_and_close(store: Store) -> None:
    await store.open()
    await store.close()


@click.command(cls=Command)
@click.option(
    "--stay/--once", default=None, help="Keep running until Ctrl-C, or end after the samples."
)
def demo(stay: bool | None) -> None:
    """Send one sample of each event to standard output.

    In a terminal the service then keeps running, with the inspector, until Ctrl-C.
    """
    from relay.demo import run

    configure_logging("error", "text")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(stay=sys.stdout.isatty() if stay is None else stay))


@click.command(cls=Command)
@CONFIG
def health(path: str | None) -> None:
    """Check that the running service responds."""
    url = f"{local_url(load(path, secrets=False).server)}/healthz"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=3) as answer:
            click.echo(answer.read(1000).decode("utf-8", "replace").strip())
    except (HTTPException, OSError) as error:
        raise click.ClickException(f"no response from {url}: {error}") from error
