"""Delivery errors that have the same cause in every channel."""

import gc
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import ModuleType

import pytest
from multidict import CIMultiDict

from relay.channels import CHANNEL_TYPES
from relay.channels.base import Misconfigured, RetryLater
from relay.channels.discord import errors as discord_errors
from relay.channels.email import errors as email_errors
from relay.channels.email.settings import SmtpSettings
from relay.channels.errors import ErrorTable, error_from_exception, error_from_status
from relay.channels.matrix import errors as matrix_errors
from relay.channels.mattermost import errors as mattermost_errors
from relay.channels.rocketchat import errors as rocketchat_errors
from relay.channels.slack import errors as slack_errors
from relay.channels.teams import errors as teams_errors
from relay.config.settings import AnyChannel
from tests.channels import builders
from tests.channels.builders import MESSAGE, delivery_error, opened
from tests.servers.hostile import ATTACKS, MAX_MEMORY, Hostile, MemoryGrowth
from tests.servers.loopback import Answer, Request, in_thread, raw
from tests.servers.proxy import ForwardProxy
from tests.servers.slack import WEBHOOK_PATH

pytestmark = pytest.mark.anyio


OPENERS: dict[str, Callable[[str], AnyChannel]] = {
    "slack": lambda url: builders.slack_bot(f"{url}/api"),
    "hook": lambda url: builders.slack_hook(url + WEBHOOK_PATH),
    "matrix": builders.matrix,
    "discord": builders.discord,
    "mattermost": builders.mattermost,
    "mattermost-hook": builders.mattermost_hook,
    "rocketchat": builders.rocketchat,
    "teams": builders.teams,
    "webhook": lambda url: builders.webhook(f"{url}/hooks/penpot-9c1d"),
    "email": lambda url: builders.email(int(url.rpartition(":")[2]), login=True),
}
KINDS = sorted(OPENERS)
HTTP = sorted(OPENERS.keys() - {"email"})
ADDRESS_KEYS = {
    "slack": "api_url",
    "hook": "webhook_url",
    "matrix": "homeserver",
    "discord": "webhook_url",
    "mattermost": "url",
    "mattermost-hook": "webhook_url",
    "rocketchat": "webhook_url",
    "teams": "webhook_url",
    "webhook": "url",
    "email": "smtp.host and smtp.port",
}
WEBHOOKS = ("hook", "webhook")
"""Whose 200 is a delivery, whatever follows."""
STATUS_REASONS = {"webhook": ("http-500",)}  # it reads no body


NEXT_STEP_PATTERN = re.compile(
    r"\b(?:add|allow|ask|check|create|enable|install|invite|log in|set|update|upgrade|use)\b"
)
CONFIG_KEY_PATTERN = re.compile(r"\b[\w.]+ in the config")
CONFIG_STEP_PATTERN = re.compile(r"\b(?:set|check) ([\w.]+)(?: (?:or|and) ([\w.]+\b(?! \w)))?")


@pytest.mark.parametrize(
    "table",
    [
        slack_errors.ERRORS,
        matrix_errors.ERRORS,
        discord_errors.ERRORS,
        mattermost_errors.ERRORS,
        rocketchat_errors.ERRORS,
        teams_errors.ERRORS,
    ],
)
def test_what_a_person_can_fix_names_the_next_step(table: ErrorTable) -> None:
    sentences = {sentence for kind, sentence in table.values() if kind is Misconfigured}
    sentences |= {
        meaning.sentence
        for meaning in email_errors._MEANINGS
        if meaning.kind is Misconfigured and meaning.give_up_after is None  # else nobody knows it
    }
    assert len(sentences) >= 15
    assert [each for each in sentences if not NEXT_STEP_PATTERN.search(each)] == []
    keys = {key for kind in CHANNEL_TYPES.values() for key in kind.settings.model_fields}
    keys |= {f"smtp.{key}" for key in SmtpSettings.model_fields}
    steps = {
        key for each in sentences for keys in CONFIG_STEP_PATTERN.findall(each) for key in keys
    }
    assert len(steps) >= 8
    assert steps - keys - {""} == set()
    assert not any("the config" in CONFIG_KEY_PATTERN.sub("", each) for each in sentences)


def short_waits(monkeypatch: pytest.MonkeyPatch, seconds: float = 0.3) -> None:
    import relay.channels.email.channel
    import relay.channels.http_api
    import relay.channels.matrix.client
    import relay.channels.slack.client
    import relay.channels.webhook.channel

    monkeypatch.setattr(relay.channels.email.channel, "_ANSWER_TIMEOUT", seconds)
    monkeypatch.setattr(relay.channels.http_api, "REQUEST_TIMEOUT", seconds)
    monkeypatch.setattr(relay.channels.matrix.client, "_TIMEOUT", seconds)
    monkeypatch.setattr(relay.channels.slack.client, "_TIMEOUT", seconds)
    monkeypatch.setattr(relay.channels.webhook.channel, "_TIMEOUT", seconds)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_unreachable_server_is_retried(kind: str) -> None:
    with socket.socket() as closed:  # bound but not listening
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        error = await delivery_error(OPENERS[kind](f"http://127.0.0.1:{port}"))
    assert (type(error), error.reason) == (RetryLater, "connect")
    assert f"127.0.0.1:{port} refuses connections: check {ADDRESS_KEYS[kind]}" in error.detail


@pytest.mark.parametrize("kind", sorted({*HTTP} - {*WEBHOOKS}))
async def test_a_web_page_instead_of_an_answer_is_named(kind: str) -> None:
    page = Answer(b"<!doctype html><title>A web client</title>", 200, "text/html")
    with in_thread(lambda request: page) as server:
        error = await delivery_error(OPENERS[kind](server.url))
    assert (type(error), error.reason) == (RetryLater, "answer")
    text = f"sent an unexpected answer: check {ADDRESS_KEYS[kind]} in the config"
    assert text in error.detail


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_does_not_answer_is_retried(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_waits(monkeypatch)
    with raw(b"", silent=True) as server:
        error = await delivery_error(OPENERS[kind](server.url))
    assert (type(error), error.reason) == (RetryLater, "timeout")
    place, key = server.url.removeprefix("http://"), ADDRESS_KEYS[kind]
    assert f"{place} did not answer in time: check {key}" in error.detail


@pytest.mark.parametrize("kind", ["matrix", "mattermost"])
async def test_a_plain_server_at_an_https_address_is_guessed(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the end of a line, which the beginning of TLS need not contain."""
    short_waits(monkeypatch)
    with raw(b"", silent=True) as server:
        port = server.url.rpartition(":")[2]
        error = await delivery_error(OPENERS[kind](f"https://127.0.0.1:{port}"))
    gc.collect()  # which would warn of a connection that is left open
    assert (type(error), error.reason) == (RetryLater, "timeout")
    assert error.detail.endswith(
        f". Does it speak http at port {port}? Then write http:// instead of https://"
    )


def test_a_server_at_the_usual_port_speaks_tls() -> None:
    for url in ("https://a.example", "https://a.example:443/x", "http://a.example:8008"):
        assert "http" not in error_from_exception(TimeoutError(), "a.example", url=url).detail


def status(kind: str) -> bytes:
    """That of an answer whose body counts."""
    return b"HTTP/1.1 500 X\r\n" if kind in WEBHOOKS else b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("kind", KINDS)
async def test_an_endless_answer_is_cut_off(kind: str) -> None:
    head = status(kind) + b"Content-Type: application/json\r\n\r\n"
    with raw(head if kind != "email" else b"220 ", endless=True, greets=kind == "email") as server:
        error = await delivery_error(OPENERS[kind](server.url))
    assert isinstance(error, RetryLater)
    assert error.reason in ("answer", "connect", *STATUS_REASONS.get(kind, ()))


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("kind", HTTP)
async def test_a_hostile_answer_costs_neither_memory_nor_time(
    kind: str, attack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_waits(monkeypatch, 1.0)
    started = time.monotonic()
    refused = suppress(RetryLater) if kind in WEBHOOKS else pytest.raises(RetryLater)
    with Hostile(attack) as server, MemoryGrowth() as growth:
        async with opened(OPENERS[kind](server.url)) as channel:
            with refused:
                await channel.send(MESSAGE, "delivery-1")
    assert server.requests == 1
    assert growth.bytes < MAX_MEMORY
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("kind", HTTP)
async def test_no_cookie_is_kept(kind: str) -> None:
    """A server could otherwise send others with each answer, without end."""
    cookies: list[str | None] = []

    def answer(request: Request) -> Answer:
        cookies.append(request.headers.get("cookie"))
        return Answer.of({"event_id": "$1"}, **{"Set-Cookie": f"c{len(cookies)}=1"})

    with in_thread(answer) as server:
        async with opened(OPENERS[kind](server.url.replace("127.0.0.1", "localhost"))) as channel:
            for number in range(2):
                with suppress(RetryLater):
                    await channel.send(builders.MESSAGE, f"delivery-{number}")
    assert len(cookies) >= 2
    assert set(cookies) == {None}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "answer",
    [b"\x00\x01garbage\r\n\r\n", b"STATUSContent-Length: 500\r\n\r\n{", b"220 "],
    ids=["garbage", "cut off", "half a line"],
)
async def test_an_answer_in_another_protocol_is_retried(
    kind: str, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_waits(monkeypatch)
    answer = answer.replace(b"STATUS", status(kind))
    with raw(answer, greets=kind == "email") as server:
        error = await delivery_error(OPENERS[kind](server.url))
    assert isinstance(error, RetryLater)
    assert error.reason in ("answer", "connect", *STATUS_REASONS.get(kind, ()))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_without_tls_at_a_port_that_needs_it_is_retried(kind: str) -> None:
    openers = OPENERS | {"email": lambda url: builders.email(int(url.rpartition(":")[2]), "tls")}
    with raw(b"HTTP/1.1 400 plain\r\n\r\n") as server:
        error = await delivery_error(openers[kind](server.url.replace("http:", "https:")))
    assert (type(error), error.reason) == (RetryLater, "tls")
    assert "does not speak TLS at this port: check the port, or " in error.detail
    assert ("smtp.tls" if kind == "email" else "http://") in error.detail


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("0", 0.0),
        ("-5", 0.0),
        ("1e9", 86400.0),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
    ],
)
def test_invalid_retry_delays_are_bounded_or_ignored(header: str, wait: float | None) -> None:
    error = matrix_errors.error_from_answer({}, 429, {"Retry-After": header}, secret="x")
    assert error.retry_after == wait


def test_a_retry_delay_may_be_a_date() -> None:
    header = {"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}
    assert matrix_errors.error_from_answer({}, 503, header, secret="x").retry_after == 86400.0
    past = {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}
    assert matrix_errors.error_from_answer({}, 503, past, secret="x").retry_after == 0.0


@pytest.mark.parametrize("errors", [matrix_errors, slack_errors])
@pytest.mark.parametrize("kind", [dict, CIMultiDict])
def test_a_date_counts_from_the_servers_time(
    errors: ModuleType, kind: Callable[[Mapping[str, str]], Mapping[str, str]]
) -> None:
    server = "Fri, 01 Jan 2100 00:00:00 GMT"
    headers = kind({"Date": server, "Retry-After": "Fri, 01 Jan 2100 00:00:03 GMT"})
    assert errors.error_from_answer({}, 503, headers, secret="x").retry_after == 3.0
    headers = kind({"Date": "soon", "Retry-After": server})
    assert errors.error_from_answer({}, 503, headers, secret="x").retry_after == 86400.0


@pytest.mark.parametrize("errors", [matrix_errors, slack_errors])
@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "2, 30, 4"},  # as httpx joins several
        {"Retry-After": "2, Thu, 01 Jan 1970 00:00:00 GMT, 30, soon"},
        CIMultiDict([("Retry-After", "2"), ("retry-after", "30"), ("Retry-After", "4")]),
    ],
)
def test_of_several_retry_delays_the_longest_counts(
    errors: ModuleType, headers: Mapping[str, str]
) -> None:
    assert errors.error_from_answer({}, 429, headers, secret="x").retry_after == 30.0


@pytest.mark.parametrize(("milliseconds", "wait"), [(1, 5.0), (90_000, 90.0), (None, 5.0)])
def test_of_header_and_body_the_longer_retry_delay_counts(
    milliseconds: int | None, wait: float
) -> None:
    body = {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": milliseconds}
    error = matrix_errors.error_from_answer(body, 429, {"Retry-After": "5"}, secret="x")
    assert error.retry_after == wait


@pytest.mark.parametrize(
    "cause",
    [TimeoutError(), ConnectionRefusedError(), ssl.SSLError(1, "x"), socket.gaierror(), OSError()],
)
def test_a_connection_that_fails_is_no_answer(cause: Exception) -> None:
    assert not error_from_exception(cause, "the server").answered
    assert error_from_status(503, "the server").answered


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("kind", HTTP)
async def test_a_proxy_that_refuses_is_named(
    kind: str, scheme: str, environment_without_proxies: pytest.MonkeyPatch
) -> None:
    variable = f"{scheme}_proxy"
    for status, words in ((407, "the proxy needs a login: put it"), (502, "502"), (403, "403")):
        with ForwardProxy(status=status) as proxy:
            environment_without_proxies.setenv(variable, f"http://{proxy.address}")
            error = await delivery_error(OPENERS[kind](f"{scheme}://relay.invalid"))
            assert len(proxy.requests) == 1
            assert words in error.detail
            assert isinstance(error, Misconfigured if status == 407 else RetryLater)
            if scheme == "https" and status != 407:
                assert f"through the proxy {proxy.address} ({variable})" in error.detail
    error = await delivery_error(OPENERS[kind](f"{scheme}://relay.invalid"))  # it is gone
    assert f"through the proxy {proxy.address} ({variable}) refuses conn" in error.detail


async def test_both_libraries_read_the_same_exclusions(
    environment_without_proxies: pytest.MonkeyPatch,
) -> None:
    """The second one is that of Docker Desktop, on which httpx fails."""
    with ForwardProxy(status=403) as proxy, in_thread(lambda _: Answer(status=500)) as server:
        environment_without_proxies.setenv("HTTP_PROXY", proxy.address)
        for no_proxy in ("127.0.0.0/8", "fd00::/8,[::1],127.0.0.1", f"127.0.0.1:{server.port}"):
            environment_without_proxies.setenv("NO_PROXY", no_proxy)
            for kind in HTTP:
                assert "answered 500" in (await delivery_error(OPENERS[kind](server.url))).detail
        assert proxy.requests == []
