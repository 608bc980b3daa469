"""``relay log``: the events with their deliveries, and what a person has to repair.

All its times are in UTC, as those of the service's log.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import click

from relay.cli.choices import chosen_queues
from relay.cli.command import CONFIG, Command, in_user_terms
from relay.cli.completion import complete_channel, complete_event, complete_team
from relay.cli.output import AS_JSON, colored, iso, one_line, print_document
from relay.cli.store import opened
from relay.config.load import load
from relay.config.settings import Config
from relay.config.types import valid_duration
from relay.delivery.dead import describe
from relay.delivery.decisions import describe_undecided
from relay.delivery.health import stopped_queues
from relay.delivery.notices import NOTICES
from relay.penpot.catalogue import CATALOGUE
from relay.penpot.selection import MATCHES_NO_EVENT, Selection, matches_any_event
from relay.store.base import Store
from relay.store.records import DELIVERY_STATES, EVENT_STATES, Delivery, LogEntry
from relay.sync.webhooks import webhook_problems

FOLLOW_INTERVAL = 1.0  # seconds
MAX_FOLLOWED_COUNT = 1000  # newest events whose changes ``--follow`` prints
MAX_LOG_COUNT = 10_000  # events
_PROBLEM_FORMS = {
    "stopped": "{} stopped at {}: {}",
    "dead": "{}, at {}: {}",
    "webhooks": "{}, since {}: {}",
}
_Problems = Mapping[str, Mapping[str, tuple[float, str]]]
"""By key of ``_PROBLEM_FORMS``, then by queue or team: a time and a text."""


class _Search(NamedTuple):
    team: str | None
    state: str | None
    queues: Sequence[str]  # of the team or all, or of the channel
    is_of_channel: bool
    takes: Callable[[str], bool] | None  # whether events of a name are wanted
    since: float | None
    limit: int

    @property
    def is_filtered(self) -> bool:
        return bool(self.team or self.state or self.is_of_channel or self.takes or self.since)

    async def entries(self, store: Store, after: int | None = None) -> list[LogEntry]:
        """The newest first, of the channel only its own deliveries. ``after``: all above this
        id."""
        names = None
        if self.takes is not None:
            names = [name for name in await store.event_names() if self.takes(name)]
        entries = await store.log(
            team=self.team,
            state=self.state,
            limit=self.limit if after is None else MAX_LOG_COUNT,
            queues=self.queues if self.is_of_channel else (),
            names=names,
            since=self.since,
            after=None if after is None else max(after, 0),
        )
        if not self.is_of_channel:
            return entries
        return [
            replace(entry, deliveries=[one for one in entry.deliveries if one.queue in self.queues])
            for entry in entries
        ]


class _Moment(click.ParamType[float]):
    """A duration before now, or a time, which without an offset is in UTC. Converts to seconds
    since 1970."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if (duration := valid_duration(value)) is not None:
            return time.time() - duration.total_seconds()
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            rule = 'must be a duration such as "30m", "2h" or "7d", or a time such as '
            self.fail(f'{value!r} {rule}"2026-11-30" or "2026-11-30T15:00Z"', param, ctx)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


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
    "--channel",
    help="Only deliveries to the channel with this name.",
    shell_complete=complete_channel,
)
@click.option(
    "--state",
    type=click.Choice([*EVENT_STATES, *DELIVERY_STATES]),
    help="Only events in this state, or with a delivery in this state.",
)
@click.option(
    "--event",
    "patterns",
    multiple=True,
    metavar="PATTERN",
    shell_complete=complete_event,
    help='Only these, by name, group or glob; "!" in front excludes. Can be repeated.',
)
@click.option("--since", type=_Moment(), help='Such as "2h", "7d" or "2026-11-30T15:00".')
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, MAX_LOG_COUNT))
@click.option("--follow", is_flag=True, help="Go on with new events and states until Ctrl-C.")
@AS_JSON
def log(
    path: str | None,
    team: str | None,
    channel: str | None,
    state: str | None,
    patterns: tuple[str, ...],
    since: float | None,
    limit: int,
    follow: bool,
    as_json: bool,
) -> None:
    """List recent events and their deliveries, the newest first.

    All times are in UTC. With --follow the newest is the last, and with --json each change is a
    document on one line.
    """
    config = load(path, secrets=False)
    takes = _takes(patterns) if patterns else None
    queues = chosen_queues(config, team, channel)
    search = _Search(team, state, queues, channel is not None, takes, since, limit)
    printer = _Printer(as_json=as_json, follow=follow, is_filtered=search.is_filtered)
    with contextlib.suppress(*([KeyboardInterrupt] if follow else [])):
        asyncio.run(_log(config, search, printer, follow=follow))


def _takes(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    for pattern in patterns:
        alone = Selection((pattern.removeprefix("!"),))
        if not matches_any_event(pattern) and not any(alone.takes(name, "") for name in NOTICES):
            raise click.BadParameter(f"--event {pattern} {MATCHES_NO_EVENT}")
    has_names = any(not pattern.startswith("!") for pattern in patterns)
    selection = Selection(patterns if has_names else ("*", *patterns))

    def takes(name: str) -> bool:
        kind = CATALOGUE.get(name)
        return selection.takes(name, kind.group if kind else "")

    return takes


async def _log(config: Config, search: _Search, printer: "_Printer", *, follow: bool) -> None:
    async with opened(config) as store:
        entries = await search.entries(store)
        if not follow:
            printer.print(await _problems(store, config, search), entries)
            return
        newest = await _newest_id(store)
        printer.keep(await search.entries(store, newest - MAX_FOLLOWED_COUNT))
        printer.print(await _problems(store, config, search), entries[::-1])
        while True:
            await asyncio.sleep(FOLLOW_INTERVAL)
            after, newest = newest - MAX_FOLLOWED_COUNT, await _newest_id(store)
            if changed := printer.changed(await search.entries(store, after)):
                printer.print(await _problems(store, config, search), changed[::-1])


async def _newest_id(store: Store) -> int:
    entries = await store.log(team=None, state=None, limit=1)
    return entries[0].event.id if entries else 0


async def _problems(store: Store, config: Config, search: _Search) -> _Problems:
    """What a person has to repair, of the queues and teams of the search."""
    teams = config.teams if search.team is None else [search.team]
    dead = await store.problems.dead(search.queues)
    return {
        "stopped": await stopped_queues(store, search.queues),
        "dead": {queue: (letters.last_at, describe(letters)) for queue, letters in dead.items()},
        "webhooks": await webhook_problems(store, teams) if config.penpot.access_token else {},
    }


class _Printer:
    def __init__(self, *, as_json: bool, follow: bool, is_filtered: bool) -> None:
        self._as_json = as_json
        self._is_filtered = is_filtered
        self._follow = follow
        self._shown: dict[int, LogEntry] = {}  # by the event's id, the last ones
        self._problems: _Problems = {}

    def changed(self, entries: Sequence[LogEntry]) -> list[LogEntry]:
        """Those that are not shown as they are now."""
        return [entry for entry in entries if self._shown.get(entry.event.id) != entry]

    def keep(self, entries: Sequence[LogEntry]) -> None:
        """They are shown, or are not to be shown as they are now."""
        self._shown |= {entry.event.id: entry for entry in entries}
        for id_ in sorted(self._shown)[: -2 * MAX_LOG_COUNT]:
            del self._shown[id_]

    def print(self, problems: _Problems, entries: Sequence[LogEntry]) -> None:
        if self._as_json:
            _print_document(problems, entries, indent=None if self._follow else 2)
        else:
            self._print_lines(problems, entries)
        self._problems = problems
        self.keep(entries)

    def _print_lines(self, problems: _Problems, entries: Sequence[LogEntry]) -> None:
        for kind, form in _PROBLEM_FORMS.items():
            for subject, (at, text) in problems[kind].items():
                if self._problems.get(kind, {}).get(subject) != (at, text):
                    _echo(form.format(subject, _utc(at), in_user_terms(text)))
        if not entries and not self._follow:
            click.echo("no such events" if self._is_filtered else "no events yet")
        for entry in entries:
            before = self._shown.get(entry.event.id)
            _echo_event(entry)
            for delivery in entry.deliveries:
                if before is None or delivery not in before.deliveries:
                    _echo_delivery(delivery)


def _print_document(problems: _Problems, entries: Sequence[LogEntry], indent: int | None) -> None:
    listed = {
        kind: [
            {"subject": subject, "at": iso(at), "text": in_user_terms(text)}
            for subject, (at, text) in found.items()
        ]
        for kind, found in problems.items()
    }
    print_document({**listed, "events": [_event(entry) for entry in entries]}, indent=indent)


def _event(entry: LogEntry) -> dict[str, Any]:
    event = entry.event
    return {
        "id": event.id,
        "received_at": iso(event.received_at),
        "team": event.team,
        "name": event.name,
        "about": entry.about,
        "state": event.state,
        "reason": event.reason,
        "truncated_from": event.truncated_from,
        "deliveries": [_delivery(delivery) for delivery in entry.deliveries],
    }


def _delivery(delivery: Delivery) -> dict[str, Any]:
    is_next = delivery.state == "waiting" and delivery.next_at > time.time()
    return {
        "id": delivery.id,
        "queue": delivery.queue,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "error": in_user_terms(delivery.error),
        "undecided": delivery.undecided.split(),
        "next_at": iso(delivery.next_at) if is_next else None,
        "held_until": iso(delivery.held_until) if delivery.state == "held" else None,
    }


def _echo_event(entry: LogEntry) -> None:
    event, count = entry.event, len(entry.deliveries)
    name = event.name or f"{len(event.body)} bytes"
    if event.truncated_from:
        name = f"truncated: {event.truncated_from} bytes were received"
    sent_on = f"{count} deliver{'y' if count == 1 else 'ies'}" if count else ""
    details = "; ".join(filter(None, (sent_on, event.reason)))
    why = f" ({details})" if details else ""
    about = f"  {entry.about}" if entry.about else ""
    start = f"{_utc(event.received_at)}  #{event.id}  {event.team}  {name}{about}"
    click.echo(f"{one_line(start)}  {colored(event.state)}{one_line(why)}")


def _echo_delivery(delivery: Delivery) -> None:
    shown, details = colored(delivery.state), f": {delivery.error}" if delivery.error else ""
    if delivery.state == "waiting" and delivery.undecided:
        shown = f"{shown}: {describe_undecided(delivery.undecided)}"
    elif delivery.state == "waiting" and delivery.next_at > time.time():
        details += f", next attempt {_utc(delivery.next_at)}"
    elif delivery.state == "held":
        shown = f"{shown} until {_utc(delivery.held_until)}"
    attempts = f" after {delivery.attempts} attempts" if delivery.attempts > 1 else ""
    start = f"  {delivery.id:>6}  {delivery.queue}"
    click.echo(f"{start}  {shown}{attempts}{one_line(in_user_terms(details))}")


def _echo(line: str) -> None:
    click.echo(one_line(line))


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
