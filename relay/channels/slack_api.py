"""Slack's two ways in, through its SDK: the Web API for a bot, and incoming webhooks."""

import logging
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from relay.channels import tls
from relay.channels.base import Failure
from relay.channels.failures import from_network, from_status
from relay.channels.slack_errors import failure
from relay.config import SlackSettings

_TIMEOUT = 15.0  # seconds for a whole call
_LONGEST_ANSWER = 1024 * 1024

# The SDK writes a webhook's URL into its debug log, and builds those lines on every call unless
# the level of its logger itself is higher.
_sdk_log = logging.getLogger("relay.channels.slack.sdk")
_sdk_log.setLevel(logging.WARNING)


class _Answer(aiohttp.ClientResponse):
    """An answer that is read up to a limit, since the SDK reads whatever comes."""

    async def read(self) -> bytes:
        if self._body is None:
            body = bytearray()
            async for part in self.content.iter_any():
                body += part
                if len(body) > _LONGEST_ANSWER:
                    self.close()
                    raise aiohttp.ClientPayloadError("longer than any answer of Slack")
            self._body = bytes(body)
        return self._body


async def _stay(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Follow no redirect: it would repeat the call as a GET, without the message."""
    response = await handler(request)
    if 300 <= response.status < 400:
        response.close()
        raise from_status(response.status, "Slack")
    return response


class SlackApi:
    """The calls of one channel. Whatever goes wrong in them leaves as ``Failure``."""

    def __init__(self, settings: SlackSettings) -> None:
        secret = settings.token or settings.webhook_url
        if secret is None:
            raise ValueError("a Slack channel needs token or webhook_url")
        self.secret = secret.reveal()
        """The token, or the webhook's address."""
        by_bot = settings.token is not None
        url = f"{settings.api_url}/" if by_bot else self.secret
        self._tls = tls.context(settings.ca_file) if url.startswith("https:") else None
        shared: dict[str, Any] = {
            "ssl": self._tls,
            "logger": _sdk_log,
            "retry_handlers": [],  # the queue tries again, in order
        }
        self._client: AsyncWebClient | AsyncWebhookClient
        if by_bot:
            self._client = AsyncWebClient(self.secret, base_url=url, **shared)
        else:
            self._client = AsyncWebhookClient(url, **shared)
        self._client.proxy = _proxy(url)

    async def close(self) -> None:
        """Close the connections."""
        if self._client.session is not None:
            await self._client.session.close()

    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Call a method of Slack's Web API: what it answered, and in ``scopes`` what the token
        may do. Raises ``Failure``."""
        assert isinstance(self._client, AsyncWebClient)  # noqa: S101 - for the type checker
        self._connect()
        try:
            response = await self._client.api_call(method, **arguments)
        except SlackApiError as error:
            raise self._refused(error.response) from None
        except Exception as error:  # noqa: BLE001 - see _failed
            raise self._failed(error) from None
        if not isinstance(response.data, dict):
            raise from_status(response.status_code, "Slack")
        return response.data | {"scopes": response.headers.get("x-oauth-scopes", "")}

    async def put(self, address: str, content: bytes) -> None:
        """Send a file's bytes to the address that Slack named for them."""
        session = self._connect()
        ssl = self._tls if address.startswith("https:") and self._tls is not None else True
        try:
            async with session.post(
                address, data=content, ssl=ssl, proxy=_proxy(address)
            ) as response:
                await response.read()
        except Exception as error:  # noqa: BLE001 - see _failed
            raise self._failed(error) from None
        if response.status != 200:
            raise from_status(response.status, "Slack's store of files")

    async def hook(self, body: dict[str, Any]) -> None:
        """Post to the incoming webhook. Raises ``Failure``."""
        assert isinstance(self._client, AsyncWebhookClient)  # noqa: S101 - for the type checker
        self._connect()
        try:
            response = await self._client.send_dict(body)
        except Exception as error:  # noqa: BLE001 - see _failed
            raise self._failed(error) from None
        word = response.body.strip()
        if response.status_code != 200 or word != "ok":
            raise failure(word, response.status_code, response.headers, secret=self.secret)

    def _connect(self) -> aiohttp.ClientSession:
        """Give the SDK a session to keep: it would open one for each call. Made late, since it
        needs the running loop."""
        if self._client.session is None:
            self._client.session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=_TIMEOUT),
                response_class=_Answer,
                middlewares=(_stay,),
            )
        return self._client.session

    def _refused(self, response: Any) -> Failure:
        """An answer that is no success; where it is no JSON, the SDK hands over aiohttp's."""
        status = getattr(response, "status_code", 0) or getattr(response, "status", 0)
        data = getattr(response, "data", None)
        data = data if isinstance(data, dict) else {}
        metadata = data.get("response_metadata")
        told = metadata.get("messages") if isinstance(metadata, dict) else None
        more = "; ".join(map(str, told)) if isinstance(told, list) else ""
        if isinstance(data.get("needed"), str):
            more = f"needed: {data['needed']}"
        return failure(data.get("error"), status, response.headers, more, secret=self.secret)

    def _failed(self, error: Exception) -> Failure:
        """Anything else that left the SDK: it lets through what aiohttp raises, and raises
        AttributeError and the like on answers that are not its JSON."""
        if isinstance(error, Failure):
            return error
        if isinstance(error, (aiohttp.ClientError, OSError, TimeoutError)):
            return from_network(error, "Slack")
        return from_status(200, "Slack")


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for this address. The SDK looks there too, but does
    not heed NO_PROXY."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
