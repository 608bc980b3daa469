"""The config from ``RELAY_*`` variables alone: one team and its channels."""

import difflib
from collections.abc import Mapping
from typing import Any

from relay.config.secret import Secret

_PLAIN = {
    "RELAY_HOST": "server.host",
    "RELAY_PORT": "server.port",
    "RELAY_PUBLIC_URL": "server.public_url",
    "RELAY_STORE_URL": "store.url",
    "RELAY_RETENTION": "store.retention",
    "RELAY_PENPOT_URL": "penpot.url",
    "RELAY_PENPOT_ACCESS_TOKEN": "penpot.access_token",
    "RELAY_TEMPLATES_PATH": "templates.path",
    "RELAY_INSPECTOR_PASSWORD": "inspector.password",
    "RELAY_LOG_LEVEL": "log.level",
    "RELAY_LOG_FORMAT": "log.format",
    "RELAY_SECRET": "teams.default.secret",
    "RELAY_TEAM_ID": "teams.default.team_id",
    "RELAY_TEAM_NAME": "teams.default.name",
}
_CHANNELS = {
    "slack": {
        "RELAY_SLACK_WEBHOOK_URL": "webhook_url",
        "RELAY_SLACK_TOKEN": "token",
        "RELAY_SLACK_CHANNEL": "channel",
        "RELAY_SLACK_API_URL": "api_url",
    },
    "matrix": {
        "RELAY_MATRIX_HOMESERVER": "homeserver",
        "RELAY_MATRIX_ACCESS_TOKEN": "access_token",
        "RELAY_MATRIX_ROOM": "room",
    },
    "email": {
        "RELAY_EMAIL_TO": "to",
        "RELAY_EMAIL_SENDER": "sender",
        "RELAY_EMAIL_SMTP_HOST": "smtp.host",
        "RELAY_EMAIL_SMTP_PORT": "smtp.port",
        "RELAY_EMAIL_SMTP_USERNAME": "smtp.username",
        "RELAY_EMAIL_SMTP_PASSWORD": "smtp.password",
        "RELAY_EMAIL_SMTP_TLS": "smtp.tls",
    },
    "stdout": {"RELAY_STDOUT": ""},
}
_SECRETS = frozenset(
    {
        "RELAY_SECRET",
        "RELAY_STORE_URL",
        "RELAY_PENPOT_ACCESS_TOKEN",
        "RELAY_INSPECTOR_PASSWORD",
        "RELAY_SLACK_WEBHOOK_URL",
        "RELAY_SLACK_TOKEN",
        "RELAY_MATRIX_ACCESS_TOKEN",
        "RELAY_EMAIL_SMTP_PASSWORD",
    }
)
_NUMBERS = frozenset({"RELAY_PORT", "RELAY_EMAIL_SMTP_PORT"})
_OFF = frozenset({"0", "false", "no", "off"})
_UNMAPPED = frozenset({"RELAY_CONFIG", "RELAY_EVENTS", "RELAY_ROLE"})

KNOWN_VARIABLES = frozenset(
    {*_PLAIN, *_UNMAPPED, *(name for names in _CHANNELS.values() for name in names)}
    | {f"{name}_FILE" for name in _SECRETS}
)
"""All variables that Relay reads. ``…_FILE`` names a file that holds the secret."""


def from_environment(
    environ: Mapping[str, str],
) -> tuple[dict[str, Any], dict[str, str], list[tuple[str, object, str]]]:
    """Returns the raw tables, the variable of each key, and problems (variable, value, rule)."""
    given = {
        name: value for name, value in environ.items() if name.startswith("RELAY_") and value != ""
    }
    problems: list[tuple[str, object, str]] = []
    for name in sorted(given.keys() - KNOWN_VARIABLES):
        close = difflib.get_close_matches(name, sorted(KNOWN_VARIABLES), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        problems.append((name, None, f"unknown variable{hint}"))  # its value may be a secret
    for name in sorted(_SECRETS & given.keys()):
        if f"{name}_FILE" in given:
            problems.append((f"{name}_FILE", None, f"is set together with {name}: use only one"))
    raw: dict[str, Any] = {}
    names: dict[str, str] = {"teams": "RELAY_SECRET", "teams.default.secret": "RELAY_SECRET"}
    for name, key in _PLAIN.items():
        _take(given, name, raw, key, names, key)
    channels: list[dict[str, Any]] = []
    for kind, variables in _CHANNELS.items():
        if not given.keys() & {part for name in variables for part in (name, f"{name}_FILE")}:
            continue
        if kind == "stdout" and given.get("RELAY_STDOUT", "").lower() in _OFF:
            continue
        channel: dict[str, Any] = {"name": kind, "type": kind}
        prefix = f"teams.default.channels[{len(channels)}]"
        if kind == "email":
            names[f"{prefix}.smtp"] = "RELAY_EMAIL_SMTP_HOST"
        for name, key in variables.items():
            names[f"{prefix}.{key}"] = name
            if key:
                _take(given, name, channel, key, names, f"{prefix}.{key}")
        if "RELAY_EVENTS" in given:
            names[f"{prefix}.events"] = "RELAY_EVENTS"
            channel["events"] = _split(given["RELAY_EVENTS"])
        if isinstance(channel.get("to"), str):
            channel["to"] = _split(channel["to"])
        channels.append(channel)
    if "teams" in raw:
        raw["teams"]["default"]["channels"] = channels
        if not channels:
            rule = (
                "set the variables of a channel: RELAY_SLACK_WEBHOOK_URL, RELAY_SLACK_TOKEN, "
                "RELAY_MATRIX_ROOM, RELAY_EMAIL_TO or RELAY_STDOUT=1"
            )
            problems.append(("RELAY_*", None, rule))
    return raw, names, problems


def _take(
    given: Mapping[str, str],
    name: str,
    into: dict[str, Any],
    key: str,
    names: dict[str, str],
    full_key: str,
) -> None:
    value: object
    if name in given:
        value = given[name]
        if name in _SECRETS:
            value = Secret(given[name])
        elif name in _NUMBERS and given[name].isdecimal():
            value = int(given[name])
    elif name in _SECRETS and f"{name}_FILE" in given:
        value = {"file": given[f"{name}_FILE"]}
        name = f"{name}_FILE"
    else:
        return
    names[full_key] = name
    *tables, last = key.split(".")
    for table in tables:
        into = into.setdefault(table, {})
    into[last] = value


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
