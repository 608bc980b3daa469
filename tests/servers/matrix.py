"""A stand-in for a Matrix homeserver that keeps what is posted; it has one room and no rules.

For what a homeserver accepts, and for anything with state, the tests have a real Synapse.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.servers.loopback import Answer, Request


@dataclass
class Homeserver:
    """The contents of the posted events, oldest first, and the uploads."""

    posted: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    """The same as they arrived."""
    uploads: list[bytes] = field(default_factory=list)

    def handle(self, request: Request) -> Answer:
        *_, kind, event = request.path.rsplit("/", 2)
        if "/send/m.room.message/" in request.path:
            self.bodies.append(request.body)
            self.posted.append(json.loads(request.body))
            return Answer.of({"event_id": f"${len(self.posted)}"})
        if request.path.endswith("/upload"):
            self.uploads.append(request.body)
            return Answer.of({"content_uri": f"mxc://relay.test/{len(self.uploads)}"})
        if request.path.endswith("/createRoom"):
            return Answer.of({"room_id": "!direct:relay.test"})
        if request.path.endswith("/account/whoami"):
            return Answer.of({"user_id": "@penpot:relay.test"})
        if kind == "event":
            content = self.posted[int(event.lstrip("%24$")) - 1]
            return Answer.of({"content": content})
        if request.method != "GET":
            return Answer.of({})
        return Answer.of({"errcode": "M_NOT_FOUND", "error": "not found"}, 404)
