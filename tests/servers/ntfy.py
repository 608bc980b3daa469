"""A stand-in for ntfy: messages that are published as JSON, as strict as its source.

Each rule has its place in github.com/binwiederhier/ntfy, below ``server``, or in its documentation.
"""

import json
import re
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from tests.servers.loopback import Answer, Request

TOKEN = "tk_tokenoftheteststokenoftests"  # as user/manager.go makes them, with 32 characters
TOPIC = "penpot"
MAX_LENGTH = 4096  # bytes; config.go, DefaultMessageSizeLimit
# https://docs.ntfy.sh/publish/#publish-as-json
KEYS = frozenset(
    {
        *("topic", "message", "title", "tags", "priority", "actions", "click", "attach"),
        *("markdown", "icon", "filename", "delay", "email", "call"),
    }
)


def _refused(code: int, text: str) -> Answer:
    """errors.go: the status is the beginning of the code."""
    return Answer.of({"code": code, "http": code // 100, "error": text}, code // 100)


@dataclass
class Ntfy:
    """A server with one topic, which needs a token."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    next: deque[Answer] = field(default_factory=deque)
    requests: list[Request] = field(default_factory=list)

    def handle(self, request: Request) -> Answer:
        self.requests.append(request)
        if self.next:
            return self.next.popleft()
        if request.method not in ("POST", "PUT") or request.path != "/":
            return _refused(40401, "page not found")
        if len(request.body) > 2 * MAX_LENGTH:  # server.go, transformBodyJSON
            return _refused(41303, "JSON body too large")
        try:
            message = json.loads(request.body)
        except ValueError:
            return _refused(40017, "invalid request: request body must be message JSON")
        if not isinstance(message, dict) or message.keys() - KEYS:  # unknown ones are ignored there
            return _refused(40017, "invalid request: request body must be message JSON")
        if not re.fullmatch(r"[-_A-Za-z0-9]{1,64}", str(message.get("topic", ""))):  # topicRegex
            return _refused(40009, "invalid request: topic invalid")
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return _refused(40101, "unauthorized")
        if message["topic"] != TOPIC:
            return _refused(40301, "forbidden")
        if len(str(message.get("message", "")).encode()) > MAX_LENGTH:
            # https://docs.ntfy.sh/publish/#limitations: it would arrive as a file
            return _refused(40014, "invalid request: attachments not allowed")
        self.messages.append(message)
        answer = {"id": f"m{len(self.messages)}", "event": "message", "topic": TOPIC}
        return Answer.of(answer | {"message": message.get("message", "triggered")})

    @property
    def texts(self) -> list[str]:
        return [message["message"] for message in list(self.messages)]
