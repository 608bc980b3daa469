"""Access control: at the running service, and of request heads."""

import asyncio
import socket
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest

from relay.app import build
from relay.config.settings import Config
from relay.inspector.auth import DEVICE_TTL, SESSION_TTL, ClientRequest, Sessions
from relay.store.sqlite import SqliteStore
from tests.inspector.conftest import STDOUT, client_of, form_token
from tests.service import SECRET, Service, running

PASSWORD = "correct horse battery"
OTHER = "of the other team alone"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service with its admin listener on loopback and without a login."""
    with running(tmp_path_factory.mktemp("local"), STDOUT) as started:
        yield started


def _response(answer: httpx.Response) -> tuple[int, bytes, set[tuple[str, str]]]:
    names = {"date", "connection"}
    headers = {(name, value) for name, value in answer.headers.items() if name not in names}
    return answer.status_code, answer.content, headers


# The admin listener


def test_a_browser_on_this_machine_needs_no_login(local: Service) -> None:
    for host in ("127.0.0.1", "localhost", "[::1]", "LOCALHOST"):
        headers = {"host": f"{host}:{local.admin_port}"}
        answer = httpx.get(f"{local.admin}/inspector", headers=headers)
        assert answer.status_code == 200
    assert "<h1>Events</h1>" in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert "'unsafe" not in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]


FOREIGN = [
    {"host": "relay.example.com"},
    {"host": "127.0.0.1.example.com"},
    {"host": "localhost.example.com:8081"},
    {"origin": "https://relay.example.com"},
    {"origin": "http://localhost:3000"},
    {"origin": "null"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
]
"""What browsers send for a page of another host, also if its name leads to 127.0.0.1, or port."""


def test_without_a_login_other_sites_get_the_response_of_an_unknown_path(local: Service) -> None:
    unknown = _response(httpx.get(f"{local.admin}/nothing"))
    assert unknown[0] == 404
    for headers in FOREIGN:
        for path in ("", "/login", "/static/x/relay.css", "/live", "/events/1/payload"):
            answer = httpx.get(f"{local.admin}/inspector{path}", headers=headers)
            assert _response(answer) == unknown, headers


def test_without_a_login_the_host_must_be_named_once(local: Service) -> None:
    for head in (b"", b"Host: localhost\r\nHost: evil.example\r\n"):
        with socket.create_connection(("127.0.0.1", local.admin_port)) as connection:
            connection.sendall(b"GET /inspector HTTP/1.0\r\n" + head + b"\r\n")
            assert connection.recv(64).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("headers", [{}, *FOREIGN], ids=str)
def test_a_form_that_no_page_of_the_inspector_sent_is_not_read(
    local: Service, headers: dict[str, str]
) -> None:
    """The token is right: another site or Penpot can't know it, but gets no further anyway."""
    token = form_token(httpx.get(f"{local.admin}/inspector/teams").text)
    data = {"token": token}
    answer = httpx.post(f"{local.admin}/inspector/logout", data=data, headers=headers)
    assert (answer.status_code, answer.text) == (404, "Not Found")
    with client_of(local) as client:
        assert client.post("/inspector/logout", data=data).status_code == 303
        headers = {"sec-fetch-site": "same-origin"}
        assert client.post("/inspector/logout", data=data, headers=headers).status_code == 303


def test_a_form_without_a_valid_token_is_refused(local: Service) -> None:
    with client_of(local) as client:
        for headers in ({}, {"x-relay-token": "guessed"}):
            assert client.post("/inspector/logout", headers=headers).status_code == 403


def test_penpot_finds_no_webhook_at_the_admin_listener(local: Service) -> None:
    """Its allow-list opens each port of a host. It saves a webhook whose HEAD gets 200 or 204."""
    paths = ["/", "/healthz", "/readyz", "/metrics", "/inspector", "/inspector/login"]
    paths += ["/inspector/teams/acme/test", "/inspector/live", f"/hooks/acme/{SECRET}"]
    for path in paths:
        answer = httpx.post(local.admin + path, content=b"{}")
        assert answer.status_code == 404, path
        answer = httpx.head(local.admin + path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET"), path
    assert httpx.get(f"{local.admin}/hooks/acme/{SECRET}").status_code == 404
    answer = httpx.post(f"{local.admin}/hooks/acme/{SECRET}", content=b"{}")
    assert answer.text == "Not Found: the hooks are at server.port, this is admin.port"


def test_prometheus_reads_the_metrics_by_any_name(local: Service) -> None:
    headers = {"host": "relay.monitoring.svc:8081"}
    for path, text in (("/metrics", "relay_events_total"), ("/readyz", "ok"), ("/healthz", "ok")):
        answer = httpx.get(local.admin + path, headers=headers)
        assert answer.status_code == 200
        assert text in answer.text


def test_the_admin_listeners_start_page_leads_to_the_inspector(local: Service) -> None:
    answer = httpx.get(f"{local.admin}/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/inspector")


def test_beyond_loopback_the_inspector_is_off_without_a_login(tmp_path: Path) -> None:
    with running(tmp_path, STDOUT, environ={"RELAY_ADMIN_HOST": "0.0.0.0"}) as service:
        unknown = _response(httpx.get(f"{service.admin}/nothing"))
        for path in ("/", "/inspector", "/inspector/login", "/inspector/static/x/relay.css"):
            assert _response(httpx.get(service.admin + path)) == unknown
        assert "relay_events_total" in httpx.get(f"{service.admin}/metrics").text
        assert httpx.get(f"{service.admin}/readyz").status_code == 200
        checked = service.run("check").stdout
    notice = 'off: admin.host = "0.0.0.0" needs a login: set inspector.password'
    assert f"inspector: {notice}" in service.log.read_text()
    assert f"note  inspector: {notice}" in checked


def test_with_a_login_the_inspector_is_on_at_any_host(tmp_path: Path) -> None:
    extra = f'[inspector]\npassword = "{PASSWORD}"'
    environ = {"RELAY_ADMIN_HOST": "0.0.0.0"}
    with running(tmp_path, STDOUT, extra=extra, environ=environ) as service:
        for headers in ({}, {"host": "relay.example.com"}, {"sec-fetch-site": "cross-site"}):
            answer = httpx.get(f"{service.admin}/inspector/events/1?x=1", headers=headers)
            assert answer.status_code == 303
            location = "/inspector/login?next=%2Finspector%2Fevents%2F1%3Fx%3D1"
            assert answer.headers["location"] == location
        htmx = httpx.get(f"{service.admin}/inspector", headers={"hx-request": "true"})
        assert (htmx.status_code, htmx.headers["hx-redirect"]) == (401, "/inspector/login")
        assert f"inspector: {service.admin}/inspector, with a login" in service.log.read_text()


def test_a_teams_password_closes_the_inspector_on_this_machine_too(tmp_path: Path) -> None:
    with running(tmp_path, f'inspector_password = "{OTHER}"\n{STDOUT}') as service:
        assert httpx.get(f"{service.admin}/inspector").status_code == 303


def test_no_page_contains_a_secret(local: Service) -> None:
    assert SECRET not in httpx.get(f"{local.admin}/inspector").text


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


# Proxies


def test_the_single_sign_on_header_is_trusted_only_from_a_proxy(tmp_path: Path) -> None:
    forwarded = {"remote-user": "ada", "host": "relay.example.com"}
    sso = '[inspector]\ntrusted_header = "Remote-User"\n'
    with running(tmp_path, STDOUT, extra=sso) as service:
        assert "ada" in httpx.get(f"{service.admin}/inspector", headers=forwarded).text
        for headers in ({"remote-user": ""}, {}):
            assert httpx.get(f"{service.admin}/inspector", headers=headers).status_code == 404
        twice = [("remote-user", "ada"), ("remote-user", "eve")]
        assert httpx.get(f"{service.admin}/inspector", headers=twice).status_code == 404
    with running(tmp_path, STDOUT, extra=f'{sso}[proxies]\ntrusted = ["10.0.0.5"]') as service:
        assert httpx.get(f"{service.admin}/inspector", headers=forwarded).status_code == 404


def _request(peer: str, method: str = "GET", **headers: list[str]) -> ClientRequest:
    pairs = [(name.encode(), value.encode()) for name in headers for value in headers[name]]
    scope = {"type": "http", "method": method, "client": (peer, 1), "headers": pairs}
    return ClientRequest(scope)


PROXIES = tuple(map(ip_network, ("127.0.0.0/8", "10.0.0.0/24", "2001:db8::/32")))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),  # not from a proxy
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["192.0.2.1, 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["192.0.2.1", "198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["192.0.2.1, 198.51.100.1, 10.0.0.9"], "198.51.100.1"),
        ("10.0.0.5", ["192.0.2.1, 198.51.100.1 ,10.0.0.9, 127.0.0.1"], "198.51.100.1"),
        ("10.0.1.5", ["198.51.100.1"], "10.0.1.5"),
        ("127.0.0.1", ["10.0.0.7"], "10.0.0.7"),  # the proxy's own request
        ("127.0.0.1", ["198.51.100.1:50123"], "198.51.100.1"),
        ("127.0.0.1", ["[2001:4860::1]:50123"], "2001:4860::1"),
        ("127.0.0.1", ["2001:4860::1, 2001:db8::5"], "2001:4860::1"),
        ("127.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("::ffff:127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["unknown"], "127.0.0.1"),  # all of them share the proxy's counter
        ("127.0.0.1", ["198.51.100.1, _hidden"], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1, "], "127.0.0.1"),
        ("", ["198.51.100.1"], ""),
    ],
)
def test_the_client_is_the_rightmost_address_that_is_no_proxy(
    peer: str, forwarded: list[str], client: str
) -> None:
    request = _request(peer, **{"x-forwarded-for": forwarded})
    assert request.client_address(PROXIES) == client


@pytest.mark.parametrize(
    ("method", "headers", "is_own"),
    [
        ("GET", {}, True),
        ("GET", {"sec-fetch-site": ["cross-site"]}, True),  # a link in a chat
        ("POST", {}, False),
        ("POST", {"origin": ["https://relay.example"]}, True),
        ("POST", {"origin": ["https://evil.example"]}, False),
        ("POST", {"origin": ["https://relay.example", "https://evil.example"]}, False),
        ("POST", {"sec-fetch-site": ["same-origin"]}, True),
        ("POST", {"sec-fetch-site": ["none"]}, False),
        ("POST", {"sec-fetch-site": ["same-site"], "origin": ["https://relay.example"]}, False),
    ],
)
def test_with_a_login_only_forms_must_come_from_a_page(
    method: str, headers: dict[str, list[str]], is_own: bool
) -> None:
    request = _request("127.0.0.1", method, host=["relay.example"], **headers)
    assert request.is_own(only_local=False) is is_own


def test_malformed_cookies_of_other_services_hide_no_cookie() -> None:
    cookies = _request("127.0.0.1", cookie=['theirs={"theme": [1]}; a b; mine=acme~1~x']).cookies
    assert cookies["mine"] == "acme~1~x"
    assert "other" not in cookies


# Sessions

KEY = b"k" * 32


def _config(password: str, secret: str = SECRET) -> Config:
    return Config.model_validate(
        {
            "inspector": {"password": password},
            "teams": {"acme": {"secret": secret, "inspector_password": OTHER}},
        }
    )


def test_a_session_ends_after_its_ttl_and_with_its_password() -> None:
    sessions = Sessions(_config(PASSWORD), KEY)
    cookie = sessions.begin("", 1000.0)
    assert sessions.viewer(cookie, 1000.0 + SESSION_TTL - 1) is not None
    assert sessions.viewer(cookie, 1000.0 + SESSION_TTL) is None
    new_secret = Sessions(_config(PASSWORD, "a-new-secret-of-the-webhook"), KEY)
    assert new_secret.viewer(cookie, 1000.0) is not None
    assert Sessions(_config(f"{PASSWORD}!"), KEY).viewer(cookie, 1000.0) is None
    assert Sessions(_config(PASSWORD), b"x" * 32).viewer(cookie, 1000.0) is None


def test_a_forged_cookie_is_refused() -> None:
    sessions = Sessions(_config(PASSWORD), KEY)
    cookie = sessions.begin("acme", 1000.0)
    viewer = sessions.viewer(cookie, 1000.0)
    assert viewer is not None
    assert viewer.team == "acme"
    for forged in (
        "",
        "~~~",
        "é~1~2~3",
        cookie.removeprefix("acme"),
        cookie.replace("acme", "nobody"),
        cookie[:-1],
        cookie + "0",
        sessions.begin_device("acme", 1000.0),
    ):
        assert sessions.viewer(forged, 1000.0) is None


def test_a_device_is_known_for_one_account_until_its_password_changes() -> None:
    sessions = Sessions(_config(PASSWORD), KEY)
    cookie = sessions.begin_device("", 1000.0)
    device = sessions.device(cookie, "", 1000.0 + DEVICE_TTL - 1)
    assert device
    assert device != sessions.device(sessions.begin_device("", 1000.0), "", 1000.0)
    assert sessions.device(cookie, "acme", 1000.0) == ""
    assert sessions.device(cookie, "nobody", 1000.0) == ""
    assert sessions.device(cookie, "", 1000.0 + DEVICE_TTL) == ""
    assert sessions.device(cookie[:-1], "", 1000.0) == ""
    assert sessions.device(sessions.begin("", 1000.0), "", 1000.0) == ""
    assert Sessions(_config(f"{PASSWORD}!"), KEY).device(cookie, "", 1000.0) == ""


@pytest.mark.anyio
async def test_the_key_is_random_and_shared_by_all_replicas(
    store: SqliteStore, tmp_path: Path
) -> None:
    config = _config(PASSWORD)
    first, *others = await asyncio.gather(*(Sessions.open(config, store) for _ in range(5)))
    later = await Sessions.open(config, store)
    for sessions in (*others, later):
        assert sessions.viewer(first.begin("", 1000.0), 1000.0) is not None
        assert sessions.token("local") == first.token("local")
    (tmp_path / "elsewhere").mkdir()
    fresh = SqliteStore(tmp_path / "elsewhere" / "relay.db")
    await fresh.open()
    try:
        foreign = await Sessions.open(config, fresh)
        assert foreign.viewer(first.begin("", 1000.0), 1000.0) is None
    finally:
        await fresh.close()
