"""Matrix, through the client-server API.

https://spec.matrix.org/latest/client-server-api/
"""

import asyncio
import json
from typing import Any, ClassVar
from urllib.parse import quote

import httpx

from relay.channels import matrix_check, tls
from relay.channels.base import Failure, Finding, Notes, Receipt, Thread
from relay.channels.failures import from_network
from relay.channels.matrix_errors import failure
from relay.config import MatrixSettings
from relay.messages.html import inlines_to_html, to_html
from relay.messages.markdown import Block, Document, Paragraph, parse
from relay.messages.message import Message
from relay.messages.plain import cut, length, to_text
from relay.picture import Picture

_TIMEOUT = 15.0  # seconds for a whole call
_LONGEST_ANSWER = 1024 * 1024

# "The complete event MUST NOT be larger than 65536 bytes", with signatures, hashes and what else
# servers add: https://spec.matrix.org/latest/client-server-api/#size-limits
_CONTENT = 48 * 1024
_TEXT = 12_000  # characters; nobody reads more in a chat


# What Synapse (1.163) says, with M_UNKNOWN, of a thread whose first message is not in the room; the
# spec has no word for it.
_NO_ROOT = "Can't send relation to unknown event"


class MatrixChannel:
    """A Matrix room, posted to as a user of the homeserver."""

    kind: ClassVar[str] = "matrix"
    # Every homeserver has its own limits and tells them with M_LIMIT_EXCEEDED.
    pace: ClassVar[float | None] = None

    def __init__(self, settings: MatrixSettings, notes: Notes) -> None:
        self._named = settings.room
        self._room = "" if settings.room.startswith("#") else settings.room
        self._secret = settings.access_token.reveal()
        secure = settings.homeserver.startswith("https:")
        self._client = httpx.AsyncClient(
            base_url=f"{settings.homeserver}/_matrix/client/v3/",
            headers={"Authorization": f"Bearer {self._secret}", "User-Agent": "penpot-relay"},
            timeout=_TIMEOUT,
            verify=tls.context(settings.ca_file) if secure else False,
        )

    async def send(
        self,
        message: Message,
        key: str,
        thread: Thread | None = None,
        picture: Picture | None = None,
    ) -> Receipt:
        """Post the message, with ``key`` in its transaction id: the homeserver posts it once.

        Where the user is not in the room it joins: as the guest of an invitation, or where
        the room is public. An alias that leads to another room by now is looked up again.
        """
        content = render(message)
        if thread is not None:
            content["m.relates_to"] = _relation(thread)
        try:
            return await self._post(content, key)
        except Failure as refused:
            if thread is not None and _NO_ROOT in refused.detail:
                raise Failure("rootless", refused.reason, refused.detail) from None
            if refused.reason not in ("M_FORBIDDEN", "M_NOT_FOUND"):
                raise
            await self._enter(refused)
        return await self._post(content, key)

    async def check(self) -> list[Finding]:
        """Ask whose token it is, whether that user is in the room and may post there."""
        return await matrix_check.check(self.call, self._named)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """One call of the client-server API, ``path`` below ``/_matrix/client/v3/``: the JSON
        object that was answered. Raises ``Failure``."""
        try:
            async with (
                asyncio.timeout(_TIMEOUT),
                self._client.stream(method, path, json=body) as response,
            ):
                answer = _decoded(await _read(response))
        except (httpx.RequestError, TimeoutError, OSError) as error:
            raise from_network(error, "the homeserver") from None
        if response.status_code == 200 and isinstance(answer, dict):
            return answer
        raise failure(answer, response.status_code, response.headers, secret=self._secret)

    async def _post(self, content: dict[str, Any], key: str) -> Receipt:
        room, transaction = quote(await self._room_id(), safe=""), quote(f"relay.{key}", safe="")
        answer = await self.call("PUT", f"rooms/{room}/send/m.room.message/{transaction}", content)
        return Receipt(str(answer.get("event_id", "")))

    async def _room_id(self) -> str:
        if not self._room:
            found = await self.call("GET", f"directory/room/{quote(self._named, safe='')}")
            self._room = str(found.get("room_id", ""))
        return self._room

    async def _enter(self, refused: Failure) -> None:
        """Join the room, or raise: what the homeserver said to joining, or else ``refused``."""
        if self._named.startswith("#"):
            self._room = ""
        try:
            joined = await self.call("POST", f"join/{quote(self._named, safe='')}", {})
        except Failure as error:
            # "No such room" and "not for you" are told by the send as well, and better.
            raise (refused if error.reason in ("M_FORBIDDEN", "M_NOT_FOUND") else error) from None
        self._room = str(joined.get("room_id", self._room))


async def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > _LONGEST_ANSWER:
            raise httpx.ReadError("longer than any answer of a homeserver")
    return bytes(body)


def _decoded(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def render(message: Message) -> dict[str, Any]:
    """The content of the event: HTML for those who can show it, plain text for the others.

    The title is left out: in a room the body says the same. ``m.mentions`` is there and empty,
    so that no name in the text pings: https://spec.matrix.org/latest/client-server-api/#user-and-room-mentions
    """
    body, footer = parse(message.body), cut(parse(message.footer), 300)
    limit = min(_TEXT, length(body))
    override = message.override
    while True:
        content = _content(message, cut(body, limit), footer, override)
        # Canonical JSON: https://spec.matrix.org/latest/appendices/#canonical-json
        if len(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()) <= _CONTENT:
            return content
        if override:
            override = ""
        elif limit < 100:  # much structure without text
            return _content(message, (), (), "")
        else:
            limit //= 2


def _relation(thread: Thread) -> dict[str, Any]:
    """A place in a thread; clients that know no threads show a reply to its last message:
    https://spec.matrix.org/latest/client-server-api/#threading
    """
    return {
        "rel_type": "m.thread",
        "event_id": thread.root,
        "is_falling_back": True,
        "m.in_reply_to": {"event_id": thread.last},
    }


def _small(block: Block) -> str:
    if isinstance(block, Paragraph):
        return f"<p><sub>{inlines_to_html(block.inlines)}</sub></p>"
    return to_html((block,))


def _content(message: Message, body: Document, footer: Document, override: str) -> dict[str, Any]:
    text = to_text(body + footer, links=True) or message.title[:1000] or "Penpot"
    content: dict[str, Any] = {"msgtype": "m.text", "body": text, "m.mentions": {}}
    html = override or to_html(body)
    if not override:
        html += "".join(map(_small, footer))
    if html:
        content |= {"format": "org.matrix.custom.html", "formatted_body": html}
    return content
