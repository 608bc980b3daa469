"""The client: faults of Penpot, limits, shared calls, cached answers, pictures, and its methods
against the stand-in."""

import asyncio
import json
import logging
import re
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import pytest

from relay.config.settings import PenpotSettings
from relay.penpot import api
from relay.penpot.api import (
    MAX_ANSWER_BYTES,
    MAX_CONCURRENT_CALLS,
    MAX_PICTURE_BYTES,
    MAX_VALUES,
    PenpotClient,
)
from relay.penpot.client import (
    MAX_RETRY_AFTER_SECONDS,
    PenpotBusy,
    PenpotError,
    PenpotRefused,
    PenpotUnexpected,
)
from relay.penpot.events import Person, Subject
from relay.penpot.records import FileRecord, picture
from tests.penpot.lookups import HOOK, LOOKUPS, METHODS, NOBODY, THREAD, Ids, client
from tests.penpot.paint import board
from tests.penpot.standin import NEWER, OLDER, TOKEN, Fault, StandIn
from tests.penpot.streams import hook
from tests.penpot.world import Asset, File, Webhook, instant
from tests.servers.hostile import ATTACKS, MAX_MEMORY, Hostile, MemoryGrowth
from tests.servers.loopback import Answer, Request, in_thread

pytestmark = pytest.mark.anyio

GARBAGE = (
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b'Content-Length: 9\r\n\r\n{"id": [['
)
JSON = "application/json"


@pytest.fixture(params=[False, True], ids=["2.12-and-later", "older"])
def penpot(request: pytest.FixtureRequest) -> Iterator[StandIn]:
    with StandIn(old=request.param) as penpot:
        yield penpot


@pytest.fixture
def newer() -> Iterator[StandIn]:
    with StandIn() as penpot:
        yield penpot


async def test_a_penpot_before_2_12_is_detected_once(penpot: StandIn) -> None:
    ids = Ids(penpot.world)
    async with client(penpot) as rpc_client:
        for _ in range(3):
            await rpc_client.project(ids.web)
    paths = [call.path for call in penpot.calls]
    assert paths == ([NEWER, OLDER, OLDER, OLDER] if penpot.old else [NEWER] * 3)


async def test_an_unreachable_penpot_is_not_mistaken_for_an_older_one(
    newer: StandIn,
) -> None:
    ids = Ids(newer.world)
    newer.faults["*"] = Fault(answer=Answer(b"404 page not found", 404, "text/plain"), times=2)
    async with client(newer) as rpc_client:
        with pytest.raises(PenpotUnexpected, match="is not the address of Penpot itself"):
            await rpc_client.project(ids.web)
        assert await rpc_client.project(ids.web) is not None
    assert [call.path for call in newer.calls] == [NEWER, OLDER, NEWER]


async def test_the_client_name_is_sent_to_a_penpot_that_requires_it(newer: StandIn) -> None:
    newer.needs_client = True
    async with client(newer) as rpc_client:
        assert (await rpc_client.profile()).name == "Relay"
    (call,) = newer.calls
    assert call.headers["x-client"] == "relay"
    assert "cookie" not in call.headers


FAULTS = [
    (Fault(status=400), PenpotUnexpected),
    (Fault(status=401), PenpotRefused),
    (Fault(status=403), PenpotRefused),
    (Fault(status=409), PenpotUnexpected),
    (Fault(status=413), PenpotUnexpected),
    (Fault(status=429), PenpotBusy),
    (Fault(status=500), PenpotBusy),
    (Fault(status=502), PenpotBusy),
    (Fault(status=503), PenpotBusy),
    (Fault(status=504), PenpotBusy),
    (Fault(cut=True), PenpotBusy),
    (Fault(garbage=b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), PenpotBusy),
    (Fault(garbage=b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), PenpotBusy),
    (Fault(garbage=GARBAGE), PenpotUnexpected),
    (Fault(answer=Answer(b"<html>", content_type="text/html")), PenpotUnexpected),
    (Fault(answer=Answer(b"", content_type=JSON)), PenpotUnexpected),
    (Fault(answer=Answer(b"\xff\xfe", content_type=JSON)), PenpotUnexpected),
    (Fault(answer=Answer(b'"a word"', content_type=JSON)), PenpotUnexpected),
    (Fault(answer=Answer(b'{"id": "no uuid"}', content_type=JSON)), PenpotUnexpected),
    (Fault(answer=Answer(b"[" * 100_000, content_type=JSON)), PenpotUnexpected),
    (Fault(answer=Answer(b"[" + b"0," * MAX_VALUES + b"0]", content_type=JSON)), PenpotUnexpected),
    (Fault(answer=Answer(b"[" + b"9" * 5000 + b"]", content_type=JSON)), PenpotUnexpected),
    (Fault(answer=Answer(b"[]", headers={"Content-Encoding": "gzip"})), PenpotUnexpected),
    (Fault(answer=Answer(b"", 404)), PenpotUnexpected),
    (Fault(answer=Answer(b'{"type":"not-found"}', 404)), PenpotUnexpected),
]


@pytest.mark.parametrize(("fault", "error"), FAULTS)
async def test_each_fault_raises_one_of_the_three_errors(
    newer: StandIn, fault: Fault, error: type[PenpotError]
) -> None:
    newer.faults["*"] = fault
    async with client(newer) as rpc_client:
        for method, look_up in METHODS.items():
            with pytest.raises(PenpotError) as caught:
                await look_up(rpc_client, Ids(newer.world))
            assert type(caught.value) is error, method
        del newer.faults["*"]
        assert (await rpc_client.profile()).name == "Relay"


async def test_every_method_raises_for_a_refused_token(penpot: StandIn) -> None:
    async with client(penpot, token="eyJ.another") as rpc_client:
        for look_up in METHODS.values():
            with pytest.raises(PenpotRefused, match="unknown to Penpot, expired or revoked"):
                await look_up(rpc_client, Ids(penpot.world))


@pytest.mark.parametrize("token", ["", "with space", "two\nlines", "ünïcode", "nul\x00"])
async def test_an_invalid_token_is_refused_without_a_call(newer: StandIn, token: str) -> None:
    async with client(newer, token=token) as rpc_client:
        with pytest.raises(PenpotRefused, match="characters that no token has"):
            await rpc_client.profile()
    assert newer.calls == []


async def test_a_penpot_that_is_down_is_busy_until_it_is_up_again(newer: StandIn) -> None:
    async with client(newer) as rpc_client:
        await rpc_client.profile()
        with newer.down(), pytest.raises(PenpotBusy, match="no answer"):
            await rpc_client.profile()
        assert (await rpc_client.profile()).name == "Relay"


@pytest.mark.parametrize("fault", [Fault(hang=True), Fault(delay=5)])
async def test_a_penpot_that_hangs_is_busy_after_the_timeout(newer: StandIn, fault: Fault) -> None:
    newer.faults["*"] = fault
    begin = time.monotonic()
    async with client(newer, seconds=0.2) as rpc_client:
        text = rf"no answer from {re.escape(newer.url)} within 0\.2 s: check penpot\.api_url"
        with pytest.raises(PenpotBusy, match=text):
            await rpc_client.profile()
    assert time.monotonic() - begin < 2


@asynccontextmanager
async def endless(chunk: bytes, pause: float) -> AsyncIterator[str]:
    """A server whose answer never ends; its address."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(pause)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.sleep(3 * pause)  # it sees that nobody listens


async def test_a_slow_stream_is_busy_after_the_timeout() -> None:
    async with endless(b" ", 0.02) as url, client(url, seconds=0.3) as rpc_client:
        with pytest.raises(PenpotBusy, match="no answer from"):
            await rpc_client.profile()


async def test_an_endless_answer_is_read_up_to_the_limit() -> None:
    async with endless(b" " * 65536, 0) as url, client(url) as rpc_client:
        with pytest.raises(PenpotUnexpected, match=f"more than {MAX_ANSWER_BYTES} bytes"):
            await rpc_client.profile()


async def test_a_long_answer_within_the_limit_is_read(newer: StandIn) -> None:
    ids = Ids(newer.world)
    rows = [{"id": NOBODY, "fullname": "x" * 250, "email": f"{n}@x.example"} for n in range(20_000)]
    newer.faults["*"] = Fault(answer=Answer(json.dumps(rows).encode(), content_type=JSON))
    async with client(newer) as rpc_client:
        members = await rpc_client.team_members(ids.acme)
    assert members is not None
    assert len(members) == 20_000


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_hostile_answer_costs_neither_memory_nor_time(attack: str) -> None:
    started = time.monotonic()
    with Hostile(attack) as server, MemoryGrowth() as growth:
        async with client(server.url, seconds=1.0) as rpc_client:
            for call in (rpc_client.profile(), rpc_client.asset(NOBODY)):
                with pytest.raises(PenpotError):
                    await call
    assert server.requests == 2
    assert growth.bytes < MAX_MEMORY
    assert time.monotonic() - started < 15


async def test_no_cookie_is_kept() -> None:
    cookies: list[str | None] = []

    def answer(request: Request) -> Answer:
        cookies.append(request.headers.get("cookie"))
        return Answer.of({}, **{"Set-Cookie": f"c{len(cookies)}=1"})

    with in_thread(answer) as server:
        async with client(server.url.replace("127.0.0.1", "localhost")) as rpc_client:
            for _ in range(2):
                with pytest.raises(PenpotError):
                    await rpc_client.profile()
    assert cookies == [None, None]


async def test_a_redirect_is_not_followed_with_the_token(newer: StandIn) -> None:
    elsewhere: list[Request] = []

    def answer(request: Request) -> Answer:
        elsewhere.append(request)
        return Answer.of({})

    with in_thread(answer) as other:
        newer.faults["*"] = Fault(answer=Answer(b"", 307, headers={"Location": other.url}))
        async with client(newer) as rpc_client:
            with pytest.raises(PenpotUnexpected, match=r"307: penpot\.api_url .* should be"):
                await rpc_client.profile()
    assert elsewhere == []


@pytest.mark.parametrize(("headers", "least", "most"), [
    ({"x-rate-limit-remaining": "default=0", "x-rate-limit-reset": "default={20}"}, 15, 20),
    ({"x-rate-limit-remaining": "a=0&b=7", "x-rate-limit-reset": "a={20}&b={90}"}, 15, 20),
    ({"x-rate-limit-reset": "default={9999999}"}, MAX_RETRY_AFTER_SECONDS, MAX_RETRY_AFTER_SECONDS),
    ({"x-rate-limit-reset": "default={-9}"}, None, None),
    ({"x-rate-limit-reset": "default=nan&b=inf&c=%00"}, None, None),
    ({"retry-after": "7"}, 7, 7),
    ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None, None),
    ({}, None, None),
])  # fmt: skip
async def test_retry_after_is_set_if_penpot_sends_it(
    newer: StandIn, headers: dict[str, str], least: float | None, most: float | None
) -> None:
    told = {name: _at(value) for name, value in headers.items()}
    newer.faults["*"] = Fault(answer=Answer(b"", 429, headers=told))
    async with client(newer) as rpc_client:
        with pytest.raises(PenpotBusy) as caught:
            await rpc_client.profile()
    after = caught.value.retry_after
    assert after is None if least is None or most is None else least <= (after or 0) <= most


async def test_concurrent_lookups_of_the_same_object_share_one_call(newer: StandIn) -> None:
    ids, newer.latency = Ids(newer.world), 0.1
    async with client(newer) as rpc_client:
        found = await asyncio.gather(
            *(rpc_client.project(ids.web) for _ in range(20)),
            *(rpc_client.project(ids.web.upper()) for _ in range(20)),
            rpc_client.project(newer.world.by_name("projects", "app")),
            rpc_client.project_files(ids.web),
        )
        assert found[0] is not None
        assert all(project == found[0] for project in found[:40])
        assert newer.count("get-project") == 2
        assert newer.count("get-project-files") == 1
        newer.world.projects[ids.web].name = "Renamed"
        again = await rpc_client.project(ids.web)
    assert again is not None
    assert again.name == "Renamed"


async def test_a_cancelled_caller_does_not_cancel_the_lookup_for_others(newer: StandIn) -> None:
    ids, newer.latency = Ids(newer.world), 0.3
    async with client(newer) as rpc_client:

        async def impatient() -> None:
            async with asyncio.timeout(0.05):
                await rpc_client.project(ids.web)

        hasty, patient = await asyncio.gather(
            impatient(), rpc_client.project(ids.web), return_exceptions=True
        )
    assert isinstance(hasty, TimeoutError)
    assert not isinstance(patient, BaseException)
    assert patient is not None
    assert newer.count("get-project") == 1


async def test_a_failed_lookup_fails_for_all_callers_and_is_repeated_later(newer: StandIn) -> None:
    ids = Ids(newer.world)
    newer.faults["get-project"] = Fault(status=500, times=1, delay=0.1)
    async with client(newer) as rpc_client:
        found = await asyncio.gather(
            *(rpc_client.project(ids.web) for _ in range(5)), return_exceptions=True
        )
        assert [type(error) for error in found] == [PenpotBusy] * 5
        assert await rpc_client.project(ids.web) is not None
    assert newer.count("get-project") == 2


async def test_concurrent_calls_are_limited(newer: StandIn) -> None:
    ids, newer.latency = Ids(newer.world), 0.02
    async with client(newer) as rpc_client:
        threads = [f"c0000001-5d0e-81a4-8006-9b00000001{n:02x}" for n in range(40)]
        await asyncio.gather(
            *(rpc_client.comment_thread(ids.landing, thread) for thread in threads)
        )
    assert newer.count("get-comment-thread") == 40
    assert 1 < newer.max_concurrent <= MAX_CONCURRENT_CALLS


async def test_the_timeout_excludes_the_wait_for_a_slot(newer: StandIn) -> None:
    ids, newer.latency = Ids(newer.world), 0.2
    async with client(newer, seconds=1.0) as rpc_client:
        threads = [
            f"c0000001-5d0e-81a4-8006-9b00000001{n:02x}" for n in range(8 * MAX_CONCURRENT_CALLS)
        ]
        found = await asyncio.gather(
            *(rpc_client.comment_thread(ids.landing, thread) for thread in threads)
        )
    assert len(found) == 8 * MAX_CONCURRENT_CALLS


async def test_closing_cancels_pending_calls(newer: StandIn) -> None:
    newer.faults["*"] = Fault(hang=True)
    rpc_client = PenpotClient(newer.url, TOKEN)
    waiting = asyncio.create_task(rpc_client.profile())
    await asyncio.sleep(0.1)
    await rpc_client.close()
    with pytest.raises(PenpotBusy, match="Relay is stopping"):
        await waiting


async def test_an_answer_with_another_id_is_refused(newer: StandIn) -> None:
    ids = Ids(newer.world)
    other = {"id": NOBODY, "name": "Another project"}
    newer.faults["*"] = Fault(answer=Answer(json.dumps(other).encode(), content_type=JSON))
    async with client(newer) as rpc_client:
        with pytest.raises(PenpotUnexpected, match="it has another id"):
            await rpc_client.project(ids.web)


async def test_the_token_is_in_no_error_or_log(
    newer: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for chatty in ("httpx", "httpcore"):  # as logs.set_up has it
        caplog.set_level(logging.WARNING, chatty)
    told = json.dumps({"code": TOKEN, "hint": TOKEN, "type": TOKEN}).encode()
    echoes = [Answer(told, status, JSON) for status in (200, 400, 401, 403, 404, 500)]
    echoes += [Answer(b"", 302, headers={"Location": f"/{TOKEN}"})]
    texts = [repr(vars(api))]
    async with client(newer) as rpc_client:
        texts.append(repr(rpc_client))
        for fault in [fault for fault, _ in FAULTS] + [Fault(answer=echo) for echo in echoes]:
            newer.faults["*"] = fault
            with pytest.raises(PenpotError) as caught:
                await rpc_client.profile()
            error = caught.value
            texts += [str(error), repr(error), "".join(traceback.format_exception(error))]
    async with client(newer, token=f"{TOKEN}\nü") as rpc_client:
        with pytest.raises(PenpotRefused) as refused:
            await rpc_client.profile()
        texts.append("".join(traceback.format_exception(refused.value)))
    shown = "".join(texts) + caplog.text
    assert "get-profile" in shown
    assert TOKEN not in shown
    assert TOKEN[:20] not in shown


def _at(value: str) -> str:
    """``{20}`` as the second since 1970 that is 20 seconds away."""
    parts = [part.partition("}") for part in value.split("{")]
    first, *rest = parts
    return first[0] + "".join(f"{int(time.time()) + int(n)}{end}" for n, _, end in rest)


PICTURE, FRAME = "a0000000-0000-4000-8000-000000000001", "a0000000-0000-4000-8000-000000000002"
NO_PICTURE = "a0000000-0000-4000-8000-00000000000f"


async def asset(newer: StandIn, id_: str = PICTURE, token: str = TOKEN) -> object:
    newer.world.assets[PICTURE] = Asset(board())
    rpc_client = PenpotClient(newer.url, token, timeout=0.5)
    try:
        return await rpc_client.asset(id_)
    finally:
        await rpc_client.close()


async def test_a_picture_has_its_type_and_size(newer: StandIn) -> None:
    assert await asset(newer) == picture(board())
    assert await asset(newer, NO_PICTURE) is None
    assert await asset(newer, "../../etc/passwd") is None
    with pytest.raises(PenpotRefused, match="unknown to Penpot"):
        await asset(newer, token="another")


async def test_boards_have_their_own_thumbnails(newer: StandIn) -> None:
    landing, page = newer.world.by_name("files", "landing"), newer.world.by_name("pages", "p1")
    newer.world.files[landing].boards = {
        f"{page}/{FRAME}": PICTURE,
        f"{page}/": PICTURE,
        "odd": PICTURE,
        f"{page}/{NO_PICTURE}": "no id",
    }
    rpc_client = PenpotClient(newer.url, TOKEN)
    found = await rpc_client.object_thumbnails(landing)
    newer.faults["get-file-object-thumbnails"] = Fault(
        answer=Answer(b"[]", 200, "application/json")
    )
    with pytest.raises(PenpotUnexpected, match="an object was expected"):
        await rpc_client.object_thumbnails(landing)
    await rpc_client.close()

    assert found is not None
    assert found[page, FRAME] == PICTURE
    assert all(media == PICTURE for media in found.values())


PICTURE_FAULTS: list[tuple[Fault, type[PenpotError], str]] = [
    (Fault(status=429), PenpotBusy, "429"),
    (Fault(status=500), PenpotBusy, "500"),
    (Fault(status=403), PenpotRefused, "403"),
    (Fault(hang=True), PenpotBusy, " within 0.5 s: check penpot.api_url"),
    (Fault(cut=True), PenpotBusy, "no answer"),
    (Fault(garbage=b"HTTP/1.1 what\r\n\r\n"), PenpotBusy, "no answer"),
    (
        Fault(answer=Answer(b"", 302, headers={"location": "/"})),
        PenpotUnexpected,
        "should be the target of the redirect",
    ),
    (
        Fault(answer=Answer(b"<html>Log in</html>", 200, "image/png")),
        PenpotUnexpected,
        "no picture",
    ),
    (Fault(answer=Answer(b"<svg/>", 200, "image/svg+xml")), PenpotUnexpected, "no picture"),
    (Fault(answer=Answer(b"", 200, "image/png")), PenpotUnexpected, "no picture"),
    (
        Fault(answer=Answer(board() + bytes(MAX_PICTURE_BYTES), 200)),
        PenpotUnexpected,
        f"more than {MAX_PICTURE_BYTES} bytes",
    ),
]


@pytest.mark.parametrize(("fault", "error", "text"), PICTURE_FAULTS)
async def test_an_answer_that_is_not_a_picture_is_an_error(
    newer: StandIn, fault: Fault, error: type[PenpotError], text: str
) -> None:
    newer.faults["asset"] = fault

    with pytest.raises(error, match=text) as caught:
        await asset(newer)

    assert TOKEN not in str(caught.value)


# The methods, against the stand-in


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
        owner = await rpc_client.team_of_file(NOBODY, ids.acme)

    assert owner == ""
    assert me == Person(world.me, "Relay", email="relay@example.com")
    assert str(me) == "Relay"
    assert thread is not None
    assert (thread.thread.id, thread.thread.number) == (THREAD, 15)
    assert thread.thread.resolved is False
    assert (thread.file.id, thread.file.name) == (ids.landing, "Landing page")
    assert (thread.project.id, thread.team.id) == (ids.web, ids.acme)
    assert thread.page == Subject(world.by_name("pages", "p1"), "Page 1")
    assert thread.thread.first == world.threads[THREAD].comments[0].content
    assert thread.comment.author == Person(ids.ada, "Ada Lovelace", email="ada@example.com")
    assert members is not None
    assert Person(ids.ada, "Ada Lovelace", email="ada@example.com") in members
    assert len(members) == 7
    assert project is not None
    assert (project.name, project.team_id) == ("Website Redesign", ids.acme)
    assert projects is not None
    assert [(found.id, found.is_deleted) for found in projects if found.is_deleted] == [
        (ids.web, True)
    ]
    assert "Drafts" in {found.name for found in projects}
    assert files is not None
    assert [found.thumbnail_id for found in files if found.id == ids.landing] == [NOBODY]
    assert "line one line two with tab - item" in {found.name for found in files}
    assert libraries is not None
    assert [(found.id, found.name) for found in libraries] == [(kit, "Acme UI Kit 📚")]
    assert isinstance(libraries[0], FileRecord)
    assert templates is not None
    assert templates[0] == Subject("welcome", "Welcome to Penpot")
    assert webhooks is not None
    (webhook,) = webhooks
    assert webhook.uri == HOOK
    assert (webhook.is_active, webhook.error_code) == (True, "timeout")
    assert "TheHooksOwnSecret" not in repr(webhook)
    assert teams is not None
    assert [team.is_default for team in teams if team.id == ids.acme] == [False]
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
    assert switched.is_active
    hook = world.webhooks[NOBODY]
    assert hook.error_count == 0
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
        with pytest.raises(PenpotUnexpected, match=r"webhook-validation \(connection-error\)$"):
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


async def test_the_team_of_a_file_or_project_is_asked_for_once(newer: StandIn) -> None:
    ids, rtl = Ids(newer.world), newer.world.by_name("files", "rtl")
    rnd = newer.world.by_name("teams", "rnd")
    async with client(newer) as rpc_client:
        for _ in range(3):
            assert await rpc_client.team_of_file(ids.landing, ids.acme) == ids.acme
            assert await rpc_client.team_of_file(rtl, ids.acme) == rnd
            assert await rpc_client.team_of_file(NOBODY, ids.acme) == ""
            assert await rpc_client.team_of_project(ids.web, ids.acme) == ids.acme
            assert await rpc_client.team_of_project(NOBODY, ids.acme) == ""
    asked = [(call.method, *call.params.values()) for call in newer.calls]
    assert asked == [
        ("get-team", ids.landing),
        ("get-team", rtl),
        ("get-team", NOBODY),
        ("get-project", ids.web),
        ("get-project", NOBODY),
    ]


async def test_what_penpot_lists_for_a_team_needs_no_call(newer: StandIn) -> None:
    ids = Ids(newer.world)
    async with client(newer) as rpc_client:
        await rpc_client.projects(ids.acme)
        await rpc_client.project_files(ids.web)
        calls = len(newer.calls)
        assert await rpc_client.team_of_project(ids.web, ids.acme) == ids.acme
        assert await rpc_client.team_of_file(ids.landing, ids.acme) == ids.acme
    assert len(newer.calls) == calls


async def test_a_file_that_was_moved_to_the_expected_team_is_found(
    newer: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, rtl = Ids(newer.world), newer.world.by_name("files", "rtl")
    async with client(newer) as rpc_client:
        assert await rpc_client.team_of_file(rtl, ids.acme) != ids.acme
        newer.world.files[rtl].project = ids.web
        assert await rpc_client.team_of_file(rtl, ids.acme) != ids.acme
        monkeypatch.setattr(api, "OTHER_OWNER_TTL", 0.0)
        assert await rpc_client.team_of_file(rtl, ids.acme) == ids.acme


async def test_a_file_with_the_id_of_another_teams_project_says_nothing_about_it(
    newer: StandIn,
) -> None:
    """An API client may choose the id of a file that it creates."""
    ids, other = Ids(newer.world), newer.world.by_name("projects", "rnd1")
    newer.world.files[other] = File(other, ids.web, "A file")
    async with client(newer) as rpc_client:
        await rpc_client.project_files(ids.web)
        assert await rpc_client.team_of_file(other, ids.acme) == ids.acme
        assert await rpc_client.team_of_project(other, ids.acme) != ids.acme


async def test_what_does_not_exist_is_none(penpot: StandIn) -> None:
    ids = Ids(penpot.world)
    async with client(penpot) as rpc_client:
        assert await rpc_client.comment_thread(ids.landing, NOBODY) is None  # 204
        assert await rpc_client.project(NOBODY) is None  # 404
        calls = len(penpot.calls)
        assert await rpc_client.project("") is None
        assert await rpc_client.comment_thread(ids.landing, "../get-file") is None
    assert len(penpot.calls) == calls


@pytest.mark.parametrize("path", ["", "/", "//", "/design", "/design/", "//design//", "/a//b/"])
async def test_slashes_and_a_sub_path_of_the_address_work(path: str) -> None:
    calls: list[str] = []

    def answer(request: Request) -> Answer:
        calls.append(request.path)
        asset = request.path.endswith(PICTURE)
        return Answer(board()) if asset else Answer(b"[]", 200, JSON)

    with in_thread(answer) as server:
        settings = PenpotSettings(url="https://design.example.com", api_url=server.url + path)
        called = PenpotClient(settings.call_url, TOKEN)
        assert await called.teams() == ()
        assert await called.asset(PICTURE) is not None
        await called.close()
    base = "/a/b" if "a//b" in path else path.strip("/") and "/design"
    assert calls == [f"{base}/api/main/methods/get-teams", f"{base}/assets/by-id/{PICTURE}"]
    settings = PenpotSettings(url=f"https://design.example.com{path}")
    assert settings.call_url == f"https://design.example.com{base}"
