"""The command line."""

import asyncio
import contextlib
import errno
import os
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

import click

from relay import __version__
from relay.channels import CHANNEL_TYPES, DEFAULT_KIND
from relay.config.environment import in_variables
from relay.config.listeners import local_url
from relay.config.load import ConfigError, config_file, load, warnings
from relay.config.schedule import describe_hold
from relay.config.settings import Config, Role
from relay.delivery.dead import describe
from relay.delivery.decisions import describe_channel, describe_undecided
from relay.delivery.health import stopped_queues
from relay.errors import RelayError
from relay.logs import configure_logging
from relay.store import store_at
from relay.store.base import Store
from relay.store.records import DELIVERY_STATES, EVENT_STATES, Delivery, LogEntry, StoreUnusable
from relay.sync.webhooks import WebhookFix, webhook_problems

CONFIG = click.option(
    "--config",
    "path",
    metavar="FILE",
    help="Config file. Default: RELAY_CONFIG, ./relay.toml, or RELAY_* variables without a file.",
)


_OUTPUT_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class _Command(click.Command):
    """Runs its callback, which may be a coroutine function, and prints what it raises.

    What a command reports goes to standard output, whether good or bad; why the command itself
    can't do its work goes to standard error."""

    reports_config = False  # whether an invalid config is what it reports

    def invoke(self, context: click.Context) -> Any:
        has_file = config_file(context.params.get("path"), os.environ)
        context.obj = in_user_terms = str if has_file else in_variables
        try:
            result = super().invoke(context)
            return asyncio.run(result) if asyncio.iscoroutine(result) else result
        except ConfigError as error:
            for problem in error.problems:
                click.echo(f"FAIL  {in_user_terms(problem)}", err=not self.reports_config)
            sys.exit(1)
        except RelayError as error:
            raise click.ClickException(in_user_terms(str(error))) from error


class _ConfigReport(_Command):
    reports_config = True


class _Commands(click.Group):
    command_class = _Command
    group_class = type  # groups in it are of this class too

    def main(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().main(*args, **extra)
        except OSError as error:
            if error.errno not in _OUTPUT_ERRORS or error.filename is not None:
                raise
            # for Python's last flush
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            with contextlib.suppress(OSError):
                click.echo(f"Error: can't write the output: {error.strerror}", err=True)
            sys.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="relay")
def main() -> None:
    """Send Penpot's events to Slack, Matrix and email."""


def _store(config: Config) -> Store:
    return store_at(config.store.url.reveal())


def _echo(text: str) -> None:
    """Print a text that may name keys of the config."""
    click.echo(click.get_current_context().obj(text))


def _report(status: str, subject: str, text: str) -> None:
    """``status`` is that of a ``Finding``."""
    _echo(f"{status:<4}  {subject}: {text}")


@main.command()
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
    store = _store(config)
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


@contextlib.asynccontextmanager
async def _opened(config: Config) -> AsyncIterator[Store]:
    store = _store(config)
    await store.open(service=False)
    try:
        yield store
    finally:
        await store.close()


async def _open_and_close(store: Store) -> None:
    await store.open()
    await store.close()


@main.command(cls=_ConfigReport)
@CONFIG
def check(path: str | None) -> None:
    """Check config and templates, and print the hook URLs."""
    from relay.doctor import template_notes, template_problems

    config = load(path)
    problems = [("templates", str(each)) for each in template_problems(config, config.teams)]
    try:
        _store(config)
    except StoreUnusable as error:
        problems.append(("store", str(error)))
    for subject, problem in problems:
        _report("FAIL", subject, problem)
    for note in template_notes(config):
        _report("note", "templates", note)
    for warning in warnings(config):
        _report("note", "config", warning)
    is_off = config.inspector_access == "off"
    _report("note" if is_off else "ok", "inspector", config.describe_inspector())
    for name, team in config.teams.items():
        path, *old_paths = config.hook_paths(name)
        _report("ok", name, f"hook {config.server.shown_url}{path}")
        for old in old_paths:
            _report("ok", name, f"old hook, accepted too: {config.server.shown_url}{old}")
        for channel in team.channels:
            _report("ok", f"{name}/{channel.name}", describe_channel(team, channel))
    if problems:
        sys.exit(1)


@main.command()
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


@main.command()
@CONFIG
@click.argument("event", required=False)
@click.option(
    "--channel",
    default=DEFAULT_KIND,
    help=f"A channel's name, or a type: {', '.join(CHANNEL_TYPES)}. Default: {DEFAULT_KIND}.",
)
@click.option("--team", help="Team whose templates are used. Default: the first team.")
@click.option(
    "--payload",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with a webhook body, JSON or Transit, instead of a sample.",
)
def preview(
    path: str | None, event: str | None, channel: str, team: str | None, payload: Path | None
) -> None:
    """Print the message for EVENT, or for one event of each kind.

    With --payload also which channels would get the event. Nothing is sent.
    """
    from relay.preview import render_previews

    config = (
        load(path)
        if path
        or os.environ.keys() & {"RELAY_CONFIG", "RELAY_SECRET", "RELAY_SECRET_FILE"}
        or Path("relay.toml").is_file()
        else None
    )
    for text in render_previews(config, event, channel, team, payload):
        click.echo(f"{text}\n")


@main.command()
@CONFIG
@click.argument("team", required=False)
@click.option("--channel", "only", help="A channel's name, or a type. Default: all channels.")
async def send(path: str | None, team: str | None, only: str | None) -> None:
    """Send a test message to a team's channels.

    TEAM may be left out if there is only one.
    """
    from relay.preview import send_test

    config = load(path)
    if team is None and len(config.teams) == 1:
        team = next(iter(config.teams))
    if team not in config.teams:
        raise click.BadParameter(f"{team or 'TEAM'} is none of: {', '.join(config.teams)}")
    own = config.teams[team].channels
    channels = [item for item in own if only in (None, item.name)]
    channels = channels or [item for item in own if item.type == only]
    if not channels:
        names = ", ".join(item.name for item in own)
        what = f"channel {only}, by name or type; it has: {names}" if own else "channels"
        raise click.BadParameter(f"team {team} has no {what}")
    failures = 0
    for settings in channels:
        is_sent, text = await send_test(config, team, settings)
        _echo(f"{team}/{settings.name}: {text}")
        failures += not is_sent
    if failures:
        sys.exit(1)


@main.command()
@click.argument("event", required=False)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of what a webhook gets.")
def events(event: str | None, schema: bool) -> None:
    """List Penpot's events, or the template variables of EVENT."""
    from relay.messages import payload
    from relay.reference import describe_event, list_events

    if schema:
        click.echo(payload.schema(), nl=False)
    else:
        click.echo(describe_event(event) if event else list_events())


def _states(subject: str, states: Mapping[str, str]) -> str:
    lines = [f"  {name:<10}  {meaning}" for name, meaning in states.items()]
    return "\n".join(["\b", f"States of {subject}:", *lines])


@main.command(
    epilog=f"{_states('an event', EVENT_STATES)}\n\n{_states('a delivery', DELIVERY_STATES)}"
)
@CONFIG
@click.option("--team", help="Only events of this team.")
@click.option(
    "--state",
    type=click.Choice([*EVENT_STATES, *DELIVERY_STATES]),
    help="Only events in this state, or with a delivery in this state.",
)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
async def log(path: str | None, team: str | None, state: str | None, limit: int) -> None:
    """List recent events and their deliveries."""
    config = load(path, secrets=False)
    if team is not None and team not in config.teams:
        raise click.BadParameter(f"--team {team} is none of: {', '.join(config.teams)}")
    async with _opened(config) as store:
        entries = await store.log(team=team, state=state, limit=limit)
        stopped = await stopped_queues(store, config.queues())
        dead = await store.problems.dead(config.queues())
        off = await webhook_problems(store, config.teams) if config.penpot.access_token else {}
    for queue, (since, why) in stopped.items():
        _echo(f"{queue} stopped at {_utc(since)}: {why}")
    for queue, letters in dead.items():
        _echo(f"{queue}, at {_utc(letters.last_at)}: {describe(letters)}")
    for key, (since, why) in off.items():
        _echo(f"{key}, since {_utc(since)}: {why}")
    if not entries:
        click.echo("no such events" if team or state else "no events yet")
    for entry in entries:
        click.echo(_event_line(entry))
        for delivery in entry.deliveries:
            _echo(_delivery_line(delivery, config))


def _event_line(entry: LogEntry) -> str:
    event, count = entry.event, len(entry.deliveries)
    name = event.name or f"{len(event.body)} bytes"
    if event.truncated_from:
        name = f"truncated: {event.truncated_from} bytes were received"
    sent_on = f"{count} deliver{'y' if count == 1 else 'ies'}" if count else ""
    details = "; ".join(filter(None, (sent_on, event.reason)))
    why = f" ({details})" if details else ""
    return f"{_utc(event.received_at)}  {event.team}  {name}  {event.state}{why}"


def _delivery_line(delivery: Delivery, config: Config) -> str:
    zone = config.zones.get(delivery.queue, UTC)
    shown, details = delivery.state, f": {delivery.error}" if delivery.error else ""
    if shown == "waiting" and delivery.undecided:
        shown = f"waiting: {describe_undecided(delivery.undecided)}"
    elif shown == "waiting" and delivery.next_at > time.time():
        details += f", next attempt {_utc(delivery.next_at)}"
    elif shown == "held":
        shown = describe_hold(delivery.held_until, time.time(), zone)
    attempts = f" after {delivery.attempts} attempts" if delivery.attempts > 1 else ""
    return f"  {delivery.id:>6}  {delivery.queue}  {shown}{attempts}{details}"


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


IDS = click.argument("ids", metavar="[ID]...", nargs=-1, type=click.IntRange(1, 2**63 - 1))
DEAD = click.option("--dead", is_flag=True, help="All dead letters.")


@main.command()
@CONFIG
@IDS
@DEAD
async def resend(path: str | None, ids: tuple[int, ...], dead: bool) -> None:
    """Send deliveries again.

    ID is a delivery's number in `relay log`.
    """
    _require_choice(ids, dead)
    async with _opened(load(path, secrets=False)) as store:
        queued = await store.resend(ids) if ids else await store.resend_dead()
    click.echo(f"{len(queued)} queued again")
    _report_unknown("delivery", ids, queued)


@main.command()
@CONFIG
@IDS
@DEAD
async def dismiss(path: str | None, ids: tuple[int, ...], dead: bool) -> None:
    """Report dead letters no longer.

    They stay in the store, and can be sent again. ID is a delivery's number in `relay log`.
    """
    _require_choice(ids, dead)
    async with _opened(load(path, secrets=False)) as store:
        problems = store.problems
        dismissed = await problems.dismiss(ids) if ids else await problems.dismiss_all()
    click.echo(f"{len(dismissed)} dismissed")
    _report_unknown("dead letter that is reported", ids, dismissed)


def _require_choice(ids: tuple[int, ...], dead: bool) -> None:
    if bool(ids) == dead:
        raise click.UsageError("give either delivery IDs or --dead")


def _report_unknown(noun: str, ids: tuple[int, ...], known: list[int]) -> None:
    if unknown := sorted(set(ids) - set(known)):
        raise click.ClickException(f"no such {noun}: {', '.join(map(str, unknown))}")


@main.group("store")
def store_() -> None:
    """Maintain the store."""


@store_.command()
@CONFIG
@click.argument("file", type=click.Path(path_type=Path))
async def backup(path: str | None, file: Path) -> None:
    """Copy the store to FILE. The service may be running."""
    config = load(path, secrets=False)
    async with _opened(config) as store:
        await store.backup(file)
    click.echo(f"{config.store.display_url} is copied to {file}")


@main.command(cls=_ConfigReport)
@CONFIG
@click.option("--fix", is_flag=True, help="Offer to apply each available fix.")
async def doctor(path: str | None, fix: bool) -> None:
    """Check the config, the store, Penpot and all channels. Sends no messages."""
    from relay.doctor import apply_fix, examine

    config, problems = load(path), 0
    fixes: list[WebhookFix] = []
    async for subject, finding in examine(config, fixes):
        _report(finding.status, subject, finding.text)
        problems += not finding.ok
    if fixes and not fix:
        click.echo("`relay doctor --fix` can fix some of these problems")
    for offered in fixes if fix else ():
        if click.confirm(offered.question):
            finding = await apply_fix(config, offered)
            _report(finding.status, offered.team, finding.text)
            problems -= finding.ok
    if problems:
        sys.exit(1)


@main.command()
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
