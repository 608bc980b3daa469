"""Requests to a chat's HTTP API, with ``DeliveryError`` as the only error."""

import json
from pathlib import Path
from typing import Any

import httpx

from relay import bounded_http
from relay.bounded_http import Answer, UnusableAnswer
from relay.channels import tls
from relay.channels.errors import error_from_exception
from relay.config.types import host_and_port
from relay.proxy_variables import through_proxy

REQUEST_TIMEOUT = 15.0  # seconds per request
_LIMITS: dict[str, int] = {"max_bytes": 1024 * 1024, "max_values": 50_000}


class HttpApi:
    """The client of one channel for the server at ``url``. ``key`` names the address's key."""

    def __init__(
        self,
        server: str,
        url: str,
        key: str,
        ca_file: Path | None,
        user_agent: str = "penpot-relay",
    ) -> None:
        self.through_proxy = through_proxy(url)
        self.server = server + self.through_proxy
        self.key = key
        self._place = f"{server} at {host_and_port(url)}{self.through_proxy}"
        self._client = bounded_http.open_client(
            headers={"User-Agent": user_agent}, timeout=REQUEST_TIMEOUT, verify=tls.context(ca_file)
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def request(self, method: str, url: str, **arguments: Any) -> Answer:
        """Raises ``DeliveryError`` where no answer arrives; an answer may have any status."""
        arguments |= {"seconds": REQUEST_TIMEOUT, **_LIMITS}
        try:
            return await bounded_http.request(self._client, method, url, **arguments)
        except (httpx.RequestError, UnusableAnswer, TimeoutError, OSError) as error:
            raise error_from_exception(error, self._place, key=self.key, url=url) from None


def parse_json(body: bytes) -> Any:
    """None for what is no JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def json_object(body: bytes) -> dict[str, Any]:
    """Empty for anything else."""
    value = parse_json(body)
    return value if isinstance(value, dict) else {}
