"""A stand-in for Slack's Web API and incoming webhooks, as strict as the documentation.

    python tests/servers/slack.py --port 8901            # validates all, as Slack does
    python tests/servers/slack.py --port 8901 --fast     # accepts all: a benchmark's sink

``GET /received`` returns the posted messages with their times of arrival; ``DELETE /received``
clears them. The Web API is under ``/api/``, the webhook under ``/services/…``.

https://docs.slack.dev/reference/methods/chat.postMessage
https://docs.slack.dev/reference/methods/chat.update
https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

import argparse
import asyncio
import json
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from tests.servers.loopback import Answer, Request, listen
from tests.servers.slack_rules import block_faults, too_long

TOKEN = "xoxb-0123456789-0123456789012-SecretTokenOfTheTests"
WEBHOOK_PATH = "/services/T0TEAM000/B0HOOK000/SecretPathOfTheTests00"
SCOPES = frozenset(
    {
        "chat:write",
        "channels:read",
        "groups:read",
        "im:write",
        "users:read",
        "users:read.email",
        "files:write",
        "chat:write.customize",
    }
)

# The arguments of chat.postMessage; Slack ignores others, this server does not.
_ARGUMENTS = frozenset(
    [
        "channel",
        "text",
        "blocks",
        "attachments",
        "thread_ts",
        "reply_broadcast",
        "unfurl_links",
        "unfurl_media",
        "mrkdwn",
        "parse",
        "link_names",
        "metadata",
        "username",
        "icon_url",
        "icon_emoji",
    ]
)
# The last two are not documented; an edit without them loses those of the message:
# https://github.com/slackapi/node-slack-sdk/issues/944
_UPDATE_ARGUMENTS = frozenset(
    ["channel", "ts", "text", "blocks", "attachments", "parse", "link_names", "metadata"]
).union(("username", "icon_url"))
_SENDER = {"username", "icon_url", "icon_emoji"}
_WEBHOOK_ARGUMENTS = _ARGUMENTS - {"channel", "metadata", "reply_broadcast", "username"}


@dataclass
class Room:
    """A Slack channel."""

    id: str
    name: str
    is_member: bool = True
    is_archived: bool = False
    is_private: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "is_channel": not self.is_private,
            "is_member": self.is_member,
            "is_archived": self.is_archived,
            "is_private": self.is_private,
        }


def _default_rooms() -> list[Room]:
    return [
        Room("C0DESIGN0", "design"),
        Room("C0GENERAL", "general", is_member=False),
        Room("C0OLDONES", "old-ones", is_archived=True),
        Room("G0PRIVATE", "private", is_private=True),
    ]


class Refused(Exception):
    """One of Slack's error codes."""

    def __init__(self, word: str, *messages: str, **more: Any) -> None:
        super().__init__(word)
        self.more = more | ({"response_metadata": {"messages": messages}} if messages else {})


@dataclass
class Slack:
    """The workspace: its data, the requests it got, and the answers to give next."""

    fast: bool = False
    token: str = TOKEN
    scopes: frozenset[str] = SCOPES
    rooms: list[Room] = field(default_factory=_default_rooms)
    users: dict[str, str] = field(default_factory=lambda: {"ada@example.com": "U0ADA0000"})
    user: dict[str, Any] = field(default_factory=dict)
    """Further fields of a looked-up user."""
    ignores_senders: frozenset[str] = frozenset()
    """Methods that ignore a sender instead of an error or its use, such as ``chat.update``. Without
    the scope chat.postMessage does so too (github.com/papercups-io/papercups/pull/522)."""
    names_scopes: bool = True
    """Whether answers have the header with the token's scopes."""
    slow_files: int = 0
    """The number of refused messages before an uploaded file can be shown."""
    files: dict[str, bytes] = field(default_factory=dict)
    """Uploads by file id; shown once the upload is complete."""
    complete: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    """The methods that were called, in order."""
    page: int = 2
    """Channels per page of conversations.list."""
    next: deque[Answer | str] = field(default_factory=deque)
    """Answers or error codes for the next calls."""
    received: list[tuple[float, bytes]] = field(default_factory=list)
    posted: set[str] = field(default_factory=set)
    """The ids of posted messages; a test deletes a message by removing its id."""
    shown: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The last version of each message, by its id."""
    uneditable: set[str] = field(default_factory=set)
    undeletable: set[str] = field(default_factory=set)
    """Ids of messages whose time for edits is over."""

    @property
    def messages(self) -> list[Any]:
        """The accepted messages, oldest first."""
        return [json.loads(body) for _, body in self.received]

    def handle(self, request: Request) -> Answer:
        if self.fast and request.method == "POST":
            return self._take(request.body, webhook=request.path.startswith("/services/"))
        if request.path == "/received":
            return self._received(request)
        webhook = request.path.startswith("/services/")
        try:
            if self.next:
                planned = self.next.popleft()
                if isinstance(planned, Answer):
                    return planned
                raise Refused(planned)
            if webhook:
                return self._webhook(request)
            if request.path.startswith("/upload/"):
                return self._upload(request)
            return self._method(request)
        except Refused as refused:
            word = str(refused)
            if webhook:
                status = {"no_service": 404, "channel_is_archived": 410}.get(word, 400)
                return Answer(word.encode(), status, "text/html; charset=utf-8")
            return Answer.of({"ok": False, "error": word} | refused.more)

    def _received(self, request: Request) -> Answer:
        if request.method == "DELETE":
            self.received.clear()
        return Answer.of([{"at": at} | json.loads(body) for at, body in self.received])

    def _take(self, body: bytes, *, webhook: bool) -> Answer:
        self.received.append((time.time(), body))
        if webhook:
            return Answer(b"ok", content_type="text/html; charset=utf-8")
        ts = f"{1700000000 + len(self.received) // 1000000}.{len(self.received) % 1000000:06}"
        self.posted.add(ts)
        return Answer(b'{"ok":true,"channel":"C0DESIGN0","ts":"%b"}' % ts.encode())

    def _method(self, request: Request) -> Answer:
        methods = {
            "/api/chat.postMessage": self._post_message,
            "/api/chat.update": self._update,
            "/api/chat.delete": self._delete,
            "/api/auth.test": self._auth_test,
            "/api/conversations.info": self._conversations_info,
            "/api/conversations.list": self._conversations_list,
            "/api/users.lookupByEmail": self._lookup_by_email,
            "/api/conversations.open": self._conversations_open,
            "/api/files.getUploadURLExternal": self._upload_address,
            "/api/files.completeUploadExternal": self._upload_complete,
        }
        self.calls.append(request.path.removeprefix("/api/"))
        if request.path not in methods:
            raise Refused("unknown_method")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            raise Refused("not_authed")
        if token != self.token:
            raise Refused("invalid_auth")
        if request.headers.get("content-type", "").startswith("application/json"):
            arguments = _json_object(request.body, "invalid_json")
        else:
            arguments = dict(parse_qsl(request.body.decode())) | dict(parse_qsl(request.query))
        answer = methods[request.path](request, arguments)
        if self.names_scopes:
            answer.headers["x-oauth-scopes"] = ",".join(sorted(self.scopes))
        return answer

    def _sender(self, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments without a sender that is ignored."""
        if not _SENDER & arguments.keys():
            return arguments
        if method not in self.ignores_senders:
            self._needs("chat:write.customize")
            return arguments
        return {name: value for name, value in arguments.items() if name not in _SENDER}

    def _needs(self, *scopes: str) -> None:
        if not self.scopes.intersection(scopes):
            raise Refused("missing_scope", needed=",".join(scopes), provided=",".join(self.scopes))

    def _post_message(self, request: Request, arguments: dict[str, Any]) -> Answer:
        self._needs("chat:write")
        room = self._room(arguments.get("channel"))
        if room.is_archived:
            raise Refused("is_archived")
        if not room.is_member:
            raise Refused("not_in_channel")
        _check_message(arguments, _ARGUMENTS)
        self._check_files(arguments.get("blocks") or [])
        if "thread_ts" in arguments and arguments["thread_ts"] not in self.posted:
            raise Refused("thread_not_found")
        arguments = self._sender("chat.postMessage", arguments)
        answer = self._take(request.body, webhook=False)
        self.shown[json.loads(answer.body)["ts"]] = arguments
        return answer

    def _update(self, _request: Request, arguments: dict[str, Any]) -> Answer:
        self._needs("chat:write")
        room = self._room(arguments.get("channel"), by_name=False)
        if room.is_archived:
            raise Refused("is_inactive")
        ts = arguments.get("ts")
        if ts not in self.shown:
            raise Refused("message_not_found")
        if ts in self.uneditable:
            raise Refused("edit_window_closed")
        # An empty list removes the blocks; without the argument they stay.
        no_blocks = arguments.get("blocks") == []
        _check_message(arguments | ({"blocks": None} if no_blocks else {}), _UPDATE_ARGUMENTS)
        self._check_files(arguments.get("blocks") or [])
        before = self.shown[ts]
        if _is_rich(before) and arguments.get("blocks") and not _is_rich(arguments):
            raise Refused("block_mismatch")
        arguments = self._sender("chat.update", arguments)
        kept = {name: value for name, value in before.items() if name not in _SENDER}
        self.shown[ts] = kept | arguments
        shown = {"text": arguments["text"], "username": arguments.get("username")}
        message = {name: value for name, value in shown.items() if value}
        return Answer.of({"ok": True, "channel": room.id, "ts": ts, **shown, "message": message})

    def _delete(self, _request: Request, arguments: dict[str, Any]) -> Answer:
        """https://docs.slack.dev/reference/methods/chat.delete"""
        self._needs("chat:write")
        room = self._room(arguments.get("channel"), by_name=False)
        ts = arguments.get("ts")
        if ts not in self.shown:
            raise Refused("message_not_found")
        if ts in self.undeletable:
            raise Refused("cant_delete_message")
        del self.shown[ts]
        return Answer.of({"ok": True, "channel": room.id, "ts": ts})

    def _webhook(self, request: Request) -> Answer:
        if request.path != WEBHOOK_PATH:
            raise Refused("no_service")
        arguments = _json_object(request.body, "invalid_payload")
        _check_message(arguments, _WEBHOOK_ARGUMENTS)
        return self._take(request.body, webhook=True)

    def _auth_test(self, _request: Request, _arguments: dict[str, Any]) -> Answer:
        return Answer.of(
            {
                "ok": True,
                "url": "https://acme.slack.com/",
                "team": "Acme",
                "user": "relay",
                "team_id": "T0TEAM000",
                "user_id": "U0RELAY00",
                "bot_id": "B0RELAY00",
            }
        )

    def _conversations_info(self, _request: Request, arguments: dict[str, Any]) -> Answer:
        room = self._room(arguments.get("channel"), by_name=False)
        self._needs("groups:read" if room.is_private else "channels:read")
        return Answer.of({"ok": True, "channel": room.to_dict()})

    def _conversations_list(self, _request: Request, arguments: dict[str, Any]) -> Answer:
        kinds = arguments.get("types", "public_channel").split(",")
        self._needs(*(["groups:read"] if kinds == ["private_channel"] else ["channels:read"]))
        if "private_channel" in kinds:
            self._needs("groups:read")
        rooms = [
            room
            for room in self.rooms
            if ("private_channel" if room.is_private else "public_channel") in kinds
            and not (room.is_archived and arguments.get("exclude_archived") in ("1", "true"))
        ]
        start = int(arguments.get("cursor") or 0)
        end = start + min(self.page, int(arguments.get("limit", 100)))
        return Answer.of(
            {
                "ok": True,
                "channels": [room.to_dict() for room in rooms[start:end]],
                "response_metadata": {"next_cursor": str(end) if end < len(rooms) else ""},
            }
        )

    def _lookup_by_email(self, _request: Request, arguments: dict[str, Any]) -> Answer:
        self._needs("users:read.email")
        if arguments.get("email") not in self.users:
            raise Refused("users_not_found")
        return Answer.of({"ok": True, "user": {"id": self.users[arguments["email"]]} | self.user})

    def _conversations_open(self, _request: Request, arguments: dict[str, Any]) -> Answer:
        """https://docs.slack.dev/reference/methods/conversations.open"""
        self._needs("im:write")
        if arguments.keys() != {"users"} or arguments["users"] not in self.users.values():
            raise Refused("user_not_found")
        room = Room(f"D{arguments['users'][1:]}", "")
        if room not in self.rooms:
            self.rooms.append(room)
        return Answer.of({"ok": True, "channel": {"id": room.id}})

    def _upload_address(self, request: Request, arguments: dict[str, Any]) -> Answer:
        """https://docs.slack.dev/reference/methods/files.getUploadURLExternal"""
        self._needs("files:write")
        if arguments.keys() != {"filename", "length"} or int(arguments["length"]) < 1:
            raise Refused("invalid_arguments")
        file = f"F0FILE{len(self.files):04}"
        self.files[file] = b"-" * int(arguments["length"])
        url = f"http://{request.headers['host']}/upload/{file}"
        return Answer.of({"ok": True, "upload_url": url, "file_id": file})

    def _upload(self, request: Request) -> Answer:
        file = request.path.removeprefix("/upload/")
        if len(self.files.get(file, b"")) != len(request.body):
            return Answer(b"no", 400)
        self.files[file] = request.body
        return Answer(b"OK - 1", content_type="text/plain")

    def _upload_complete(self, _request: Request, arguments: dict[str, Any]) -> Answer:
        """https://docs.slack.dev/reference/methods/files.completeUploadExternal"""
        self._needs("files:write")
        ids = [file["id"] for file in arguments["files"]]
        if arguments.keys() != {"files"} or not all(self.files[file].strip(b"-") for file in ids):
            raise Refused("file_not_found")
        self.complete.update(ids)
        return Answer.of({"ok": True, "files": arguments["files"]})

    def _check_files(self, blocks: list[dict[str, Any]]) -> None:
        """Slack shows a file once it has processed it, a moment after its upload."""
        for block in blocks:
            if "slack_file" not in block:
                continue
            if block["slack_file"]["id"] not in self.complete or self.slow_files > 0:
                self.slow_files -= 1
                fault = "[ERROR] invalid slack file [json-pointer:/blocks/0/slack_file]"
                raise Refused("invalid_blocks", fault)

    def _room(self, wanted: object, *, by_name: bool = True) -> Room:
        for room in self.rooms:
            if wanted == room.id or (by_name and wanted in (room.name, f"#{room.name}")):
                return room
        raise Refused("channel_not_found")


def _is_rich(arguments: dict[str, Any]) -> bool:
    return any(block["type"] == "rich_text" for block in arguments.get("blocks") or ())


def _json_object(body: bytes, word: str) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        raise Refused(word) from None
    if not isinstance(value, dict):
        raise Refused("json_not_object" if word == "invalid_json" else word)
    return value


def _check_message(arguments: dict[str, Any], known: frozenset[str]) -> None:
    if unknown := arguments.keys() - known:
        raise Refused("invalid_arguments", f"[ERROR] unknown: {sorted(unknown)}")
    text, blocks = arguments.get("text", ""), arguments.get("blocks")
    if not isinstance(text, str):
        raise Refused("invalid_arguments", "[ERROR] text is no string")
    if not text.strip() and not blocks and not arguments.get("attachments"):
        raise Refused("no_text")
    if len(text) > 40_000:
        raise Refused("msg_too_long")
    if blocks is not None:
        if faults := block_faults(blocks):
            raise Refused("invalid_blocks", *(f"[ERROR] {fault}" for fault in faults))
        if too_long(blocks):
            raise Refused("msg_blocks_too_long")


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8901)
    parser.add_argument("--fast", action="store_true", help="take every message unchecked")
    options = parser.parse_args()
    server = await listen(Slack(fast=options.fast).handle, options.port)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(_main())
    else:
        uvloop.run(_main())
