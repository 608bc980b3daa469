"""The stand-in's RPC methods: from parameters to answers.

Source: Penpot's ``backend/src/app/rpc/commands``.
"""

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.penpot import rows
from tests.penpot.sender import Sender
from tests.penpot.world import Comment, File, Project, Team, Thread, Webhook, World, instant

Params = dict[str, Any]
_UUID_PATTERN = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NO_IDS = ("uri", "mtype", "isActive", "searchTerm", "tag", "isResolved", "content")
_MAX_WEBHOOKS = 8


class Failed(Exception):
    """An error with Penpot's type and code."""

    def __init__(self, status: int, kind: str, code: str | None = None, **more: str) -> None:
        super().__init__(status, kind, code)
        self.status = status
        self.body = {"type": kind} | ({"code": code} if code else {}) | more


def run(world: World, sender: Sender, method: str, params: Params) -> Any:
    """The answer to the user ``world.me``; None is 204. Raises ``Failed``."""
    required, function = METHODS[method]
    for name in required:
        value = params.get(name)
        is_id = name not in _NO_IDS
        if value is None or (
            is_id and not (isinstance(value, str) and _UUID_PATTERN.fullmatch(value))
        ):
            raise Failed(400, "validation", "params-validation", explain=f"{name}: missing or bad")
    if method in ("create-webhook", "update-webhook"):
        return function(world, params | {"sender": sender})
    return function(world, params)


def _profile(world: World, _: Params) -> Any:
    return rows.person(world.people[world.me]) | {"isActive": True, "lang": "en"}


def _teams(world: World, _: Params) -> Any:
    return [rows.team(world, team) for team in world.teams.values() if world.me in team.members]


def _one_team(world: World, params: Params) -> Any:
    try:
        team = params["id"] if "id" in params else world.team_of_file(params["fileId"])
        if world.me not in world.teams[team].members:
            raise KeyError(team)
    except KeyError:
        raise Failed(404, "not-found", "team-does-not-exist") from None
    return rows.team(world, world.teams[team])


def _members(world: World, params: Params) -> Any:
    team = _my_team(world, params["teamId"])
    return [
        rows.person(world.people[person])
        | {
            "profileId": person,
            "teamId": team.id,
            "name": world.people[person].fullname,
            "isActive": True,
            "isOwner": role == "owner",
            "isAdmin": role in ("owner", "admin"),
            "canEdit": role != "viewer",
            "createdAt": "2026-07-01T09:00:00.250Z",
        }
        for person, role in team.members.items()
    ]


def _users(world: World, params: Params) -> Any:
    team = params.get("teamId") or world.team_of_file(_my_file(world, params.get("fileId", "")).id)
    return [rows.person(world.people[person]) for person in _my_team(world, team).members]


def _one_project(world: World, params: Params) -> Any:
    return rows.project(_my_project(world, params["id"]))


def _projects(world: World, params: Params) -> Any:
    team = _my_team(world, params["teamId"])
    mine = (project for project in world.projects.values() if project.team == team.id)
    return [
        rows.project(project)
        | {
            "isPinned": False,
            "count": len(_files_of(world, project.id)),
            "totalCount": len(_files_of(world, project.id)),
            "deletedAt": project.deleted and instant(project.deleted),
        }
        for project in mine
    ]


def _project_files(world: World, params: Params) -> Any:
    project = _my_project(world, params["projectId"])
    return [rows.file(world, file) for file in _files_of(world, project.id)]


def _search(world: World, params: Params) -> Any:
    """Only projects that the user can edit: a viewer gets nothing."""
    team = _my_team(world, params["teamId"])
    if team.members[world.me] == "viewer":
        return []
    found = [
        rows.file(world, file)
        for project in world.projects.values()
        if project.team == team.id
        for file in _files_of(world, project.id)
    ]
    term = params["searchTerm"].lower()
    left_out = ("teamId", "vern")
    return [
        {name: value for name, value in row.items() if name not in left_out}
        for row in found
        if term in row["name"].lower()
    ]


def _one_thread(world: World, params: Params) -> Any:
    file = _my_file(world, params["fileId"])
    thread = world.threads.get(params["id"].lower())
    return rows.thread(world, thread) if thread and thread.file == file.id else None


def _threads(world: World, params: Params) -> Any:
    """Fails without a file id, although the method also takes a team id."""
    file = _my_file(world, params.get("fileId", ""))
    return [
        rows.thread(world, thread)
        for thread in list(world.threads.values())
        if thread.file == file.id and thread.comments and not file.is_deleted
    ]


def _unread(world: World, params: Params) -> Any:
    """The team's unread threads, subject to the user's notification setting."""
    team = _my_team(world, params["teamId"])
    found = [
        rows.thread(world, thread)
        for thread in list(world.threads.values())
        if thread.comments
        and not world.files[thread.file].is_deleted
        and world.team_of_file(thread.file) == team.id
    ]
    return [
        row
        for row in found
        if row["countUnreadComments"]
        and (world.notify == "all" or (world.notify == "partial" and world.me in row["mentions"]))
    ]


def _comments(world: World, params: Params) -> Any:
    thread = _my_thread(world, params["threadId"])
    return [rows.comment(world, thread, comment) for comment in thread.comments]


def _commenters(world: World, params: Params) -> Any:
    file = _my_file(world, params["fileId"])
    threads = [thread for thread in world.threads.values() if thread.file == file.id]
    found = {comment.owner for thread in threads for comment in thread.comments}
    return [
        rows.person(world.people[person])
        | {"name": world.people[person].fullname, "isActive": True}
        for person in sorted(found)
    ]


def _libraries(world: World, params: Params) -> Any:
    linked = _my_file(world, params["fileId"]).libraries
    return [
        rows.file(world, world.files[library]) | {"isIndirect": False, "thumbnailId": None}
        for library in linked
    ]


def _templates(world: World, _: Params) -> Any:
    return [{"id": template, "name": name} for template, name in world.templates.items()]


def _webhooks(world: World, params: Params) -> Any:
    """In JSON the URI is an object: the record of lambdaisland.uri."""
    team = _my_team(world, params["teamId"])
    return [
        rows.webhook(webhook) | {"uri": rows.uri_parts(webhook.uri)}
        for webhook in world.webhooks.values()
        if webhook.team == team.id
    ]


def _create_webhook(world: World, params: Params) -> Any:
    team = _my_team(world, params["teamId"])
    _check_hook(params)
    if sum(webhook.team == team.id for webhook in world.webhooks.values()) >= _MAX_WEBHOOKS:
        raise Failed(400, "restriction", "webhooks-quote-reached")
    active = params.get("isActive")
    webhook = Webhook(str(uuid.uuid4()), team.id, params["uri"], params["mtype"], active, world.me)
    world.webhooks[webhook.id] = webhook
    return rows.webhook(webhook)


def _update_webhook(world: World, params: Params) -> Any:
    """Sends HEAD only if the URI changes; resets the errors."""
    webhook = world.webhooks.get(params["id"])
    if webhook is None:
        raise _not_found()
    team = _my_team(world, webhook.team)
    if world.me != webhook.profile and team.members[world.me] == "viewer":
        raise _not_found()
    if params["uri"] != webhook.uri:
        _check_hook(params)
    webhook.uri, webhook.mtype = params["uri"], params["mtype"]
    webhook.is_active = params["isActive"]
    webhook.error_code, webhook.error_count = None, 0
    return rows.webhook(webhook)


def _thumbnails(world: World, params: Params) -> Any:
    file = _my_file(world, params["fileId"])
    return {f"{file.id}/{place}/{params['tag']}": asset for place, asset in file.boards.items()}


def _update_thread(world: World, params: Params) -> Any:
    """Penpot does not change the thread's ``modifiedAt``."""
    _my_thread(world, params["id"]).is_resolved = params["isResolved"]


def _update_comment(world: World, params: Params) -> Any:
    thread, comment = _my_comment(world, params["id"])
    comment.content, comment.modified = params["content"], datetime.now(UTC)
    thread.modified = comment.modified


def _delete_comment(world: World, params: Params) -> Any:
    """Penpot does not change the thread's ``modifiedAt``."""
    thread, comment = _my_comment(world, params["id"])
    thread.comments.remove(comment)


def _delete_thread(world: World, params: Params) -> Any:
    thread = _my_thread(world, params["id"])
    if thread.comments[0].owner != world.me:
        raise Failed(400, "validation", "not-allowed")
    del world.threads[thread.id]


METHODS: dict[str, tuple[tuple[str, ...], Callable[[World, Params], Any]]] = {
    "get-profile": ((), _profile),
    "get-teams": ((), _teams),
    "get-team": ((), _one_team),
    "get-team-members": (("teamId",), _members),
    "get-team-users": ((), _users),
    "get-project": (("id",), _one_project),
    "get-projects": (("teamId",), _projects),
    "get-project-files": (("projectId",), _project_files),
    "search-files": (("teamId", "searchTerm"), _search),
    "get-comment-thread": (("fileId", "id"), _one_thread),
    "get-comment-threads": ((), _threads),
    "get-unread-comment-threads": (("teamId",), _unread),
    "update-comment-thread": (("id", "isResolved"), _update_thread),
    "update-comment": (("id", "content"), _update_comment),
    "delete-comment": (("id",), _delete_comment),
    "delete-comment-thread": (("id",), _delete_thread),
    "get-comments": (("threadId",), _comments),
    "get-profiles-for-file-comments": (("fileId",), _commenters),
    "get-file-libraries": (("fileId",), _libraries),
    "get-builtin-templates": ((), _templates),
    "get-webhooks": (("teamId",), _webhooks),
    "create-webhook": (("teamId", "uri", "mtype"), _create_webhook),
    "update-webhook": (("id", "uri", "mtype", "isActive"), _update_webhook),
    "get-file-object-thumbnails": (("fileId", "tag"), _thumbnails),
}


def _not_found() -> Failed:
    """For an unknown id and for a missing permission."""
    return Failed(404, "not-found", "object-not-found", hint="object not found")


def _my_team(world: World, team: str) -> Team:
    found = world.teams.get(team.lower())
    if found is None or world.me not in found.members:
        raise _not_found()
    return found


def _my_project(world: World, project: str) -> Project:
    found = world.projects.get(project.lower())
    if found is None:
        raise _not_found()
    _my_team(world, found.team)
    return found


def _my_file(world: World, file: str) -> File:
    found = world.files.get(file.lower())
    if found is None:
        raise _not_found()
    _my_project(world, found.project)
    return found


def _my_thread(world: World, thread: str) -> Thread:
    found = world.threads.get(thread.lower())
    if found is None:
        raise _not_found()
    _my_file(world, found.file)
    return found


def _my_comment(world: World, comment: str) -> tuple[Thread, Comment]:
    """A comment that the user wrote, with its thread."""
    for thread in world.threads.values():
        for found in thread.comments:
            if found.id == comment.lower():
                _my_file(world, thread.file)
                if found.owner != world.me:
                    raise Failed(400, "validation", "not-allowed")
                return thread, found
    raise _not_found()


def _files_of(world: World, project: str) -> list[File]:
    files = list(world.files.values())
    return [file for file in files if file.project == project and not file.is_deleted]


def _check_hook(params: Params) -> None:
    outcome = params["sender"].check(params["uri"])
    if outcome.failure:
        raise Failed(400, "validation", "webhook-validation", hint=outcome.failure)
    if outcome.status not in (200, 204):
        raise Failed(500, "server-error", "webhook-validation")
