"""Loads ``relay.toml`` or the environment into ``Config``, and reports all problems at once."""

import difflib
import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from relay.config.environment import from_environment
from relay.config.secret import Secret
from relay.config.settings import AnyChannel, Config
from relay.errors import RelayError

_NO_CONFIG_RULE = (
    "does not exist: create it, name a file with --config or RELAY_CONFIG, or set RELAY_SECRET "
    "(create one with: python3 -c 'import secrets; print(secrets.token_urlsafe(24))') and the "
    "variables of a channel"
)
_SECRETS = frozenset(
    {"secret", "token", "access_token", "webhook_url", "password", "inspector_password"}
)
_SECRET_PATTERN = re.compile(
    r""" : .* @                           # user and password of an address
    | hooks\.slack | /services/           # URL of a Slack webhook
    | \b ( xox | xapp- | syt_ | mat_ )    # prefixes of Slack's and Matrix homeservers' tokens
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
"""Matches secrets in the values of other keys."""


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """``value`` is None when there is none, and for an unknown key, which may be the misspelled key
    of a secret. Neither ``str`` nor ``repr`` shows a secret."""

    file: str
    key: str
    value: object = field(repr=False)
    rule: str

    def __str__(self) -> str:
        value = "" if self.value is None else f" = {_show(self.key, self.value)}"
        return f"{self.file}: {self.key}{value}: {self.rule}"


class ConfigError(RelayError):
    """An invalid config, with every problem."""

    def __init__(self, problems: list[ConfigProblem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def load(
    path: str | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    secrets: bool = True,
) -> Config:
    """The config from ``path``, else ``RELAY_CONFIG``, else ``./relay.toml``, else the ``RELAY_*``
    variables alone. Raises ``ConfigError`` with every problem.

    With ``secrets`` false a file's secrets are not read: for commands that need none and run
    without the service's environment.
    """
    environ = os.environ if environ is None else environ
    chosen = path or environ.get("RELAY_CONFIG") or None
    if chosen is None and Path("relay.toml").is_file():
        chosen = "relay.toml"
    if chosen is None:
        raw, names, problems = from_environment(environ)
        if not any(name.startswith("RELAY_") for name in environ):
            raise ConfigError([ConfigProblem("relay.toml", "file", None, _NO_CONFIG_RULE)])
        listed = [ConfigProblem("environment", *problem) for problem in problems]
        return _build(raw, "environment", environ, names, listed)
    try:
        raw = tomllib.loads(Path(chosen).read_text(encoding="utf-8"))
    except OSError as error:
        rule = f"can't be read ({error.strerror}); name a file with --config or RELAY_CONFIG"
        raise ConfigError([ConfigProblem(chosen, "file", None, rule)]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([ConfigProblem(chosen, "file", None, f"is not TOML: {error}")]) from error
    return _build(raw, chosen, environ, {}, [], secrets=secrets)


def warnings(config: Config) -> list[str]:
    """Advice about a valid config."""
    advice = []
    plain = [("penpot.access_token", config.penpot.access_token)]
    if not _is_hash(config.inspector.password):
        plain.append(("inspector.password", config.inspector.password))
    if urlsplit(config.store.url.reveal()).password:
        plain.append(("store.url", config.store.url))
    for name, team in config.teams.items():
        plain.append((f"teams.{name}.secret", team.secret))
        if not _is_hash(team.inspector_password):
            plain.append((f"teams.{name}.inspector_password", team.inspector_password))
        if not team.channels:
            advice.append(f"teams.{name} has no channels: its events are stored but not sent")
        for channel in team.channels:
            key = f"teams.{name}.channels.{channel.name}"
            plain += [(f"{key}.{field}", value) for field, value in channel if field in _SECRETS]
            if channel.type == "email":
                plain.append((f"{key}.smtp.password", channel.smtp.password))
    advice += [
        f'{key} is in the config file as plain text: use {{ env = "NAME" }} or {{ file = "…" }}'
        for key, value in plain
        if value is not None and value.plain
    ]
    secrets = Counter(team.secret.reveal() for team in config.teams.values())
    shared = [name for name, team in config.teams.items() if secrets[team.secret.reveal()] > 1]
    if shared:
        advice.append(f"the teams {', '.join(shared)} have the same secret: give each its own")
    if not config.server.public_url:
        advice.append("server.public_url is not set: hook URLs are shown with localhost")
    elif config.inspector.password is None and not config.inspector.trusted_header:
        advice.append(
            "inspector.password is not set: a reverse proxy on this machine must forward only "
            "/hooks/, since its requests may look like those of a local browser"
        )
    return advice


def _is_hash(password: Secret | None) -> bool:
    return password is not None and password.reveal().startswith("$argon2")


def _build(
    raw: dict[str, Any],
    file: str,
    environ: Mapping[str, str],
    names: Mapping[str, str],
    problems: list[ConfigProblem],
    *,
    secrets: bool = True,
) -> Config:
    resolved, unread = _resolve_secrets(raw, "", environ, secrets=secrets)
    problems = problems + [
        ConfigProblem(file, names.get(key, key), value, rule) for key, value, rule in unread
    ]
    missing = {names.get(key, key) for key, _, _ in unread}
    config = None
    try:
        config = Config.model_validate(resolved)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            problem = _problem(file, details, names)
            if problem.key not in missing:
                problems.append(problem)
    problems += [
        ConfigProblem(file, names.get(key, key), value, rule)
        for key, value, rule in _cross_key_problems(resolved)
    ]
    if config is None or problems:
        raise ConfigError(problems)
    return config


def _resolve_secrets(
    node: Any, key: str, environ: Mapping[str, str], *, secrets: bool
) -> tuple[Any, list[tuple[str, object, str]]]:
    """``node`` with each secret's ``{ env = … }`` or ``{ file = … }`` read. Without ``secrets``
    each gets a placeholder, but for ``store.url``, which every command needs."""
    problems: list[tuple[str, object, str]] = []
    if isinstance(node, list):
        parts = [
            _resolve_secrets(item, f"{key}[{i}]", environ, secrets=secrets)
            for i, item in enumerate(node)
        ]
        return [part for part, _ in parts], [problem for _, listed in parts for problem in listed]
    if not isinstance(node, dict):
        return node, problems
    if (key.rpartition(".")[2] in _SECRETS or key == "store.url") and len(node) == 1:
        ((source, name),) = node.items()
        if not secrets and key != "store.url":
            is_url = key.endswith(".webhook_url")
            return Secret("https://not-read.invalid/" if is_url else "not-read-by-this-command"), []
        if source == "env" and isinstance(name, str):
            is_name = name.isidentifier() and not _SECRET_PATTERN.search(name)  # not the secret
            variable = f"the environment variable {name}" if is_name else "the variable"
            text, rule = environ.get(name, ""), f"{variable} is not set"
        elif source == "file" and isinstance(name, str):
            text, rule = _read_secret(name)
        else:
            return node, problems
        if not text:
            problems.append((key, None, rule))
        return Secret(text), problems
    result = {}
    for name, value in node.items():
        below = f"{key}.{name}" if key else name
        result[name], listed = _resolve_secrets(value, below, environ, secrets=secrets)
        problems += listed
    return result, problems


def _read_secret(name: str) -> tuple[str, str]:
    try:
        return Path(name).read_text(encoding="utf-8").strip(), f"the file {name} is empty"
    except (OSError, UnicodeDecodeError) as error:
        return "", f"the file {name} can't be read ({getattr(error, 'strerror', 'not UTF-8')})"


def _cross_key_problems(raw: Mapping[str, Any]) -> Iterator[tuple[str, object, str]]:
    """Rules about several keys. They use the raw tables, so that their problems are reported
    together with those of single keys."""
    yield from _people_problems(raw.get("people"))
    yield from _inspector_problems(raw.get("inspector"), raw.get("templates"))
    penpot = raw.get("penpot")
    has_token = isinstance(penpot, dict) and "access_token" in penpot
    teams = raw.get("teams")
    for team, settings in teams.items() if isinstance(teams, dict) else ():
        channels = settings.get("channels") if isinstance(settings, dict) else None
        seen: set[object] = set()
        for number, channel in enumerate(channels if isinstance(channels, list) else ()):
            key = f"teams.{team}.channels[{number}]"
            if not isinstance(channel, dict):
                continue
            name = channel.get("name")
            if isinstance(name, str) and name in seen:
                yield f"{key}.name", name, f"must be unique in teams.{team}"
            seen.add(name if isinstance(name, str) else None)
            if channel.get("type") == "slack":
                yield from _slack_problems(key, channel)
            elif channel.get("type") == "matrix":
                yield from _matrix_problems(key, channel)
            if channel.get("edits") == "in-place":
                yield from _edit_problems(key, channel)
            if channel.get("thumbnails") is True and not has_token:
                rule = "needs penpot.access_token, to get the pictures from Penpot"
                yield f"{key}.thumbnails", True, rule
            smtp = channel.get("smtp")
            if isinstance(smtp, dict) and ("username" in smtp) != ("password" in smtp):
                absent = "password" if "username" in smtp else "username"
                yield (
                    f"{key}.smtp.{absent}",
                    None,
                    "goes together with the other one",
                )
        yield from _alert_problems(f"teams.{team}.alerts_to", settings, channels)


def _inspector_problems(inspector: object, templates: object) -> Iterator[tuple[str, object, str]]:
    if not isinstance(inspector, dict):
        return
    if "trusted_proxies" in inspector and "trusted_header" not in inspector:
        yield "inspector.trusted_header", None, "is required with trusted_proxies"
    folder = isinstance(templates, dict) and "path" in templates
    if inspector.get("write_templates") is True and not folder:
        rule = "needs templates.path, the folder to write to"
        yield "inspector.write_templates", True, rule


def _edit_problems(key: str, channel: Mapping[str, Any]) -> Iterator[tuple[str, object, str]]:
    by_bot = channel.get("type") == "slack" and "token" in channel
    if not by_bot and channel.get("type") != "matrix":
        rule = 'works only for Slack with token and for Matrix: use "messages" or "none"'
        yield f"{key}.edits", "in-place", rule
    elif channel.get("direct"):
        rule = 'does not work with direct: use "messages" or "none"'
        yield f"{key}.edits", "in-place", rule


def _people_problems(people: object) -> Iterator[tuple[str, object, str]]:
    seen: dict[tuple[str, str], str] = {}
    for person, places in people.items() if isinstance(people, dict) else ():
        for kind, value in places.items() if isinstance(places, dict) else ():
            if not isinstance(value, str):
                continue
            other = seen.setdefault((kind, value.lower()), person)
            if other != person:
                yield f'people."{person}".{kind}', value, f'already belongs to "{other}"'


def _alert_problems(key: str, team: object, channels: object) -> Iterator[tuple[str, object, str]]:
    name = team.get("alerts_to") if isinstance(team, dict) else None
    if not isinstance(name, str):
        return
    names = [
        str(channel.get("name"))
        for channel in (channels if isinstance(channels, list) else ())
        if isinstance(channel, dict) and not channel.get("direct")
    ]
    if name not in names:
        known = ", ".join(names) or "there is none"
        yield key, name, f"must be one of the team's channels without direct: {known}"


def _matrix_problems(key: str, channel: Mapping[str, Any]) -> Iterator[tuple[str, object, str]]:
    if channel.get("direct"):
        if "room" in channel:
            rule = "does not work with direct: each person gets a room"
            yield f"{key}.room", channel["room"], rule
    elif "room" not in channel:
        yield f"{key}.room", None, 'is required: "!id:server" or "#alias:server"'


def _slack_problems(key: str, channel: Mapping[str, Any]) -> Iterator[tuple[str, object, str]]:
    if "token" in channel and "webhook_url" in channel:
        yield f"{key}.webhook_url", None, "only one of token and webhook_url is allowed"
    elif "token" not in channel and "webhook_url" not in channel:
        yield f"{key}.token", None, "one of token and webhook_url is required"
    elif "token" in channel and channel.get("direct"):
        if "channel" in channel:
            rule = "does not work with direct: each person gets a direct message"
            yield f"{key}.channel", channel["channel"], rule
        if channel.get("broadcast") is True:
            yield (
                f"{key}.broadcast",
                True,
                "does not work with direct",
            )
    elif "token" in channel and "channel" not in channel:
        yield f"{key}.channel", None, 'is required with token: an id or "#name"'
    elif "webhook_url" in channel and (channel.get("direct") or channel.get("thumbnails") is True):
        name = "direct" if channel.get("direct") else "thumbnails"
        rule = "needs a token: an incoming webhook can only post to its channel"
        yield f"{key}.{name}", channel[name], rule
    elif "webhook_url" in channel and channel.get("broadcast") is True:
        yield f"{key}.broadcast", True, "needs a token: an incoming webhook has no threads"
    elif "webhook_url" in channel and "channel" in channel:
        rule = "needs a token: an incoming webhook has a fixed channel"
        yield f"{key}.channel", channel["channel"], rule


def _problem(file: str, details: ErrorDetails, names: Mapping[str, str]) -> ConfigProblem:
    path, model = _locate(details["loc"])
    list_path = re.sub(r"\[\d+\]$", "", path)  # one variable holds the whole list
    key = names.get(path) or names.get(list_path, path)
    kind, value = details["type"], details["input"]
    if kind == "missing":
        return ConfigProblem(file, key, None, "is required")
    if kind == "extra_forbidden":
        known = sorted(model.model_fields) if model is not None else []
        close = difflib.get_close_matches(key.rpartition(".")[2], known, n=1)
        hint = f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"
        return ConfigProblem(file, key, None, f"unknown key{hint}")
    if kind == "union_tag_not_found":
        return ConfigProblem(file, f"{key}.type", None, f"is required: one of {', '.join(_TYPES)}")
    if kind == "union_tag_invalid":
        tag = value.get("type") if isinstance(value, dict) else value
        return ConfigProblem(file, f"{key}.type", tag, f"must be one of {', '.join(_TYPES)}")
    if kind in _NOT_A_TABLE:  # the value may be a secret: ``smtp = "smtp://user:password@host"``
        return ConfigProblem(file, key, None, "must be a table")
    if kind == "value_error":
        rule = str(details["ctx"]["error"])
    elif kind == "string_pattern_mismatch":
        rule = _PATTERN_RULES.get(
            path.rpartition(".")[2], f"must match {details['ctx']['pattern']}"
        )
    elif kind == "tuple_type":
        rule = 'must be a list, such as ["…"]'
    else:
        rule = details["msg"].replace("Input should", "must")
    return ConfigProblem(file, key, value, rule[:1].lower() + rule[1:])


_NOT_A_TABLE = frozenset({"model_type", "model_attributes_type", "dict_type"})
_PATTERN_RULES = {
    "channel": 'must be a channel\'s id such as "C0123456789" or its name such as "#design"',
    "room": 'must be a room\'s id such as "!abc:example.org" or "#alias:example.org"',
    "team_id": "must be the UUID of a Penpot team (the team-id in its address)",
    "slack": 'must be a Slack member\'s id such as "U0123456789" (profile, ⋮, Copy member ID)',
    "matrix": 'must be a Matrix id such as "@ada:example.org"',
    "name": "must be letters, digits, dot, dash and underscore, beginning with a letter or digit",
}
_CHANNEL_MODELS: dict[str, type[BaseModel]] = {
    get_args(model.model_fields["type"].annotation)[0]: model
    for model in get_args(get_args(AnyChannel)[0])
}
_TYPES = tuple(_CHANNEL_MODELS)


def _locate(loc: tuple[int | str, ...]) -> tuple[str, type[BaseModel] | None]:
    """An error's path in the file, from pydantic's ``loc``, and the model of its last key."""
    path = ""
    model: type[BaseModel] | None = Config
    for index, part in enumerate(loc):
        if isinstance(part, int):
            path += f"[{part}]"
        elif part in _CHANNEL_MODELS and index and isinstance(loc[index - 1], int):
            model = _CHANNEL_MODELS[part]  # the union's tag, which is not in the file
        elif part != "[key]":
            key = part if re.fullmatch(r"[\w-]+", part, re.ASCII) else f'"{part}"'
            path += f".{key}" if path else key
            if index + 1 < len(loc):
                model = _nested_model(model, part)
    return path, model


def _nested_model(model: type[BaseModel] | None, key: str) -> type[BaseModel] | None:
    if model is None or key not in model.model_fields:
        return model  # a key of ``teams`` or ``people``
    parts = [model.model_fields[key].annotation]
    while parts:
        part = parts.pop()
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
        parts += get_args(part)
    return None


def _show(key: str, value: object) -> str:
    if key.rpartition(".")[2] in _SECRETS or "SECRET" in key or "TOKEN" in key or "PASSW" in key:
        return "***"
    if isinstance(value, dict | list | tuple):
        return "{…}" if isinstance(value, dict) else "[…]"
    if _SECRET_PATTERN.search(str(value)):
        return "***"
    text = f'"{value}"' if isinstance(value, str | Path) else str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
