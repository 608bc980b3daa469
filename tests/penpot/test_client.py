"""What applies to each call: budget, circuit breaker, and views that share one client."""

import asyncio
import json
import re
from typing import Any

import pytest

from relay.penpot.api import PenpotClient
from relay.penpot.client import (
    ALL,
    MIN_BURST_SIZE,
    CallBudget,
    CallPolicy,
    CircuitBreaker,
    PenpotBehindLogin,
    PenpotBusy,
    PenpotError,
    PenpotPaused,
    PenpotRefused,
    PenpotUnexpected,
    RpcResponse,
    SharedTasks,
)
from tests.penpot.standin import TOKEN, Fault, StandIn
from tests.servers.loopback import Answer, in_thread

pytestmark = pytest.mark.anyio


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


# The budget


def test_a_spent_budget_is_refilled_at_its_rate(clock: Clock) -> None:
    budget = CallBudget(60.0, clock)
    for _ in range(MIN_BURST_SIZE):
        assert budget.wait() == 0.0
        budget.spend()
    assert (budget.left(), budget.wait()) == (0.0, 1.0)
    clock.now += 0.75
    assert budget.wait() == pytest.approx(0.25)
    clock.now += 0.25
    assert budget.wait() == 0.0


def test_a_running_job_may_overdraw_the_budget(clock: Clock) -> None:
    budget = CallBudget(60.0, clock)
    for _ in range(MIN_BURST_SIZE + 5):
        budget.spend()
    assert budget.left() == -5.0
    assert budget.wait() == 6.0


def test_a_pause_saves_no_more_than_a_burst(clock: Clock) -> None:
    budget, fast = CallBudget(60.0, clock), CallBudget(6000.0, clock)
    clock.now += 3600.0
    assert budget.left() == MIN_BURST_SIZE
    assert fast.left() == 100.0


def test_a_clock_that_is_set_back_gives_no_calls(clock: Clock) -> None:
    budget = CallBudget(60.0, clock)
    for _ in range(MIN_BURST_SIZE):
        budget.spend()
    clock.now = 0.0
    assert budget.left() == 0.0
    clock.now = 1.0
    assert budget.left() == 1.0


# The circuit breaker


@pytest.mark.parametrize(("error", "paused", "delay"), [
    (PenpotRefused("no"), ALL, PenpotRefused.delay),
    (PenpotBusy("no answer"), ALL, PenpotBusy.delay),
    (PenpotBusy("later", 77.0), ALL, 77.0),
    (PenpotBusy("500", affects_all=False), "get-a", PenpotBusy.delay),
    (PenpotUnexpected("html"), "get-a", PenpotUnexpected.delay),
])  # fmt: skip
def test_a_failure_pauses_its_method_or_all(
    clock: Clock, error: PenpotError, paused: str, delay: float
) -> None:
    opened: list[tuple[str, PenpotError, bool]] = []
    breaker = CircuitBreaker(lambda *failure: opened.append(failure), clock=clock)
    breaker.failed("get-a", error)

    assert breaker.is_open("get-a")
    assert breaker.is_open("get-b") is breaker.is_open() is (paused == ALL)
    clock.now += delay - 1
    assert breaker.is_open("get-a")
    clock.now += 1
    assert not breaker.is_open("get-a")
    breaker.failed("get-a", error)
    assert opened == [(paused, error, True), (paused, error, False)]


def test_only_an_answer_to_a_later_call_ends_the_pause(clock: Clock) -> None:
    recoveries: list[bool] = []
    breaker = CircuitBreaker(lambda *_: None, recoveries.append, clock=clock)
    begun = breaker.now()
    clock.now += 1
    breaker.failed("get-a", PenpotBusy("no answer"))
    breaker.answered(begun)
    assert breaker.is_open()

    clock.now += 1
    breaker.answered(breaker.now())
    assert not breaker.is_open()
    assert recoveries == [False, True]
    assert breaker.last_answer_at == clock.now


def test_a_delay_of_its_own_is_at_least_what_penpot_asks_for(clock: Clock) -> None:
    breaker = CircuitBreaker(lambda *_: None, delay=60.0, clock=clock)
    breaker.failed("get-a", PenpotRefused("no"))
    clock.now += 60
    assert not breaker.is_open()
    breaker.failed("get-a", PenpotBusy("later", 90.0))
    clock.now += 89
    assert breaker.is_open()


# Shared tasks


async def test_a_shared_task_outlives_those_who_wait_for_it() -> None:
    ended: list[str] = []
    failures: list[tuple[Any, str]] = []

    async def work() -> None:
        await asyncio.sleep(0.05)
        ended.append("work")
        raise ZeroDivisionError("bug")

    tasks = SharedTasks(lambda key, error: failures.append((key, str(error))))
    first, second = tasks.start("a", work), tasks.start("a", work)
    assert first is second
    waiter = asyncio.create_task(asyncio.wait({first}))
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.sleep(0.2)

    assert ended == ["work"]
    assert failures == [("a", "bug")]
    assert tasks.start("a", work) is not first
    await tasks.close()
    assert ended == ["work"]


# Views of one client


async def test_views_share_calls_and_answers_but_not_pauses_or_counts(
    penpot: StandIn, clock: Clock
) -> None:
    web = penpot.world.by_name("projects", "web")
    counted: dict[str, list[tuple[str, str]]] = {"a": [], "b": []}
    budget = CallBudget(60, clock)
    client = PenpotClient(penpot.url, TOKEN)
    breaker = CircuitBreaker(lambda *_: None, clock=clock)
    one = client.with_policy(CallPolicy(lambda *call: counted["a"].append(call), breaker))
    other = client.with_policy(CallPolicy(lambda *call: counted["b"].append(call), budget=budget))
    try:
        files = await asyncio.gather(one.project_files(web), other.project_files(web))
        assert files[0] == files[1]
        assert penpot.count("get-project-files") == 1
        assert counted == {"a": [("get-project-files", "found")], "b": []}
        assert budget.left() == MIN_BURST_SIZE

        assert await other.project_files(web, 60.0) == files[0]
        assert await one.project_files(web, 60.0) == files[0]
        assert penpot.count("get-project-files") == 2  # the first answer was not to be cached
        assert counted["b"] == [("get-project-files", "found")]
        assert budget.left() == MIN_BURST_SIZE - 1

        penpot.faults["get-project"] = Fault(status=500)
        with pytest.raises(PenpotBusy):
            await one.project(web)
        with pytest.raises(PenpotPaused):
            await one.project(web)
        assert penpot.count("get-project") == 1
        assert counted["a"][1:] == [("get-project", "busy")]
        penpot.faults.clear()
        assert await other.project(web) is not None
        assert await one.project_files(web) == files[0]
    finally:
        await client.close()


async def test_each_call_is_spent_and_its_outcome_counted(penpot: StandIn, clock: Clock) -> None:
    counted: list[tuple[str, str]] = []
    budget = CallBudget(60.0, clock)
    client = PenpotClient(penpot.url, TOKEN)
    view = client.with_policy(CallPolicy(lambda *call: counted.append(call), budget=budget))
    web = penpot.world.by_name("projects", "web")
    try:
        await view.project(web)
        await view.project("11111111-2222-4333-8444-555555555555")
        penpot.faults["get-project"] = Fault(status=503)
        with pytest.raises(PenpotBusy):
            await view.project(web)
    finally:
        await client.close()
    assert budget.left() == MIN_BURST_SIZE - 3
    assert counted == [("get-project", outcome) for outcome in ("found", "nothing", "busy")]


async def test_a_late_answer_is_cached_though_its_caller_gave_up(penpot: StandIn) -> None:
    web = penpot.world.by_name("projects", "web")
    client = PenpotClient(penpot.url, TOKEN)
    penpot.latency = 0.3
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.project_files(web, 60.0)
        await asyncio.sleep(0.5)
        async with asyncio.timeout(0.1):
            assert await client.project_files(web, 60.0)
        assert penpot.count("get-project-files") == 1
    finally:
        await client.close()


async def test_an_answer_is_as_fresh_as_its_reader_asks(penpot: StandIn) -> None:
    web = penpot.world.by_name("projects", "web")
    client = PenpotClient(penpot.url, TOKEN)
    try:
        files = await client.project_files(web, 60.0)
        await asyncio.sleep(0.1)
        assert await client.project_files(web, 60.0) is files
        assert penpot.count("get-project-files") == 1
        assert await client.project_files(web, 0.1) is not files
        assert penpot.count("get-project-files") == 2
    finally:
        await client.close()


# A login in front of Penpot

PAGE = b"<html>Please log in</html>"
LOGINS = {
    "Basic": Answer(b"", 401, "text/plain", {"WWW-Authenticate": 'Basic realm="staging"'}),
    "Basic with a page": Answer(PAGE, 401, "text/html", {"WWW-Authenticate": "basic"}),
    "unknown scheme": Answer(b"", 401, headers={"WWW-Authenticate": TOKEN}),
    "page": Answer(PAGE, 401, "text/html; charset=utf-8"),
    "forbidding page": Answer(PAGE, 403, "text/html"),
    "Cloudflare": Answer(PAGE, 403, "text/html", {"cf-mitigated": "challenge"}),
    "page with 200": Answer(PAGE, 200, "text/html"),
    "single sign-on": Answer(b"", 302, headers={"Location": "https://auth.example.com/?rd=x"}),
    "path": Answer(b"", 302, headers={"Location": "/oauth2/start?rd=%2Fapi"}),
    "start page": Answer(b"", 303, headers={"Location": "https://portal.example.com/?to=x"}),
}


@pytest.mark.parametrize("answer", LOGINS.values(), ids=LOGINS)
async def test_a_login_in_front_of_penpot_is_not_blamed_on_the_token(answer: Answer) -> None:
    with in_thread(lambda _: answer) as server:
        client = PenpotClient(server.url, TOKEN)
        with pytest.raises(PenpotError) as caught:
            await client.profile()
        await client.close()
    text = str(caught.value)
    assert "a proxy in front of Penpot" in text or "Cloudflare's bot check" in text
    assert "is unknown to Penpot, expired" not in text
    assert "penpot.api_url" in text
    assert TOKEN not in text
    assert isinstance(caught.value, PenpotBehindLogin) == (answer.status in (401, 403))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer.of({"code": "authentication-required"}, 401), "the access token is unknown"),
        (Answer(b"", 401), "the access token is unknown"),
        (Answer(b"", 403), "Penpot, or a proxy in front of it, denies access"),
        (
            Answer(b"", 308, headers={"Location": "https://new.example.com/api/get-profile"}),
            "penpot.api_url (by default penpot.url) should be the target of the redirect",
        ),
        (Answer(b"", 407), "the proxy in HTTP_PROXY or ALL_PROXY needs a login"),
    ],
)
async def test_other_refusals_keep_their_cause(answer: Answer, words: str) -> None:
    with in_thread(lambda _: answer) as server:
        client = PenpotClient(server.url, TOKEN)
        with pytest.raises(PenpotError, match=re.escape(words)):
            await client.profile()
        await client.close()


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        ("connection-error", "connection-error"),
        ("unexpected-status:404", "unexpected-status:404"),
        ("blocked-request:uri target is not allowed", "blocked-request:uri target is not allowed"),
        ("url host is missing", "url host is missing"),
        (TOKEN, ""),  # the server has seen it
        ("\x1b[2J", ""),
        (None, ""),
        (["connection-error"], ""),
    ],
)
def test_the_hint_about_a_webhooks_address_is_words_only(hint: object, shown: str) -> None:
    def hint_of(code: str) -> str:
        body = json.dumps({"type": "validation", "code": code, "hint": hint}).encode()
        return RpcResponse(400, {"content-type": "application/json"}, body).hint

    assert hint_of("webhook-validation") == shown
    assert hint_of("params-validation") == ""
