"""The methods of Penpot's RPC API that Relay calls: names, comments, thumbnails, webhooks."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

from relay.penpot.calls import PenpotBusy, PenpotRefused, PenpotUnexpected
from relay.penpot.client import ASSET, BAD_TOKEN, Asset, RpcClient, picture
from relay.penpot.records import (
    CommentRow,
    FileRecord,
    ProfileRecord,
    ProjectRecord,
    Row,
    TeamRecord,
    TemplateRecord,
    ThreadRecord,
    ThreadRow,
    WebhookRecord,
    board_thumbnails,
    record_from,
    records_from,
)
from relay.penpot.text import uuid

T = TypeVar("T")
R = TypeVar("R", ThreadRecord, ProjectRecord)

_ANONYMOUS = "00000000-0000-0000-0000-000000000000"


class PenpotClient(RpcClient):
    """Never requests a whole file, and changes nothing but webhooks.

    Lookups return None if the object does not exist *or* the token's user may not see it, which
    Penpot does not distinguish. They raise ``PenpotError``.
    """

    async def profile(self) -> ProfileRecord:
        """The token's user. A bad token raises ``PenpotRefused``, as for every method, although
        Penpot answers this one with an anonymous profile."""
        profile = await self._lookup("get-profile", _profile)
        if profile is None:
            raise PenpotUnexpected("get-profile returned nothing")
        return profile

    async def still_responds(self, error: PenpotBusy) -> bool:
        """Whether ``error`` concerns its request only: Penpot asked for no pause and answers
        another call."""
        if error.retry_after is not None:
            return False
        try:
            await self.profile()
        except PenpotBusy:
            return False
        return True

    async def comment_thread(self, file_id: str, thread_id: str) -> ThreadRecord | None:
        read = partial(_with_id, of=ThreadRecord.from_row, id=thread_id)
        return await self._lookup("get-comment-thread", read, fileId=file_id, id=thread_id)

    async def team_members(self, team_id: str) -> tuple[ProfileRecord, ...] | None:
        """The current members; former ones are not included."""
        return await self._lookup("get-team-members", _list(ProfileRecord.from_row), teamId=team_id)

    async def project(self, project_id: str, max_age: float = 0.0) -> ProjectRecord | None:
        read = partial(_with_id, of=ProjectRecord.from_row, id=project_id)
        return await self._lookup("get-project", read, max_age=max_age, id=project_id)

    async def projects(self, team_id: str) -> tuple[ProjectRecord, ...] | None:
        """A team's projects, including deleted ones that can be restored."""
        return await self._lookup("get-projects", _list(ProjectRecord.from_row), teamId=team_id)

    async def project_files(
        self, project_id: str, max_age: float = 0.0
    ) -> tuple[FileRecord, ...] | None:
        read = _list(FileRecord.from_row)
        method = "get-project-files"
        return await self._lookup(method, read, max_age=max_age, projectId=project_id)

    async def file_libraries(self, file_id: str) -> tuple[FileRecord, ...] | None:
        """The libraries that a file is linked to."""
        return await self._lookup("get-file-libraries", _list(FileRecord.from_row), fileId=file_id)

    async def builtin_templates(self) -> tuple[TemplateRecord, ...] | None:
        """The templates that ``clone-template`` refers to by id."""
        return await self._lookup("get-builtin-templates", _list(TemplateRecord.from_row))

    async def object_thumbnails(
        self, file_id: str, max_age: float = 0.0
    ) -> dict[tuple[str, str], str] | None:
        """The thumbnails of a file's boards: (page id, board id) → media id."""
        read = partial(board_thumbnails, file_id=uuid(file_id))
        method = "get-file-object-thumbnails"
        tag = {"tag": "frame"}
        return await self._lookup(method, read, tag, max_age=max_age, fileId=file_id)

    async def asset(self, media_id: str) -> Asset | None:
        """A picture. What an id refers to never changes, so that answers are cached."""
        media = uuid(media_id)
        if not media:
            return None
        key = (ASSET, media)
        if (cached := self._assets.get(key)) is not None:
            return cast(Asset, cached)
        call = partial(self._limited, ASSET, partial(self._download, media), f" {media}")
        return await self._share(key, call, self._assets)

    async def _download(self, media: str) -> Asset | None:
        request = partial(self._root._fetch, "GET", f"/assets/by-id/{media}")
        response = await self._with_timeout(ASSET, request)
        if response.status == 404:
            return None
        if response.status != 200:
            raise response.error(ASSET)
        try:
            return picture(response.body)
        except ValueError as error:
            raise PenpotUnexpected(f"{ASSET} returned an unexpected body: {error}") from None

    async def teams(self) -> tuple[TeamRecord, ...] | None:
        """The teams that the token's user is in."""
        return await self._lookup("get-teams", _list(TeamRecord.from_row))

    async def comment_threads(self, file_id: str) -> tuple[ThreadRow, ...] | None:
        """The threads of a file that have a comment."""
        return await self._lookup("get-comment-threads", _list(ThreadRow.from_row), fileId=file_id)

    async def unread_threads(self, team_id: str) -> tuple[ThreadRow, ...] | None:
        """The threads of a team with comments that the token's user has not read: all threads if
        nobody reads with that account. Depending on the account's notification settings, none,
        or only those that mention the user."""
        method = "get-unread-comment-threads"
        return await self._lookup(method, _list(ThreadRow.from_row), teamId=team_id)

    async def comments(self, thread_id: str) -> tuple[CommentRow, ...] | None:
        """A thread's comments, oldest first."""
        return await self._lookup("get-comments", _list(CommentRow.from_row), threadId=thread_id)

    async def webhooks(self, team_id: str) -> tuple[WebhookRecord, ...] | None:
        return await self._lookup("get-webhooks", _list(WebhookRecord.from_row), teamId=team_id)

    async def enable_webhook(self, webhook: WebhookRecord) -> WebhookRecord | None:
        """Activate a webhook and reset its error count; None if the token's user may not: its
        creator and the team's editors may. Penpot sends no test request to an unchanged address."""
        params = {"id": webhook.id, "uri": webhook.uri, "mtype": webhook.mtype, "isActive": True}
        return await self._call("update-webhook", _single(WebhookRecord.from_row), params)

    async def create_webhook(self, team_id: str, uri: str) -> WebhookRecord | None:
        """A new active webhook that receives JSON. Penpot first sends ``HEAD`` to the address; if
        that fails, this raises ``PenpotError`` with ``webhook-validation``."""
        params = {"teamId": team_id, "uri": uri, "mtype": "application/json", "isActive": True}
        return await self._call("create-webhook", _single(WebhookRecord.from_row), params)


def _profile(value: Any) -> ProfileRecord:
    if isinstance(value, dict) and value.get("id") == _ANONYMOUS:
        raise PenpotRefused(BAD_TOKEN)
    return record_from(value, ProfileRecord.from_row)


def _list(of: Callable[[Row], T | None]) -> Callable[[Any], tuple[T, ...]]:
    return partial(records_from, of=of)


def _single(of: Callable[[Row], T | None]) -> Callable[[Any], T]:
    return partial(record_from, of=of)


def _with_id(value: Any, of: Callable[[Row], R | None], id: str) -> R:  # noqa: A002
    record = record_from(value, of)
    if record.id != uuid(id):
        raise ValueError("it has another id")
    return record
