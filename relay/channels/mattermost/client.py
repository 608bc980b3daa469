"""Calls of Mattermost's REST API (by token), and of incoming webhooks.

https://developers.mattermost.com/api-documentation/
"""

from typing import Any
from urllib.parse import quote

from relay.bounded_http import Answer
from relay.channels.base import RetryLater, short_hash
from relay.channels.errors import error_from_status
from relay.channels.http_api import HttpApi, json_object
from relay.channels.mattermost.errors import error_from_answer
from relay.channels.mattermost.settings import MattermostSettings
from relay.messages.message import Picture


class MattermostApi:
    """The client of one channel. Its calls raise ``DeliveryError`` only."""

    def __init__(self, settings: MattermostSettings) -> None:
        secret = settings.token or settings.webhook_url
        self._secret = secret.reveal() if secret else ""  # the token, or the webhook's URL
        self.by_bot = settings.token is not None
        url = settings.url if self.by_bot else self._secret
        self._base = f"{url}/api/v4" if self.by_bot else url
        self.account = short_hash(url + self._secret)
        """A prefix for keys of values that belong to this account."""
        self.http = HttpApi("Mattermost", url, settings.server_keys, settings.ca_file)

    async def call(self, method: str, *path: str, json: Any = None, **more: Any) -> dict[str, Any]:
        """``path`` has the names below ``/api/v4/``."""
        url = "/".join((self._base, *(quote(name, safe="") for name in path)))
        headers = {"Authorization": f"Bearer {self._secret}"}
        answer = await self.http.request(method, url, json=json, headers=headers, **more)
        value = json_object(answer.body) if 200 <= answer.status < 300 else {}
        if not value:
            raise self._error(answer)
        return value

    async def post_webhook(self, body: dict[str, Any]) -> None:
        """Mattermost answers ``ok``; another body is that of a page at a wrong address."""
        answer = await self.http.request("POST", self._base, json=body)
        if answer.status != 200 or answer.body.strip() != b"ok":
            raise self._error(answer)

    async def upload(self, picture: Picture, channel: str) -> str:
        """The id of the file, for one post:
        https://developers.mattermost.com/api-documentation/#/operations/UploadFile"""
        file = f"thumbnail.{picture.extension}", picture.content, picture.type
        answer = await self.call(
            "POST", "files", data={"channel_id": channel}, files={"files": file}
        )
        infos = answer.get("file_infos")
        info = infos[0] if isinstance(infos, list) and infos else {}
        if not isinstance(info, dict) or not isinstance(info.get("id"), str):
            raise RetryLater("answer", "Mattermost returned no id of the picture")
        return str(info["id"])

    def _error(self, answer: Answer) -> Exception:
        server, key = self.http.server, self.http.key
        if 200 <= answer.status < 300:
            return error_from_status(200, server, key=key)
        return error_from_answer(
            answer.body, answer.status, answer.headers, secret=self._secret, server=server, key=key
        )
