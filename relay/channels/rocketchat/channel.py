"""Rocket.Chat, by the webhook of an incoming integration.

https://docs.rocket.chat/docs/integrations
"""

from collections.abc import AsyncIterator
from typing import Any, ClassVar

from relay.bounded_http import Answer
from relay.channels.base import (
    DeliveryError,
    Finding,
    KeyValueStore,
    Receipt,
    ReplyTo,
    collect,
    passed,
)
from relay.channels.errors import error_from_status
from relay.channels.http_api import HttpApi, json_object, parse_json
from relay.channels.rocketchat.content import MAX_LENGTH, TEXT, body
from relay.channels.rocketchat.errors import TOO_LONG_ERROR, error_from_answer
from relay.channels.rocketchat.settings import RocketChatSettings
from relay.messages.message import Message, Picture
from relay.messages.turns import convert

_MIN_LENGTH = 300  # below which a text that the server finds too long is not shortened


class RocketChatChannel:
    # API_Enable_Rate_Limiter_Limit_Calls_Default is 10 in a minute, for each webhook and client:
    # https://developer.rocket.chat/apidocs, github.com/RocketChat/Rocket.Chat/pull/15038
    pace: ClassVar[float | None] = 10.0

    def __init__(self, settings: RocketChatSettings, kv: KeyValueStore) -> None:
        self._settings = settings
        self._url = settings.webhook_url.reveal()
        self._http = HttpApi("Rocket.Chat", self._url, settings.server_keys, settings.ca_file)
        self._max_length = MAX_LENGTH

    async def send(
        self,
        message: Message,
        key: str,
        thread: ReplyTo | None = None,
        picture: Picture | None = None,
    ) -> Receipt:
        """Post the message. A webhook has no idempotency key, so ``key`` is not used: a message
        that was in flight when Relay was killed may be posted twice. It is halved as long as it is
        too long for the server."""
        while True:
            text = await convert(message, lambda: TEXT.render(message, self._max_length))
            try:
                await self._call("POST", self._url, json=body(text, self._settings))
                return Receipt("")
            except DeliveryError as error:
                if error.reason != TOO_LONG_ERROR or self._max_length < 2 * _MIN_LENGTH:
                    raise
            self._max_length //= 2

    async def check(self) -> list[Finding]:
        return await collect(self._check(), "Rocket.Chat")

    async def close(self) -> None:
        await self._http.close()

    async def _check(self) -> AsyncIterator[Finding]:
        await self._call("GET", self._settings.info_url)
        yield passed(f"The integration at {self._settings.server} exists.")
        if self._http.through_proxy:
            yield passed(f"Rocket.Chat responds{self._http.through_proxy}.")
        yield passed("Its room can't be tested without a message: run relay send.")

    async def _call(self, method: str, url: str, **arguments: Any) -> None:
        """A status of 200 to 299 is a delivery, with any JSON: a script of the integration may
        choose it. A page is that of another program."""
        answer = await self._http.request(method, url, **arguments)
        if not 200 <= answer.status < 300 or json_object(answer.body).get("success") is False:
            raise self._error(answer)
        if answer.body.strip() and parse_json(answer.body) is None:
            raise error_from_status(200, self._http.server, key=self._http.key)

    def _error(self, answer: Answer) -> DeliveryError:
        return error_from_answer(
            answer.body,
            answer.status,
            answer.headers,
            secret=self._url.rpartition("/")[2],
            server=self._http.server,
            key=self._http.key,
        )
