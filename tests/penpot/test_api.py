"""The methods of the RPC API, against the stand-in."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from relay.penpot.calls import PenpotBusy, PenpotUnexpected
from relay.penpot.records import FileRecord, ProfileRecord, TemplateRecord
from tests.penpot.lookups import HOOK, LOOKUPS, METHODS, NOBODY, THREAD, Ids, client
from tests.penpot.standin import StandIn
from tests.penpot.streams import hook
from tests.penpot.world import Webhook, instant
from tests.servers.loopback import Answer

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["2.12-and-later", "older"])
def penpot(request: pytest.FixtureRequest) -> Iterator[StandIn]:
    with StandIn(old=request.param) as penpot:
        yield penpot


@pytest.fixture
def newer() -> Iterator[StandIn]:
    with StandIn() as penpot:
        yield penpot


async def test_every_lookup_is_answered_from_the_world(penpot: StandIn) -> None:
    world, ids = penpot.world, Ids(penpot.world)
    kit = world.by_name("files", "lib")
    world.files[ids.landing].libraries = [kit]
    world.files[ids.landing].thumbnail = NOBODY
    world.webhooks[NOBODY] = Webhook(NOBODY, ids.acme, HOOK, error_code="timeout", error_count=2)
    world.projects[ids.web].deleted = datetime(2026, 7, 20, tzinfo=UTC)
    async with client(penpot) as rpc_client:
        me = await rpc_client.profile()
        thread = await rpc_client.comment_thread(ids.landing, THREAD)
        members = await rpc_client.team_members(ids.acme)
        project = await rpc_client.project(ids.web)
        projects = await rpc_client.projects(ids.acme)
        files = await rpc_client.project_files(ids.web)
        libraries = await rpc_client.file_libraries(ids.landing)
        templates = await rpc_client.builtin_templates()
        webhooks = await rpc_client.webhooks(ids.acme)
        teams = await rpc_client.teams()
        threads = await rpc_client.comment_threads(ids.landing)
        unread = await rpc_client.unread_threads(ids.acme)
        comments = await rpc_client.comments(THREAD)

    assert me == ProfileRecord(world.me, "Relay", "relay@example.com")
    assert str(me) == "Relay"
    assert thread is not None
    assert (thread.id, thread.number, thread.resolved) == (THREAD, 15, False)
    assert (thread.file_id, thread.file_name) == (ids.landing, "Landing page")
    assert (thread.project_id, thread.team_id) == (ids.web, ids.acme)
    assert (thread.page_id, thread.page_name) == (world.by_name("pages", "p1"), "Page 1")
    assert thread.first == world.threads[THREAD].comments[0].content
    assert thread.owner == ProfileRecord(ids.ada, "Ada Lovelace", "ada@example.com")
    assert thread.comments == 6
    assert ids.ada in thread.participants
    assert thread.created_at == world.threads[THREAD].created
    assert members is not None
    assert ProfileRecord(ids.ada, "Ada Lovelace", "ada@example.com") in members
    assert len(members) == 7
    assert project is not None
    assert (project.name, project.team_id) == ("Website Redesign", ids.acme)
    assert projects is not None
    assert [(found.id, found.is_deleted) for found in projects if found.is_deleted] == [
        (ids.web, True)
    ]
    assert [found.name for found in projects if found.is_default] == ["Drafts"]
    assert files is not None
    assert [found.thumbnail_id for found in files if found.id == ids.landing] == [NOBODY]
    assert "line one line two with tab - item" in {found.name for found in files}
    assert libraries is not None
    assert [(found.id, found.name) for found in libraries] == [(kit, "Acme UI Kit 📚")]
    assert isinstance(libraries[0], FileRecord)
    assert libraries[0].is_shared
    assert templates is not None
    assert templates[0] == TemplateRecord("welcome", "Welcome to Penpot")
    assert webhooks is not None
    (webhook,) = webhooks
    assert webhook.uri == HOOK
    assert (webhook.is_active, webhook.error_code, webhook.error_count) == (True, "timeout", 2)
    assert "TheHooksOwnSecret" not in repr(webhook)
    assert teams is not None
    assert [(team.id, team.can_edit) for team in teams if team.id == ids.acme] == [
        (ids.acme, False)
    ]
    assert threads is not None
    assert unread is not None
    assert {row.id for row in threads} < {row.id for row in unread}
    (listed,) = [row for row in threads if row.id == THREAD]
    assert (listed.file_id, listed.team_id, listed.comments) == (ids.landing, ids.acme, 6)
    assert (listed.resolved, listed.unread) == (False, 6)
    assert listed.modified_at == instant(world.threads[THREAD].modified)
    assert comments is not None
    assert [row.id for row in comments] == [one.id for one in world.threads[THREAD].comments]
    assert comments[0].created_at == world.threads[THREAD].created
    assert comments[0].owner_name == "Ada Lovelace"
    assert {call.method for call in penpot.calls} == set(METHODS)


async def test_a_webhook_is_enabled_without_a_test_request(penpot: StandIn) -> None:
    world, ids = penpot.world, Ids(penpot.world)
    world.webhooks[NOBODY] = Webhook(NOBODY, ids.acme, HOOK, "application/transit+json", False)
    world.webhooks[NOBODY].error_code, world.webhooks[NOBODY].error_count = "timeout", 3
    async with client(penpot) as rpc_client:
        (found,) = await rpc_client.webhooks(ids.acme) or ()
        assert await rpc_client.enable_webhook(found) is None  # a viewer who has not made it
        assert not world.webhooks[NOBODY].is_active
        world.teams[ids.acme].members[world.me] = "editor"
        switched = await rpc_client.enable_webhook(found)
    assert switched is not None
    assert (switched.is_active, switched.error_count) == (True, 0)
    hook = world.webhooks[NOBODY]
    assert (hook.uri, hook.mtype, hook.is_active) == (HOOK, "application/transit+json", True)


async def test_a_webhook_is_created_active_and_for_json(newer: StandIn) -> None:
    ids = Ids(newer.world)
    async with client(newer) as rpc_client:
        with hook(Answer(b"", 200)) as (url, _):
            made = await rpc_client.create_webhook(ids.acme, f"{url}/hooks/acme/secret")
        with (
            hook(Answer(b"", 404)) as (url, _),
            pytest.raises(PenpotBusy, match="webhook-validation"),
        ):
            await rpc_client.create_webhook(ids.acme, url)
        with pytest.raises(PenpotUnexpected, match="webhook-validation"):
            await rpc_client.create_webhook(ids.acme, url)  # nobody listens there any more
    assert made is not None
    (kept,) = newer.world.webhooks.values()
    assert (kept.id, kept.is_active, kept.mtype) == (made.id, True, "application/json")


@pytest.mark.parametrize("method", LOOKUPS)
async def test_what_the_user_may_not_see_is_none(penpot: StandIn, method: str) -> None:
    ids = Ids(penpot.world)
    async with client(penpot) as rpc_client:
        assert await LOOKUPS[method](rpc_client, ids) is not None
        del penpot.world.teams[ids.acme].members[penpot.world.me]
        assert await LOOKUPS[method](rpc_client, ids) is None


async def test_what_does_not_exist_is_none(penpot: StandIn) -> None:
    ids = Ids(penpot.world)
    async with client(penpot) as rpc_client:
        assert await rpc_client.comment_thread(ids.landing, NOBODY) is None  # 204
        assert await rpc_client.project(NOBODY) is None  # 404
        calls = len(penpot.calls)
        assert await rpc_client.project("") is None
        assert await rpc_client.comment_thread(ids.landing, "../get-file") is None
    assert len(penpot.calls) == calls
