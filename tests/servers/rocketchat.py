"""A stand-in for Rocket.Chat: the webhook of an incoming integration, as strict as its source.

Each rule has its place in github.com/RocketChat/Rocket.Chat, below ``apps/meteor/app``.
"""

import json
import math
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from tests.servers.loopback import Answer, Request

INTEGRATION, TOKEN = "hookOfTheTests123", "tokenOfTheTestsTokenOfTheTests0123456789"
WEBHOOK_PATH = f"/hooks/{INTEGRATION}/{TOKEN}"
INFO_PATH = f"/hooks/info/{INTEGRATION}/{TOKEN}"
ROOM = "#design"
MAX_LENGTH = 5000  # ../server/settings/message.ts, Message_MaxAllowedSize
# lib/server/functions/processWebhookMessage.ts
WEBHOOK_KEYS = frozenset(
    {
        *("channel", "roomId", "text", "msg", "username", "alias", "icon_emoji", "emoji"),
        *("icon_url", "avatar", "attachments", "parseUrls", "bot", "groupable", "tmid"),
        *("customFields", "separateResponse"),
    }
)


class Refused(Exception):
    """A failure: api/server/ApiClass.ts"""

    def __init__(self, error: str, status: int = 400) -> None:
        super().__init__(error)
        self.answer = Answer.of({"success": False, "error": error}, status)


@dataclass
class RocketChat:
    """A server with one integration, which posts to one room."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    """Those that are shown, oldest first, with ``msg`` and what the webhook got as ``hook``."""
    pings: list[str] = field(default_factory=list)
    """Whom each message mentioned, in order."""
    next: deque[Answer] = field(default_factory=deque)
    requests: list[Request] = field(default_factory=list)
    users: set[str] = field(default_factory=lambda: {"ada"})
    max_length: int = MAX_LENGTH
    is_enabled: bool = True
    has_override: bool = False
    """Whether the integration lets a message choose its room."""
    has_room: bool = True
    is_member: bool = True
    is_readonly: bool = False
    may_impersonate: bool = True
    """By the role "bot": authorization/server/constant/permissions.ts"""
    script: Callable[[dict[str, Any]], dict[str, Any] | None] | None = None
    """That of the integration: returns ``content``, or ``error``."""
    limit: float = math.inf
    """Of calls in each window; by default 10: ../server/settings/rate.ts"""
    window: float = 60.0  # seconds
    clock: Callable[[], float] = time.monotonic
    _since: float = 0.0
    _count: int = 0

    def handle(self, request: Request) -> Answer:
        self.requests.append(request)
        if self.next:
            return self.next.popleft()
        try:
            return self._route(request)
        except Refused as refused:
            return refused.answer

    @property
    def texts(self) -> list[str]:
        return [message["msg"] for message in self.messages]

    def _route(self, request: Request) -> Answer:
        """integrations/server/api/api.ts"""
        if not re.fullmatch(r"/hooks(/info)?/[^/]+/[^/]+", request.path):
            body = {"status": "error", "message": "API endpoint does not exist"}
            return Answer.of(body, 404)
        if request.path not in (WEBHOOK_PATH, INFO_PATH):  # authenticatedRoute
            raise Refused("Invalid integration id or token provided.", 404)
        if request.path == INFO_PATH:
            return Answer.of({"success": True})
        self._check_rate()
        return self._execute(_body(request))

    def _check_rate(self) -> None:
        """api/server/ApiClass.ts, enforceRateLimit: in windows, and refused calls count too."""
        now = self.clock()
        if now - self._since >= self.window:
            self._since, self._count = now, 0
        self._count += 1
        if self._count > self.limit:
            seconds = math.ceil(self._since + self.window - now)
            text = f"Error, too many requests. Please slow down. You must wait {seconds} seconds"
            raise Refused(
                f"{text} before trying this endpoint again. [error-too-many-requests]", 429
            )

    def _execute(self, body: dict[str, Any]) -> Answer:
        """executeIntegrationRest, in its order"""
        if not self.is_enabled:
            raise Refused("Service Unavailable", 503)
        if self.script:
            result = self.script(body)
            if not result:
                return Answer.of({"success": True})
            if error := result.get("error"):
                raise Refused(error)
            body = result["content"]
        elif not body:
            return Answer.of({"success": True})
        if (body.get("channel") or body.get("roomId")) and not self.has_override:
            raise Refused("overriding destination channel is disabled for this integration")
        message = self._message(body)
        self.messages.append(message)
        self.pings += pings(message["msg"], self.users)
        return Answer.of({"success": True})

    def _message(self, body: dict[str, Any]) -> dict[str, Any]:
        """lib/server/functions/processWebhookMessage.ts"""
        channel = body.get("channel") or body.get("roomId") or ROOM
        if not self.has_room or channel != ROOM:
            raise Refused("invalid-channel")
        if not self.is_member:  # authorization/server/functions/canSendMessage.ts
            raise Refused("error-not-allowed")
        if self.is_readonly:
            raise Refused("You can't send messages because the room is readonly.")
        text = body.get("text") or body.get("msg") or ""
        if not isinstance(text, str):
            raise Refused("Match error: Expected string, got object in field msg")
        text = text.strip()
        if len(text.encode("utf-16-le", "surrogatepass")) // 2 > self.max_length:
            raise Refused("error-message-size-exceeded")
        alias = body.get("username") or body.get("alias")
        avatar = body.get("icon_url") or body.get("avatar")
        if avatar and not re.match(r"https?://|/", str(avatar)):  # sendMessage.ts
            raise Refused("Invalid href value provided")
        if (alias or avatar) and not self.may_impersonate:  # sendMessage.ts, validateMessage
            raise Refused("Not enough permission")
        return {"msg": text, "alias": alias, "avatar": avatar, "hook": body}


def pings(text: str, users: Any = ("ada",)) -> list[str]:
    """mentions/lib/MentionsParser.ts and mentions/server/Mentions.ts, on the text as it was posted.
    JavaScript's white space includes what Python's does not."""
    name = r"[0-9a-zA-Z\-_.]+"
    mentions = re.findall(rf"(?:^|[\s\ufeff]|>)@({name}(?:@{name})?(?::{name})?)", text, re.M)
    return [f"@{mention}" for mention in mentions if mention in {"all", "here", *users}]


def _body(request: Request) -> dict[str, Any]:
    """packages/http-router/src/Router.ts, parseBodyParams: what is no JSON is an empty body; and
    integrations/server/api/api.ts, middleware."""
    content_type = request.headers.get("content-type", "").partition(";")[0]
    text = request.body.decode(errors="replace")
    if content_type == "application/x-www-form-urlencoded":
        text = parse_qs(text).get("payload", ["{}"])[0]
    elif content_type != "application/json":
        return {}
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
