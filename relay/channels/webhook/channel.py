"""A webhook: each message is one signed POST.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, ClassVar

import httpx
from standardwebhooks import Webhook

from relay import bounded_http
from relay.bounded_http import Answer, UnusableAnswer
from relay.channels import tls
from relay.channels.base import (
    DeliveryError,
    Finding,
    Gone,
    KeyValueStore,
    Receipt,
    ReplyTo,
    collect,
    passed,
)
from relay.channels.errors import (
    CONTENT_STATUSES,
    error_from_content_status,
    error_from_exception,
    error_from_status,
    requested_delay,
)
from relay.channels.webhook.document import body
from relay.channels.webhook.settings import WebhookSettings
from relay.messages.message import Message, Picture
from relay.messages.turns import convert
from relay.proxy_variables import through_proxy

_TIMEOUT = 15.0  # seconds per attempt; the specification recommends 15 to 30
_MAX_ANSWER_BYTES = 64 * 1024
_RESUME = (
    "it wants no further documents. Set url to another address; or, if it accepts them again, "
    "resume the queue on the inspector's Teams page or by `relay resend` of one of its deliveries"
)


class WebhookChannel:
    pace: ClassVar[float | None] = None

    def __init__(self, settings: WebhookSettings, kv: KeyValueStore) -> None:
        self._url = settings.url.reveal()
        self._signers = [Webhook(secret.reveal()) for secret in settings.secret]
        self._server = settings.server + through_proxy(self._url)
        self._key = settings.server_keys
        self._client = bounded_http.open_client(
            headers={"User-Agent": "penpot-relay"},
            timeout=_TIMEOUT,
            verify=tls.context(settings.ca_file),
        )

    async def send(
        self,
        message: Message,
        key: str,
        thread: ReplyTo | None = None,
        picture: Picture | None = None,
    ) -> Receipt:
        """``key`` is the ``webhook-id``, by which the receiver recognizes a repetition."""
        text = await convert(message, lambda: body(message))
        headers = self._headers(key, text)
        answer = await self._call("POST", content=text.encode(), headers=headers)
        if not 200 <= answer.status < 300:
            raise self._error(answer)
        return Receipt(key)

    async def check(self) -> list[Finding]:
        return await collect(self._check(), self._server)

    async def close(self) -> None:
        await self._client.aclose()

    async def _check(self) -> AsyncIterator[Finding]:
        """Any answer will do: many receivers accept only POST."""
        answer = await self._call("HEAD")
        yield passed(
            f"{self._server} responds (status {answer.status} to HEAD). The signature can't be "
            "tested without a document: run relay send."
        )

    def _headers(self, id_: str, text: str) -> dict[str, str]:
        """Signed with each secret. The time is that of the attempt."""
        now = datetime.now(UTC).replace(microsecond=0)
        signatures = [signer.sign(id_, now, text) for signer in self._signers]
        return {
            "content-type": "application/json",
            "webhook-id": id_,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }

    async def _call(self, method: str, **arguments: Any) -> Answer:
        limits: dict[str, Any] = {"max_bytes": _MAX_ANSWER_BYTES, "seconds": _TIMEOUT}
        try:
            return await bounded_http.call(self._client, method, self._url, **limits, **arguments)
        except (httpx.RequestError, UnusableAnswer, TimeoutError, OSError) as error:
            raise error_from_exception(error, self._server, key=self._key) from None

    def _error(self, answer: Answer) -> DeliveryError:
        status = answer.status
        if status == 410:
            return Gone("http-410", f"{self._server} answered 410 (Gone): {_RESUME}")
        if status in CONTENT_STATUSES:
            return error_from_content_status(status, self._server, "url")
        return error_from_status(
            status, self._server, requested_delay(answer.headers), key=self._key
        )
