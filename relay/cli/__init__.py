"""The command line: a module for the commands of each subject."""

import click

from relay import __version__
from relay.cli import configuration, deliveries, messages, service, setup, store
from relay.cli.command import Commands

COMMANDS = (
    setup.init,
    service.serve,
    service.demo,
    service.health,
    configuration.check,
    configuration.doctor,
    setup.hash_password,
    messages.preview,
    messages.send,
    messages.events,
    deliveries.log,
    deliveries.resend,
    deliveries.dismiss,
    store.store,
)


@click.group(
    cls=Commands, commands=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="relay")
def main() -> None:
    """Send Penpot's events to Slack, Matrix and email."""
