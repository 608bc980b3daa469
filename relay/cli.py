"""The command line: each command in a few lines, its work in a module of its own."""

import asyncio
import contextlib
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Coroutine
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from relay import __version__
from relay.config import Config
from relay.configfile import ConfigError, load, warnings
from relay.delivery.health import broken
from relay.logs import set_up
from relay.role import Role
from relay.store import OpenStore, store_at
from relay.store.base import Store, StoreMisfit, StoreUnavailable
from relay.sync.hooks import troubles

if TYPE_CHECKING:
    from relay.sync.mending import WebhookFix

T = TypeVar("T")

CONFIG = click.option(
    "--config",
    "path",
    metavar="FILE",
    help="The config; else RELAY_CONFIG, else ./relay.toml, else the RELAY_* variables alone.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="relay")
def main() -> None:
    """Penpot's events, in the team's chat."""


def _load(path: str | None, *, secrets: bool = True) -> Config:
    try:
        return load(path, secrets=secrets)
    except ConfigError as error:
        for fault in error.faults:
            click.echo(str(fault), err=True)
        sys.exit(1)


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except (StoreMisfit, StoreUnavailable) as error:
        raise click.ClickException(str(error)) from error


def _store(config: Config) -> OpenStore:
    try:
        return store_at(config.store.url.reveal())
    except StoreMisfit as error:
        raise click.ClickException(str(error)) from error


@main.command()
@CONFIG
@click.option(
    "--role",
    "name",
    type=click.Choice([role.value for role in Role]),
    default=Role.ALL.value,
    envvar="RELAY_ROLE",
    show_default=True,
    help="Only take events, or only deliver them, where several share a PostgreSQL; or RELAY_ROLE.",
)
def serve(path: str | None, name: str) -> None:
    """Run the service."""
    from relay.process import give_large_buffers_back
    from relay.server import server

    config = _load(path)
    set_up(config.log.level, config.log.format)
    give_large_buffers_back()
    store = _store(config)
    role = Role(name)
    if role is not Role.ALL and not store.shared:
        raise click.BadParameter(
            f"{name!r} is for several services on one store, but store.url is "
            f'{config.store.place}, a file for one: name a PostgreSQL there ("postgresql://…"), or '
            "leave the role at 'all'",
            param_hint="--role",
        )
    _run(_open_and_close(store))
    listening = server(config, role)
    try:
        listening.run()
    except SystemExit as end:  # the line before says what is wrong there
        place = f'server.host = "{config.server.host}", server.port = {config.server.port}'
        raise click.ClickException(f"{place}: Relay can't listen there") from end
    if not listening.started:
        sys.exit(1)


async def _open_and_close(store: Store) -> None:
    await store.open()
    await store.close()


@main.command()
@CONFIG
def check(path: str | None) -> None:
    """Read config and templates; tell every fault."""
    from relay.doctor import template_problems

    config = _load(path)
    _store(config)
    problems = template_problems(config, config.teams)
    for problem in problems:
        click.echo(f"template {problem}", err=True)
    for warning in warnings(config):
        click.echo(f"note: {warning}", err=True)
    base = config.server.public_url or f"http://localhost:{config.server.port}"
    for name, team in config.teams.items():
        click.echo(f"team {name}")
        click.echo(f"  hook     {base}{config.hook_path(name)}")
        for channel in team.channels:
            taken = ", ".join(channel.selection.entries)
            click.echo(f"  channel  {channel.name} ({channel.type}): {taken}")
    if problems:
        sys.exit(1)


@main.command()
@click.option(
    "--stay/--once", default=None, help="Go on until interrupted, or end after the samples."
)
def demo(stay: bool | None) -> None:
    """Show one message of each kind of event.

    In a terminal it goes on after that, with the inspector to look at, until Ctrl-C.
    """
    from relay.demo import run

    set_up("error", "text")
    with contextlib.suppress(KeyboardInterrupt):  # that is how it ends
        _run(run(stay=sys.stdout.isatty() if stay is None else stay))


@main.command()
@CONFIG
@click.argument("event", required=False)
@click.option("--channel", "kind", help="slack, matrix, email or stdout (the default).")
@click.option("--team", help="Whose templates; the first team by default.")
@click.option(
    "--payload",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A body as Penpot sent it, JSON or Transit, instead of a sample.",
)
def preview(
    path: str | None, event: str | None, kind: str | None, team: str | None, payload: Path | None
) -> None:
    """Print what a channel would get.

    For EVENT, or for one event of each kind.
    """
    from relay.preview import PreviewError, previews

    config = (
        _load(path)
        if path
        or os.environ.keys() & {"RELAY_CONFIG", "RELAY_SECRET", "RELAY_SECRET_FILE"}
        or (Path("relay.toml").is_file())
        else None
    )
    try:
        for text in previews(config, event, kind or "stdout", team, payload):
            click.echo(text)
            click.echo()
    except PreviewError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@CONFIG
@click.argument("team")
@click.option("--channel", "only", help="This channel alone; all of the team by default.")
def send(path: str | None, team: str, only: str | None) -> None:
    """Send a test message for real."""
    from relay.trial import send_test

    config = _load(path)
    if team not in config.teams:
        raise click.BadParameter(f"{team} is none of: {', '.join(config.teams)}")
    channels = [item for item in config.teams[team].channels if only in (None, item.name)]
    if not channels:
        known = ", ".join(item.name for item in config.teams[team].channels)
        raise click.BadParameter(f"team {team} has no channel {only or 'at all'}; it has: {known}")
    good = True
    for settings in channels:
        taken, text = _run(send_test(config, team, settings))
        click.echo(f"{team}/{settings.name}: {text}", err=not taken)
        good = good and taken
    if not good:
        sys.exit(1)


@main.command()
@click.argument("event", required=False)
def events(event: str | None) -> None:
    """Penpot's events and their template variables."""
    from relay.reference import describe, listing

    try:
        click.echo(describe(event) if event else listing())
    except KeyError as error:
        raise click.ClickException(str(error.args[0])) from error


@main.command()
@CONFIG
@click.option("--team", help="Of this team alone.")
@click.option(
    "--state",
    type=click.Choice(["stored", "fanned-out", "ignored", "unreadable", "waiting", "sent", "dead"]),
    help="Events in this state, or with a delivery in it.",
)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
def log(path: str | None, team: str | None, state: str | None, limit: int) -> None:
    """Recent events and their deliveries."""
    config = _load(path, secrets=False)
    if team is not None and team not in config.teams:
        raise click.BadParameter(f"--team {team} is none of: {', '.join(config.teams)}")
    _run(_log(config, team, state, limit))


async def _log(config: Config, team: str | None, state: str | None, limit: int) -> None:
    store = _store(config)
    await store.open(service=False)
    try:
        entries = await store.log(team=team, state=state, limit=limit)
        stopped = await broken(store, config.queues())
        off = await troubles(store, config.teams) if config.penpot.access_token else {}
    finally:
        await store.close()
    for queue, (since, why) in stopped.items():
        click.echo(f"{queue} has stopped since {_clock(since)}: {why}", err=True)
    for team, (since, why) in off.items():
        click.echo(f"{team}, since {_clock(since)}: {why}", err=True)
    if not entries:
        click.echo("no such events" if team or state else "no events yet", err=True)
    for entry in entries:
        event = entry.event
        why = f" ({event.reason})" if event.reason else ""
        what = event.name or f"{len(event.body)} bytes"
        click.echo(f"{_clock(event.received_at)}  {event.team}  {what}  {event.state}{why}")
        for delivery in entry.deliveries:
            told = f": {delivery.error}" if delivery.error else ""
            if delivery.state == "waiting" and delivery.next_at > time.time():
                told += f", next try {_clock(delivery.next_at)}"
            tries = f" after {delivery.attempts} tries" if delivery.attempts > 1 else ""
            click.echo(f"  {delivery.id:>6}  {delivery.queue}  {delivery.state}{tries}{told}")


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


@main.command()
@CONFIG
@click.argument("ids", metavar="[ID]...", nargs=-1, type=click.IntRange(1, 2**63 - 1))
@click.option("--dead", is_flag=True, help="All dead deliveries.")
def resend(path: str | None, ids: tuple[int, ...], dead: bool) -> None:
    """Send deliveries again.

    By the numbers that `relay log` shows.
    """
    if bool(ids) == dead:
        raise click.UsageError("name deliveries by their ID, or say --dead")
    _run(_resend(_load(path, secrets=False), ids))


async def _resend(config: Config, ids: tuple[int, ...]) -> None:
    store = _store(config)
    await store.open(service=False)
    try:
        found = await store.resend(ids) if ids else await store.resend_dead()
    finally:
        await store.close()
    click.echo(f"{len(found)} put back")
    unknown = sorted(set(ids) - set(found))
    if unknown:
        raise click.ClickException(f"no such delivery: {', '.join(map(str, unknown))}")


@main.group("store")
def store_() -> None:
    """Look after the store."""


@store_.command()
@CONFIG
@click.argument("file", type=click.Path(path_type=Path))
def backup(path: str | None, file: Path) -> None:
    """Copy the store into FILE, also while the service runs."""
    _run(_backup(_load(path, secrets=False), file))


async def _backup(config: Config, file: Path) -> None:
    store = _store(config)
    await store.open(service=False)
    try:
        await store.backup(file)
    finally:
        await store.close()
    click.echo(f"{config.store.place} is copied to {file}")


@main.command()
@CONFIG
@click.option("--fix", is_flag=True, help="Mend what can be mended, each after asking.")
def doctor(path: str | None, fix: bool) -> None:
    """Ask channels and Penpot whether all is good."""
    if not _run(_doctor(_load(path), fix=fix)):
        sys.exit(1)


async def _doctor(config: Config, *, fix: bool) -> bool:
    from relay.doctor import examine, mended

    wrong = 0
    mends: list[WebhookFix] = []
    async for place, finding in examine(config, mends):
        mark = "note" if place == "config" else "ok" if finding.ok else "WRONG"
        click.echo(f"{mark:>5}  {place}: {finding.text}")
        wrong += not finding.ok
    if mends and not fix:
        click.echo("`relay doctor --fix` can mend some of this", err=True)
    for mend in mends if fix else ():
        if click.confirm(mend.question):
            finding = await mended(config, mend)
            click.echo(f"{'ok' if finding.ok else 'WRONG':>5}  {mend.team}: {finding.text}")
            wrong -= finding.ok
    return wrong == 0


@main.command()
@CONFIG
def health(path: str | None) -> None:
    """Ask the running service whether it is well."""
    server = _load(path, secrets=False).server
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)  # noqa: S104
    url = f"http://{f'[{host}]' if ':' in host else host}:{server.port}/healthz"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=3) as answer:
            click.echo(answer.read().decode("utf-8", "replace").strip())
    except (urllib.error.URLError, HTTPException, OSError) as error:
        raise click.ClickException(f"no answer at {url}: {error}") from error
