"""httpx's transport with the proxies of ``ProxyVariables``, chosen for each request."""

import ssl

import httpx

from relay.proxy_variables import read_proxies


class ProxyTransport(httpx.AsyncBaseTransport):
    def __init__(self, verify: ssl.SSLContext | bool = True) -> None:
        """Raises ``InvalidProxyVariable``."""
        self._verify = verify
        self._variables = read_proxies()
        # By the proxy's URL. The first loads certificates, which takes 30 ms, and is opened now.
        self._transports = {"": self._open("")}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        proxy = self._variables.for_url(str(request.url))
        url = proxy.url if proxy else ""
        if url not in self._transports:
            self._transports[url] = self._open(url)
        return await self._transports[url].handle_async_request(request)

    def _open(self, proxy_url: str) -> httpx.AsyncHTTPTransport:
        tls = None
        if proxy_url.startswith("https:") and isinstance(self._verify, ssl.SSLContext):
            tls = self._verify  # a private authority may have signed the proxy's certificate, too
        proxy = httpx.Proxy(proxy_url, ssl_context=tls) if proxy_url else None
        return httpx.AsyncHTTPTransport(verify=self._verify, proxy=proxy)

    async def aclose(self) -> None:
        for transport in self._transports.values():
            await transport.aclose()
