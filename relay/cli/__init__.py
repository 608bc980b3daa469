"""The command line: a module for the commands of each subject."""

import click

from relay import __version__
from relay.cli import configuration, deliveries, log, messages, service, setup, store
from relay.cli.command import Commands
from relay.cli.output import schema

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
    log.log,
    deliveries.resend,
    deliveries.dismiss,
    store.store,
)


def _print_schema(context: click.Context, _: click.Parameter, is_given: bool) -> None:
    if is_given:
        click.echo(schema(), nl=False)
        context.exit()


@click.group(
    cls=Commands, commands=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="relay")
@click.option(
    "--json-schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_schema,
    help="Print the JSON Schema of what --json prints and exit.",
)
def main() -> None:
    """Send Penpot's events to Slack, Matrix and email."""
