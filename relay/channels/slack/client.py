"""Calls of Slack's Web API (by bot token) and of incoming webhooks, through Slack's SDK."""

import logging
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from relay.bounded_http import IDENTITY, UnusableAnswer, read_bounded
from relay.channels import tls
from relay.channels.base import DeliveryError
from relay.channels.errors import error_from_exception, error_from_status
from relay.channels.slack.errors import error_from_answer
from relay.channels.slack.settings import SlackSettings

_TIMEOUT = 15.0  # seconds per call
_MAX_ANSWER_BYTES = 1024 * 1024

# The SDK logs a webhook's URL at debug level. It formats these lines on every call, unless the
# logger itself has a higher level.
_sdk_log = logging.getLogger("relay.channels.slack.channel.sdk")
_sdk_log.setLevel(logging.WARNING)


class _BoundedResponse(aiohttp.ClientResponse):
    """Limits the size of an answer, which the SDK does not."""

    async def read(self) -> bytes:
        if self._body is None:
            parts = self.content.iter_any()
            try:
                self._body = await read_bounded(parts, self.headers, _MAX_ANSWER_BYTES)
            except UnusableAnswer:
                self.close()
                raise
        return self._body


async def _refuse_redirect(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """A followed redirect would repeat the call as a GET, without the message."""
    response = await handler(request)
    if 300 <= response.status < 400:
        response.close()
        raise error_from_status(response.status, "Slack")
    return response


class SlackApi:
    """The client of one channel. Its calls raise ``DeliveryError`` only."""

    def __init__(self, settings: SlackSettings) -> None:
        secret = settings.token or settings.webhook_url
        if secret is None:
            raise ValueError("a Slack channel needs token or webhook_url")
        self.secret = secret.reveal()  # the token, or the webhook's URL
        by_bot = settings.token is not None
        url = f"{settings.api_url}/" if by_bot else self.secret
        self._tls = tls.context(settings.ca_file) if url.startswith("https:") else None
        shared: dict[str, Any] = {
            "ssl": self._tls,
            "logger": _sdk_log,
            "retry_handlers": [],  # the queue retries, in order
        }
        self._client: AsyncWebClient | AsyncWebhookClient
        if by_bot:
            self._client = AsyncWebClient(self.secret, base_url=url, **shared)
        else:
            self._client = AsyncWebhookClient(url, **shared)
        self._client.proxy = _proxy(url)

    async def close(self) -> None:
        if self._client.session is not None:
            await self._client.session.close()

    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Call a method of Slack's Web API. The answer also has ``scopes``, those of the token, as
        comma-separated text."""
        assert isinstance(self._client, AsyncWebClient)  # noqa: S101 - for the type checker
        self._connect()
        try:
            response = await self._client.api_call(method, **arguments)
        except SlackApiError as error:
            raise self._api_error(error.response) from None
        except Exception as error:  # noqa: BLE001 - see _other_error
            raise self._other_error(error) from None
        if not isinstance(response.data, dict):
            raise error_from_status(response.status_code, "Slack")
        return response.data | {"scopes": response.headers.get("x-oauth-scopes", "")}

    async def upload(self, url: str, content: bytes) -> None:
        """``url`` is the upload URL that Slack returned for the file."""
        session = self._connect()
        ssl = self._tls if url.startswith("https:") and self._tls is not None else True
        try:
            async with session.post(url, data=content, ssl=ssl, proxy=_proxy(url)) as response:
                await response.read()
        except Exception as error:  # noqa: BLE001 - see _other_error
            raise self._other_error(error) from None
        if response.status != 200:
            raise error_from_status(response.status, "Slack's file storage")

    async def post_webhook(self, body: dict[str, Any]) -> None:
        assert isinstance(self._client, AsyncWebhookClient)  # noqa: S101 - for the type checker
        self._connect()
        try:
            response = await self._client.send_dict(body)
        except Exception as error:  # noqa: BLE001 - see _other_error
            raise self._other_error(error) from None
        code, status = response.body.strip(), response.status_code
        if status != 200 or code != "ok":
            raise error_from_answer(code, status, response.headers, secret=self.secret)

    def _connect(self) -> aiohttp.ClientSession:
        """The SDK would open a session per call. This one is created late, since it needs the
        running loop."""
        if self._client.session is None:
            self._client.session = aiohttp.ClientSession(
                auto_decompress=False,
                headers=IDENTITY,
                timeout=aiohttp.ClientTimeout(total=_TIMEOUT),
                response_class=_BoundedResponse,
                middlewares=(_refuse_redirect,),
            )
        return self._client.session

    def _api_error(self, response: Any) -> DeliveryError:
        """``response`` is the SDK's, or aiohttp's where the answer is not JSON."""
        status = getattr(response, "status_code", 0) or getattr(response, "status", 0)
        data = getattr(response, "data", None)
        data = data if isinstance(data, dict) else {}
        metadata = data.get("response_metadata")
        messages = metadata.get("messages") if isinstance(metadata, dict) else None
        more = "; ".join(map(str, messages)) if isinstance(messages, list) else ""
        if isinstance(data.get("needed"), str):
            more = f"needed: {data['needed']}"
        code = data.get("error")
        return error_from_answer(code, status, response.headers, more, secret=self.secret)

    def _other_error(self, error: Exception) -> DeliveryError:
        """The SDK passes aiohttp's exceptions through, and raises AttributeError and the like on
        unexpected JSON."""
        if isinstance(error, DeliveryError):
            return error
        if isinstance(error, (aiohttp.ClientError, UnusableAnswer, OSError, TimeoutError)):
            return error_from_exception(error, "Slack")
        return error_from_status(200, "Slack")


def _proxy(url: str) -> str | None:
    """The proxy from the environment. The SDK also reads it there, but ignores NO_PROXY."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
