"""Requests through a real proxy: http and https, with a login, and around it."""

import ssl

import httpx
import pytest
import trustme

from relay import bounded_http
from relay.bounded_http import Answer
from relay.proxy_variables import InvalidProxyVariable
from tests.servers.loopback import Answer as Sent
from tests.servers.loopback import Threaded, in_thread, listen
from tests.servers.proxy import ForwardProxy

pytestmark = pytest.mark.anyio


async def get(url: str, verify: ssl.SSLContext | bool = True) -> Answer:
    async with bounded_http.open_client(verify=verify) as client:
        return await bounded_http.request(client, "GET", url, max_bytes=1000, seconds=10)


async def test_a_request_goes_through_the_proxy_of_its_scheme(
    environment_without_proxies: pytest.MonkeyPatch,
) -> None:
    authority = trustme.CA()
    server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("relay.invalid").configure_cert(server_tls)
    client_tls = ssl.create_default_context()
    authority.configure_trust(client_tls)

    def handle(_: object) -> Sent:
        return Sent(b"here")

    with (
        in_thread(handle) as plain,
        Threaded(lambda: listen(handle, tls=server_tls)) as encrypted,
        ForwardProxy(to=plain.port) as first,
        ForwardProxy("ada:hunter2", to=encrypted.port) as second,
    ):
        environment_without_proxies.setenv("http_proxy", first.address)
        environment_without_proxies.setenv("HTTPS_PROXY", f"http://ada:hunter2@{second.address}")
        assert (await get("http://relay.invalid/a")).body == b"here"
        assert (await get("https://relay.invalid/b", client_tls)).body == b"here"
        assert first.requests == ["GET http://relay.invalid/a HTTP/1.1"]
        assert second.requests == ["CONNECT relay.invalid:443 HTTP/1.1"]


async def test_excluded_hosts_are_reached_without_it(
    environment_without_proxies: pytest.MonkeyPatch,
) -> None:
    with in_thread(lambda _: Sent(b"here")) as server, ForwardProxy() as proxy:
        environment_without_proxies.setenv("http_proxy", proxy.address)
        environment_without_proxies.setenv("no_proxy", "fd00::/8,[::1],127.0.0.0/8")
        assert (await get(server.url)).body == b"here"
        assert proxy.requests == []


async def test_a_client_with_invalid_variables_is_not_opened(
    environment_without_proxies: pytest.MonkeyPatch,
) -> None:
    environment_without_proxies.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    with pytest.raises(InvalidProxyVariable, match="ALL_PROXY"):
        bounded_http.open_client()


async def test_a_refused_connection_is_an_error_of_the_proxy(
    environment_without_proxies: pytest.MonkeyPatch,
) -> None:
    with ForwardProxy("ada:hunter2") as proxy:
        environment_without_proxies.setenv("https_proxy", proxy.address)
        with pytest.raises(httpx.ProxyError, match=r"^407"):
            await get("https://relay.invalid")
