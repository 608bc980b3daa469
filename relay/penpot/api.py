"""Penpot's RPC API, as far as Relay asks it."""

from typing import Any

import httpx

TIMEOUT = 5.0
"""Seconds for one call."""
_ANONYMOUS = "00000000-0000-0000-0000-000000000000"


class PenpotError(Exception):
    """A call that did not succeed; the text says why, without the token."""


class Penpot:
    """A client with an access token.

    The calls and answers are those of Penpot 2.12 and later (``/api/main/methods``), which
    every version still answers at ``/api/rpc/command`` too.
    """

    def __init__(self, url: str, token: str) -> None:
        """``url`` is Penpot's public address, ``token`` an access token of one of its users."""
        self._client = httpx.AsyncClient(
            base_url=f"{url}/api/rpc/command",
            headers={
                "accept": "application/json",
                "authorization": f"Token {token}",
                "x-client": "relay",
            },
            timeout=TIMEOUT,
        )

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def profile(self) -> str:
        """The full name of the token's user.

        Penpot answers a bad token with an anonymous profile, not with an error: that raises
        ``PenpotError`` too.
        """
        profile = await self._call("get-profile", {})
        if profile.get("id") in (None, _ANONYMOUS):
            raise PenpotError("the access token is unknown to Penpot, expired or revoked")
        return str(profile.get("fullname", ""))

    async def _call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = await self._client.post(f"/{method}", json=params)
        except httpx.HTTPError as error:
            raise PenpotError(f"no answer: {type(error).__name__}") from error
        if answer.status_code != 200:
            raise PenpotError(f"{method} was answered {answer.status_code}")
        try:
            values = answer.json()
        except ValueError as error:
            raise PenpotError(f"{method} was not answered in JSON") from error
        return values if isinstance(values, dict) else {}
