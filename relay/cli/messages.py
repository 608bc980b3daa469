"""The commands about messages and templates: preview, send, events."""

import os
import sys
from contextlib import nullcontext
from pathlib import Path

import click

from relay.channels import CHANNEL_TYPES, DEFAULT_KIND
from relay.cli.command import CONFIG, Command, echo, in_user_terms, output_aside
from relay.cli.completion import complete_channel, complete_event, complete_team
from relay.cli.output import AS_JSON, print_document
from relay.config.load import load

KIND = click.option(
    "--kind", type=click.Choice([*CHANNEL_TYPES]), help="The kind of channel, as its type."
)


@click.command(cls=Command)
@CONFIG
@click.argument("event", required=False, shell_complete=complete_event)
@click.option("--channel", help="A channel's name.", shell_complete=complete_channel)
@KIND
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
@click.option("--project", help="Name of the project of the samples, to try a channel's lists.")
def preview(
    path: str | None,
    event: str | None,
    channel: str | None,
    kind: str | None,
    team: str | None,
    payload: Path | None,
    project: str | None,
) -> None:
    """Print the message for EVENT, or for one event of each kind.

    With --payload or --project also which channels would get the event. Without --channel and
    --kind the message is that of standard output. Nothing is sent.
    """
    from relay.preview import render_previews

    _require_one(channel, kind)
    if payload and project:
        raise click.UsageError("--project is for samples: use it without --payload")
    config = (
        load(path)
        if path
        or os.environ.keys() & {"RELAY_CONFIG", "RELAY_SECRET", "RELAY_SECRET_FILE"}
        or Path("relay.toml").is_file()
        else None
    )
    texts = render_previews(
        config,
        event,
        kind=kind or DEFAULT_KIND,
        channel=channel,
        team=team,
        payload=payload,
        project=project,
    )
    for text in texts:
        click.echo(f"{text}\n")


@click.command(cls=Command)
@CONFIG
@click.argument("team", required=False, shell_complete=complete_team)
@click.option(
    "--channel",
    help="Only the channel with this name. Default: all channels.",
    shell_complete=complete_channel,
)
@KIND
@AS_JSON
async def send(
    path: str | None, team: str | None, channel: str | None, kind: str | None, as_json: bool
) -> None:
    """Send a test message to a team's channels.

    TEAM may be left out if there is only one.
    """
    from relay.preview import send_test, unknown_channel

    _require_one(channel, kind)
    config = load(path)
    if team is None and len(config.teams) == 1:
        team = next(iter(config.teams))
    if team not in config.teams:
        raise click.BadParameter(f"{team or 'TEAM'} is none of: {', '.join(config.teams)}")
    own = config.teams[team].channels
    channels = [each for each in own if channel in (None, each.name) and kind in (None, each.type)]
    if not channels and channel is not None:
        raise click.BadParameter(unknown_channel(channel, team, own))
    if not channels:
        raise click.BadParameter(f"team {team} has no channels{f' of kind {kind}' if kind else ''}")
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


def _require_one(channel: str | None, kind: str | None) -> None:
    if channel and kind:
        raise click.UsageError("give either --channel, a channel's name, or --kind")


@click.command(cls=Command)
@click.argument("event", required=False, shell_complete=complete_event)
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
