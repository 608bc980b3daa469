"""Who knows the hook's address of one team reads nothing of another team of the token's user,
whatever ids the body names."""

import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from relay.config.settings import Config
from relay.delivery.directory import TeamDirectory
from relay.delivery.fact_cache import FactCache
from relay.delivery.lookups import Lookups
from relay.delivery.pipeline import EventPreparer
from relay.delivery.routing import Planner
from relay.delivery.thumbnails import Thumbnails
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.penpot.api import PenpotClient
from relay.store.records import FanOutResult, StoredEvent
from relay.store.sqlite import SqliteStore
from tests.penpot.other_team import (
    IDS,
    MARK,
    PAYLOADS_WITH_IDS,
    add_other_team,
    forged,
    forgeries,
    sample,
)
from tests.penpot.standin import TOKEN, Call, StandIn
from tests.penpot.world import PAYLOADS, Webhook
from tests.service import SECRET, Service, wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

CHANNEL = {
    "name": "design", "type": "slack", "token": "xoxb-1", "channel": "#design", "events": ["*"],
    "thumbnails": True, "activity": "each",
}  # fmt: skip
NAMING = {"get-team", "get-project"}
"""The methods whose answers name the team of an id, and nothing of a file or comment."""
OWN_HOOK = "b0000000-0000-4000-8000-000000000001"


@pytest.fixture
def penpot() -> Iterator[StandIn]:
    with StandIn() as penpot:
        add_other_team(penpot.world)
        yield penpot


class Hook:
    """The hook of team acme; each event is processed as the first one after a start, or with
    ``keeps_facts`` as the first one after a restart."""

    def __init__(
        self, penpot: StandIn, store: SqliteStore, team_id: str, *, keeps_facts: bool = False
    ) -> None:
        team = {"secret": SECRET, "channels": [CHANNEL]} | ({"team_id": team_id} if team_id else {})
        self.config = Config.model_validate(
            {"penpot": {"url": penpot.url, "access_token": TOKEN}, "teams": {"acme": team}}
        )
        self.penpot, self.store, self.metrics = penpot, store, Metrics()
        self.templates = Templates()
        self.keeps_facts = keeps_facts

    @contextlib.asynccontextmanager
    async def preparer(self) -> AsyncIterator[tuple[EventPreparer, FactCache]]:
        api, facts = PenpotClient(self.penpot.url, TOKEN), FactCache(self.store)
        directory = TeamDirectory(self.config, self.store, None, time.time)
        lookups = Lookups(api, facts, self.store, self.metrics, directory)
        preparer = EventPreparer(self.config, facts, lookups, Thumbnails(api, self.metrics))
        yield preparer, facts
        await preparer.close()

    async def post(self, body: dict[str, Any]) -> tuple[FanOutResult, list[Call]]:
        """What the fan-out stores for the event: its messages and facts; and the calls for it."""
        raw = json.dumps(body).encode()
        stored = StoredEvent(
            1, "acme", "application/json", raw, body["name"], "stored", "", time.time()
        )
        calls = len(self.penpot.calls)
        async with self.preparer() as (preparer, facts):
            await preparer.start([stored])
            prepared = await preparer.take(stored)
            planner = Planner(self.config, facts, self.store.activity, self.templates, self.metrics)
            result = await planner.plan(stored, prepared)
            if self.keeps_facts:
                await self.store.save_fan_out([replace(result, deliveries=())])
            return result, self.penpot.calls[calls:]


def foreign(call: Call) -> set[str]:
    """The ids of the other team in a call."""
    return set(IDS.values()) & {str(value) for value in call.params.values()}


def is_in_own_file(call: Call) -> bool:
    """Whether a thread is looked up in a file of the hook's own team: Penpot, too, compares it."""
    is_own = call.params.get("fileId") not in (None, *IDS.values())
    return call.method == "get-comment-thread" and is_own


@pytest.mark.parametrize("payload", PAYLOADS_WITH_IDS)
async def test_no_id_in_a_body_reads_another_team(
    penpot: StandIn, store: SqliteStore, payload: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "relay")
    path = PAYLOADS_WITH_IDS[payload]
    hook = Hook(penpot, store, penpot.world.by_name("teams", "acme"))
    for changes in forgeries(path):
        result, calls = await hook.post(forged(sample(path), changes))
        has_ended = False
        for call in calls:
            if is_in_own_file(call):
                assert not has_ended, changes
                continue
            has_ended |= bool(foreign(call))
            assert not has_ended or call.method in NAMING, changes
        assert result.deliveries, changes
        assert MARK.lower() not in repr(result).lower(), changes
    assert MARK.lower() not in caplog.text.lower()


async def test_what_earlier_events_said_leads_to_no_other_team(
    penpot: StandIn, store: SqliteStore
) -> None:
    """Forged events relate each id to each other one: the file of a thread, the project of a
    file. Facts from them are stored, and complete later events."""
    hook = Hook(penpot, store, penpot.world.by_name("teams", "acme"), keeps_facts=True)
    related = [
        {"name": "create-comment-thread", "props": {"id": "thread", "fileId": "file"}},
        {"name": "create-comment-thread", "props": {"id": "thread", "pageId": "page"}},
        {"name": "update-page", "props": {"id": "page", "fileId": "file"}},
        {"name": "create-file", "props": {"id": "file", "projectId": "project"}},
        {"name": "rename-project", "props": {"id": "project", "teamId": "team"}},
    ]
    own = own_ids(penpot)
    forms = (IDS, own, *({**own, kind: IDS[kind]} for kind in own))
    known = 0
    for ids in [*forms, *forms[:1]]:
        for event in related:
            props = {key: ids[kind] for key, kind in event["props"].items()}
            await hook.post({"name": event["name"], "props": props})
        for name, kind in (("create-comment", "thread"), ("update-file", "file")):
            key = "threadId" if kind == "thread" else "id"
            for id_ in (own[kind], IDS[kind]):
                result, calls = await hook.post({"name": name, "props": {key: id_}})
                named = {c.method for c in calls if foreign(c) and not is_in_own_file(c)}
                assert named <= NAMING, (ids, name)
                assert MARK.lower() not in repr(result).lower(), (ids, name)
                known += "Website Redesign" in repr(result)
    assert known > 0


def own_ids(penpot: StandIn) -> dict[str, str]:
    """Ids of the hook's own team."""
    world = penpot.world
    thread = next(t for t in world.threads.values() if t.file == world.by_name("files", "landing"))
    return {
        "team": world.by_name("teams", "acme"),
        "project": world.by_name("projects", "web"),
        "file": thread.file,
        "page": thread.page,
        "thread": thread.id,
    }


@pytest.mark.parametrize("payload", PAYLOADS_WITH_IDS)
async def test_without_a_verified_team_nothing_is_read(
    penpot: StandIn, store: SqliteStore, payload: str
) -> None:
    path = PAYLOADS_WITH_IDS[payload]
    hook = Hook(penpot, store, "")
    *_, changes = forgeries(path)
    for body in (sample(path), forged(sample(path), changes)):
        result, calls = await hook.post(body)
        assert {call.method for call in calls} <= {"get-teams", "get-webhooks"}
        assert result.deliveries


async def test_the_same_bodies_show_their_team_at_its_own_hook(
    penpot: StandIn, store: SqliteStore
) -> None:
    """The other tests would not notice a lookup that never happens."""
    hook = Hook(penpot, store, IDS["team"])
    showing, called = set(), set()
    for path in PAYLOADS_WITH_IDS.values():
        *_, changes = forgeries(path)
        result, calls = await hook.post(forged(sample(path), changes))
        called |= {call.method for call in calls}
        if MARK in repr(result):
            showing.add(path.parent.name)
    assert len(showing) >= 15
    assert called >= NAMING | {
        "get-comment-thread", "get-team-members", "get-projects", "get-project-files",
        "get-file-libraries", "get-file-object-thumbnails",
    }  # fmt: skip


def test_a_running_service_reads_shows_and_keeps_nothing_of_another_team(
    penpot: StandIn, tmp_path: Path
) -> None:
    world = penpot.world
    channel = (
        '[[teams.acme.channels]]\nname = "log"\ntype = "stdout"\nevents = ["*"]\n'
        'activity = "each"\n'
    )
    table = f'url = "{penpot.url}"\naccess_token = "{TOKEN}"\n[log]\nlevel = "debug"'
    service = Service(tmp_path, channel, penpot=table)
    acme = world.by_name("teams", "acme")
    world.webhooks[OWN_HOOK] = Webhook(OWN_HOOK, acme, service.hook, profile=world.me)
    bodies = [
        forged(sample(path), list(forgeries(path))[-1]) for path in PAYLOADS_WITH_IDS.values()
    ]
    own = json.loads((PAYLOADS / "create-comment" / "plain.json").read_bytes())
    service.start()
    try:
        wait_until(lambda: "first scan done" in service.log.read_text(), 30)
        polls = own_polls(penpot, own)
        for body in [*bodies, own]:
            assert service.post(json.dumps(body).encode()) == 204
        wait_until(lambda: " stored " not in service.run("log", "--limit", "500").stdout, 60)
        pages = [
            httpx.get(f"{service.admin}/inspector/events/{number + 1}").text
            for number in range(len(bodies))
        ]
        # and until the sync polls the files that events named, the last of them
        wait_until(lambda: own_polls(penpot, own) > polls, 60)
    finally:
        service.stop()
    first_calls = len(penpot.calls)
    service.start()
    try:
        wait_until(lambda: has_polled(penpot.calls[first_calls:]), 60)
    finally:
        service.stop()

    for name in {body["name"] for body in bodies}:
        assert any(f"<title>{name} " in page for page in pages), name
    assert {call.method for call in penpot.calls if foreign(call)} <= NAMING | {"get-webhooks"}
    for call in penpot.calls[first_calls:]:
        assert call.params.get("teamId") in (None, acme)
        assert not foreign(call) or call.method in NAMING
    shown = "".join(pages) + service.output.read_text() + service.log.read_text()
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("relay.db*"))
    assert "Website Redesign" in shown  # its own names are looked up
    assert MARK.lower() not in shown.lower()
    assert MARK.lower().encode() not in kept.lower()


def own_polls(penpot: StandIn, body: dict[str, Any]) -> int:
    params = {"fileId": body["props"]["fileId"]}
    calls = [call for call in penpot.calls if call.method == "get-comment-threads"]
    return sum(call.params == params for call in calls)


def has_polled(calls: list[Call]) -> bool:
    return any(call.method == "get-unread-comment-threads" for call in calls)
