"""A second team of the token's user, and bodies that name its ids at the hook of the first team."""

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from tests.penpot.world import (
    PAYLOADS,
    Asset,
    Comment,
    File,
    Person,
    Project,
    Team,
    Thread,
    Webhook,
    World,
)

MARK = "Confidential-B"
"""Part of every text of the second team."""
KINDS = (
    "team", "project", "file", "library", "page", "thread", "comment", "reply", "profile", "board",
    "media", "webhook",
)  # fmt: skip
IDS = {kind: f"bbbbbbbb-0000-4000-8000-{number:012}" for number, kind in enumerate(KINDS)}
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KIND_OF_KEY = {
    "teamId": "team",
    "projectId": "project",
    "fileId": "file",
    "ids": "file",
    "libraryId": "library",
    "pageId": "page",
    "threadId": "thread",
    "commentId": "comment",
    "frameId": "board",
    "ownerPhotoId": "media",
    "data": "media",
}


def add_other_team(world: World) -> None:
    """A team of the token's user and one other person, with a file, a library and a comment."""
    bea = Person(IDS["profile"], f"{MARK} Person", f"{MARK}@example.com")
    world.people[bea.id] = bea
    members = {bea.id: "owner", world.me: "editor"}
    world.teams[IDS["team"]] = Team(IDS["team"], f"{MARK} Team", members)
    world.projects[IDS["project"]] = Project(IDS["project"], IDS["team"], f"{MARK} Project")
    for kind, libraries in (("file", [IDS["library"]]), ("library", [])):
        world.files[IDS[kind]] = File(
            IDS[kind],
            IDS["project"],
            f"{MARK} {kind}",
            is_shared=kind == "library",
            libraries=libraries,
            thumbnail=IDS["media"],
            boards={f"{IDS['page']}/{IDS['board']}": IDS["media"]},
        )
    comments = [
        Comment(IDS[kind], bea.id, f"{MARK} {kind}", [bea.id]) for kind in ("comment", "reply")
    ]
    world.threads[IDS["thread"]] = Thread(
        IDS["thread"], IDS["file"], IDS["page"], f"{MARK} Page", 7, comments, IDS["board"]
    )
    world.assets[IDS["media"]] = Asset(MARK.encode())
    hook = f"https://elsewhere.example/{MARK}"
    world.webhooks[IDS["webhook"]] = Webhook(IDS["webhook"], IDS["team"], hook)


def _payloads() -> dict[str, Path]:
    """One payload of each event for each set of fields with ids."""
    paths = {}
    for path in sorted(PAYLOADS.glob("*/*.json")):
        event = path.parent.name
        if path.name.count(".") == 1 and event not in ("legacy", "never-delivered"):
            fields = ", ".join(id_fields(json.loads(path.read_bytes())))
            paths.setdefault(f"{event}: {fields}", path)
    return paths


def sample(path: Path) -> dict[str, Any]:
    """The body in a payload, without the names in it, which Relay would have to look up."""
    body: dict[str, Any] = json.loads(path.read_bytes())
    for key in ("ownerFullname", "ownerEmail", "pageName"):
        body["props"].pop(key, None)
    return body


def id_fields(body: Mapping[str, Any]) -> list[str]:
    """The fields of a body that hold ids; those of ``props`` by their key."""
    fields = [key for key, value in body["props"].items() if _is_id(value)]
    return [*fields, "profileId"] if "profileId" in body else fields


def forged(body: dict[str, Any], changes: Mapping[str, str]) -> dict[str, Any]:
    """The body with these ids in place of its own; lists hold only the new one."""
    body = deepcopy(body)
    for key, id_ in changes.items():
        values = body if key == "profileId" and key in body else body["props"]
        values[key] = [id_] if isinstance(values[key], list) else id_
    return body


def kind_of(event: str, key: str) -> str:
    """The kind of object that a field of an event refers to."""
    if key == "id":
        if event == "create-comment-thread":
            return "thread"
        return "reply" if event == "create-comment" else event.rpartition("-")[2]
    return _KIND_OF_KEY.get(key, "profile")


def forgeries(path: Path) -> Iterator[dict[str, str]]:
    """For each field with ids of a payload, each id of the other team; and all fields at once."""
    event, fields = path.parent.name, id_fields(sample(path))
    for key in fields:
        yield from ({key: id_} for id_ in IDS.values())
    yield {key: IDS.get(kind_of(event, key), IDS["file"]) for key in fields}


def _is_id(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(map(_is_id, value))
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


PAYLOADS_WITH_IDS = _payloads()
