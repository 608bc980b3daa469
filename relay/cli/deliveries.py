"""The commands about events and their deliveries: log, resend, dismiss."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime

import click

from relay.cli.command import CONFIG, Command, echo
from relay.cli.completion import complete_team
from relay.cli.store import opened
from relay.config.load import load
from relay.config.schedule import describe_hold
from relay.config.settings import Config
from relay.delivery.dead import describe
from relay.delivery.decisions import describe_undecided
from relay.delivery.health import stopped_queues
from relay.store.records import DELIVERY_STATES, EVENT_STATES, Delivery, LogEntry
from relay.sync.webhooks import webhook_problems


def _states(subject: str, states: Mapping[str, str]) -> str:
    lines = [f"  {name:<10}  {meaning}" for name, meaning in states.items()]
    return "\n".join(["\b", f"States of {subject}:", *lines])


@click.command(
    cls=Command,
    epilog=f"{_states('an event', EVENT_STATES)}\n\n{_states('a delivery', DELIVERY_STATES)}",
)
@CONFIG
@click.option("--team", help="Only events of this team.", shell_complete=complete_team)
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
    async with opened(config) as store:
        entries = await store.log(team=team, state=state, limit=limit)
        stopped = await stopped_queues(store, config.queues())
        dead = await store.problems.dead(config.queues())
        off = await webhook_problems(store, config.teams) if config.penpot.access_token else {}
    for queue, (since, why) in stopped.items():
        echo(f"{queue} stopped at {_utc(since)}: {why}")
    for queue, letters in dead.items():
        echo(f"{queue}, at {_utc(letters.last_at)}: {describe(letters)}")
    for key, (since, why) in off.items():
        echo(f"{key}, since {_utc(since)}: {why}")
    if not entries:
        click.echo("no such events" if team or state else "no events yet")
    for entry in entries:
        click.echo(_event_line(entry))
        for delivery in entry.deliveries:
            echo(_delivery_line(delivery, config))


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


@click.command(cls=Command)
@CONFIG
@IDS
@DEAD
async def resend(path: str | None, ids: tuple[int, ...], dead: bool) -> None:
    """Send deliveries again.

    ID is a delivery's number in `relay log`.
    """
    _require_choice(ids, dead)
    async with opened(load(path, secrets=False)) as store:
        queued = await store.resend(ids) if ids else await store.resend_dead()
    click.echo(f"{len(queued)} queued again")
    _report_unknown("delivery", ids, queued)


@click.command(cls=Command)
@CONFIG
@IDS
@DEAD
async def dismiss(path: str | None, ids: tuple[int, ...], dead: bool) -> None:
    """Report dead letters no longer.

    They stay in the store, and can be sent again. ID is a delivery's number in `relay log`.
    """
    _require_choice(ids, dead)
    async with opened(load(path, secrets=False)) as store:
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
