"""The config from ``RELAY_*`` variables: alone, for one team and its channels, or beside a file."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from relay.channels import CHANNEL_TYPES
from relay.config.secret import SET_BUT_EMPTY, Secret, copying_error
from relay.config.settings import DEFAULT_TEAM, Config, TeamSettings

_BESIDE_FILE = {"RELAY_ADMIN_HOST": "admin.host", "RELAY_ADMIN_PORT": "admin.port"}
_GENERAL = _BESIDE_FILE | {
    "RELAY_HOST": "server.host",
    "RELAY_PORT": "server.port",
    "RELAY_PUBLIC_URL": "server.public_url",
    "RELAY_STORE_URL": "store.url",
    "RELAY_RETENTION": "store.retention",
    "RELAY_PENPOT_URL": "penpot.url",
    "RELAY_PENPOT_API_URL": "penpot.api_url",
    "RELAY_PENPOT_ACCESS_TOKEN": "penpot.access_token",
    "RELAY_TEMPLATES_PATH": "templates.path",
    "RELAY_TRUSTED_PROXIES": "proxies.trusted",
    "RELAY_INSPECTOR_PASSWORD": "inspector.password",
    "RELAY_LOG_LEVEL": "log.level",
    "RELAY_LOG_FORMAT": "log.format",
}
_TEAM = {
    "RELAY_SECRET": "secret",
    "RELAY_TEAM_ID": "team_id",
    "RELAY_TEAM_NAME": "name",
    "RELAY_LANGUAGE": "language",
    "RELAY_TIMEZONE": "timezone",
}
_OFF = frozenset({"0", "false", "no", "off"})
_UNMAPPED = frozenset({"RELAY_CONFIG", "RELAY_EVENTS", "RELAY_ROLE"})

_TEAM_KEY = f"teams.{DEFAULT_TEAM}"


_VARIABLES = {
    key: name
    for keys in (_GENERAL, *(kind.variables.keys for kind in CHANNEL_TYPES.values()))
    for name, key in keys.items()
    if "." in key
} | {f"{_TEAM_KEY}.{key}": name for name, key in _TEAM.items()}
_KEYS_PATTERN = re.compile(rf"(?<![\w.])({'|'.join(map(re.escape, _VARIABLES))})(?![\w.]*\w)")


def known_variables() -> frozenset[str]:
    """All variables that Relay reads. ``…_FILE`` names a file that holds the secret."""
    tables: list[tuple[type[BaseModel], Mapping[str, str]]]
    tables = [(Config, _GENERAL), (TeamSettings, _TEAM)]
    tables += [(kind.settings, kind.variables.keys) for kind in CHANNEL_TYPES.values()]
    names = set(_UNMAPPED)
    for model, keys in tables:
        names |= keys.keys()
        names |= {f"{name}_FILE" for name, key in keys.items() if Secret in types_of(model, key)}
    return frozenset(names)


def in_variables(text: str) -> str:
    """A text for a person without a config file: each key with a variable, such as ``penpot.url``,
    is replaced by its name. A channel's key is replaced where it has a table, such as
    ``smtp.host``."""
    return _KEYS_PATTERN.sub(lambda match: _VARIABLES[match[0]], text)


def from_environment(
    environ: Mapping[str, str],
) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """Returns the raw tables, the variable of each key, and problems."""
    given = _given(environ)
    links = {name: given.pop(name) for name in [*given] if is_service_link(name, given[name])}
    problems = list(_link_problems(links))
    problems += _copying_problems(given)
    names = {"teams": "RELAY_SECRET", f"{_TEAM_KEY}.secret": "RELAY_SECRET"}
    problems += _name_problems(given)
    raw = _table(Config, _GENERAL, given, names)
    team = _table(TeamSettings, _TEAM, given, names, f"{_TEAM_KEY}.")
    if team:
        raw["teams"] = {DEFAULT_TEAM: team}
        team["channels"] = _channels(given, names)
        if not team["channels"]:
            needed = [name for kind in CHANNEL_TYPES.values() for name in kind.variables.required]
            listed = f"{', '.join(needed[:-1])} or {needed[-1]}"
            problems.append(f"RELAY_*: set the variables of a channel: {listed}")
    return raw, names, problems


def add_to_file(
    raw: dict[str, Any], environ: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Replace the keys of a file's raw tables whose variables also apply beside a file, such as in
    a container. Returns the variable of each such key, and problems."""
    names: dict[str, str] = {}
    given = {name: value for name, value in _given(environ).items() if name in _BESIDE_FILE}
    links = {name: given.pop(name) for name in [*given] if is_service_link(name, given[name])}
    problems = [*_link_problems(links), *_copying_problems(given)]
    for table, keys in _table(Config, _BESIDE_FILE, given, names).items():
        into = raw.setdefault(table, {})
        if isinstance(into, dict):  # otherwise reported later
            into |= keys
    return names, problems


def ignored_beside_file(raw: Mapping[str, Any], environ: Mapping[str, str]) -> list[str]:
    """Advice about the variables of Relay that a file's raw tables do not name."""
    names = known_variables() - _BESIDE_FILE.keys() - {"RELAY_CONFIG", "RELAY_ROLE"}
    given = _given(environ)
    ignored = [
        name
        for name in sorted(names & given.keys() - set(_named_variables(raw)))
        if not is_service_link(name, given[name])
    ]
    verb = "is" if len(ignored) == 1 else "are"
    text = f"{', '.join(ignored)} {verb} ignored, since there is a config file: use its keys"
    return [text] if ignored else []


def _named_variables(value: object) -> Iterator[str]:
    """Of each ``{ env = "NAME" }``."""
    if isinstance(value, dict) and isinstance(name := value.get("env"), str):
        yield name
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _named_variables(item)


def is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes sets the variable for a Service of the namespace whose name begins with
    "relay": https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
    """
    if not name.startswith("RELAY_") or name in known_variables():
        return re.fullmatch(r"RELAY_(\w+_)?PORT", name) is not None and _is_link_url(value)
    own = r"SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?"
    return re.fullmatch(rf"RELAY_(\w+_)?({own})", name) is not None or (
        name.endswith("_PORT") and _is_link_url(value)
    )


def _is_link_url(value: str) -> bool:
    return re.match("(tcp|udp|sctp)://", value) is not None


def _link_problems(links: Mapping[str, str]) -> Iterator[str]:
    if links:
        yield (
            f"{', '.join(sorted(links))}: set by Kubernetes for a Service whose name begins with "
            '"relay" (service links), not by you: set enableServiceLinks: false in the spec of the '
            "pod, or rename the Service"
        )


def _copying_problems(given: dict[str, str]) -> Iterator[str]:
    """Repairs the values, so that no other problem of theirs is reported."""
    for name in sorted(given.keys() & known_variables()):
        value = given[name]
        rule = copying_error(value)
        ends = copying_error(value[:1]) or copying_error(value[-1:])
        if rule.startswith("has quotation marks"):
            given[name] = value[1:-1]
        elif ends:
            given[name] = re.sub(r"^[^!-~]+|[^!-~]+$", "", value)
        else:
            continue  # characters inside of a name may be meant
        yield f"{name}: {rule}"


def empty_variables(environ: Mapping[str, str]) -> list[str]:
    """The variables of Relay that are set but empty: they count as not set."""
    return sorted(name for name in known_variables() & environ.keys() if not environ[name].strip())


def explain_empty(problem: str, environ: Mapping[str, str]) -> str:
    """The problem, and which variable in it is set but empty."""
    empty = [
        name
        for name in empty_variables(environ)
        if re.search(rf"\b{name.removesuffix('_FILE')}\b", problem)
    ]
    return "; ".join([problem, *(f"{name} {SET_BUT_EMPTY}" for name in empty)])


def empty_secrets(environ: Mapping[str, str]) -> list[str]:
    """Advice about secrets that are set but empty. Other variables may be, as an example in Compose
    passes all of them."""
    known = known_variables()
    return [
        f"{name} {SET_BUT_EMPTY}"
        for name in empty_variables(environ)
        if f"{name}_FILE" in known and not environ.get(f"{name}_FILE")
    ]


def _given(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value.strip(" \t\r\n")
        for name, value in environ.items()
        if name.startswith("RELAY_") and value.strip()
    }


def _name_problems(given: Mapping[str, str]) -> Iterator[str]:
    known = known_variables()
    for name in sorted(given.keys() - known):  # without the value, which may be a secret
        close = difflib.get_close_matches(name, sorted(known), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        yield f"{name}: unknown variable{hint}"
    for name in sorted(given):
        if f"{name}_FILE" in known and f"{name}_FILE" in given:
            yield f"{name}_FILE: is set together with {name}: use only one"


def _channels(given: Mapping[str, str], names: dict[str, str]) -> list[dict[str, Any]]:
    """One channel of each kind that has a variable, other than a switch that is off."""
    channels: list[dict[str, Any]] = []
    for kind in CHANNEL_TYPES.values():
        keys = kind.variables.keys
        if not any(
            f"{name}_FILE" in given or (name in given and (key or given[name].lower() not in _OFF))
            for name, key in keys.items()
        ):
            continue
        prefix = f"{_TEAM_KEY}.channels[{len(channels)}]."
        keys = {name: key for name, key in keys.items() if key}
        for name, key in keys.items():  # also of missing keys, and of the tables that hold them
            names.setdefault(f"{prefix}{key.partition('.')[0]}", name)
            names[f"{prefix}{key}"] = name
        table = _table(kind.settings, keys | {"RELAY_EVENTS": "events"}, given, names, prefix)
        channels.append({"name": kind.name, "type": kind.name} | table)
    return channels


def _table(
    model: type[BaseModel],
    variables: Mapping[str, str],
    given: Mapping[str, str],
    names: dict[str, str],
    prefix: str = "",
) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, key in variables.items():
        types = types_of(model, key)
        if name in given:
            value = value_of(given[name], types)
        elif Secret in types and f"{name}_FILE" in given:
            name = f"{name}_FILE"
            value = _secret(given[name], types, lambda path: {"file": path})
        else:
            continue
        names[f"{prefix}{key}"] = name
        *tables, last = key.split(".")
        into = table
        for part in tables:
            into = into.setdefault(part, {})
        into[last] = value
    return table


def value_of(text: str, types: set[object]) -> object:
    if Secret in types:
        return _secret(text, types, Secret)
    if int in types and text.isdecimal():
        return int(text)
    return _parts(text) if tuple in types else text


def _secret(text: str, types: set[object], read: Callable[[str], object]) -> object:
    """One, or several if the key accepts them."""
    several = _parts(text) if tuple in types else []
    return [read(part) for part in several] if len(several) > 1 else read(text)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def types_of(model: type[BaseModel], key: str) -> set[object]:
    """The types in the annotation of a key such as ``smtp.host``; none for a switch without key."""
    name, _, rest = key.partition(".")
    types = _flattened(model.model_fields[name].annotation) if name else set()
    if not rest:
        return types
    inner = next(kind for kind in types if isinstance(kind, type) and issubclass(kind, BaseModel))
    return types_of(inner, rest)


def _flattened(annotation: object) -> set[object]:
    return {get_origin(annotation) or annotation}.union(*map(_flattened, get_args(annotation)))
