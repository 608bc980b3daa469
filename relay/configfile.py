"""Reading ``relay.toml``, or the environment, into ``Config``: every fault at once."""

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

from relay.config import AnyChannel, Config
from relay.environment import from_environment
from relay.secret import Secret

NO_CONFIG = (
    "is not here: write one, name one with --config or RELAY_CONFIG, or set RELAY_SECRET (make one "
    "with: python3 -c 'import secrets; print(secrets.token_urlsafe(24))') and a channel's variables"
)
SECRETS = frozenset(
    {"secret", "token", "access_token", "webhook_url", "password", "inspector_password"}
)
"""Keys whose value is never shown."""
_LOOKS_SECRET = re.compile(
    r""" : .* @                           # user and password of an address
    | hooks\.slack | /services/           # a Slack webhook's
    | \b ( xox | xapp- | syt_ | mat_ )    # how tokens of Slack and of homeservers begin
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
"""A secret that stands where none belongs."""


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing that is wrong with a config: where, what stands there (None: nothing), what
    would be right. Its text and its repr show no secret; nor has an unknown key a value, for it may
    be a secret's key, mistyped."""

    file: str
    key: str
    value: object = field(repr=False)
    rule: str

    def __str__(self) -> str:
        shown = "" if self.value is None else f" = {_show(self.key, self.value)}"
        return f"{self.file}: {self.key}{shown}: {self.rule}"


class ConfigError(Exception):
    """A config that can't be used, with all that is wrong with it."""

    def __init__(self, faults: list[ConfigProblem]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


def load(
    path: str | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    secrets: bool = True,
) -> Config:
    """The config from ``path``, else ``RELAY_CONFIG``, else ``relay.toml`` here, else from the
    ``RELAY_*`` variables alone.

    With ``secrets`` false those of a file are not read: for commands that need none, called where
    the service's environment is not at hand. Raises ``ConfigError`` with every fault.
    """
    environ = os.environ if environ is None else environ
    chosen = path or environ.get("RELAY_CONFIG") or None
    if chosen is None and Path("relay.toml").is_file():
        chosen = "relay.toml"
    if chosen is None:
        raw, names, faults = from_environment(environ)
        if not any(name.startswith("RELAY_") for name in environ):
            raise ConfigError([ConfigProblem("relay.toml", "file", None, NO_CONFIG)])
        found = [ConfigProblem("environment", name, value, rule) for name, value, rule in faults]
        return _build(raw, "environment", environ, names, found)
    try:
        raw = tomllib.loads(Path(chosen).read_text(encoding="utf-8"))
    except OSError as error:
        rule = f"can't be read ({error.strerror}); name a file with --config or RELAY_CONFIG"
        raise ConfigError([ConfigProblem(chosen, "file", None, rule)]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([ConfigProblem(chosen, "file", None, f"is not TOML: {error}")]) from error
    return _build(raw, chosen, environ, {}, [], secrets=secrets)


def warnings(config: Config) -> list[str]:
    """What a config may say but better would not."""
    found = []
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
            found.append(f"teams.{name} has no channels: its events are kept and go nowhere")
        for channel in team.channels:
            key = f"teams.{name}.channels.{channel.name}"
            plain += [(f"{key}.{field}", value) for field, value in channel if field in SECRETS]
            if channel.type == "email":
                plain.append((f"{key}.smtp.password", channel.smtp.password))
    found += [
        f'{key} stands in the file itself; {{ env = "NAME" }} or {{ file = "…" }} keeps it out'
        for key, value in plain
        if value is not None and value.plain
    ]
    secrets = Counter(team.secret.reveal() for team in config.teams.values())
    shared = [name for name, team in config.teams.items() if secrets[team.secret.reveal()] > 1]
    if shared:
        found.append(f"the teams {', '.join(shared)} have the same secret: give each its own")
    if not config.server.public_url:
        found.append("server.public_url is not set: hook URLs are shown with localhost")
    elif config.inspector.password is None and not config.inspector.trusted_header:
        found.append(
            "inspector.password is not set: let a reverse proxy on this machine pass on /hooks/ "
            "alone, for what else it passes on may look as if it came from here"
        )
    return found


def _is_hash(password: Secret | None) -> bool:
    """Whether a password may stand in the file: its hash does not tell it."""
    return password is not None and password.reveal().startswith("$argon2")


def _build(
    raw: dict[str, Any],
    file: str,
    environ: Mapping[str, str],
    names: Mapping[str, str],
    faults: list[ConfigProblem],
    *,
    secrets: bool = True,
) -> Config:
    resolved, secret_faults = _resolve_secrets(raw, "", environ, secrets=secrets)
    faults = faults + [
        ConfigProblem(file, names.get(k, k), v, rule) for k, v, rule in secret_faults
    ]
    missing = {names.get(key, key) for key, _, _ in secret_faults}
    config = None
    try:
        config = Config.model_validate(resolved)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            fault = _fault(file, details, names)
            if fault.key not in missing:
                faults.append(fault)
    faults += [
        ConfigProblem(file, names.get(key, key), value, rule)
        for key, value, rule in _cross_faults(resolved)
    ]
    if config is None or faults:
        raise ConfigError(faults)
    return config


def _resolve_secrets(
    node: Any, key: str, environ: Mapping[str, str], *, secrets: bool
) -> tuple[Any, list[tuple[str, object, str]]]:
    """``node`` with each ``{ env = … }`` and ``{ file = … }`` of a secret's key read; without
    ``secrets`` something stands in for each but the store's address, which every command needs."""
    faults: list[tuple[str, object, str]] = []
    if isinstance(node, list):
        parts = [
            _resolve_secrets(item, f"{key}[{i}]", environ, secrets=secrets)
            for i, item in enumerate(node)
        ]
        return [part for part, _ in parts], [fault for _, found in parts for fault in found]
    if not isinstance(node, dict):
        return node, faults
    if (key.rpartition(".")[2] in SECRETS or key == "store.url") and len(node) == 1:
        ((source, name),) = node.items()
        if not secrets and key != "store.url":
            return Secret(_NOT_READ.get(key.rpartition(".")[2], "not-read-by-this-command")), faults
        if source == "env" and isinstance(name, str):
            variable = f"the environment variable {name}" if _is_name(name) else "what env names"
            text, rule = environ.get(name, ""), f"{variable} is not set"
        elif source == "file" and isinstance(name, str):
            text, rule = _read_secret(name)
        else:
            return node, faults
        if not text:
            faults.append((key, None, rule))
        return Secret(text), faults
    result = {}
    for name, value in node.items():
        below = f"{key}.{name}" if key else name
        result[name], found = _resolve_secrets(value, below, environ, secrets=secrets)
        faults += found
    return result, faults


def _is_name(text: str) -> bool:
    """Whether this is a variable's name and hardly the secret itself."""
    return text.isidentifier() and not _LOOKS_SECRET.search(text)


_NOT_READ = {"webhook_url": "https://not-read.invalid/"}


def _read_secret(name: str) -> tuple[str, str]:
    try:
        return Path(name).read_text(encoding="utf-8").strip(), f"the file {name} is empty"
    except (OSError, UnicodeDecodeError) as error:
        return "", f"the file {name} can't be read ({getattr(error, 'strerror', 'not UTF-8')})"


def _cross_faults(raw: Mapping[str, Any]) -> Iterator[tuple[str, object, str]]:
    """What one key says about another. Looks at the raw tables, so that these faults are told
    together with those of single keys."""
    yield from _people_faults(raw.get("people"))
    yield from _inspector_faults(raw.get("inspector"), raw.get("templates"))
    penpot = raw.get("penpot")
    asked = isinstance(penpot, dict) and "access_token" in penpot
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
                yield from _slack_faults(key, channel)
            elif channel.get("type") == "matrix":
                yield from _matrix_faults(key, channel)
            if channel.get("edits") == "in-place":
                yield from _edit_faults(key, channel)
            if channel.get("thumbnails") is True and not asked:
                rule = "needs penpot.access_token: pictures are asked of Penpot with it"
                yield f"{key}.thumbnails", True, rule
            smtp = channel.get("smtp")
            if isinstance(smtp, dict) and ("username" in smtp) != ("password" in smtp):
                absent = "password" if "username" in smtp else "username"
                yield f"{key}.smtp.{absent}", None, "goes together with the other of the two"
        yield from _alert_faults(f"teams.{team}.alerts_to", settings, channels)


def _inspector_faults(inspector: object, templates: object) -> Iterator[tuple[str, object, str]]:
    """What the inspector may do only together with something else."""
    if not isinstance(inspector, dict):
        return
    if "trusted_proxies" in inspector and "trusted_header" not in inspector:
        yield "inspector.trusted_header", None, "goes together with trusted_proxies"
    folder = isinstance(templates, dict) and "path" in templates
    if inspector.get("write_templates") is True and not folder:
        rule = "needs templates.path: the folder that is written to"
        yield "inspector.write_templates", True, rule


def _edit_faults(key: str, channel: Mapping[str, Any]) -> Iterator[tuple[str, object, str]]:
    """Only where a message can be changed."""
    by_bot = channel.get("type") == "slack" and "token" in channel
    if not by_bot and channel.get("type") != "matrix":
        rule = 'goes with Slack by token and with Matrix only: here it is "messages" or "none"'
        yield f"{key}.edits", "in-place", rule
    elif channel.get("direct"):
        rule = 'goes without direct: what somebody was told directly stays; "messages" or "none"'
        yield f"{key}.edits", "in-place", rule


def _people_faults(people: object) -> Iterator[tuple[str, object, str]]:
    """Two people can't be the same one elsewhere."""
    seen: dict[tuple[str, str], str] = {}
    for person, places in people.items() if isinstance(people, dict) else ():
        for kind, value in places.items() if isinstance(places, dict) else ():
            if not isinstance(value, str):
                continue
            other = seen.setdefault((kind, value.lower()), person)
            if other != person:
                yield f'people."{person}".{kind}', value, f'is that of "{other}" already'


def _alert_faults(key: str, team: object, channels: object) -> Iterator[tuple[str, object, str]]:
    """Alerts go to a channel of the team that is a place, not people."""
    name = team.get("alerts_to") if isinstance(team, dict) else None
    if not isinstance(name, str):
        return
    listed = (
        [one for one in channels if isinstance(one, dict)] if isinstance(channels, list) else []
    )
    places = [str(one.get("name")) for one in listed if not one.get("direct")]
    if name not in places:
        known = ", ".join(places) or "it has none"
        yield key, name, f"must be the name of one of the team's channels: {known}"


def _matrix_faults(key: str, channel: Mapping[str, Any]) -> Iterator[tuple[str, object, str]]:
    if channel.get("direct"):
        if "room" in channel:
            rule = "goes without direct: direct messages have rooms of their own"
            yield f"{key}.room", channel["room"], rule
    elif "room" not in channel:
        yield f"{key}.room", None, 'is required: "!id:server" or "#alias:server"'


def _slack_faults(key: str, channel: Mapping[str, Any]) -> Iterator[tuple[str, object, str]]:
    if "token" in channel and "webhook_url" in channel:
        yield f"{key}.webhook_url", None, "at most one of token and webhook_url may be there"
    elif "token" not in channel and "webhook_url" not in channel:
        yield f"{key}.token", None, "one of token and webhook_url is required"
    elif "token" in channel and channel.get("direct"):
        if "channel" in channel:
            rule = "goes without direct: each person is written to directly"
            yield f"{key}.channel", channel["channel"], rule
        if channel.get("broadcast") is True:
            yield f"{key}.broadcast", True, "goes without direct: there is no channel to show it in"
    elif "token" in channel and "channel" not in channel:
        yield f"{key}.channel", None, 'is required with token: an id or "#name"'
    elif "webhook_url" in channel and (channel.get("direct") or channel.get("thumbnails") is True):
        name = "direct" if channel.get("direct") else "thumbnails"
        rule = "goes with token only: an incoming webhook can do nothing but post to its channel"
        yield f"{key}.{name}", channel[name], rule
    elif "webhook_url" in channel and channel.get("broadcast") is True:
        yield f"{key}.broadcast", True, "goes with token only: an incoming webhook has no threads"
    elif "webhook_url" in channel and "channel" in channel:
        rule = "goes with token only: an incoming webhook has its channel built in"
        yield f"{key}.channel", channel["channel"], rule


def _fault(file: str, details: ErrorDetails, names: Mapping[str, str]) -> ConfigProblem:
    place, model = _locate(details["loc"])
    listed = re.sub(r"\[\d+\]$", "", place)  # a variable holds a whole list
    key = names.get(place) or names.get(listed, place)
    kind, value = details["type"], details["input"]
    if kind == "missing":
        return ConfigProblem(file, key, None, "is required")
    if kind == "extra_forbidden":
        known = sorted(model.model_fields) if model is not None else []
        close = difflib.get_close_matches(key.rpartition(".")[2], known, n=1)
        hint = f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"
        return ConfigProblem(file, key, None, f"unknown key{hint}")
    if kind == "union_tag_not_found":
        return ConfigProblem(file, f"{key}.type", None, f"is required: one of {', '.join(_KINDS)}")
    if kind == "union_tag_invalid":
        told = value.get("type") if isinstance(value, dict) else value
        return ConfigProblem(file, f"{key}.type", told, f"must be one of {', '.join(_KINDS)}")
    if kind in _NO_TABLE:  # ``smtp = "smtp://user:password@host"``: who knows what stands there
        return ConfigProblem(file, key, None, "must be a table")
    if kind == "value_error":
        rule = str(details["ctx"]["error"])
    elif kind == "string_pattern_mismatch":
        rule = _PATTERNS.get(place.rpartition(".")[2], f"must match {details['ctx']['pattern']}")
    elif kind == "tuple_type":
        rule = 'must be a list, such as ["…"]'
    else:
        rule = details["msg"].replace("Input should", "must")
    return ConfigProblem(file, key, value, rule[:1].lower() + rule[1:])


_NO_TABLE = frozenset({"model_type", "model_attributes_type", "dict_type"})
_PATTERNS = {
    "channel": 'must be a channel\'s id such as "C0123456789" or its name such as "#design"',
    "room": 'must be a room\'s id such as "!abc:example.org" or "#alias:example.org"',
    "team_id": "must be the UUID of a Penpot team (the team-id in its address)",
    "slack": 'must be a Slack member\'s id such as "U0123456789" (profile, ⋮, Copy member ID)',
    "matrix": 'must be a Matrix id such as "@ada:example.org"',
    "name": "must be letters, digits, dot, dash and underscore, beginning with a letter or digit",
}
_CHANNELS: dict[str, type[BaseModel]] = {
    get_args(model.model_fields["type"].annotation)[0]: model
    for model in get_args(get_args(AnyChannel)[0])
}
_KINDS = tuple(_CHANNELS)


def _locate(loc: tuple[int | str, ...]) -> tuple[str, type[BaseModel] | None]:
    """Pydantic's place of an error as the path of keys that stands in the file, and the record
    that the last key belongs to."""
    path = ""
    model: type[BaseModel] | None = Config
    for index, part in enumerate(loc):
        if isinstance(part, int):
            path += f"[{part}]"
        elif part in _CHANNELS and index and isinstance(loc[index - 1], int):
            model = _CHANNELS[part]  # the tag of the union: not in the file
        elif part != "[key]":
            shown = part if re.fullmatch(r"[\w-]+", part, re.ASCII) else f'"{part}"'
            path += f".{shown}" if path else shown
            if index + 1 < len(loc):
                model = _record_below(model, part)
    return path, model


def _record_below(model: type[BaseModel] | None, key: str) -> type[BaseModel] | None:
    if model is None or key not in model.model_fields:
        return model  # a team's own name
    parts = [model.model_fields[key].annotation]
    while parts:
        part = parts.pop()
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
        parts += get_args(part)
    return None


def _show(key: str, value: object) -> str:
    if key.rpartition(".")[2] in SECRETS or "SECRET" in key or "TOKEN" in key or "PASSW" in key:
        return "***"
    if isinstance(value, dict | list | tuple):  # of whatever
        return "{…}" if isinstance(value, dict) else "[…]"
    if _LOOKS_SECRET.search(str(value)):
        return "***"
    text = f'"{value}"' if isinstance(value, str | Path) else str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
