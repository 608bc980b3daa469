"""One realistic body for each kind of event, as Penpot sends it or Relay makes it, out of one small
world.

Told in ``ORDER`` they make a story in which names that one event teaches appear in later ones.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from relay.penpot.events import normalize
from relay.penpot.names import Fact, Key, taught

_START = datetime(2026, 3, 9, 9, 30, 12, 408_000, tzinfo=UTC)

_TEAM = "5b0e4f52-8a3c-81b0-8004-6c1d2e9f7a10"
_WEBSITE = "7c2f9d1e-8a3c-81b0-8004-6c1f03b5d420"
_MOBILE = "7c2f9d1e-8a3c-81b0-8004-6c1f44a1e0c7"
_LANDING = "1d94b7a6-8a3c-81b0-8004-6c2077e8b3f5"
_UI_KIT = "1d94b7a6-8a3c-81b0-8004-6c20b91c0d62"
_OLD_DRAFT = "1d94b7a6-8a3c-81b0-8004-6c20d4476e38"
_HOME = "e83a50c2-8a3c-81b0-8004-6c2131f5a94b"
_HERO = "a61f7e08-8a3c-81b0-8004-6c21550b7cd3"
_THREAD = "93b5c7d4-8a3c-81b0-8004-6c22a8d16e0f"
_FIRST = "93b5c7d4-8a3c-81b0-8004-6c22a8d2415a"
_REPLY = "93b5c7d4-8a3c-81b0-8004-6c22e70f93b8"
_INTER = "4f6d81ab-8a3c-81b0-8004-6c2391bc5e27"
_INTER_BOLD = "4f6d81ab-8a3c-81b0-8004-6c2391c80a44"
_UPLOAD = "c2e01957-8a3c-81b0-8004-6c241f3ab6d9"
_ADA = "28fbd360-8a3c-81b0-8004-6c1b90e4c571"
_GRACE = "28fbd360-8a3c-81b0-8004-6c1bb2577f0e"

_FEATURES = ["components/v2", "design-tokens/v1", "fdata/objects-map", "layout/grid", "variants/v1"]


def _comment(person: str, name: str, email: str, text: str, *mentions: str) -> dict[str, Any]:
    return {
        "fileId": _LANDING,
        "content": text,
        "mentions": list(mentions),
        "ownerId": person,
        "ownerFullname": name,
        "ownerEmail": email,
    }


def _story() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Event, actor (empty where nobody is told) and props, one after the other."""
    yield (
        "create-comment-thread",
        _ADA,
        _comment(
            _ADA,
            "Ada Lovelace",
            "ada@example.com",
            f"@[Grace Hopper]({_GRACE}) the headline is hard to read on the photo. "
            "Could we try the darker overlay?",
            _GRACE,
        )
        | {
            "id": _THREAD,
            "commentId": _FIRST,
            "pageId": _HOME,
            "pageName": "Home",
            "frameId": _HERO,
            "seqn": 12,
            "position": {"x": 812.5, "y": 344.25},
            "participants": [_ADA],
            "isResolved": False,
        },
    )
    yield (
        "update-file",
        _ADA,
        {
            "id": _LANDING,
            "name": "Landing page",
            "teamId": _TEAM,
            "projectId": _WEBSITE,
            "features": _FEATURES,
        },
    )
    yield (
        "rename-project",
        _ADA,
        {"id": _WEBSITE, "name": "Website Redesign", "prevName": "Website", "teamId": _TEAM},
    )
    yield (
        "create-comment",
        _GRACE,
        _comment(
            _GRACE,
            "Grace Hopper",
            "grace@example.com",
            "Good catch. I put in 60 % black, and the contrast is 7:1 now.",
        )
        | {"id": _REPLY, "threadId": _THREAD},
    )
    yield "create-project", _GRACE, {"name": "Brand assets", "teamId": _TEAM}
    yield (
        "create-file",
        _GRACE,
        {"name": "Pricing page", "projectId": _WEBSITE, "teamId": _TEAM, "features": _FEATURES},
    )
    yield (
        "rename-file",
        _ADA,
        {"id": _LANDING, "name": "Landing page, autumn", "projectId": _WEBSITE},
    )
    yield (
        "set-file-shared",
        _GRACE,
        {"id": _UI_KIT, "name": "Acme UI Kit", "isShared": False, "projectId": _WEBSITE},
    )
    yield "link-file-to-library", _GRACE, {"fileId": _LANDING, "libraryId": _UI_KIT}
    yield "unlink-file-from-library", _ADA, {"fileId": _LANDING, "libraryId": _UI_KIT}
    yield (
        "create-font-variant",
        _ADA,
        {
            "teamId": _TEAM,
            "fontId": _INTER,
            "fontFamily": "Inter",
            "fontWeight": 700,
            "fontStyle": "normal",
            "data": ["font/ttf", "font/woff2"],
            "profileId": _ADA,
        },
    )
    yield (
        "update-font",
        _ADA,
        {"id": _INTER, "name": "Inter Display", "teamId": _TEAM, "profileId": _ADA},
    )
    yield (
        "delete-font-variant",
        _ADA,
        {"id": _INTER_BOLD, "teamId": _TEAM, "fontFamily": "Inter Display", "fontId": _INTER},
    )
    yield (
        "delete-font",
        _GRACE,
        {"id": _INTER, "name": "Inter Display", "teamId": _TEAM, "profileId": _GRACE},
    )
    yield (
        "duplicate-file",
        _GRACE,
        {"fileId": _LANDING, "name": "Landing page, autumn (copy)"},
    )
    yield (
        "duplicate-project",
        _ADA,
        {"projectId": _WEBSITE, "name": "Website Redesign (copy)"},
    )
    yield "update-project-pin", _ADA, {"id": _WEBSITE, "teamId": _TEAM, "isPinned": True}
    yield (
        "clone-template",
        _GRACE,
        {"projectId": _WEBSITE, "templateId": "wireframing-kit"},
    )
    yield (
        "import-binfile",
        _GRACE,
        {
            "name": "Icons",
            "projectId": _WEBSITE,
            "version": 3,
            "uploadId": _UPLOAD,
            "generatedBy": "penpot/2.17.0",
        },
    )
    yield (
        "export-binfile",
        _ADA,
        {"fileId": _LANDING, "version": 3, "includeLibraries": True, "embedAssets": False},
    )
    yield "move-files", _GRACE, {"ids": [_LANDING, _UI_KIT], "projectId": _WEBSITE}
    yield "move-project", _ADA, {"projectId": _WEBSITE, "teamId": _TEAM}
    yield (
        "delete-file",
        _GRACE,
        {"id": _OLD_DRAFT, "name": "Old draft", "projectId": _WEBSITE},
    )
    yield "delete-project", _ADA, {"id": _MOBILE, "name": "Mobile app 2024", "teamId": _TEAM}
    yield from _own_story()


def _own_story() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """What Relay finds out about the thread: nobody is told to have done it."""
    place = {
        "fileName": "Landing page, autumn",
        "projectId": _WEBSITE,
        "teamId": _TEAM,
        "pageId": _HOME,
        "pageName": "Home",
        "seqn": 12,
    }
    first = _comment(
        _ADA,
        "Ada Lovelace",
        "ada@example.com",
        f"@[Grace Hopper]({_GRACE}) the headline is hard to read on the photo. "
        "Could we try the darker overlay?",
        _GRACE,
    )
    said = "Good catch. I put in 60 % black, and the contrast is 7:1 now."
    reply = _comment(
        _GRACE,
        "Grace Hopper",
        "grace@example.com",
        f"Good catch, @[Ada Lovelace]({_ADA}). I put in 70 % black, and the contrast is 9:1 now.",
        _ADA,
    )
    thread = first | place | {"id": _THREAD, "frameId": _HERO}
    answer = reply | place | {"id": _REPLY, "threadId": _THREAD, "isFirst": False}
    yield "update-comment", "", answer | {"previousContent": said}
    yield "resolve-comment-thread", "", thread | {"isResolved": True}
    yield "reopen-comment-thread", "", thread | {"isResolved": False}
    yield "delete-comment", "", answer
    yield "delete-comment-thread", "", thread | {"isResolved": False}


def _bodies() -> Iterator[tuple[str, dict[str, Any]]]:
    dated = {
        "create-comment-thread",
        "create-comment",
        "rename-file",
        "delete-file",
        "delete-project",
    }
    for minutes, (name, actor, props) in enumerate(_story()):
        at = _START + timedelta(minutes=7 * minutes)
        sent = _iso(at)
        if name in dated:
            props |= {"createdAt": sent, "modifiedAt": sent}
        yield (
            name,
            {
                "name": name,
                "props": props,
                "createdAt": _iso(at + timedelta(milliseconds=87)),
                **({"profileId": actor} if actor else {}),
                "trackedAt": sent,
            },
        )


def _iso(at: datetime) -> str:
    return at.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


SAMPLES: Mapping[str, Mapping[str, Any]] = dict(_bodies())
"""The decoded bodies by the event's name, in the order of the story."""

ORDER: tuple[str, ...] = tuple(SAMPLES)
"""The names of the events as the story goes."""


def sample(name: str) -> bytes:
    """The body of an event of the catalogue, as the JSON that Penpot posts."""
    return json.dumps(SAMPLES[name], indent=2).replace("/", r"\/").encode("ascii")


def known() -> dict[Key, Fact]:
    """What the whole story teaches, for showing one event of it alone.

    Where a name changes in the story it is the older one, so that the event of the change has
    both.
    """
    facts: dict[Key, Fact] = {}
    for body in SAMPLES.values():
        for fact in taught(normalize(body)):
            older = facts.get(fact.key)
            facts[fact.key] = Fact.merged(fact, older) if older else fact
    template = Fact.of("template", "wireframing-kit", "Wireframe library")  # as Penpot tells it
    return facts | {template.key: template}
