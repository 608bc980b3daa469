"""Slack user ids of people in Penpot: from the config, else looked up by their mail address."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Sequence

from relay.channels.base import DeliveryError, KeyValueStore, Permanent
from relay.channels.slack.check import Call
from relay.messages.message import Mention

LOOKUP_TIMEOUT = 2.0  # seconds per message
FOUND_TTL = 30 * 24 * 3600.0  # seconds
NOT_FOUND_TTL = 24 * 3600.0  # seconds
REFUSED_DELAY = 600.0  # seconds without lookups after Slack refused one

_log = logging.getLogger(__name__)


class SlackUsers:
    """https://docs.slack.dev/reference/methods/users.lookupByEmail"""

    def __init__(self, call: Call | None, kv: KeyValueStore, workspace: str) -> None:
        """``call`` is None without a token; ``workspace`` is a hash that differs for each token."""
        self._call = call
        self._kv = kv
        self._prefix = f"slack-user/{workspace}/"
        self._paused_until = 0.0

    async def user_ids(self, people: Sequence[Mention]) -> dict[str, str]:
        """Slack user ids by Penpot profile id, of those who are found in time."""
        ids = {person.id: person.address("slack") for person in people if person.address("slack")}
        unknown = [person for person in people if not person.address("slack") and person.email]
        if not unknown:
            return ids
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT):
                for person in unknown:
                    if user := await self._try_lookup(person):
                        ids[person.id] = user
        except TimeoutError:
            _log.warning("Slack is slow to look up users: some mentions notify nobody")
        return ids

    async def user_id(self, person: Mention) -> str:
        """Raises ``Permanent`` for a person who is not found, and other ``DeliveryError``s."""
        if person.address("slack"):
            return person.address("slack")
        user = await self._lookup(person.email) if person.email and self._call else ""
        if not user:
            text = (
                f"{person.name or 'a mentioned person'} is not known in Slack by the mail address "
                "from Penpot: add them to [people] in the config"
            )
            raise Permanent("no_address", text)
        return user

    async def _try_lookup(self, person: Mention) -> str:
        if self._call is None or time.monotonic() < self._paused_until:
            return await self._cached(person.email) or ""
        try:
            return await self._lookup(person.email)
        except DeliveryError as error:
            self._paused_until = time.monotonic() + max(error.retry_after or 0.0, REFUSED_DELAY)
            hint = ""
            if error.reason == "missing_scope":
                hint = ": give the Slack app the scopes users:read.email and users:read"
            _log.warning("mentions notify only people in [people] (%s)%s", error.reason, hint)
            return ""

    async def _lookup(self, email: str) -> str:
        """The user id, or empty for an address without a user."""
        cached = await self._cached(email)
        if cached is not None or self._call is None:
            return cached or ""
        try:
            answer = await self._call("users.lookupByEmail", params={"email": email})
        except DeliveryError as error:
            if error.reason != "users_not_found":
                raise
            user = ""
        else:
            user = _active_user_id(answer.get("user"))
        await self._kv.put(self._key(email), user)
        return user

    async def _cached(self, email: str) -> str | None:
        user = await self._kv.get(self._key(email), FOUND_TTL)
        if user == "":
            return await self._kv.get(self._key(email), NOT_FOUND_TTL)
        return user

    def _key(self, email: str) -> str:
        return self._prefix + short_hash(email.lower())


def _active_user_id(user: object) -> str:
    if not isinstance(user, dict) or user.get("deleted") or user.get("is_bot"):
        return ""
    return str(user.get("id", ""))


def short_hash(text: str) -> str:
    """For a key, so that the store does not hold the text itself."""
    return hashlib.sha256(text.encode()).hexdigest()[:20]
