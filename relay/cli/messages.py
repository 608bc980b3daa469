"""The commands about messages and templates: preview, send, events."""

import os
import sys
from pathlib import Path

import click

from relay.channels import CHANNEL_TYPES, DEFAULT_KIND
from relay.cli.command import CONFIG, Command, echo
from relay.cli.completion import complete_channel, complete_event, complete_team
from relay.config.load import load


@click.command(cls=Command)
@CONFIG
@click.argument("event", required=False, shell_complete=complete_event)
@click.option(
    "--channel",
    default=DEFAULT_KIND,
    shell_complete=complete_channel,
    help=f"A channel's name, or a type: {', '.join(CHANNEL_TYPES)}. Default: {DEFAULT_KIND}.",
)
@click.option(
    "--team",
    help="Team whose templates are used. Default: the first team.",
    shell_complete=complete_team,
)
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


@click.command(cls=Command)
@CONFIG
@click.argument("team", required=False, shell_complete=complete_team)
@click.option(
    "--channel",
    "only",
    help="A channel's name, or a type. Default: all channels.",
    shell_complete=complete_channel,
)
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
        echo(f"{team}/{settings.name}: {text}")
        failures += not is_sent
    if failures:
        sys.exit(1)


@click.command(cls=Command)
@click.argument("event", required=False, shell_complete=complete_event)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of what a webhook gets.")
def events(event: str | None, schema: bool) -> None:
    """List Penpot's events, or the template variables of EVENT."""
    from relay.messages import payload
    from relay.reference import describe_event, list_events

    if schema:
        click.echo(payload.schema(), nl=False)
    else:
        click.echo(describe_event(event) if event else list_events())
