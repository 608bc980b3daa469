"""What all commands share: their classes, ``--config``, and how they print."""

import asyncio
import contextlib
import errno
import os
import sys
from typing import Any

import click

from relay.config.environment import in_variables
from relay.config.load import ConfigError, config_file
from relay.errors import RelayError

CONFIG = click.option(
    "--config",
    "path",
    metavar="FILE",
    type=click.Path(),  # for the shell's completion
    help="Config file. Default: RELAY_CONFIG, ./relay.toml, or RELAY_* variables without a file.",
)

_OUTPUT_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class Command(click.Command):
    """Runs its callback, which may be a coroutine function, and prints what it raises.

    What a command reports goes to standard output, whether good or bad; why the command itself
    can't do its work goes to standard error."""

    reports_config = False  # whether an invalid config is what it reports
    names_keys = False  # whether its texts name keys of the config where there is no file, too

    def invoke(self, context: click.Context) -> Any:
        has_file = self.names_keys or config_file(context.params.get("path"), os.environ)
        context.obj = in_user_terms = str if has_file else in_variables
        try:
            result = super().invoke(context)
            return asyncio.run(result) if asyncio.iscoroutine(result) else result
        except ConfigError as error:
            for problem in error.problems:
                click.echo(f"FAIL  {in_user_terms(problem)}", err=not self.reports_config)
            sys.exit(1)
        except RelayError as error:
            raise click.ClickException(in_user_terms(str(error))) from error


class ConfigReport(Command):
    reports_config = True


class Commands(click.Group):
    command_class = Command
    group_class = type  # groups in it are of this class too

    def main(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().main(*args, **extra)
        except OSError as error:
            if error.errno not in _OUTPUT_ERRORS or error.filename is not None:
                raise
            # for Python's last flush
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            with contextlib.suppress(OSError):
                click.echo(f"Error: can't write the output: {error.strerror}", err=True)
            sys.exit(1)


def echo(text: str) -> None:
    """Print a text that may name keys of the config."""
    click.echo(click.get_current_context().obj(text))


def report(status: str, subject: str, text: str) -> None:
    """``status`` is that of a ``Finding``."""
    echo(f"{status:<4}  {subject}: {text}")
