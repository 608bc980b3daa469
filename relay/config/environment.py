"""The config from ``RELAY_*`` variables alone: one team and its channels."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from relay.channels import CHANNEL_TYPES
from relay.channels.base import ChannelType
from relay.config.secret import Secret
from relay.config.settings import DEFAULT_TEAM, Config, TeamSettings

_GENERAL = {
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
}
_TEAM = {"RELAY_SECRET": "secret", "RELAY_TEAM_ID": "team_id", "RELAY_TEAM_NAME": "name"}
_OFF = frozenset({"0", "false", "no", "off"})
_UNMAPPED = frozenset({"RELAY_CONFIG", "RELAY_EVENTS", "RELAY_ROLE"})

Problem = tuple[str, object, str]
"""Variable, value and rule."""


def known_variables() -> frozenset[str]:
    """All variables that Relay reads. ``…_FILE`` names a file that holds the secret."""
    names = set(_UNMAPPED)
    for model, keys in _tables():
        for name, key in keys.items():
            is_secret = key and Secret in _value_types(model, key)
            names |= {name, f"{name}_FILE"} if is_secret else {name}
    return frozenset(names)


def from_environment(
    environ: Mapping[str, str],
) -> tuple[dict[str, Any], dict[str, str], list[Problem]]:
    """Returns the raw tables, the variable of each key, and problems."""
    given = {
        name: value for name, value in environ.items() if name.startswith("RELAY_") and value != ""
    }
    problems = list(_name_problems(given))
    team_key = f"teams.{DEFAULT_TEAM}"
    names = {"teams": "RELAY_SECRET", f"{team_key}.secret": "RELAY_SECRET"}
    raw = _table(Config, _GENERAL, given, names, "")
    team = _table(TeamSettings, _TEAM, given, names, f"{team_key}.")
    if not team:
        return raw, names, problems
    raw["teams"] = {DEFAULT_TEAM: team}
    channels: list[dict[str, Any]] = []
    team["channels"] = channels
    for kind in CHANNEL_TYPES.values():
        if _is_given(kind, given):
            channels.append(_channel(kind, given, names, f"{team_key}.channels[{len(channels)}]."))
    if not channels:
        *others, last = (
            name for kind in CHANNEL_TYPES.values() for name in kind.variables.required
        )
        rule = f"set the variables of a channel: {', '.join(others)} or {last}"
        problems.append(("RELAY_*", None, rule))
    return raw, names, problems


def _name_problems(given: Mapping[str, str]) -> Iterator[Problem]:
    known = known_variables()
    for name in sorted(given.keys() - known):
        close = difflib.get_close_matches(name, sorted(known), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        yield name, None, f"unknown variable{hint}"  # its value may be a secret
    for name in sorted(given):
        if f"{name}_FILE" in known and f"{name}_FILE" in given:
            yield f"{name}_FILE", None, f"is set together with {name}: use only one"


def _tables() -> Iterator[tuple[type[BaseModel], Mapping[str, str]]]:
    yield Config, _GENERAL
    yield TeamSettings, _TEAM
    for kind in CHANNEL_TYPES.values():
        yield kind.settings, kind.variables.keys


def _is_given(kind: ChannelType, given: Mapping[str, str]) -> bool:
    """Whether there is a variable of this kind, other than a switch that is off."""
    return any(
        f"{name}_FILE" in given or (name in given and (key or given[name].lower() not in _OFF))
        for name, key in kind.variables.keys.items()
    )


def _channel(
    kind: ChannelType, given: Mapping[str, str], names: dict[str, str], prefix: str
) -> dict[str, Any]:
    variables = {name: key for name, key in kind.variables.keys.items() if key}
    for name, key in variables.items():  # also of missing keys, and of the tables that hold them
        names.setdefault(f"{prefix}{key.partition('.')[0]}", name)
        names[f"{prefix}{key}"] = name
    channel = _table(kind.settings, variables, given, names, prefix)
    if "RELAY_EVENTS" in given:
        names[f"{prefix}events"] = "RELAY_EVENTS"
        channel["events"] = _split(given["RELAY_EVENTS"])
    return {"name": kind.name, "type": kind.name} | channel


def _table(
    model: type[BaseModel],
    variables: Mapping[str, str],
    given: Mapping[str, str],
    names: dict[str, str],
    prefix: str,
) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, key in variables.items():
        types = _value_types(model, key)
        if name in given:
            value = _value(given[name], types)
        elif Secret in types and f"{name}_FILE" in given:
            name, value = f"{name}_FILE", {"file": given[f"{name}_FILE"]}
        else:
            continue
        names[f"{prefix}{key}"] = name
        *tables, last = key.split(".")
        into = table
        for part in tables:
            into = into.setdefault(part, {})
        into[last] = value
    return table


def _value(text: str, types: set[object]) -> object:
    if Secret in types:
        return Secret(text)
    if int in types and text.isdecimal():
        return int(text)
    return _split(text) if tuple in types else text


def _value_types(model: type[BaseModel], key: str) -> set[object]:
    """The types in the annotation of a key such as ``smtp.host``."""
    name, _, rest = key.partition(".")
    types: set[object] = set()
    parts: list[object] = [model.model_fields[name].annotation]
    while parts:
        part = parts.pop()
        types.add(get_origin(part) or part)
        parts += get_args(part)
    if not rest:
        return types
    inner = next(kind for kind in types if isinstance(kind, type) and issubclass(kind, BaseModel))
    return _value_types(inner, rest)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
