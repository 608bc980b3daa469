"""Calls of Slack's Web API (by bot token), through Slack's SDK, and of incoming webhooks."""

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from relay.bounded_http import IDENTITY, Answer, UnusableAnswer, read_bounded
from relay.channels import tls
from relay.channels.base import DeliveryError, Permanent, RetryLater, short_hash
from relay.channels.errors import (
    CONTENT_STATUSES,
    error_from_content_status,
    error_from_exception,
    error_from_status,
    requested_delay,
)
from relay.channels.slack.errors import ERRORS, error_from_answer
from relay.channels.slack.settings import SlackSettings
from relay.messages.message import Picture
from relay.proxy_variables import read_proxies

_TIMEOUT = 15.0  # seconds per call
_LIMITS = 1024 * 1024, 50_000  # bytes and values of an answer
_PICTURE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif"})

# The SDK formats lines for the debug level on every call, unless the logger itself has a higher
# level.
_sdk_log = logging.getLogger("relay.channels.slack.channel.sdk")
_sdk_log.setLevel(logging.WARNING)


class _BoundedResponse(aiohttp.ClientResponse):
    """Limits the size of an answer, which the SDK does not, and the time to decode it."""

    def get_encoding(self) -> str:
        """Slack sends UTF-8. A server that names another charset could choose one whose decoding
        takes minutes, such as punycode."""
        return "utf-8"

    async def read(self) -> bytes:
        if self._body is None:
            parts = self.content.iter_any()
            try:
                self._body = await read_bounded(parts, self.headers, *_LIMITS)
            except UnusableAnswer:
                self.close()
                raise
        return self._body


class SlackApi:
    """The client of one channel. Its calls raise ``DeliveryError`` only."""

    def __init__(self, settings: SlackSettings) -> None:
        secret = settings.token or settings.webhook_url
        self.secret = secret.reveal() if secret else ""  # the token, or the webhook's URL
        self.by_bot = settings.token is not None
        self._is_slack = not settings.other_host
        self._proxies = read_proxies()
        url = settings.api_url if self.by_bot else self.secret
        self.proxy = self._proxies.for_url(url)
        through = f" through {self.proxy}" if self.proxy else ""
        self._key = settings.server_keys
        self._server = (settings.other_host or "Slack") + through
        self._place = f"{'Slack at ' if self._is_slack else ''}{settings.server}{through}"
        self.workspace = short_hash(settings.api_url + self.secret)
        """A prefix for keys of values that belong to this token."""
        self.scopes: frozenset[str] = frozenset()
        """The token's, as of the last answer that named them; empty before."""
        self._tls = tls.context(settings.ca_file)
        self._client = AsyncWebClient(
            self.secret,
            base_url=f"{settings.api_url}/",
            ssl=self._tls,
            logger=_sdk_log,
            retry_handlers=[],  # the queue retries, in order
        )
        # The SDK also reads the environment, but ignores NO_PROXY.
        self._client.proxy = self.proxy.url if self.proxy else None

    async def close(self) -> None:
        if self._client.session is not None:
            await self._client.session.close()

    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Call a method of Slack's Web API."""
        self._connect()
        try:
            response = await self._client.api_call(method, **arguments)
        except SlackApiError as error:
            raise self._api_error(error.response) from None
        except Exception as error:  # noqa: BLE001 - see _other_error
            raise self._other_error(error) from None
        if not isinstance(response.data, dict):
            raise error_from_status(response.status_code, self._server, key=self._key)
        self._read_scopes(response.headers)
        return response.data

    async def upload(self, picture: Picture) -> str:
        """Slack's id of the file. It is not shared with any channel: the message shows it.

        https://docs.slack.dev/messaging/working-with-files#uploading_files
        """
        if picture.type not in _PICTURE_TYPES:
            raise Permanent("picture", f"Slack does not show {picture.extension} files")
        name = f"thumbnail.{picture.extension}"
        parameters = {"filename": name, "length": len(picture.content)}
        answer = await self.call("files.getUploadURLExternal", params=parameters)
        url, file = answer.get("upload_url"), answer.get("file_id")
        if not isinstance(url, str) or not isinstance(file, str):
            raise RetryLater("answer", "Slack returned no URL to upload a picture to")
        proxy = self._proxies.for_url(url)
        route = proxy.url if proxy else None
        status, headers, _ = await self._request("POST", url, route, data=picture.content)
        if status != 200:
            raise error_from_status(status, "Slack's file storage", requested_delay(headers))
        files = [{"id": file, "title": name}]
        await self.call("files.completeUploadExternal", json={"files": files})
        return file

    async def post_webhook(self, body: dict[str, Any]) -> None:
        """A status of 200 to 299 is a delivery, with any body: Slack and Mattermost answer ``ok``,
        Rocket.Chat ``{"success":true}`` (github.com/gogs/gogs/issues/3169), Ryver a 204
        (github.com/bluele/slack/pull/33). Only Slack answers with the codes of ``ERRORS``, which
        count with any status."""
        proxy = self._client.proxy
        status, headers, content = await self._request("POST", self.secret, proxy, json=body)
        code = content.decode(errors="replace").strip() if self._is_slack else ""
        if not _is_success(status) or code in ERRORS:
            secret, server, key = self.secret, self._server, self._key
            if not self._is_slack and status in CONTENT_STATUSES:
                raise error_from_content_status(status, server, "webhook_url")
            raise error_from_answer(code, status, headers, secret=secret, server=server, key=key)

    async def reach_webhook_host(self) -> None:
        """Any answer of the host will do. Its start page is asked for: Slack documents no call of a
        webhook but the one that posts. Raises ``DeliveryError`` where no answer arrives."""
        origin = urlunsplit((*urlsplit(self.secret)[:2], "/", "", ""))
        try:
            await self._request("HEAD", origin, self._client.proxy)
        except RetryLater as error:
            if not error.answered:
                raise

    async def _request(self, method: str, url: str, proxy: str | None, **content: Any) -> Answer:
        request = self._connect().request(method, url, ssl=self._tls, proxy=proxy, **content)
        try:
            async with request as response:
                try:
                    received = await response.read()
                except (aiohttp.ClientError, UnusableAnswer, OSError):
                    if not _is_success(response.status):
                        raise
                    received = b""  # what the server accepted is not sent again
                return Answer(response.status, response.headers, received)
        except Exception as error:  # noqa: BLE001 - see _other_error
            raise self._other_error(error) from None

    def _connect(self) -> aiohttp.ClientSession:
        """The SDK would open a session per call. This one is created late, since it needs the
        running loop."""
        if self._client.session is None:
            self._client.session = aiohttp.ClientSession(
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=IDENTITY,
                timeout=aiohttp.ClientTimeout(total=_TIMEOUT),
                response_class=_BoundedResponse,
                middlewares=(self._refuse_redirect,),
            )
        return self._client.session

    async def _refuse_redirect(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """A followed redirect would repeat the call as a GET, without the message."""
        response = await handler(request)
        if 300 <= response.status < 400:
            response.close()
            raise error_from_status(response.status, self._server, key=self._key)
        return response

    def _read_scopes(self, headers: Mapping[str, str]) -> None:
        scopes = headers.get("x-oauth-scopes", "").replace(" ", "")
        self.scopes = frozenset(filter(None, scopes.split(","))) or self.scopes

    def _api_error(self, response: Any) -> DeliveryError:
        """``response`` is the SDK's, or aiohttp's where the answer is not JSON."""
        self._read_scopes(response.headers)
        status = getattr(response, "status_code", 0) or getattr(response, "status", 0)
        data = getattr(response, "data", None)
        data = data if isinstance(data, dict) else {}
        metadata = data.get("response_metadata")
        messages = metadata.get("messages") if isinstance(metadata, dict) else None
        more = "; ".join(map(str, messages)) if isinstance(messages, list) else ""
        if isinstance(data.get("needed"), str):
            more = f"needed: {data['needed']}"
        code = data.get("error")
        headers, server, key = response.headers, self._server, self._key
        secret = self.secret
        return error_from_answer(code, status, headers, more, secret=secret, server=server, key=key)

    def _other_error(self, error: Exception) -> DeliveryError:
        """The SDK passes aiohttp's exceptions through, and raises AttributeError and the like on
        unexpected JSON."""
        if isinstance(error, DeliveryError):
            return error
        if isinstance(error, (aiohttp.ClientError, UnusableAnswer, OSError, TimeoutError)):
            return error_from_exception(error, self._place, key=self._key)
        return error_from_status(200, self._server, key=self._key)


def _is_success(status: int) -> bool:
    return 200 <= status < 300
