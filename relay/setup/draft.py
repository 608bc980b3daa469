"""The answers of ``relay init``, as a config and as the files that hold it."""

import re
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relay.config.load import read_tables
from relay.config.secret import Secret
from relay.config.settings import Config
from relay.config.write import secrets_folder, toml, toml_key, write_new

_HEAD = """\
# Written by `relay init`. Run relay in this folder. Each change needs a restart of `relay serve`;
# `relay check` finds mistakes. All keys: deploy/relay.toml in Relay's repository.

"""
MAX_KEY_LENGTH = 60


def team_key(name: str) -> str:
    """The key under ``[teams]`` of a team with this name, which is also in the hook's URL."""
    ascii_text = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    return re.sub("[^a-z0-9]+", "-", ascii_text).strip("-")[:MAX_KEY_LENGTH].strip("-") or "team"


@dataclass
class SetupDraft:
    """Tables as the config has them, with secrets as ``Secret``."""

    server: dict[str, Any] = field(default_factory=dict)
    admin: dict[str, Any] = field(default_factory=dict)
    penpot: dict[str, Any] = field(default_factory=dict)
    team_name: str = ""
    team_id: str = ""
    channel: dict[str, Any] = field(default_factory=dict)
    hook_secret: Secret = field(default_factory=lambda: Secret(secrets.token_urlsafe(24)))

    @property
    def team(self) -> str:
        """The team's key."""
        return team_key(self.team_name)

    def config(self, environ: Mapping[str, str], file: str) -> Config:
        """What ``load`` reads from the written file. Raises ``ConfigError``."""
        general = {"server": self.server, "admin": self.admin, "penpot": self.penpot}
        tables = {name: dict(table) for name, table in general.items() if table}
        team = {**self._team_keys(), "channels": [self.channel]}
        return read_tables({**tables, "teams": {self.team: team}}, file, environ)

    def write(self, path: Path) -> list[str]:
        """Write the files; returns the names of the secrets' files. Raises ``NotWritten``."""
        key = f"teams.{toml_key(self.team)}"
        tables = [
            ("[server]", "server", self.server),
            ("[admin]", "admin", self.admin),
            ("[penpot]", "penpot", self.penpot),
            (f"[{key}]", self.team, self._team_keys()),
            (f"[[{key}.channels]]", f"{self.team}-{self.channel['name']}", self.channel),
        ]
        folder, found = secrets_folder(path), dict[str, str]()

        def referred(value: object, name: str) -> object:
            """With a reference to its file in place of each secret."""
            if isinstance(value, list):
                return [referred(item, f"{name}-{place}") for place, item in enumerate(value, 1)]
            if isinstance(value, dict):
                return table(value, name)
            if not isinstance(value, Secret):
                return value
            found[name] = value.reveal()
            return {"file": str(folder / name)}

        def table(keys: Mapping[str, object], name: str) -> dict[str, object]:
            return {key: referred(value, f"{name}-{key}") for key, value in keys.items()}

        text = toml((header, table(keys, name)) for header, name, keys in tables if keys)
        write_new(path, _HEAD + text, found)
        return sorted(found)

    def _team_keys(self) -> dict[str, Any]:
        keys = {"secret": self.hook_secret, "name": self.team_name, "team_id": self.team_id}
        return {name: value for name, value in keys.items() if value not in ("", self.team)}
