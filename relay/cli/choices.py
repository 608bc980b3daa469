"""Options by which several commands choose teams and channels."""

from collections.abc import Iterable

import click

from relay.config.settings import Config


def require_known(option: str, name: str | None, names: Iterable[str]) -> None:
    """Raises ``click.BadParameter``. None is no choice."""
    if name is not None and name not in (listed := list(names)):
        known = ", ".join(listed) or "there is none"
        raise click.BadParameter(f"{option} {name} is none of: {known}")


def chosen_queues(
    config: Config, team: str | None, channel: str | None, others: Iterable[str] = ()
) -> list[str]:
    """The queues of this team or all, with this channel's name or any. ``others`` are queues that
    the config no longer has. Raises ``click.BadParameter``."""
    parts = {queue: queue.partition("/") for queue in [*config.queues(), *others]}
    require_known(
        "--team", team, dict.fromkeys([*config.teams, *(each[0] for each in parts.values())])
    )
    parts = {queue: each for queue, each in parts.items() if team in (None, each[0])}
    require_known("--channel", channel, dict.fromkeys(each[2] for each in parts.values()))
    return [queue for queue, each in parts.items() if channel in (None, each[2])]
