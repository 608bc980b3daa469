"""Loads ``relay.toml`` or the environment into ``Config``, and reports all problems at once."""

import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from relay.channels import CHANNEL_TYPES
from relay.config.environment import from_environment
from relay.config.secret import Secret, SecretSources
from relay.config.settings import Config
from relay.errors import RelayError

_NO_CONFIG_RULE = (
    "does not exist: create it, name a file with --config or RELAY_CONFIG, or set RELAY_SECRET "
    "(create one with: python3 -c 'import secrets; print(secrets.token_urlsafe(24))') and the "
    "variables of a channel"
)


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """``value`` is None when there is none, and for an unknown key, which may be the misspelled key
    of a secret. Neither ``str`` nor ``repr`` shows a secret."""

    file: str
    key: str
    value: object = field(repr=False)
    rule: str

    def __str__(self) -> str:
        value = "" if self.value is None else f" = {_show(self.value)}"
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
    for name, team in config.teams.items():
        if not team.channels:
            advice.append(f"teams.{name} has no channels: its events are stored but not sent")
    advice += [
        f'{key} is in the config file as plain text: use {{ env = "NAME" }} or {{ file = "…" }}'
        for key in _plain_secrets(config, "")
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


def _plain_secrets(value: object, key: str) -> Iterator[str]:
    """The keys of secrets that the config file itself contains, without hashes and without a
    store's URL that has no password."""
    if isinstance(value, Secret):
        text = value.reveal()
        is_public = text.startswith("$argon2") or (
            key == "store.url" and not urlsplit(text).password
        )
        if value.plain and not is_public:
            yield key
    for name, part in _parts(value):
        yield from _plain_secrets(part, f"{key}.{name}" if key else name)


def _parts(value: object) -> Iterable[tuple[str, object]]:
    """What a table or a list holds, by its key, or by its name in a list of channels."""
    if isinstance(value, BaseModel):
        return iter(value)
    if isinstance(value, dict):
        return value.items()
    items = value if isinstance(value, tuple) else ()
    return ((str(getattr(item, "name", number)), item) for number, item in enumerate(items))


def _build(
    raw: dict[str, Any],
    file: str,
    environ: Mapping[str, str],
    names: Mapping[str, str],
    problems: list[ConfigProblem],
    *,
    secrets: bool = True,
) -> Config:
    sources = SecretSources(environ, _secret_pattern(), is_read=secrets)
    config, details = None, []
    try:
        config = Config.model_validate(raw, context=sources)
    except ValidationError as error:
        details = error.errors(include_url=False)
    # Secrets that can't be read come first, rules about several keys last.
    order = {"unread": 0, "rule": 2}
    details.sort(key=lambda details: order.get(details["type"], 1))
    problems = problems + [_problem(file, error, names) for error in details]
    if config is None or problems:
        raise ConfigError(problems)
    return config


def _problem(file: str, details: ErrorDetails, names: Mapping[str, str]) -> ConfigProblem:
    path = _path(details["loc"])
    list_path = re.sub(r"\[\d+\]$", "", path)  # one variable holds the whole list
    key = names.get(path) or names.get(list_path, path)
    kind, value, rule = details["type"], details["input"], details["msg"]
    if kind == "missing":
        return ConfigProblem(file, key, None, "is required")
    if kind in _NOT_A_TABLE:  # the value may be a secret: ``smtp = "smtp://user:password@host"``
        return ConfigProblem(file, key, None, "must be a table")
    if kind == "value_error":
        rule = str(details["ctx"]["error"])
    elif kind == "tuple_type":
        rule = 'must be a list, such as ["…"]'
    else:
        rule = rule.replace("Input should", "must")
    return ConfigProblem(file, key, value, rule[:1].lower() + rule[1:])


_NOT_A_TABLE = frozenset({"model_type", "model_attributes_type", "dict_type"})


def _path(loc: tuple[int | str, ...]) -> str:
    """An error's path in the file, from pydantic's ``loc``."""
    path = ""
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]":
            key = part if re.fullmatch(r"[\w-]+", part, re.ASCII) else f'"{part}"'
            path += f".{key}" if path else key
    return path


def _secret_pattern() -> re.Pattern[str]:
    """Matches secrets in the values of other keys."""
    parts = [r":.*@"]  # user and password of an address
    parts += [kind.secrets for kind in CHANNEL_TYPES.values() if kind.secrets]
    return re.compile("|".join(parts), re.IGNORECASE | re.DOTALL)


def _show(value: object) -> str:
    if isinstance(value, dict | list | tuple):
        return "{…}" if isinstance(value, dict) else "[…]"
    if _secret_pattern().search(str(value)):
        return "***"
    text = f'"{value}"' if isinstance(value, str | Path) else str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
