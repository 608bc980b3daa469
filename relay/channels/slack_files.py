"""Pictures in Slack: uploaded once, shown by an ``image`` block.

https://docs.slack.dev/messaging/working-with-files#uploading_files
https://docs.slack.dev/reference/block-kit/composition-objects/slack-file-object
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from relay.channels.base import Failure, KeyValueStore
from relay.channels.slack_check import Call
from relay.picture import Picture

LASTS = 24 * 3600.0
"""Seconds for which a picture that was uploaded is shown again."""
SHOWN = frozenset({"image/png", "image/jpeg", "image/gif"})
"""What Slack shows in a block."""

Put = Callable[[str, bytes], Awaitable[None]]
"""Sends bytes to an address. Raises ``Failure``."""


class SlackFiles:
    """The pictures of one workspace."""

    def __init__(self, call: Call, put: Put, notes: KeyValueStore, workspace: str) -> None:
        """``workspace`` is a digest that tells those of other tokens apart."""
        self._prefix = f"slack-file/{workspace}/"
        self._call = call
        self._put = put
        self._notes = notes

    async def block(self, picture: Picture, words: str) -> dict[str, Any]:
        """The block that shows a picture, which is uploaded where that was not done a while ago;
        ``words`` stand for who can't see it. Raises ``Failure``."""
        if picture.type not in SHOWN:
            raise Failure("dead", "picture", f"Slack shows no {picture.extension}")
        key = self._key(picture)
        file = await self._notes.get(key, LASTS)
        if not file:
            file = await self._upload(picture)
            await self._notes.keep(key, file)
        return {"type": "image", "slack_file": {"id": file}, "alt_text": words[:2000]}

    async def forget(self, picture: Picture) -> None:
        """Upload it anew the next time: Slack does not know it any more."""
        await self._notes.keep(self._key(picture), "")

    async def _upload(self, picture: Picture) -> str:
        """Slack's id of the file. It is shared nowhere: the message shows it."""
        name = f"thumbnail.{picture.extension}"
        size = {"filename": name, "length": len(picture.content)}
        place = await self._call("files.getUploadURLExternal", params=size)
        address, file = place.get("upload_url"), place.get("file_id")
        if not isinstance(address, str) or not isinstance(file, str):
            raise Failure("retry", "answer", "Slack told no place for a picture")
        await self._put(address, picture.content)
        files = [{"id": file, "title": name}]
        await self._call("files.completeUploadExternal", json={"files": files})
        return file

    def _key(self, picture: Picture) -> str:
        return self._prefix + hashlib.sha256(picture.content).hexdigest()[:40]
