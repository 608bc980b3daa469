"""Penpot's RPC API, as far as Relay asks it: names, comments, webhooks."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from relay.penpot.answers import (
    FileRecord,
    ProfileRecord,
    ProjectRecord,
    Row,
    TeamRecord,
    TemplateRecord,
    ThreadRecord,
    WebhookRecord,
    boards,
    many,
    one,
)
from relay.penpot.assets import picture
from relay.penpot.client import ASSET, AT_ONCE, MAX_ANSWER, TIMEOUT, RpcClient
from relay.penpot.discussion import CommentRow, ThreadRow
from relay.penpot.rpc import BAD_TOKEN, PenpotBusy, PenpotError, PenpotRefused, PenpotUnexpected
from relay.penpot.text import uuid
from relay.picture import Picture

__all__ = [
    "AT_ONCE",
    "MAX_ANSWER",
    "TIMEOUT",
    "PenpotBusy",
    "PenpotClient",
    "PenpotError",
    "PenpotRefused",
    "PenpotUnexpected",
]

T = TypeVar("T")
R = TypeVar("R", ThreadRecord, ProjectRecord)

_ANONYMOUS = "00000000-0000-0000-0000-000000000000"


class PenpotClient(RpcClient):
    """A client that never asks for a whole file, and changes nothing but webhooks.

    Lookups give None where Penpot has nothing under that id *or* the token's user may not see
    it: Penpot answers both alike. They raise ``PenpotError``.
    """

    async def profile(self) -> ProfileRecord:
        """The token's user. A bad token raises ``PenpotRefused``, as everywhere.

        Penpot answers this one call to a bad token too, with an anonymous profile.
        """

        profile = await self._ask("get-profile", _profile)
        if profile is None:
            raise PenpotUnexpected("get-profile was answered with nothing")
        return profile

    async def answers_others(self, error: PenpotBusy) -> bool:
        """Whether an error is that of its call alone: Penpot set no rest, and answers another."""
        if error.after is not None:
            return False
        try:
            await self.profile()
        except PenpotBusy:
            return False
        return True

    async def comment_thread(self, file_id: str, thread_id: str) -> ThreadRecord | None:
        """A thread with its file, project, team, page, number and first comment."""
        read = partial(_same, of=ThreadRecord.of, asked=thread_id)
        return await self._ask("get-comment-thread", read, fileId=file_id, id=thread_id)

    async def team_members(self, team_id: str) -> tuple[ProfileRecord, ...] | None:
        """A team's members as it is now; who left is not among them."""
        return await self._ask("get-team-members", _list(ProfileRecord.of), teamId=team_id)

    async def project(self, project_id: str) -> ProjectRecord | None:
        """A project by its id."""
        read = partial(_same, of=ProjectRecord.of, asked=project_id)
        return await self._ask("get-project", read, id=project_id)

    async def projects(self, team_id: str) -> tuple[ProjectRecord, ...] | None:
        """All projects of a team, with those that were deleted and can be restored."""
        return await self._ask("get-projects", _list(ProjectRecord.of), teamId=team_id)

    async def project_files(self, project_id: str) -> tuple[FileRecord, ...] | None:
        """All files of a project."""
        return await self._ask("get-project-files", _list(FileRecord.of), projectId=project_id)

    async def file_libraries(self, file_id: str) -> tuple[FileRecord, ...] | None:
        """The libraries that a file is linked to."""
        return await self._ask("get-file-libraries", _list(FileRecord.of), fileId=file_id)

    async def builtin_templates(self) -> tuple[TemplateRecord, ...] | None:
        """The templates that ``clone-template`` names by id."""
        return await self._ask("get-builtin-templates", _list(TemplateRecord.of))

    async def object_thumbnails(self, file_id: str) -> dict[tuple[str, str], str] | None:
        """The thumbnails of a file's boards: page and board → id of the picture."""
        read = partial(boards, file=uuid(file_id))
        return await self._ask("get-file-object-thumbnails", read, {"tag": "frame"}, fileId=file_id)

    async def asset(self, media_id: str) -> Picture | None:
        """A picture by its id; None where Penpot has none."""
        media = uuid(media_id)
        if not media:
            return None
        answer = await self._bounded(ASSET, partial(self._fetch, "GET", f"/assets/by-id/{media}"))
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise answer.error(ASSET)
        try:
            return picture(answer.body)
        except ValueError as error:
            raise PenpotUnexpected(f"{ASSET} was answered with something else: {error}") from None

    async def teams(self) -> tuple[TeamRecord, ...] | None:
        """The teams that the token's user is in."""
        return await self._ask("get-teams", _list(TeamRecord.of))

    async def comment_threads(self, file_id: str) -> tuple[ThreadRow, ...] | None:
        """All threads of a file that have a comment."""
        return await self._ask("get-comment-threads", _list(ThreadRow.of), fileId=file_id)

    async def unread_threads(self, team_id: str) -> tuple[ThreadRow, ...] | None:
        """The threads of a team in which the token's user has not read everything: all of them
        where nobody ever reads with that account. Nothing, or those alone that mention the user,
        where the account's notifications are set so."""
        return await self._ask("get-unread-comment-threads", _list(ThreadRow.of), teamId=team_id)

    async def comments(self, thread_id: str) -> tuple[CommentRow, ...] | None:
        """A thread's comments, oldest first."""
        return await self._ask("get-comments", _list(CommentRow.of), threadId=thread_id)

    async def webhooks(self, team_id: str) -> tuple[WebhookRecord, ...] | None:
        """A team's webhooks, with how their last deliveries went."""
        return await self._ask("get-webhooks", _list(WebhookRecord.of), teamId=team_id)

    async def switch_on(self, webhook: WebhookRecord) -> WebhookRecord | None:
        """Make a webhook active, with its errors forgotten; None where the token's user may not:
        its maker may, and the team's editors. Penpot does not call the same address to try it."""
        params = {"id": webhook.id, "uri": webhook.uri, "mtype": webhook.mtype, "isActive": True}
        return await self._call("update-webhook", _one(WebhookRecord.of), params)

    async def create_webhook(self, team_id: str, uri: str) -> WebhookRecord | None:
        """A new active webhook that gets JSON. Penpot first asks the address with ``HEAD``, and
        what it does not like there raises ``PenpotError``, with ``webhook-validation``."""
        params = {"teamId": team_id, "uri": uri, "mtype": "application/json", "isActive": True}
        return await self._call("create-webhook", _one(WebhookRecord.of), params)


def _profile(value: Any) -> ProfileRecord:
    if isinstance(value, dict) and value.get("id") == _ANONYMOUS:
        raise PenpotRefused(BAD_TOKEN)
    return one(value, ProfileRecord.of)


def _list(of: Callable[[Row], T | None]) -> Callable[[Any], tuple[T, ...]]:
    return partial(many, of=of)


def _one(of: Callable[[Row], T | None]) -> Callable[[Any], T]:
    return partial(one, of=of)


def _same(value: Any, of: Callable[[Row], R | None], asked: str) -> R:
    record = one(value, of)
    if record.id != uuid(asked):
        raise ValueError("it has another id")
    return record
