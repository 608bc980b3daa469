"""Sessions: who has logged in, told by a signed cookie alone."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping

from relay.config import Config
from relay.inspector.context import Viewer
from relay.secret import Secret

LASTS = 12 * 3600
"""Seconds that a login lasts."""
COOKIE = "relay_inspector"


class Sessions:
    """Nothing is kept: the cookie says for whom it is and until when, signed with a key that all
    replicas with one config work out alike. So a login holds across replicas and restarts, and ends
    when its password is changed. Logging out takes the cookie from the browser."""

    def __init__(self, config: Config) -> None:
        # Not of the password alone: who got hold of a cookie could try passwords on it.
        every = "\n".join(team.secret.reveal() for team in config.teams.values())
        self._key = hashlib.sha256(every.encode()).digest()
        self._passwords = passwords(config)

    def begin(self, who: str, now: float) -> str:
        """A cookie for ``who``: a team's key, or "" for all; ``now`` in seconds since 1970."""
        told = f"{who}~{int(now) + LASTS}~{secrets.token_urlsafe(12)}"
        return f"{told}~{self._mark('session', told, self._passwords[who].reveal())}"

    def viewer(self, cookie: str, now: float) -> Viewer | None:
        """Whom a cookie is for; None where it is too old, or not of this config."""
        told, _, mark = cookie.rpartition("~")
        who, _, rest = told.partition("~")
        password = self._passwords.get(who)
        if password is None:
            return None
        right = self._mark("session", told, password.reveal())
        if not hmac.compare_digest(mark.encode("utf-8", "replace"), right.encode()):
            return None
        if int(rest.partition("~")[0]) <= now:
            return None
        return Viewer(who or None, self.token(told), has_session=True)

    def token(self, of: str) -> str:
        """The token for the forms of the one whom ``of`` names: only a page of ours can tell it."""
        return self._mark("form", of)

    def _mark(self, *parts: str) -> str:
        text = "\x00".join(parts).encode("utf-8", "replace")
        return hmac.digest(self._key, text, "sha256").hex()[:48]


def passwords(config: Config) -> Mapping[str, Secret]:
    """Every password with whom it is for: a team's key, or "" for all teams."""
    found = {"": config.inspector.password}
    found |= {name: team.inspector_password for name, team in config.teams.items()}
    return {who: password for who, password in found.items() if password is not None}
