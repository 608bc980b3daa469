"""Responses of Penpot's RPC API, without I/O: values, "not found", or an error.

Sources: ``http/errors.clj`` and ``rpc/rlimit.clj`` in Penpot's ``backend/src/app``.
"""

import json
import math
import re
import time
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple
from urllib.parse import parse_qsl

from relay.errors import RelayError
from relay.penpot.wire import replace_lone_surrogates

MAX_VALUES = 300_000  # in a response, counted as commas and opening brackets: about 20,000 files
MAX_RETRY_AFTER_SECONDS = 3600.0  # Penpot's clock may differ from ours
BAD_TOKEN = "the access token is unknown to Penpot, expired or revoked"  # noqa: S105 - a sentence

_MAX_ERROR_BYTES = 64 * 1024
_CODE_PATTERN = re.compile(r"[a-z][a-z0-9-]{0,60}")


class PenpotError(RelayError):
    """A call failed. The text gives the reason and never contains the token."""

    outcome: ClassVar[str] = "error"  # label in logs and metrics


class PenpotRefused(PenpotError):
    """The token is invalid, or Penpot or a proxy in front of it denies access."""

    outcome = "refused"


class PenpotBusy(PenpotError):
    """A temporary failure: unreachable, too slow, rate-limited, or a server error."""

    outcome = "busy"

    def __init__(
        self, text: str, retry_after: float | None = None, *, maybe_request_specific: bool = False
    ) -> None:
        """``retry_after``: seconds, if Penpot gave them. ``maybe_request_specific``: Penpot is up
        and this request failed; others may succeed."""
        super().__init__(text)
        self.retry_after = retry_after
        self.maybe_request_specific = maybe_request_specific


class PenpotUnexpected(PenpotError):
    """A response that Penpot does not give to this call: another server or another version."""

    outcome = "unexpected"


class RpcResponse(NamedTuple):
    status: int
    headers: Mapping[str, str]  # names in lower case, or a case-insensitive mapping
    body: bytes

    @property
    def is_unknown_method(self) -> bool:
        """Whether this path has no such method; a 404 for a missing object carries a code."""
        return self.status == 404 and not self.code

    @property
    def is_not_found(self) -> bool:
        """Whether the object does not exist or the token's user may not see it."""
        return self.status == 204 or (self.status == 404 and bool(self.code))

    @property
    def code(self) -> str:
        """The ``code`` of Penpot's error body; empty if it has none."""
        if len(self.body) > _MAX_ERROR_BYTES:
            return ""
        try:
            values = json.loads(self.body)
        except (ValueError, RecursionError):
            return ""
        code = values.get("code") if isinstance(values, dict) else None
        # The code is logged, and the server that sent it has seen the token: accept words only.
        return code if isinstance(code, str) and _CODE_PATTERN.fullmatch(code) else ""

    def values(self) -> Any:
        """The values of a JSON body. Raises ``ValueError`` with the reason.

        Size and count are checked first, so parsing takes a tenth of a second at most.
        """
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise ValueError("not JSON; is penpot.url the address of Penpot itself?")
        if sum(map(self.body.count, (b",", b"[", b"{"))) > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES} values")
        try:
            return replace_lone_surrogates(json.loads(self.body), self.body)
        except UnicodeDecodeError:
            raise ValueError("not UTF-8") from None
        except json.JSONDecodeError as error:
            raise ValueError(f"not JSON: {error.msg} at character {error.pos}") from None
        except RecursionError:
            raise ValueError("nested too deeply") from None

    def error(self, method: str) -> PenpotError:
        """The error for a response that is neither 200 nor "not found"."""
        text = f"{method} returned {self.status}" + (f" {self.code}" if self.code else "")
        if self.status == 401:
            return PenpotRefused(BAD_TOKEN)
        if self.status == 403:
            return PenpotRefused(f"{text}: Penpot, or a proxy in front of it, denies access")
        if self.status == 429 or self.status >= 500:
            pause = _retry_after(self.headers)
            is_specific = self.status == 500 and pause is None
            return PenpotBusy(text, pause, maybe_request_specific=is_specific)
        if self.status == 404:
            return PenpotUnexpected(f"{text}: is penpot.url the address of a Penpot?")
        if 300 <= self.status < 400:
            return PenpotUnexpected(f"{text}: penpot.url should be the target of the redirect")
        return PenpotUnexpected(text)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from ``Retry-After`` or Penpot's ``x-rate-limit-reset``.

    The latter is a query string of limits and the Unix time in seconds at which each is reset;
    ``x-rate-limit-remaining`` has the same form, with what is left of each.
    """
    remaining = dict(parse_qsl(headers.get("x-rate-limit-remaining", "")))
    resets = parse_qsl(headers.get("x-rate-limit-reset", ""))
    pauses = [_float(headers.get("retry-after", ""))]
    pauses += [_float(at) - time.time() for name, at in resets if remaining.get(name, "0") == "0"]
    longest = max(pauses)
    return min(longest, MAX_RETRY_AFTER_SECONDS) if longest > 0 else None


def _float(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0
