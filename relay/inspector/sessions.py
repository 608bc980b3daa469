"""Login sessions in a signed cookie."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping

from relay.config import Config
from relay.inspector.context import Viewer
from relay.secret import Secret

SESSION_TTL = 12 * 3600  # seconds
COOKIE = "relay_inspector"


class Sessions:
    """Stateless: the cookie holds account and expiry, signed with a key derived from the config. So
    a session is valid on all replicas and after a restart, and ends when its password changes.
    Logging out only deletes the cookie in the browser."""

    def __init__(self, config: Config) -> None:
        # From the teams' secrets: a key from the password alone would let a stolen cookie be used
        # to guess the password offline.
        secret_text = "\n".join(team.secret.reveal() for team in config.teams.values())
        self._key = hashlib.sha256(secret_text.encode()).digest()
        self._passwords = passwords(config)

    def begin(self, account: str, now: float) -> str:
        """A cookie for ``account``: a team's key, or "" for all; ``now`` in seconds since 1970."""
        payload = f"{account}~{int(now) + SESSION_TTL}~{secrets.token_urlsafe(12)}"
        return f"{payload}~{self._sign('session', payload, self._passwords[account].reveal())}"

    def viewer(self, cookie: str, now: float) -> Viewer | None:
        """None if the cookie has expired or its signature does not match this config."""
        payload, _, signature = cookie.rpartition("~")
        account, _, rest = payload.partition("~")
        password = self._passwords.get(account)
        if password is None:
            return None
        expected = self._sign("session", payload, password.reveal())
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), expected.encode()):
            return None
        if int(rest.partition("~")[0]) <= now:
            return None
        return Viewer(account or None, self.token(payload), has_session=True)

    def token(self, owner: str) -> str:
        """The CSRF token for the forms of ``owner``."""
        return self._sign("form", owner)

    def _sign(self, *parts: str) -> str:
        text = "\x00".join(parts).encode("utf-8", "replace")
        return hmac.digest(self._key, text, "sha256").hex()[:48]


def passwords(config: Config) -> Mapping[str, Secret]:
    """Passwords by account: a team's key, or "" for all teams."""
    accounts = {"": config.inspector.password}
    accounts |= {name: team.inspector_password for name, team in config.teams.items()}
    return {account: password for account, password in accounts.items() if password is not None}
