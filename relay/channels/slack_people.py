"""Who somebody of Penpot is in Slack: what the config says, else whose mail address it is there."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Sequence

from relay.channels.base import Failure, KeyValueStore
from relay.channels.slack_check import Call
from relay.messages.message import Mention

BUDGET = 2.0
"""Seconds that a message waits for the people that it pings, at the most."""
FOUND_LASTS = 30 * 24 * 3600.0
NOT_FOUND_LASTS = 24 * 3600.0
"""Seconds for which Slack is not asked again for somebody."""
REST = 600.0
"""Seconds without a question after one that was refused."""

_log = logging.getLogger(__name__)


class SlackPeople:
    """The people of one workspace.

    https://docs.slack.dev/reference/methods/users.lookupByEmail
    """

    def __init__(self, call: Call | None, notes: KeyValueStore, workspace: str) -> None:
        """``call`` is None where there is no token to ask with; ``workspace`` is a digest that
        tells those of other tokens apart."""
        self._call = call
        self._notes = notes
        self._prefix = f"slack-user/{workspace}/"
        self._rests_until = 0.0

    async def pings(self, people: Sequence[Mention]) -> dict[str, str]:
        """Slack's ids of those who have one, by their profile in Penpot. Nothing is raised: who
        can't be found in time is not pinged."""
        found = {one.id: one.slack for one in people if one.slack}
        unknown = [one for one in people if not one.slack and one.email]
        if not unknown:
            return found
        try:
            async with asyncio.timeout(BUDGET):
                for one in unknown:
                    if user := await self._quietly(one):
                        found[one.id] = user
        except TimeoutError:
            _log.warning("Slack is slow to say who people are: some are not pinged")
        return found

    async def find(self, person: Mention) -> str:
        """Slack's id of somebody who is written to. Raises ``Failure``."""
        if person.slack:
            return person.slack
        user = await self._asked(person.email) if person.email and self._call else ""
        if not user:
            who = person.name or "somebody who was mentioned"
            text = (
                f"{who} is not known in Slack by the mail address that Penpot has: add them to "
                "[people] in the config"
            )
            raise Failure("dead", "no_address", text)
        return user

    async def _quietly(self, person: Mention) -> str:
        if self._call is None or time.monotonic() < self._rests_until:
            return await self._remembered(person.email) or ""
        try:
            return await self._asked(person.email)
        except Failure as failure:
            self._rests_until = time.monotonic() + max(failure.after or 0.0, REST)
            hint = ""
            if failure.reason == "missing_scope":
                hint = ": give the Slack app the scopes users:read.email and users:read"
            _log.warning("mentions ping only whom [people] names (%s)%s", failure.reason, hint)
            return ""

    async def _asked(self, email: str) -> str:
        """The id of whose address it is, asked once; empty for nobody."""
        known = await self._remembered(email)
        if known is not None or self._call is None:
            return known or ""
        try:
            answer = await self._call("users.lookupByEmail", params={"email": email})
        except Failure as failure:
            if failure.reason != "users_not_found":
                raise
            user = ""
        else:
            user = _alive(answer.get("user"))
        await self._notes.keep(self._key(email), user)
        return user

    async def _remembered(self, email: str) -> str | None:
        known = await self._notes.get(self._key(email), FOUND_LASTS)
        if known == "":
            return await self._notes.get(self._key(email), NOT_FOUND_LASTS)
        return known

    def _key(self, email: str) -> str:
        return self._prefix + digest(email.lower())


def _alive(user: object) -> str:
    """The id of a user who is a person and has not left."""
    if not isinstance(user, dict) or user.get("deleted") or user.get("is_bot"):
        return ""
    return str(user.get("id", ""))


def digest(text: str) -> str:
    """A name for something that is not to be seen in the store's notes."""
    return hashlib.sha256(text.encode()).hexdigest()[:20]
