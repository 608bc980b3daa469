"""The commands about messages and templates: preview, send, events."""

import os
import sys
from contextlib import nullcontext
from pathlib import Path

import click

from relay.channels import CHANNEL_TYPES, DEFAULT_KIND
from relay.cli.command import CONFIG, Command, echo, in_user_terms, output_aside
from relay.cli.output import AS_JSON, print_document
from relay.config.load import load


@click.command(cls=Command)
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


@click.command(cls=Command)
@CONFIG
@click.argument("team", required=False)
@click.option("--channel", "only", help="A channel's name, or a type. Default: all channels.")
@AS_JSON
async def send(path: str | None, team: str | None, only: str | None, as_json: bool) -> None:
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
    results = []
    for settings in channels:
        queue = f"{team}/{settings.name}"
        with output_aside() if as_json else nullcontext():
            is_sent, text = await send_test(config, team, settings)
        results.append({"queue": queue, "sent": is_sent, "text": in_user_terms(text)})
        if not as_json:
            echo(f"{queue}: {text}")
    ok = all(result["sent"] for result in results)
    if as_json:
        print_document({"results": results}, ok=ok)
    if not ok:
        sys.exit(1)


@click.command(cls=Command)
@click.argument("event", required=False)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of what a webhook gets.")
@AS_JSON
def events(event: str | None, schema: bool, as_json: bool) -> None:
    """List Penpot's events, or the template variables of EVENT."""
    from relay.messages import payload
    from relay.reference import describe_event, document, list_events

    if schema:
        click.echo(payload.schema(), nl=False)
    elif as_json:
        print_document(document(event))
    else:
        click.echo(describe_event(event) if event else list_events())
