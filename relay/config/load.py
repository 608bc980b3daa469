"""Loads ``relay.toml`` or the environment into ``Config``, and reports all problems at once."""

import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from relay.channels import CHANNEL_TYPES
from relay.channels.base import ChannelSettings
from relay.config.environment import (
    add_to_file,
    empty_secrets,
    explain_empty,
    from_environment,
    ignored_beside_file,
    is_service_link,
)
from relay.config.secret import Secret, SecretSources, copying_error
from relay.config.settings import Config
from relay.config.toml_errors import explain
from relay.config.types import did_you_mean
from relay.errors import RelayError
from relay.penpot.text import uuid
from relay.proxy_variables import ProxyVariables
from relay.tls_variables import tls_problems

_NO_CONFIG_RULE = (
    "does not exist: create it, name a file with --config or RELAY_CONFIG, or set RELAY_SECRET "
    "(create one with: python3 -c 'import secrets; print(secrets.token_urlsafe(24))') and the "
    "variables of a channel"
)


class ConfigError(RelayError):
    """An invalid config: each problem is a line with file, key, value and rule."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(
    path: str | None = None, environ: Mapping[str, str] | None = None, *, secrets: bool = True
) -> Config:
    """The config from ``path``, else ``RELAY_CONFIG``, else ``./relay.toml``, else the ``RELAY_*``
    variables alone. Raises ``ConfigError`` with every problem.

    ``RELAY_ADMIN_HOST`` and ``RELAY_ADMIN_PORT`` replace the keys of a file.

    With ``secrets`` false a file's secrets are not read: for commands that need none and run
    without the service's environment.
    """
    environ = os.environ if environ is None else environ
    if file := config_file(path, environ):
        return read_tables(_read(file), file, environ, secrets=secrets)
    if any(
        name.startswith("RELAY_") and not is_service_link(name, value)
        for name, value in environ.items()
    ):
        raw, names, problems = from_environment(environ)
        config = _validated(raw, names, problems, "environment", environ, secrets=secrets)
        return config.with_advice(empty_secrets(environ))
    raise ConfigError(f"relay.toml: file: {_NO_CONFIG_RULE}")


def read_tables(
    raw: dict[str, Any], file: str, environ: Mapping[str, str], *, secrets: bool = True
) -> Config:
    """The config from the ``raw`` tables of a file, as ``load``."""
    names, problems = add_to_file(raw, environ)
    config = _validated(raw, names, problems, file, environ, secrets=secrets)
    return config.with_advice(ignored_beside_file(raw, environ))


def _validated(
    raw: dict[str, Any],
    names: Mapping[str, str],
    problems: list[str],
    file: str,
    environ: Mapping[str, str],
    *,
    secrets: bool,
) -> Config:
    """``names`` has the variable of each key that has one."""
    problems = [f"environment: {problem}" for problem in problems]
    details: list[ErrorDetails] = []
    try:
        config = Config.model_validate(raw, context=SecretSources(environ, is_read=secrets))
    except ValidationError as error:
        details = error.errors(include_url=False)
    # Secrets that can't be read come first, rules about several keys last.
    details.sort(key=lambda error: {"unread": 0, "rule": 2}.get(error["type"], 1))
    problems += [_problem(error, names, file, raw) for error in details]
    if secrets:  # the command may open connections
        found = [*ProxyVariables(environ).problems, *tls_problems(environ)]
        problems += [f"environment: {text}" for text in found]
    if problems:
        if file == "environment":
            problems = [explain_empty(problem, environ) for problem in problems]
        raise ConfigError(*problems)
    return config


def config_file(path: str | None, environ: Mapping[str, str]) -> str:
    """The file that ``load`` reads; empty for the environment alone."""
    default = "relay.toml" if Path("relay.toml").is_file() else ""
    return path or environ.get("RELAY_CONFIG") or default


def _read(file: str) -> dict[str, Any]:
    text = ""
    try:
        text = Path(file).read_text(encoding="utf-8-sig")  # Windows editors write that mark
        return tomllib.loads(text)
    except OSError as error:
        rule = f"can't be read ({error.strerror}); name a file with --config or RELAY_CONFIG"
        if copied := copying_error(file):
            rule = f"can't be read: its name {copied}"
        raise ConfigError(f"{file}: file: {rule}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: file: is not UTF-8: save it in that encoding") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: file: {explain(str(error), text)}") from error


def warnings(config: Config) -> list[str]:
    """Advice about a valid config."""
    advice = list(config.advice)
    for name, team in config.teams.items():
        if not team.channels:
            advice.append(f"teams.{name} has no channels: its events are stored but not sent")
        advice += [
            f"teams.{name}.channels.{channel.name}: {channel.advice}"
            for channel in team.channels
            if channel.advice
        ]
    advice += [
        f'{key} is in the config file as plain text: use {{ env = "NAME" }} or {{ file = "…" }}'
        for key in _plain_secrets(config)
    ]
    if (postgres := config.store.postgres) is not None:
        advice += [f"store.url: {text}" for text in postgres.advice]
    secrets = Counter(secret for team in config.teams.values() for secret in team.secret)
    shared = [
        name
        for name, team in config.teams.items()
        if any(secrets[secret] > 1 for secret in team.secret)
    ]
    if shared:
        advice.append(f"the teams {', '.join(shared)} have the same secret: give each its own")
    advice += _holds_without_zone(config)
    if config.penpot.access_token is None:
        advice += _filters_without_token(config)
    if not config.server.public_url:
        advice.append("server.public_url is not set: hook URLs are shown with localhost")
    return advice


def _holds_without_zone(config: Config) -> Iterator[str]:
    for team, settings in config.teams.items():
        for channel in settings.channels:
            if channel.holds and not config.locale(team, channel).zone:
                key = "schedule" if channel.schedule else "quiet"
                text = f'{key} is in UTC: set timezone, such as "Europe/Madrid"'
                yield f"teams.{team}.channels.{channel.name}: {text}"


def _filters_without_token(config: Config) -> Iterator[str]:
    """Few events name their file and their author, and a comment does not name its project."""
    for team, settings in config.teams.items():
        for channel in settings.channels:
            keys = ["projects"] if channel.projects else []
            for key in ("files", "actors"):
                entries = getattr(channel, key)
                keys += [] if all(uuid(each.removeprefix("!")) for each in entries) else [key]
            if keys:
                yield (
                    f"teams.{team}.channels.{channel.name}: {' and '.join(keys)} need "
                    "penpot.access_token: without it Relay knows only what earlier events named"
                )


def _plain_secrets(value: object, key: str = "") -> Iterator[str]:
    """The keys of secrets that the config file itself contains, without hashes and without a
    store's URL that has no password."""
    if isinstance(value, Secret) and value.plain:
        text = value.reveal()
        is_hash = text.startswith("$argon2")
        is_bare = key == "store.url" and not re.search(r":[^/]*@|password=", text)
        if not (is_hash or is_bare):
            yield key
    if isinstance(value, tuple):  # of a team's secrets, or of channels
        if any(isinstance(item, Secret) and item.plain for item in value):
            yield key
        value = {item.name: item for item in value if isinstance(item, ChannelSettings)}
    if isinstance(value, dict | BaseModel):
        for name, item in dict(value).items():
            yield from _plain_secrets(item, f"{key}.{name}".removeprefix("."))


def _problem(
    details: ErrorDetails, names: Mapping[str, str], file: str, raw: Mapping[str, Any]
) -> str:
    path = _path(details["loc"])
    list_path = re.sub(r"\[\d+\]$", "", path)  # one variable holds the whole list
    variable = names.get(path) or names.get(list_path)
    key = f"environment: {variable}" if variable else f"{file}: {_path(details['loc'], raw)}"
    rule = rule_of(details, path)
    match details["type"]:
        # no value: ``smtp = "smtp://user:password@host"``
        case "missing" | "model_type" | "dict_type" | "unknown" | "unread":
            return f"{key}: {rule}"
        case "secret":
            return f"{key} = ***: {rule}"
    shown = "" if details["input"] is None else f" = {_show(details['input'])}"
    return f"{key}{shown}: {rule}"


def rule_of(details: ErrorDetails, path: str = "") -> str:
    """The rule that a key breaks, for a person, without its value. ``path`` is the key's."""
    kind, rule = details["type"], details["msg"]
    match kind:
        case "missing":
            return "is required"
        case "model_type" | "dict_type":
            return "must be a table"
        case "unknown" | "unread" | "secret":
            return rule
        case "value_error":
            rule = str(details["ctx"]["error"])
        case "tuple_type":
            is_table = isinstance(details["input"], dict)
            rule = (
                f"must be a list: write [[{path}]]" if is_table else 'must be a list, such as ["…"]'
            )
        case "too_short":
            rule = "must not be empty"
        case "bool_type":
            rule = "must be true or false"
        case "literal_error":
            hint = did_you_mean(str(details["input"]), re.findall("'([^']*)'", rule))
            rule = rule.replace("'", '"') + hint
    if isinstance(details["input"], str):
        rule = _unquoted(kind, details["input"]) or copying_error(details["input"]) or rule
    rule = rule.replace("Input should", "must")
    return f"{rule[:1].lower()}{rule[1:]}"


def _unquoted(kind: str, text: str) -> str:
    """The rule for a number, or true or false, in quotation marks; empty for any other text."""
    forms = {
        "int_type": r"-?\d{1,20}",
        "float_type": r"-?\d{1,20}(\.\d+)?",
        "bool_type": "true|false",
    }
    form = forms.get(kind)
    if form is None or not re.fullmatch(form, text, re.IGNORECASE | re.ASCII):
        return ""
    what = "true or false" if kind == "bool_type" else "a number"
    return f"must be {what}: write {text.lower()} without quotation marks"


def _path(loc: tuple[int | str, ...], raw: object = None) -> str:
    """An error's path in the file, from pydantic's ``loc``. With the ``raw`` tables, the name of a
    channel is in place of its number."""
    path = ""
    for part in loc:
        tables, raw = raw, _item(raw, part)
        if isinstance(part, int) and (name := _own_name(raw, tables)):
            part = name
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]":
            key = part if re.fullmatch(r"[\w-]+", part, re.ASCII) else f'"{part}"'
            path += f".{key}" if path else key
    return path


def _item(value: object, key: int | str) -> object:
    if isinstance(value, dict):
        return value.get(key)
    return value[key] if isinstance(value, list) and isinstance(key, int) else None


def _own_name(table: object, tables: object) -> str:
    """The name that only this one of the tables has; empty if there is none."""
    names = [_item(each, "name") for each in tables] if isinstance(tables, list) else []
    name = _item(table, "name")
    return name if isinstance(name, str) and names.count(name) == 1 else ""


def _show(value: object) -> str:
    if isinstance(value, dict | list | tuple):
        return "{…}" if isinstance(value, dict) else "[…]" if value else "[]"
    secrets = [kind.secrets for kind in CHANNEL_TYPES.values() if kind.secrets]
    secrets.append(":.*@|password=")  # of an address
    if re.search("|".join(secrets), str(value), re.IGNORECASE | re.DOTALL):
        return "***"
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str | Path) else str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
