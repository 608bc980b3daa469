"""One realistic body for each kind of event, as Penpot or sync sends it.

They are in the order of a story, in which later events use names of earlier ones.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from relay.penpot.events import normalize
from relay.penpot.facts import Fact, Key, facts_from_event

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
_DATED = frozenset(
    {"create-comment-thread", "create-comment", "rename-file", "delete-file", "delete-project"}
)

_Step = tuple[str, str, dict[str, Any]]  # event name, actor (empty if nobody is named) and props


def _comment(author: str, text: str, *mentions: str) -> dict[str, Any]:
    name = {_ADA: "Ada Lovelace", _GRACE: "Grace Hopper"}[author]
    email = f"{name.partition(' ')[0].lower()}@example.com"
    owner = {"ownerId": author, "ownerFullname": name, "ownerEmail": email}
    return {"fileId": _LANDING, "content": text, "mentions": list(mentions)} | owner


def _story() -> Iterator[_Step]:
    in_team, in_website = {"teamId": _TEAM}, {"projectId": _WEBSITE}
    ask = f"@[Grace Hopper]({_GRACE}) the headline is hard to read on the photo. "
    thread = _comment(_ADA, f"{ask}Could we try the darker overlay?", _GRACE) | {
        "id": _THREAD,
        "pageId": _HOME,
        "pageName": "Home",
        "frameId": _HERO,
        "seqn": 12,
    }
    unresolved = {"isResolved": False}
    created = {"commentId": _FIRST, "position": {"x": 812.5, "y": 344.25}, "participants": [_ADA]}
    yield "create-comment-thread", _ADA, thread | created | unresolved
    landing = {"id": _LANDING, "name": "Landing page"} | in_team | in_website
    yield "update-file", _ADA, landing | {"features": _FEATURES}
    website = {"id": _WEBSITE, "name": "Website Redesign", "prevName": "Website"}
    yield "rename-project", _ADA, website | in_team
    answer = "Good catch. I put in 60 % black, and the contrast is 7:1 now."
    reply = {"id": _REPLY, "threadId": _THREAD}
    yield "create-comment", _GRACE, _comment(_GRACE, answer) | reply
    yield "create-project", _GRACE, {"name": "Brand assets"} | in_team
    pricing = {"name": "Pricing page"} | in_website | in_team
    yield "create-file", _GRACE, pricing | {"features": _FEATURES}
    yield "rename-file", _ADA, {"id": _LANDING, "name": "Landing page, autumn"} | in_website
    ui_kit = {"id": _UI_KIT, "name": "Acme UI Kit", "isShared": False}
    yield "set-file-shared", _GRACE, ui_kit | in_website
    yield "link-file-to-library", _GRACE, {"fileId": _LANDING, "libraryId": _UI_KIT}
    yield "unlink-file-from-library", _ADA, {"fileId": _LANDING, "libraryId": _UI_KIT}
    font = {"fontId": _INTER, "fontFamily": "Inter"} | in_team
    bold = {"fontWeight": 700, "fontStyle": "normal", "data": ["font/ttf", "font/woff2"]}
    yield "create-font-variant", _ADA, font | bold | {"profileId": _ADA}
    inter = {"id": _INTER, "name": "Inter Display"} | in_team
    yield "update-font", _ADA, inter | {"profileId": _ADA}
    variant = {"id": _INTER_BOLD, "fontFamily": "Inter Display"}
    yield "delete-font-variant", _ADA, font | variant
    yield "delete-font", _GRACE, inter | {"profileId": _GRACE}
    copy = {"fileId": _LANDING, "name": "Landing page, autumn (copy)"}
    yield "duplicate-file", _GRACE, copy
    yield "duplicate-project", _ADA, in_website | {"name": "Website Redesign (copy)"}
    yield "update-project-pin", _ADA, {"id": _WEBSITE} | in_team | {"isPinned": True}
    yield "clone-template", _GRACE, in_website | {"templateId": "wireframing-kit"}
    upload = {"version": 3, "uploadId": _UPLOAD, "generatedBy": "penpot/2.17.0"}
    yield "import-binfile", _GRACE, {"name": "Icons"} | in_website | upload
    export = {"version": 3, "includeLibraries": True, "embedAssets": False}
    yield "export-binfile", _ADA, {"fileId": _LANDING} | export
    yield "move-files", _GRACE, {"ids": [_LANDING, _UI_KIT]} | in_website
    yield "move-project", _ADA, in_website | in_team
    yield "delete-file", _GRACE, {"id": _OLD_DRAFT, "name": "Old draft"} | in_website
    yield "delete-project", _ADA, {"id": _MOBILE, "name": "Mobile app 2024"} | in_team

    # Synthetic events
    thread |= {"fileName": "Landing page, autumn"} | in_website | in_team
    better = (
        f"Good catch, @[Ada Lovelace]({_ADA}). I put in 70 % black, and the contrast is 9:1 now."
    )
    reply = thread | _comment(_GRACE, better, _ADA) | reply | {"isFirst": False}
    yield "update-comment", "", reply | {"previousContent": answer}
    yield "resolve-comment-thread", "", thread | {"isResolved": True}
    yield "reopen-comment-thread", "", thread | unresolved
    yield "delete-comment", "", reply
    yield "delete-comment-thread", "", thread | unresolved


def _bodies() -> Iterator[tuple[str, dict[str, Any]]]:
    for step, (name, actor, props) in enumerate(_story()):
        at = _START + timedelta(minutes=7 * step)
        sent = _iso(at)
        if name in _DATED:
            props |= {"createdAt": sent, "modifiedAt": sent}
        body = {"name": name, "props": props, "createdAt": _iso(at + timedelta(milliseconds=87))}
        yield name, body | ({"profileId": actor} if actor else {}) | {"trackedAt": sent}


def _iso(at: datetime) -> str:
    return at.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


SAMPLES: Mapping[str, Mapping[str, Any]] = dict(_bodies())  # by event name, in story order
SAMPLE_NAMES: tuple[str, ...] = tuple(SAMPLES)


def sample(name: str) -> bytes:
    """The body as JSON, in Penpot's form."""
    return json.dumps(SAMPLES[name], indent=2).replace("/", r"\/").encode("ascii")


@cache
def sample_facts() -> dict[Key, Fact]:
    """The facts in the whole story, for showing a single event of it.

    If a name changes in the story, this has the older one, so that the event of the change has
    both.
    """
    facts: dict[Key, Fact] = {}
    for body in SAMPLES.values():
        for fact in facts_from_event(normalize(body)):
            facts[fact.key] = Fact.merged(fact, facts.get(fact.key, fact))
    template = Fact.of("template", "wireframing-kit", "Wireframe library")  # as in Penpot's API
    return facts | {template.key: template}


class SampleFacts:
    """The facts in the samples, read as those in a store."""

    async def facts(self, _team: str, keys: Collection[Key]) -> dict[Key, str]:
        facts = sample_facts()
        return {key: facts[key].dumps() for key in keys if key in facts}
