"""The stand-in's mutable data, from WORLD.json and the comments in the payloads."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PAYLOADS = Path(__file__).parent / "payloads"
LONG_AGO = datetime(2026, 7, 1, 9, 0, 0, 250_000, UTC)
MAX_ERRORS = 3


@dataclass
class Person:
    id: str
    fullname: str
    email: str
    photo: str | None = None


@dataclass
class Team:
    id: str
    name: str
    members: dict[str, str] = field(default_factory=dict)
    """Profile id → owner, admin, editor or viewer; removing one revokes access."""


@dataclass
class Project:
    id: str
    team: str
    name: str
    is_default: bool = False
    created: datetime = LONG_AGO
    modified: datetime = LONG_AGO
    deleted: datetime | None = None


@dataclass
class File:
    id: str
    project: str
    name: str
    is_shared: bool = False
    created: datetime = LONG_AGO
    modified: datetime = LONG_AGO
    thumbnail: str | None = None
    """Id of an asset."""
    libraries: list[str] = field(default_factory=list)
    boards: dict[str, str] = field(default_factory=dict)
    """``<page>/<frame>`` → id of an asset."""
    is_deleted: bool = False


@dataclass
class Comment:
    id: str
    owner: str
    content: str
    mentions: list[str] = field(default_factory=list)
    created: datetime = LONG_AGO
    modified: datetime = LONG_AGO


@dataclass
class Thread:
    id: str
    file: str
    page: str
    page_name: str | None
    seqn: int
    comments: list[Comment]
    """Oldest first; the first one opened the thread."""
    frame: str = "00000000-0000-0000-0000-000000000000"
    position: dict[str, float] = field(default_factory=lambda: {"x": 812.5, "y": 344.25})
    is_resolved: bool = False
    created: datetime = LONG_AGO
    modified: datetime = LONG_AGO
    read: datetime | None = None
    """When the token's user read it."""


@dataclass
class Webhook:
    id: str
    team: str
    uri: str
    mtype: str = "application/json"
    is_active: bool | None = True
    """None if its creator omitted it: it never fires then."""
    profile: str = ""
    error_code: str | None = None
    error_count: int = 0

    def count(self, error: str | None) -> None:
        """As Penpot after a delivery: three errors in a row disable the webhook."""
        self.error_code = error
        self.error_count = 0 if error is None else self.error_count + 1
        if self.error_count >= MAX_ERRORS:
            self.is_active = False


@dataclass
class Asset:
    content: bytes
    type: str = "image/png"
    is_public: bool = False
    """True for thumbnails of boards; those of files need a token."""


@dataclass
class World:
    """All objects by id. ``me`` is the profile that the token belongs to."""

    people: dict[str, Person] = field(default_factory=dict)
    teams: dict[str, Team] = field(default_factory=dict)
    projects: dict[str, Project] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    threads: dict[str, Thread] = field(default_factory=dict)
    webhooks: dict[str, Webhook] = field(default_factory=dict)
    assets: dict[str, Asset] = field(default_factory=dict)
    templates: dict[str, str] = field(default_factory=dict)
    me: str = "6eaf5050-5d0e-81a4-8006-9a5f000000ff"
    notify: str = "all"
    """The user's setting for comments on the dashboard: all, partial or none."""

    def team_of_file(self, file: str) -> str:
        """Raises ``KeyError`` if there is no such file."""
        return self.projects[self.files[file].project].team

    def to_team(self, body: dict[str, Any]) -> str:
        """The team whose webhooks get an event; Penpot looks at team, project and file."""
        props = body["props"]
        if "teamId" in props:
            return str(props["teamId"])
        if "projectId" in props:
            return self.projects[props["projectId"]].team
        return self.team_of_file(props["fileId"])

    def by_name(self, kind: str, name: str) -> str:
        """An id by its short name in WORLD.json: ``by_name("files", "landing")``."""
        found: str = _read()[kind][name]["id"]
        return found


def load() -> World:
    """The world of the payloads, with a token of Relay's own profile, a viewer."""
    read = _read()
    world = World()
    for person in read["profiles"].values():
        world.people[person["id"]] = Person(**person)
    world.people[world.me] = Person(world.me, "Relay", "relay@example.com")
    for team in read["teams"].values():
        guests = (read["profiles"]["guest"]["id"], world.me)
        roles = {person: "editor" for person in world.people if person not in guests}
        roles |= {read["profiles"]["ada"]["id"]: "owner", world.me: "viewer"}
        world.teams[team["id"]] = Team(team["id"], team["name"], roles)
    for short, project in read["projects"].items():
        team = read["teams"][project["team"]]["id"]
        world.projects[project["id"]] = Project(
            project["id"], team, project["name"], is_default=short == "draft"
        )
    for short, file in read["files"].items():
        project = read["projects"][file["project"]]["id"]
        world.files[file["id"]] = File(file["id"], project, file["name"], is_shared=short == "lib")
    world.templates = {"welcome": "Welcome to Penpot", "wireframing-kit": "Wireframe library"}
    for props in _props("create-comment-thread"):
        first = _comment(props, props["commentId"])
        world.threads[props["id"]] = Thread(
            props["id"],
            props["fileId"],
            props["pageId"],
            props.get("pageName"),
            props["seqn"],
            [first],
            props["frameId"],
            props["position"],
            props["isResolved"],
            first.created,
            first.modified,
        )
    for props in sorted(_props("create-comment"), key=lambda props: str(props["createdAt"])):
        thread = world.threads[props["threadId"]]
        thread.comments.append(_comment(props, props["id"]))
        thread.modified = thread.comments[-1].created
    return world


def instant(at: datetime) -> str:
    """A time in Penpot's form: with milliseconds unless they are zero."""
    text = at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
    return text.removesuffix(".000") + "Z"


def _read() -> dict[str, Any]:
    values: dict[str, Any] = json.loads((PAYLOADS / "WORLD.json").read_text())
    return values


def _props(event: str) -> list[dict[str, Any]]:
    paths = sorted((PAYLOADS / event).glob("*.json"))
    bodies = [p for p in paths if not p.name.endswith((".expect.json", ".transit.json"))]
    return [json.loads(path.read_bytes())["props"] for path in bodies]


def _comment(props: dict[str, Any], comment: str) -> Comment:
    return Comment(
        comment,
        props["ownerId"],
        props["content"],
        list(props.get("mentions", ())),
        datetime.fromisoformat(props["createdAt"]),
        datetime.fromisoformat(props["modifiedAt"]),
    )
