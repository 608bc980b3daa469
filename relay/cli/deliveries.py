"""The commands about deliveries: resend, dismiss."""

import sys
from collections.abc import Mapping

import click

from relay.cli.choices import chosen_queues
from relay.cli.command import CONFIG, Command, is_terminal
from relay.cli.completion import complete_channel, complete_team
from relay.cli.output import AS_JSON, print_document
from relay.cli.store import opened
from relay.config.load import load
from relay.config.settings import Config
from relay.store.base import Store

ID = click.IntRange(1, 2**63 - 1)
IDS = click.argument("ids", metavar="[ID]...", nargs=-1, type=ID)
DEAD = click.option("--dead", is_flag=True, help="All dead letters.")
TEAM = click.option(
    "--team", help="With --dead: only those of this team.", shell_complete=complete_team
)
YES = click.option("--yes", is_flag=True, help="With --dead: ask no question in a terminal.")


@click.command(cls=Command)
@CONFIG
@IDS
@DEAD
@TEAM
@click.option("--event", type=ID, help="An event, by its #number in the log, for --channel.")
@click.option(
    "--channel",
    help="With --dead: only those of the channel with this name. With --event: the channel that "
    "gets it, such as a new one.",
    shell_complete=complete_channel,
)
@YES
@AS_JSON
async def resend(
    path: str | None,
    ids: tuple[int, ...],
    dead: bool,
    team: str | None,
    event: int | None,
    channel: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Send deliveries again.

    ID is a delivery's number in `relay log`.
    """
    if event is None:
        _require_choice(ids, dead, team, channel)
    elif ids or dead or team or not channel:
        raise click.UsageError("--event needs --channel, and no delivery IDs, --dead or --team")
    config = load(path, secrets=False)
    async with opened(config) as store:
        if event is not None:
            queued = await _queue_late(store, config, event, str(channel))
        elif ids:
            queued = await store.resend(ids)
        else:
            counts = await _chosen_counts(store, config, team, channel)
            _confirm("Send", counts, yes=yes)
            queued = await store.resend_dead(counts)
    _print_result(as_json, queued, "queued", f"{len(queued)} queued again", "delivery", ids)


@click.command(cls=Command)
@CONFIG
@IDS
@DEAD
@TEAM
@click.option(
    "--channel",
    help="With --dead: only those of the channel with this name.",
    shell_complete=complete_channel,
)
@YES
@AS_JSON
async def dismiss(
    path: str | None,
    ids: tuple[int, ...],
    dead: bool,
    team: str | None,
    channel: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Report dead letters no longer.

    They stay in the store, and can be sent again. ID is a delivery's number in `relay log`.
    """
    _require_choice(ids, dead, team, channel)
    config = load(path, secrets=False)
    async with opened(config) as store:
        if ids:
            dismissed = await store.problems.dismiss(ids)
        else:
            counts = await _chosen_counts(store, config, team, channel, undismissed=True)
            _confirm("Dismiss", counts, yes=yes)
            dismissed = await store.problems.dismiss_all(counts)
    noun, text = "dead letter that is reported", f"{len(dismissed)} dismissed"
    _print_result(as_json, dismissed, "dismissed", text, noun, ids)


def _require_choice(
    ids: tuple[int, ...], dead: bool, team: str | None, channel: str | None
) -> None:
    if bool(ids) == dead:
        raise click.UsageError("give either delivery IDs or --dead")
    if ids and (team or channel):
        raise click.UsageError("--team and --channel choose among all dead letters: use --dead")


async def _queue_late(store: Store, config: Config, event: int, channel: str) -> list[int]:
    from relay.delivery.late import deliver_late

    details = await store.queries.event(None, event)
    if details is None:
        raise click.ClickException(f"no such event: {event}")
    (queue,) = chosen_queues(config, details.event.team, channel)
    return await deliver_late(store, config, details, config.queues()[queue])


async def _chosen_counts(
    store: Store,
    config: Config,
    team: str | None,
    channel: str | None,
    *,
    undismissed: bool = False,
) -> dict[str, int]:
    """The number of dead letters by queue, also of channels that the config no longer has."""
    counts = await store.problems.dead_counts(undismissed=undismissed)
    chosen = chosen_queues(config, team, channel, counts)
    return {queue: counts[queue] for queue in chosen if queue in counts}


def _confirm(verb: str, counts: Mapping[str, int], *, yes: bool) -> None:
    """Ask in a terminal whether the command should go on. Raises ``click.Abort``."""
    if yes or not counts or not is_terminal():
        return
    count = sum(counts.values())
    what = "1 dead letter" if count == 1 else f"{count:,} dead letters"
    listed = ", ".join(f"{queue}: {number:,}" for queue, number in counts.items())
    click.confirm(f"{verb} {what} ({listed})?", abort=True, err=True)


def _print_result(
    as_json: bool, done: list[int], key: str, text: str, noun: str, ids: tuple[int, ...]
) -> None:
    """``noun`` is what the ``ids`` that are not ``done`` are none of."""
    unknown = ", ".join(map(str, sorted(set(ids) - set(done))))
    errors = [f"no such {noun}: {unknown}"] if unknown else []
    if as_json:
        print_document({key: done}, errors=errors)
        if errors:
            sys.exit(1)
        return
    click.echo(text)
    if errors:
        raise click.ClickException(errors[0])
