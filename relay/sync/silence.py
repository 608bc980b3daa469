"""Finds a webhook that is active in Penpot although its calls do not arrive.

Penpot records most failures as successes, such as a 403 of a filter in front of Relay. So what
happened in Penpot is compared with the time of the hook's last call.
"""

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import urlsplit

from relay.channels.base import Finding, noted
from relay.config.settings import Config
from relay.intake import USE_INTERVAL, use_key
from relay.penpot.api import PenpotClient
from relay.penpot.client import PenpotUnexpected
from relay.penpot.text import instant
from relay.store.base import Store
from relay.sync.webhooks import load_status

COMMENT_DELAY = 60.0  # seconds; Penpot calls within some ten
FILE_DELAY = 300.0  # seconds; Penpot calls two minutes after the last save
MAX_THREAD_COUNT = 3  # whose comments are read
MAX_PROJECT_COUNT = 20  # whose files are listed


async def check_silence(
    config: Config, penpot: PenpotClient, store: Store, team: str, team_id: str
) -> Finding | None:
    """For a team whose webhook is active, with its id in Penpot; None if the webhook calls.

    A webhook that never called is only suspected where Relay does not know since when it is
    active. Raises ``PenpotError`` and ``StoreUnavailable``.
    """
    called_at = await _last_call(config, store, team)
    since = called_at + USE_INTERVAL if called_at else await _active_since(store, team)
    activity = await _comment(penpot, team_id, since) or await _file(penpot, team_id, since)
    if not activity:
        return None
    last = f"its last call ({utc(called_at)})" if called_at else "the beginning, without any call"
    causes = _causes(config)
    if not since:
        text = "its webhook in Penpot exists and is on, but has not called yet"
        return noted(f"{text}. Write a comment in Penpot; if nothing comes: {causes}")
    text = f"its webhook in Penpot is on but silent: {activity} is newer than {last}"
    return Finding(False, f"{text}. Usual causes, in this order: {causes}")


def _causes(config: Config) -> str:
    host = urlsplit(config.server.public_url).hostname or "the host of the webhook's address"
    return (
        f"(1) the address is private, and PENPOT_SSRF_ALLOWED_HOSTS in Penpot lacks {host} "
        f"(bare name, lower case, without port); (2) {host} leads to another server than this "
        "Relay; (3) Cloudflare's bot check, or another filter in front of Relay, stops requests "
        "that come from no browser: let POST to /hooks/ pass; (4) the host name contains an "
        "underscore, and Penpot calls no such host"
    )


async def _last_call(config: Config, store: Store, team: str) -> float:
    """Up to ``USE_INTERVAL`` too early, in seconds since 1970; 0 without a call."""
    uses = [await store.get_value(use_key(team, secret)) for secret in config.teams[team].secret]
    return max((use.at for use in uses if use), default=0.0)


async def _active_since(store: Store, team: str) -> float:
    """When the sync first saw that the webhook is active, in seconds since 1970; 0 if unknown."""
    status = await load_status(store, team)
    return status.saved_at if status and status.state == "active" else 0.0


async def _comment(penpot: PenpotClient, team_id: str, since: float) -> str:
    """The newest comment after ``since`` that a webhook should have sent, in words; or empty."""
    try:
        rows = await penpot.unread_threads(team_id) or ()
    except PenpotUnexpected:  # more threads than an answer may contain
        return ""
    changed = sorted(rows, key=lambda row: row.modified_at, reverse=True)[:MAX_THREAD_COUNT]
    times: list[datetime | None] = []
    for row in changed:
        if _newest([instant(row.modified_at)], since, 0.0):
            times += [comment.created_at for comment in await penpot.comments(row.id) or ()]
    at = _newest(times, since, COMMENT_DELAY)
    return f"a comment ({utc(at)})" if at else ""


async def _file(penpot: PenpotClient, team_id: str, since: float) -> str:
    """As ``_comment``, a changed file."""
    projects = [row for row in await penpot.projects(team_id) or () if not row.is_deleted]
    projects.sort(key=lambda row: row.modified_at or datetime.min.replace(tzinfo=UTC))
    times: list[datetime | None] = []
    for project in projects[-MAX_PROJECT_COUNT:]:
        times += [file.modified_at for file in await penpot.project_files(project.id) or ()]
    at = _newest(times, since, FILE_DELAY)
    return f"a changed file ({utc(at)})" if at else ""


def _newest(times: Iterable[datetime | None], since: float, delay: float) -> float:
    """The newest time after ``since`` that is at least ``delay`` seconds ago; 0 without one."""
    until = time.time() - delay
    seconds = [at.timestamp() for at in times if at]
    return max((at for at in seconds if since < at <= until), default=0.0)


def utc(seconds: float) -> str:
    """``seconds`` since 1970."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
