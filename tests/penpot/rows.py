"""Rows of Penpot's RPC answers; None stands for NULL, which the JSON omits.

The fields are those of ``backend/src/app/rpc/commands`` in 2.17.
"""

import re
from typing import Any

from tests.penpot.world import Comment, File, Person, Project, Team, Thread, Webhook, World, instant


def person(person: Person) -> dict[str, Any]:
    return {
        "id": person.id,
        "fullname": person.fullname,
        "email": person.email,
        "photoId": person.photo,
    }


def team(world: World, team: Team) -> dict[str, Any]:
    role = team.members[world.me]
    return {
        "id": team.id,
        "name": team.name,
        "isDefault": False,
        "features": ["components/v2", "fdata/shape-data-type"],
        "permissions": {
            "type": "membership",
            "isOwner": role == "owner",
            "isAdmin": role in ("owner", "admin"),
            "canEdit": role != "viewer",
        },
        "createdAt": "2026-07-01T09:00:00.250Z",
        "modifiedAt": "2026-07-01T09:00:00.250Z",
    }


def project(project: Project) -> dict[str, Any]:
    return {
        "id": project.id,
        "teamId": project.team,
        "name": project.name,
        "isDefault": project.is_default,
        "createdAt": instant(project.created),
        "modifiedAt": instant(project.modified),
    }


def file(world: World, file: File) -> dict[str, Any]:
    return {
        "id": file.id,
        "name": file.name,
        "projectId": file.project,
        "teamId": world.projects[file.project].team,
        "revn": 3,
        "vern": 0,
        "isShared": file.is_shared,
        "thumbnailId": file.thumbnail,
        "createdAt": instant(file.created),
        "modifiedAt": instant(file.modified),
    }


def thread(world: World, thread: Thread) -> dict[str, Any]:
    first, file = thread.comments[0], world.files[thread.file]
    owner = world.people[first.owner]
    return {
        "id": thread.id,
        "fileId": file.id,
        "fileName": file.name,
        "projectId": file.project,
        "teamId": world.projects[file.project].team,
        "pageId": thread.page,
        "pageName": thread.page_name,
        "frameId": thread.frame,
        "position": thread.position,
        "seqn": thread.seqn,
        "content": first.content,
        "mentions": first.mentions,
        "participants": list({comment.owner for comment in thread.comments}),
        "isResolved": thread.is_resolved,
        "ownerId": owner.id,
        "ownerFullname": owner.fullname,
        "ownerEmail": owner.email,
        "ownerPhotoId": owner.photo,
        "countComments": len(thread.comments),
        "countUnreadComments": sum(
            comment.created >= (thread.read or thread.created) for comment in thread.comments
        ),
        "createdAt": instant(thread.created),
        "modifiedAt": instant(thread.modified),
    }


def comment(world: World, thread: Thread, comment: Comment) -> dict[str, Any]:
    owner = world.people[comment.owner]
    return {
        "id": comment.id,
        "threadId": thread.id,
        "fileId": thread.file,
        "ownerId": owner.id,
        "ownerFullname": owner.fullname,
        "ownerEmail": owner.email,
        "content": comment.content,
        "mentions": comment.mentions,
        "createdAt": instant(comment.created),
        "modifiedAt": instant(comment.modified),
    }


def webhook(webhook: Webhook) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "teamId": webhook.team,
        "uri": webhook.uri,
        "mtype": webhook.mtype,
        "isActive": webhook.is_active,
        "errorCode": webhook.error_code,
        "errorCount": webhook.error_count,
        "profileId": webhook.profile or None,
    }


def uri_parts(uri: str) -> dict[str, str | None]:
    parts = re.fullmatch(
        r"(?:(?P<scheme>[^:/?#]+):)?"
        r"(?://(?:(?P<user>[^/?#:@]*)(?::(?P<password>[^/?#@]*))?@)?"
        r"(?P<host>\[[^\]]*\]|[^/?#:]*)(?::(?P<port>\d+))?)?"
        r"(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?",
        uri,
    )
    assert parts is not None, uri
    return parts.groupdict()
