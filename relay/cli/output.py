"""What commands print: lines for people or, with ``--json``, one document for programs."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files

import click

from relay.logs import safe_text

DOCUMENT_VERSION = 1
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
_COLORS = {
    "ok": "green",
    "note": "yellow",
    "FAIL": "red",
    "fanned-out": "green",
    "unreadable": "red",
    "waiting": "yellow",
    "held": "cyan",
    "sent": "green",
    "dead": "red",
}
"""Of a finding's status and of states; others have none."""


def schema() -> str:
    """The JSON Schema of the documents of all commands."""
    return (files("relay.cli") / "output.schema.json").read_text(encoding="utf-8")


def print_document(
    values: Mapping[str, object],
    *,
    errors: Sequence[str] = (),
    ok: bool = True,
    indent: int | None = 2,
) -> None:
    """``values``: the command's own keys. ``errors``: why the command itself failed; then it is not
    ``ok``. The document is ASCII: it has foreign text, and goes through every terminal and pipe."""
    document = {
        "version": DOCUMENT_VERSION,
        "command": click.get_current_context().info_name,
        "ok": ok and not errors,
        "errors": errors,
        **values,
    }
    click.echo(json.dumps(document, indent=indent))


def colored(word: str) -> str:
    """A status or state in its colour, which ``click.echo`` leaves out without a terminal."""
    return click.style(word, fg=_COLORS[word.strip()]) if word.strip() in _COLORS else word


def one_line(text: str) -> str:
    """Foreign text must not act on a terminal, nor look like a line of Relay's."""
    return safe_text(text).replace("\n", "⏎")


def iso(seconds: float) -> str:
    """``seconds`` since 1970 for programs, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
