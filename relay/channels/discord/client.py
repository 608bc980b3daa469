"""Calls of Discord's webhook API, within the rate that its answers allow.

https://docs.discord.com/developers/resources/webhook
https://docs.discord.com/developers/topics/rate-limits
"""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

from relay import __version__
from relay.bounded_http import Answer
from relay.channels.base import RetryLater
from relay.channels.discord.errors import error_from_answer
from relay.channels.discord.settings import DiscordSettings
from relay.channels.errors import error_from_status, parse_retry_after
from relay.channels.http_api import HttpApi, json_object
from relay.messages.message import Picture

# Requests without an agent of this form may be blocked:
# https://docs.discord.com/developers/reference#user-agent
_USER_AGENT = f"DiscordBot (https://penpot.app, {__version__}) penpot-relay"
_MAX_PAUSE = 5.0  # seconds; for a longer one the queue waits, which a stop can interrupt


class DiscordApi:
    """The client of one webhook. Its calls raise ``DeliveryError`` only."""

    def __init__(self, settings: DiscordSettings) -> None:
        self._url = settings.api_url
        self._secret = self._url.rpartition("/")[2]
        self._query = {"thread_id": settings.thread_id} if settings.thread_id else {}
        self.http = HttpApi(
            "Discord", self._url, settings.server_keys, settings.ca_file, _USER_AGENT
        )
        self._resumes_at = 0.0  # of the clock ``time.monotonic``

    async def webhook(self) -> dict[str, Any]:
        """https://docs.discord.com/developers/resources/webhook#get-webhook-with-token"""
        return json_object((await self._call("GET", "")).body)

    async def post(self, content: Mapping[str, Any], picture: Picture | None) -> str:
        """The id of the message. ``wait`` makes Discord answer with it, and with errors."""
        answer = await self._call("POST", "", _form(content, picture), wait="true")
        message = json_object(answer.body).get("id")
        if not isinstance(message, str):
            raise error_from_status(200, self.http.server, key=self.http.key)
        return message

    async def edit(self, message: str, content: Mapping[str, Any], picture: Picture | None) -> None:
        """An attachment that the edit does not list is removed."""
        attachments = [] if picture is None else [{"id": 0, "filename": name_of(picture)}]
        form = _form({**content, "attachments": attachments}, picture)
        await self._call("PATCH", f"/messages/{message}", form)

    async def delete(self, message: str) -> None:
        await self._call("DELETE", f"/messages/{message}")

    async def _call(
        self, method: str, path: str, form: Mapping[str, Any] | None = None, **query: str
    ) -> Answer:
        await self._wait()
        query |= self._query if method != "GET" else {}
        http = self.http
        answer = await http.request(method, self._url + path, params=query or None, **(form or {}))
        self._observe(answer.headers)
        if 200 <= answer.status < 300:
            return answer
        secret, server = self._secret, http.server
        raise error_from_answer(
            answer.body, answer.status, answer.headers, secret=secret, server=server, key=http.key
        )

    async def _wait(self) -> None:
        """Until the webhook's bucket is refilled, as far as its last answer said."""
        pause = self._resumes_at - time.monotonic()
        if pause > _MAX_PAUSE:
            raise RetryLater("ratelimited", "Discord limits the rate of messages", pause)
        if pause > 0:
            await asyncio.sleep(pause)

    def _observe(self, headers: Mapping[str, str]) -> None:
        if headers.get("X-RateLimit-Remaining") == "0":
            pause = parse_retry_after(headers.get("X-RateLimit-Reset-After"))
            self._resumes_at = time.monotonic() + (pause or 0.0)


def name_of(picture: Picture) -> str:
    return f"thumbnail.{picture.extension}"


def _form(content: Mapping[str, Any], picture: Picture | None) -> dict[str, Any]:
    """https://docs.discord.com/developers/reference#uploading-files"""
    if picture is None:
        return {"json": content}
    file = name_of(picture), picture.content, picture.type
    return {"data": {"payload_json": json.dumps(content)}, "files": {"files[0]": file}}
