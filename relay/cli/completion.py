"""What the shell completes beside commands and options: names from config and catalogue."""

from collections.abc import Callable, Iterable

import click

from relay.channels import CHANNEL_TYPES
from relay.config.load import load
from relay.config.questions import questions
from relay.config.settings import Config
from relay.errors import RelayError
from relay.penpot.catalogue import CATALOGUE

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def _completing(candidates: Callable[[click.Context], Iterable[str]]) -> Complete:
    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        names = dict.fromkeys(candidates(context))
        return [name for name in names if name.startswith(incomplete)]

    return complete


def _config(context: click.Context) -> Config | None:
    """The one that the command would read; None where there is no valid one."""
    try:
        return load(context.params.get("path"), secrets=False)
    except RelayError:
        return None


def _teams(context: click.Context) -> Iterable[str]:
    config = _config(context)
    return config.teams if config else ()


def _channels(context: click.Context) -> Iterable[str]:
    """Names of the team's channels, or of all channels."""
    config = _config(context)
    team = context.params.get("team")
    for queue, channel in config.queues().items() if config else ():
        if team is None or queue.startswith(f"{team}/"):
            yield channel.name


def _keys(context: click.Context) -> Iterable[str]:
    """Of the channel that `relay init` sets up."""
    kind = CHANNEL_TYPES.get(context.params.get("kind") or "")
    return [f"{each.key}=" for each in questions(kind.settings)] if kind else ()


complete_team = _completing(_teams)
complete_channel = _completing(_channels)
complete_kind = _completing(lambda _: CHANNEL_TYPES)
complete_key = _completing(_keys)
complete_event = _completing(lambda _: CATALOGUE)
