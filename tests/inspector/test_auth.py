"""Access control: at the running service, and of request heads."""

import asyncio
import http.client
from pathlib import Path

import httpx
import pytest

from relay.app import build
from relay.config.settings import Config
from relay.inspector.auth import (
    FREE_ATTEMPTS_COUNT,
    MAX_CLIENTS,
    MAX_DELAY,
    SHARED_BURST_LIMIT,
    ClientRequest,
    LoginThrottle,
)
from tests.inspector.conftest import STDOUT
from tests.service import SECRET, Service, running

PASSWORD = "correct horse battery"


def _response(answer: httpx.Response) -> tuple[int, bytes, set[tuple[str, str]]]:
    headers = {(name, value) for name, value in answer.headers.items() if name != "date"}
    return answer.status_code, answer.content, headers


def test_a_local_browser_needs_no_login(service: Service) -> None:
    answer = httpx.get(f"{service.admin}/inspector")
    assert answer.status_code == 200
    assert "<h1>Events</h1>" in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert "'unsafe" not in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]


FORWARDED = [
    {"x-forwarded-for": "203.0.113.7"},
    {"x-forwarded-proto": "https"},
    {"x-forwarded-host": "relay.example.com"},
    {"forwarded": "for=203.0.113.7"},
    {"via": "1.1 proxy"},
    {"x-real-ip": "203.0.113.7"},
    {"x-original-host": "relay.example.com"},
    {"cf-connecting-ip": "203.0.113.7"},
    {"host": "relay.example.com"},
    {"host": "127.0.0.1.example.com"},
    {"connection": "close"},
    {"origin": "https://relay.example.com"},
    {"origin": "null"},
    {"referer": "https://relay.example.com/inspector"},
]


def test_a_forwarded_request_gets_the_response_of_an_unknown_path(service: Service) -> None:
    unknown = _response(httpx.get(f"{service.admin}/nothing"))
    assert unknown[0] == 404
    for headers in FORWARDED:
        for path in ("/inspector", "/inspector/login", "/inspector/static/x/relay.css"):
            answer = httpx.get(f"{service.admin}{path}", headers=headers)
            assert _response(answer)[:2] == unknown[:2], headers
            received = _response(answer)[2]
            assert received - {("connection", "close")} == unknown[2], headers


def test_an_http_1_0_request_is_not_local(service: Service) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port)
    connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"  # type: ignore[attr-defined]
    connection.request("GET", "/inspector")
    assert connection.getresponse().status == 404
    connection.close()


def _request(peer: str, **headers: list[str]) -> ClientRequest:
    pairs = [(name.encode(), value.encode()) for name in headers for value in headers[name]]
    scope = {"type": "http", "http_version": "1.1", "client": (peer, 1), "headers": pairs}
    return ClientRequest(scope)


@pytest.mark.parametrize("peer", ["203.0.113.7", "10.0.0.1", "172.17.0.1", "::ffff:10.0.0.1", ""])
def test_a_remote_peer_is_not_local(peer: str) -> None:
    assert not _request(peer, host=["localhost"]).is_local


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080"])
def test_a_loopback_peer_with_a_local_host_is_local(peer: str, host: str) -> None:
    assert _request(peer, host=[host]).is_local


def test_a_repeated_host_header_is_not_local() -> None:
    assert not _request("127.0.0.1", host=["localhost", "evil.example"]).is_local


def test_malformed_cookies_of_other_services_hide_no_cookie() -> None:
    cookies = _request("127.0.0.1", cookie=['theirs={"theme": [1]}; a b; mine=acme~1~x']).cookies
    assert cookies["mine"] == "acme~1~x"
    assert "other" not in cookies


def test_a_form_without_a_valid_token_is_refused(service: Service) -> None:
    for headers in ({}, {"x-relay-token": "guessed"}, {"sec-fetch-site": "cross-site"}):
        answer = httpx.post(f"{service.admin}/inspector/logout", headers=headers)
        assert answer.status_code == 403


def test_with_a_password_anonymous_clients_are_redirected_to_the_login(tmp_path: Path) -> None:
    with running(tmp_path, STDOUT, extra=f'[inspector]\npassword = "{PASSWORD}"') as service:
        for headers in ({}, {"x-forwarded-for": "203.0.113.7", "host": "relay.example.com"}):
            answer = httpx.get(f"{service.admin}/inspector/events/1?x=1", headers=headers)
            assert answer.status_code == 303
            location = "/inspector/login?next=%2Finspector%2Fevents%2F1%3Fx%3D1"
            assert answer.headers["location"] == location
        htmx = httpx.get(f"{service.admin}/inspector", headers={"hx-request": "true"})
        assert (htmx.status_code, htmx.headers["hx-redirect"]) == (401, "/inspector/login")


def test_the_single_sign_on_header_is_trusted_only_from_its_proxy(tmp_path: Path) -> None:
    forwarded = {"remote-user": "ada", "x-forwarded-for": "203.0.113.7"}
    sso = '[inspector]\ntrusted_header = "Remote-User"\n'
    with running(tmp_path, STDOUT, extra=sso) as service:
        assert "ada" in httpx.get(f"{service.admin}/inspector", headers=forwarded).text
        for headers in (
            {"remote-user": "", "x-forwarded-for": "203.0.113.7"},
            {"x-forwarded-for": "203.0.113.7"},
        ):
            assert httpx.get(f"{service.admin}/inspector", headers=headers).status_code == 404
        twice = [("remote-user", "ada"), ("remote-user", "eve"), ("via", "1.1 proxy")]
        assert httpx.get(f"{service.admin}/inspector", headers=twice).status_code == 404
    with running(tmp_path, STDOUT, extra=f'{sso}trusted_proxies = ["10.0.0.5"]') as service:
        assert httpx.get(f"{service.admin}/inspector", headers=forwarded).status_code == 404


def test_no_page_contains_a_secret(service: Service) -> None:
    assert SECRET not in httpx.get(f"{service.admin}/inspector").text


async def _without_store(path: str) -> httpx.Response:
    teams = {"acme": {"secret": SECRET}}
    store = {"url": "postgresql://nobody@127.0.0.1:1/none"}
    app = build(Config.model_validate({"store": store, "teams": teams}))  # and never opened
    transport = httpx.ASGITransport(app.admin)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.get(path)


@pytest.mark.parametrize("path", ["/inspector", "/inspector/events/1"])
def test_an_unavailable_store_is_reported(path: str) -> None:
    answer = asyncio.run(_without_store(path))
    assert (answer.status_code, answer.text) == (
        503,
        "Cannot read the store: PostgreSQL: the store is closed",
    )


# Wrong passwords


def test_first_attempts_are_free_then_each_waits_twice_as_long() -> None:
    throttle = LoginThrottle()
    assert [throttle.begin("10.0.0.1", 100.0) for _ in range(FREE_ATTEMPTS_COUNT)] == [
        0.0
    ] * FREE_ATTEMPTS_COUNT
    now, waits = 100.0, []
    for _ in range(5):
        wait = throttle.begin("10.0.0.1", now)
        waits.append(wait)
        now += wait
        assert throttle.begin("10.0.0.1", now) == 0.0
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_nobody_waits_longer_than_five_minutes() -> None:
    throttle, now = LoginThrottle(), 0.0
    for _ in range(30):
        now += throttle.begin("10.0.0.1", now)
        throttle.begin("10.0.0.1", now)
    assert throttle.begin("10.0.0.1", now) <= MAX_DELAY


def test_a_right_password_resets_the_count() -> None:
    throttle = LoginThrottle()
    for _ in range(FREE_ATTEMPTS_COUNT):
        throttle.begin("10.0.0.1", 0.0)
    throttle.succeeded("10.0.0.1")
    assert throttle.begin("10.0.0.1", 0.0) == 0.0


def test_a_right_password_of_one_account_does_not_reset_another() -> None:
    throttle = LoginThrottle()
    for _ in range(FREE_ATTEMPTS_COUNT):
        throttle.begin("10.0.0.1", 0.0)
        assert throttle.begin("10.0.0.1", 0.0, "acme") == 0.0
        throttle.succeeded("10.0.0.1", "acme")
    assert throttle.begin("10.0.0.1", 0.0) > 0


def test_all_clients_share_a_limit() -> None:
    throttle = LoginThrottle()
    free = [throttle.begin(f"10.0.{number}.1", 0.0) == 0.0 for number in range(100)]
    assert sum(free) == SHARED_BURST_LIMIT
    assert throttle.begin("10.9.9.9", 3600.0) == 0.0


def test_a_network_of_ipv6_is_one_client() -> None:
    throttle = LoginThrottle()
    for number in range(FREE_ATTEMPTS_COUNT):
        assert throttle.begin(f"2001:db8::{number}", 0.0) == 0.0
    assert throttle.begin("2001:db8::ffff:1", 0.0) > 0
    assert throttle.begin("2001:db8:0:1::1", 0.0) == 0.0


def test_memory_is_bounded() -> None:
    throttle = LoginThrottle()
    for number in range(3 * MAX_CLIENTS):
        throttle.begin(f"client {number}", number * 10.0)
    assert len(throttle._clients) == MAX_CLIENTS
