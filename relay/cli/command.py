"""What all commands share: their classes, ``--config``, and how they print lines."""

import asyncio
import contextlib
import errno
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NoReturn

import click

from relay.cli.output import colored, print_document
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

NO_FILE = "the RELAY_* variables, without a file"  # of a config
_OUTPUT_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class Command(click.Command):
    """Runs its callback, which may be a coroutine function, and prints what it raises.

    What a command reports goes to standard output, whether good or bad; why the command itself
    can't do its work goes to standard error. With ``--json`` both are one document."""

    reports_config = False  # whether an invalid config is what it reports
    names_keys = False  # whether its texts name keys of the config where there is no file, too

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        has_json = "--json" in args and any(each.name == "as_json" for each in self.params)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if not has_json:
                raise
            _fail([error.format_message()], error.exit_code)

    def invoke(self, ctx: click.Context) -> Any:
        has_file = self.names_keys or config_file(ctx.params.get("path"), os.environ)
        ctx.obj = str if has_file else in_variables
        as_json = ctx.params.get("as_json", False)
        try:
            result = super().invoke(ctx)
            return asyncio.run(result) if asyncio.iscoroutine(result) else result
        except ConfigError as error:
            problems = [in_user_terms(problem) for problem in error.problems]
            if as_json:
                _fail(problems)
            for problem in problems:
                click.echo(f"{colored('FAIL')}  {problem}", err=not self.reports_config)
            sys.exit(1)
        except RelayError as error:
            if as_json:
                _fail([in_user_terms(str(error))])
            raise click.ClickException(in_user_terms(str(error))) from error
        except click.ClickException as error:
            if not as_json:
                raise
            _fail([in_user_terms(error.format_message())], error.exit_code)
        except click.Abort:
            if not as_json:
                raise
            _fail(["aborted"])


class ConfigReport(Command):
    reports_config = True


class Commands(click.Group):
    command_class = Command
    group_class = type  # groups in it are of this class too

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        # https://no-color.org; click itself leaves colours out only without a terminal
        extra.setdefault("color", False if os.environ.get("NO_COLOR") else None)
        return super().make_context(*args, **extra)

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


def _fail(errors: Sequence[str], status: int = 1) -> NoReturn:
    print_document({}, errors=errors)
    sys.exit(status)


def config_place(path: str | None) -> str | None:
    """The full path of the config file; None without one."""
    file = config_file(path, os.environ)
    return str(Path(file).absolute()) if file else None


def in_user_terms(text: str) -> str:
    """A text that may name keys of the config: without a file they are variables."""
    return str(click.get_current_context().obj(text))


def echo(text: str) -> None:
    """Print a text that may name keys of the config."""
    click.echo(in_user_terms(text))


def report(status: str, subject: str, text: str) -> None:
    """``status`` is that of a ``Finding``."""
    click.echo(f"{colored(f'{status:<4}')}  {in_user_terms(f'{subject}: {text}')}")


def output_aside() -> AbstractContextManager[object]:
    """What others print meanwhile goes to standard error, since a document follows."""
    return contextlib.redirect_stdout(sys.stderr)


def is_terminal() -> bool:
    """Whether a person reads the output and can answer a question."""
    return sys.stdin.isatty() and sys.stdout.isatty()
