"""Hooks stay on: Penpot switches a webhook off after three failed calls, the watch on again.

What was found last stands in the store's notes, for ``relay log``, ``relay doctor`` and the
inspector. A hook's address holds its secret and stands in no text.
"""

import json
import logging
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import urlsplit

from relay.config import Config
from relay.messages.escape import escape
from relay.messages.message import Message
from relay.metrics import Metrics
from relay.penpot.answers import WebhookRecord
from relay.store.base import NewDelivery, Store

if TYPE_CHECKING:  # httpx is only loaded where there is a token
    from relay.penpot.api import PenpotClient

log = logging.getLogger(__name__)

SWITCHED_ON = "hook-switched-on"
"""The name of Relay's own event about it."""
TELL_AGAIN = 6 * 3600.0
"""Seconds in which a channel is told only once that its team's hook was switched on."""

State: TypeAlias = Literal["active", "off", "missing", "hidden"]

_WHY = {
    "connection-error": "it could not connect to Relay",
    "timeout": "Relay did not answer in time",
    "ssl-validation-error": "it does not trust the certificate of Relay's address",
    "invalid-uri": "it can't read the hook's address",
    "blocked-request": "it may not call Relay's address (PENPOT_SSRF_ALLOWED_HOSTS)",
}
_RIGHT = (
    "the user of penpot.access_token may not switch it on: make that user an editor of the team in "
    "Penpot, or switch it on there"
)
_MISSING = "Penpot has no hook for this Relay: `relay doctor --fix` makes it"
_NOWHERE = (
    "no team of the user of penpot.access_token has it: let that user into the team, and "
    "`relay doctor --fix` make the hook"
)
_BY_HAND = "somebody switched it off in Penpot: `relay doctor --fix` switches it on"


@dataclass(frozen=True, slots=True)
class WebhookStatus:
    """What was found about a team's hook in Penpot."""

    state: State
    why: str = ""
    """In words, where it is not active."""
    told_at: float = 0.0
    """When a channel was told last that it was switched on, in seconds since 1970."""
    once: bool = False
    """Whether it was switched on though Penpot noted no failed call. The form makes hooks that are
    inactive; who switches one off a second time means it."""
    untold: bool = False
    """Whether it was about to be switched on, and nobody has been told of that yet."""


def reason(webhook: WebhookRecord) -> str:
    """Why Penpot switched a hook off, in words; empty where it notes nothing."""
    if not webhook.error_code:
        return ""
    word = webhook.error_code.partition(":")[0]
    return _WHY.get(word, f"its calls failed ({webhook.error_code})")


def own(webhooks: Iterable[WebhookRecord], public_url: str, path: str) -> list[WebhookRecord]:
    """The hooks that lead to this Relay, by host and path; by the path alone where the config has
    no ``server.public_url``. ``path`` is that of the team's hook, with its secret."""
    here = urlsplit(public_url + path)
    found = []
    for webhook in webhooks:
        try:
            there = urlsplit(webhook.uri)
            same_host = there.hostname == here.hostname
        except ValueError:
            continue
        if (same_host and there.path == here.path) if public_url else there.path.endswith(path):
            found.append(webhook)
    return found


class WebhookMonitor:
    """Looks at each team's hook, and switches it on where Penpot switched it off."""

    def __init__(
        self,
        config: Config,
        penpot: "PenpotClient",
        store: Store,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._penpot = penpot
        self._store = store
        self._metrics = metrics
        self._clock = clock

    async def look(self, team: str, team_id: str) -> bool:
        """Whether the hook of a team was switched on now, so that events were missed before.

        ``team_id`` is the team's id in Penpot. Raises ``PenpotError`` and ``StoreUnavailable``.
        """
        before = await last(self._store, team)
        listed = await self._penpot.webhooks(team_id)
        if listed is None:
            text = "the user of penpot.access_token is not in the team"
            await self._keep(team, before, WebhookStatus("hidden", text))
            return False
        found = own(listed, self._config.server.public_url, self._config.hook_path(team))
        if not found:
            await self._keep(team, before, WebhookStatus("missing", _MISSING))
            return False
        if any(webhook.is_active for webhook in found):
            if before is not None and before.untold:  # Relay ended right after that
                await self._is_on(team, before, before.why)
                return True
            await self._keep(team, before, WebhookStatus("active"))
            return False
        # The one that Penpot gave up on rather than one that somebody switched off.
        return await self._switch_on(team, before, max(found, key=lambda one: bool(reason(one))))

    async def not_found(self, team: str) -> None:
        """None of the teams of the token's user has the hook. Raises ``StoreUnavailable``."""
        await self._keep(team, await last(self._store, team), WebhookStatus("missing", _NOWHERE))

    async def _switch_on(
        self, team: str, before: WebhookStatus | None, webhook: WebhookRecord
    ) -> bool:
        why = reason(webhook)
        if not why and before is not None and before.once:
            await self._keep(team, before, WebhookStatus("off", _BY_HAND))
            return False
        lacks = f"{why}; {_RIGHT}" if why else _RIGHT
        if before is None or before.why != lacks:
            await self._keep(team, before, WebhookStatus("off", why, untold=True))
            before = await last(self._store, team)
        if await self._penpot.switch_on(webhook) is None:
            await self._keep(team, before, WebhookStatus("off", lacks))
            return False
        await self._is_on(team, before, why)
        return True

    async def _is_on(self, team: str, before: WebhookStatus | None, why: str) -> None:
        self._metrics.hook_switched_on(team)
        log.warning(
            "team %s: its webhook in Penpot was off (%s) and is on again", team, why or "no reason"
        )
        now = self._clock()
        told_at = before.told_at if before else 0.0
        if now - told_at > TELL_AGAIN:
            told_at = now
            await self._tell(team, why)
        once = not why or (before is not None and before.once)
        await self._keep(team, before, WebhookStatus("active", told_at=told_at, once=once))

    async def _keep(self, team: str, before: WebhookStatus | None, found: WebhookStatus) -> None:
        self._metrics.hook(team, is_active=found.state == "active")
        if before is not None:
            found = replace(
                found,
                told_at=max(found.told_at, before.told_at),
                once=found.once or before.once,
            )
        if found == before:
            return
        if found.why and not found.untold and (before is None or before.why != found.why):
            log.warning("team %s: its webhook in Penpot is %s: %s", team, found.state, found.why)
        await self._store.keep_note(_key(team), json.dumps(asdict(found)))

    async def _tell(self, team: str, why: str) -> None:
        queue = self._config.told(team)
        if queue is None:
            return
        cause = f"because {escape(why)}" if why else "and notes no failed call"
        text = (
            f"Penpot's webhook for this team was **off**, {cause}. It is **on** again, and "
            "comments that were missed follow."
        )
        now = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        title = "Penpot's webhook was off and is on again"
        message = Message(title, text, event=SWITCHED_ON, team=team, at=now)
        delivery = NewDelivery(queue, uuid.uuid4().hex, message.dumps())
        await self._store.announce(team, SWITCHED_ON, [delivery], title)


async def last(store: Store, team: str) -> WebhookStatus | None:
    """What was found about a team's hook when it was looked at last; None before that."""
    note = await store.note(_key(team))
    return None if note is None else WebhookStatus(**json.loads(note.value))


async def troubles(store: Store, teams: Iterable[str]) -> dict[str, tuple[float, str]]:
    """The teams whose hook does not work, with the time since when, in seconds since 1970, and
    what is wrong."""
    found = {}
    for team in teams:
        note = await store.note(_key(team))
        hook = None if note is None else WebhookStatus(**json.loads(note.value))
        if note is not None and hook is not None and hook.state != "active":
            found[team] = note.at, f"its webhook in Penpot is {hook.state}: {hook.why}"
    return found


def _key(team: str) -> str:
    return f"hook/{team}"
