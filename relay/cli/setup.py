"""The commands that write what the config needs: init, hash-password."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import click

from relay.channels import CHANNEL_TYPES
from relay.cli.command import Command
from relay.cli.completion import complete_key, complete_kind
from relay.config.questions import questions, ways


class _Init(Command):
    names_keys = True


def _content(context: click.Context, parameter: click.Parameter, name: str | None) -> str | None:
    """Of the file; ``-`` is standard input."""
    if name is None:
        return None
    with click.File(encoding="utf-8").convert(name, parameter, context) as file:
        return str(file.read()).strip()


def _assignments(
    context: click.Context, parameter: click.Parameter, values: Iterable[str]
) -> dict[str, str]:
    """By key the value, which is in a file for ``--set-file``."""
    answers = {}
    for value in values:
        key, sign, text = value.partition("=")
        if not sign or not key:
            form = "KEY=FILE" if parameter.name == "files" else "KEY=VALUE"
            raise click.BadParameter(f"must be {form}", context, parameter)
        if parameter.name == "files":
            text = _content(context, parameter, text) or ""
        answers[key] = text
    return answers


def _keys_of_kinds() -> Iterator[str]:
    for kind in CHANNEL_TYPES.values():
        asked = list(questions(kind.settings))
        by_way = [
            ", ".join(each.key for each in asked if each.way in ("", way))
            for way in ways(kind.settings) or [""]
        ]
        yield f"  {kind.name:<11} {'; or '.join(by_way) or 'none'}"


@click.command(
    cls=_Init,
    epilog="\n".join(["\b", "Keys of --set by channel:", *_keys_of_kinds()]),
)
@click.option(
    "--config",
    "path",
    metavar="FILE",
    type=click.Path(),
    help="Config file to write. Default: RELAY_CONFIG, or ./relay.toml.",
)
@click.option("--penpot-url", metavar="URL", help="Where people open Penpot.")
@click.option("--penpot-api-url", metavar="URL", help="Where Relay reaches it, if elsewhere.")
@click.option(
    "--penpot-token-file",
    "token",
    metavar="FILE",
    callback=_content,
    help="File with Penpot's access token; - for standard input.",
)
@click.option("--team", metavar="NAME", help="The team's name in Penpot, or its id.")
@click.option(
    "--kind",
    metavar="KIND",
    help=f"Kind of channel, one of {', '.join(CHANNEL_TYPES)}.",
    shell_complete=complete_kind,
)
@click.option(
    "--set",
    "values",
    metavar="KEY=VALUE",
    callback=_assignments,
    multiple=True,
    shell_complete=complete_key,
    help="A key of the channel, such as room=!abc:example.org.",
)
@click.option(
    "--set-file",
    "files",
    metavar="KEY=FILE",
    callback=_assignments,
    multiple=True,
    help="The same, from a file: for secrets, which other users see in a command line.",
)
@click.option("--public-url", metavar="URL", help="Where Penpot reaches Relay.")
@click.option("--host", help="Address to listen on.")
@click.option("--port", help="Port to listen on.")
@click.option("--admin-port", help="Port of the inspector.")
@click.option("--hook/--no-hook", "hook", default=None, help="Create the webhook in Penpot.")
@click.option("--send/--no-send", "sends", default=None, help="Send a first message.")
@click.option("--yes", is_flag=True, help="Ask nothing: take defaults for what no option gives.")
def init(
    path: str | None,
    penpot_url: str | None,
    penpot_api_url: str | None,
    token: str | None,
    team: str | None,
    kind: str | None,
    values: Mapping[str, str],
    files: Mapping[str, str],
    public_url: str | None,
    host: str | None,
    port: str | None,
    admin_port: str | None,
    hook: bool | None,
    sends: bool | None,
    yes: bool,
) -> None:
    """Write a config for one team and one channel, after a few questions.

    Each answer is tried at once. The config is relay.toml; the secrets are in a folder beside it
    that only you can read. Neither is ever overwritten.
    """
    from relay.logs import configure_logging
    from relay.setup.dialog import Dialog
    from relay.setup.steps import Setup, SetupOptions

    configure_logging("error", "text")
    server = {"host": host, "port": port, "public_url": public_url}
    options = SetupOptions(
        penpot_url=penpot_url,
        penpot_api_url=penpot_api_url,
        token=token,
        team=team,
        kind=kind,
        keys={**values, **files},
        server={key: value for key, value in server.items() if value is not None},
        admin={"port": admin_port} if admin_port is not None else {},
        creates_hook=hook,
        sends=sends,
    )
    file = Path(path or os.environ.get("RELAY_CONFIG") or "relay.toml")
    if not Setup(file, Dialog(silent=yes), options).run():
        sys.exit(1)


@click.command("hash-password", cls=Command)
def hash_password() -> None:
    """Print the hash of a password, for inspector.password or a team's inspector_password.

    Asks for the password, or reads it from standard input.
    """
    from argon2 import PasswordHasher

    from relay.config.listeners import InspectorSettings
    from relay.config.questions import broken_rule
    from relay.config.secret import Secret

    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    rule = broken_rule(InspectorSettings, {"password": Secret(password)}, "password")
    if not rule and password.startswith("$"):
        rule = "is a hash already"
    if rule:
        raise click.ClickException(f"the password {rule}")
    click.echo(PasswordHasher().hash(password))
