"""Slack user ids of people in Penpot: from the config, else looked up by their mail address; and
the pictures of those who are looked up.

https://docs.slack.dev/reference/methods/users.lookupByEmail
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from relay.channels.base import DeliveryError, KeyValueStore, NoAddress, short_hash
from relay.channels.slack.client import SlackApi
from relay.messages.message import Mention

LOOKUP_TIMEOUT = 2.0  # seconds per message
FOUND_TTL = 30 * 24 * 3600.0  # seconds
NOT_FOUND_TTL = 24 * 3600.0  # seconds
PICTURE_TTL = 7 * 24 * 3600.0  # seconds; older ones are used while Slack does not answer
REFUSED_DELAY = 600.0  # seconds without lookups after Slack refused one
_MAX_URL_LENGTH = 1000  # characters
_PICTURE_HOST = ".slack-edge.com"
"""End of the hosts of pictures that Slack stores. Other ones, such as Gravatar's, would
report to another server whose comment is shown."""

_log = logging.getLogger(__name__)


class SlackUsers:
    def __init__(self, api: SlackApi, kv: KeyValueStore) -> None:
        self._api = api
        self._kv = kv
        self._paused_until = 0.0

    async def user_ids(self, people: Sequence[Mention]) -> dict[str, str]:
        """Slack user ids by Penpot profile id, of those who are found in time."""
        ids = {person.id: person.address("slack") for person in people if person.address("slack")}
        unknown = [person for person in people if person.id not in ids and person.email]
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT):
                for person in unknown:
                    if user := await self._try_lookup(person.email):
                        ids[person.id] = user
        except TimeoutError:
            _log.warning("Slack is slow to look up users: some mentions notify nobody")
        return ids

    async def user_id(self, person: Mention) -> str:
        """Raises ``NoAddress`` for a person who is not found, and other ``DeliveryError``s."""
        user = person.address("slack")
        if not user and person.email:
            user = await self._lookup(person.email)
        if not user:
            text = (
                f"{person.name or 'a mentioned person'} is not known in Slack by the mail address "
                "from Penpot: add them to [people] in the config"
            )
            raise NoAddress("no_address", text)
        return user

    async def picture(self, email: str) -> str:
        """The URL of a user's picture at Slack; empty if there is none, or none is known in time.
        Never raises ``DeliveryError``."""
        if not email:
            return ""
        key = self._picture_key(email)
        picture = await self._kv.get(key, PICTURE_TTL)
        if picture is None and not self._is_paused:
            try:
                async with asyncio.timeout(LOOKUP_TIMEOUT):
                    await self._ask(email)
            except TimeoutError:
                _log.warning("Slack is slow to look up users: some messages have no picture")
            except DeliveryError as error:
                self._pause(error, "comments have the pictures known before")
        return picture or await self._kv.get(key, FOUND_TTL) or ""

    @property
    def _is_paused(self) -> bool:
        return not self._api.by_bot or time.monotonic() < self._paused_until

    def _pause(self, error: DeliveryError, effect: str) -> None:
        self._paused_until = time.monotonic() + max(error.retry_after or 0.0, REFUSED_DELAY)
        hint = ""
        if error.reason == "missing_scope":
            hint = ": give the Slack app the scopes users:read.email and users:read"
        _log.warning("%s (%s)%s", effect, error.reason, hint)

    async def _try_lookup(self, email: str) -> str:
        try:
            return await (self._cached(email) if self._is_paused else self._lookup(email)) or ""
        except DeliveryError as error:
            self._pause(error, "mentions notify only people in [people]")
            return ""

    async def _lookup(self, email: str) -> str:
        """The user id, or empty for an address without a user."""
        cached = await self._cached(email)
        return await self._ask(email) if cached is None else cached

    async def _ask(self, email: str) -> str:
        """As ``_lookup``, of Slack; what it answers is cached, also the picture."""
        try:
            answer = await self._api.call("users.lookupByEmail", params={"email": email})
        except DeliveryError as error:
            if error.reason != "users_not_found":
                raise
            answer = {}
        user = answer.get("user")
        user = user if isinstance(user, dict) else {}
        if user.get("deleted") or user.get("is_bot"):
            user = {}
        found = str(user.get("id", ""))
        await self._kv.put(self._key(email), found)
        await self._kv.put(self._picture_key(email), _picture_url(user.get("profile")))
        return found

    async def _cached(self, email: str) -> str | None:
        user = await self._kv.get(self._key(email), FOUND_TTL)
        return user or await self._kv.get(self._key(email), NOT_FOUND_TTL)

    def _key(self, email: str) -> str:
        return f"slack-user/{self._api.workspace}/{short_hash(email.lower())}"

    def _picture_key(self, email: str) -> str:
        return f"slack-picture-of/{self._api.workspace}/{short_hash(email.lower())}"


def _picture_url(profile: Any) -> str:
    """Of a user's profile, if Slack stores the picture."""
    url = profile.get("image_72") if isinstance(profile, dict) else None
    if not isinstance(url, str) or len(url) > _MAX_URL_LENGTH or not url.isascii():
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    is_slacks = parts.scheme == "https" and parts.netloc.endswith(_PICTURE_HOST)
    return url if is_slacks and "@" not in parts.netloc else ""
