"""Pictures in Slack: uploaded once, shown by an ``image`` block.

https://docs.slack.dev/messaging/working-with-files#uploading_files
https://docs.slack.dev/reference/block-kit/composition-objects/slack-file-object
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from relay.channels.base import KeyValueStore, Permanent, RetryLater
from relay.channels.slack.check import Call
from relay.messages.message import Picture

FILE_TTL = 24 * 3600.0  # seconds
SUPPORTED_TYPES = frozenset({"image/png", "image/jpeg", "image/gif"})

UploadCall = Callable[[str, bytes], Awaitable[None]]
"""``SlackApi.upload``."""


class SlackFiles:
    """Uploads each picture once per workspace and ``FILE_TTL``."""

    def __init__(self, call: Call, upload: UploadCall, kv: KeyValueStore, workspace: str) -> None:
        """``workspace`` is a hash that differs for each token."""
        self._prefix = f"slack-file/{workspace}/"
        self._call = call
        self._upload_content = upload
        self._kv = kv

    async def block(self, picture: Picture, alt_text: str) -> dict[str, Any]:
        """The image block of a picture, which is uploaded if necessary. Raises
        ``DeliveryError``."""
        if picture.type not in SUPPORTED_TYPES:
            raise Permanent("picture", f"Slack does not show {picture.extension} files")
        key = self._key(picture)
        file = await self._kv.get(key, FILE_TTL)
        if not file:
            file = await self._upload(picture)
            await self._kv.put(key, file)
        return {"type": "image", "slack_file": {"id": file}, "alt_text": alt_text[:2000]}

    async def forget(self, picture: Picture) -> None:
        """Upload the picture again the next time."""
        await self._kv.put(self._key(picture), "")

    async def _upload(self, picture: Picture) -> str:
        """Slack's id of the file. The file is not shared with any channel: the message shows it."""
        name = f"thumbnail.{picture.extension}"
        parameters = {"filename": name, "length": len(picture.content)}
        answer = await self._call("files.getUploadURLExternal", params=parameters)
        url, file = answer.get("upload_url"), answer.get("file_id")
        if not isinstance(url, str) or not isinstance(file, str):
            raise RetryLater("answer", "Slack returned no URL to upload a picture to")
        await self._upload_content(url, picture.content)
        files = [{"id": file, "title": name}]
        await self._call("files.completeUploadExternal", json={"files": files})
        return file

    def _key(self, picture: Picture) -> str:
        return self._prefix + hashlib.sha256(picture.content).hexdigest()[:40]
