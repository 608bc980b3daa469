"""How Penpot answers an RPC call: values, nothing, or an error; without I/O.

The shapes are those of Penpot's ``backend/src/app``: ``http/errors.clj`` and ``rpc/rlimit.clj``.
"""

import json
import math
import re
import time
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple
from urllib.parse import parse_qsl

from relay.penpot.wire import encodable

MAX_VALUES = 300_000
"""Most values in an answer, counted as commas and opening brackets: some 20,000 files."""
LONGEST_REST = 3600.0
"""Longest ``PenpotBusy.after``, in seconds: Penpot's clock need not be ours."""
BAD_TOKEN = "the access token is unknown to Penpot, expired or revoked"  # noqa: S105 - a sentence

_LONGEST_ERROR = 64 * 1024  # bytes
_CODE = re.compile(r"[a-z][a-z0-9-]{0,60}")


class PenpotError(Exception):
    """A call that did not succeed; the text says why, without the token."""

    word: ClassVar[str] = "error"
    """One of three, for logs and metrics."""


class PenpotRefused(PenpotError):
    """The token is not (or no longer) good, or something before Penpot refuses Relay."""

    word = "refused"


class PenpotBusy(PenpotError):
    """No answer now: unreachable, too slow, over a limit, broken. Another time it may work."""

    word = "busy"

    def __init__(
        self, text: str, after: float | None = None, *, may_be_of_one: bool = False
    ) -> None:
        """``after``: seconds to wait, where Penpot told. ``may_be_of_one``: whether Penpot answers,
        and failed at what was asked for, maybe at nothing else."""
        super().__init__(text)
        self.after = after
        self.may_be_of_one = may_be_of_one


class PenpotUnexpected(PenpotError):
    """An answer that Penpot would not give to this call: another server, or another version."""

    word = "unexpected"


class Answer(NamedTuple):
    """What came back from a call."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case, or a mapping that does not mind."""
    body: bytes

    @property
    def is_of_no_method(self) -> bool:
        """Whether this path knows no such method; "no such object" has a code, this has none."""
        return self.status == 404 and not self.code

    @property
    def is_nothing(self) -> bool:
        """Whether there is no such object, or none that the token's user may see."""
        return self.status == 204 or (self.status == 404 and bool(self.code))

    @property
    def code(self) -> str:
        """The ``code`` of Penpot's error body; empty where it has none."""
        if len(self.body) > _LONGEST_ERROR:
            return ""
        try:
            values = json.loads(self.body)
        except (ValueError, RecursionError):
            return ""
        code = values.get("code") if isinstance(values, dict) else None
        # A word and nothing else: this goes into logs, and who answers has read the token.
        return code if isinstance(code, str) and _CODE.fullmatch(code) else ""

    def values(self) -> Any:
        """The values of a body in JSON. Raises ``ValueError`` with the reason.

        Parsing takes a tenth of a second at the worst, as size and count are bounded before.
        """
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise ValueError("not JSON; is penpot.url the address of Penpot itself?")
        if sum(map(self.body.count, (b",", b"[", b"{"))) > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES} values")
        try:
            return encodable(json.loads(self.body), self.body)
        except UnicodeDecodeError:
            raise ValueError("not UTF-8") from None
        except json.JSONDecodeError as error:
            raise ValueError(f"not JSON: {error.msg} at character {error.pos}") from None
        except RecursionError:
            raise ValueError("nested too deeply") from None

    def error(self, method: str) -> PenpotError:
        """What an answer that is neither 200 nor nothing comes to."""
        told = f"{method} was answered {self.status}" + (f" {self.code}" if self.code else "")
        if self.status == 401:
            return PenpotRefused(BAD_TOKEN)
        if self.status == 403:
            return PenpotRefused(f"{told}: Penpot, or a proxy before it, refuses Relay")
        if self.status == 429 or self.status >= 500:
            rest = _rest(self.headers)
            return PenpotBusy(told, rest, may_be_of_one=self.status == 500 and rest is None)
        if self.status == 404:
            return PenpotUnexpected(f"{told}: is penpot.url the address of a Penpot?")
        if 300 <= self.status < 400:
            return PenpotUnexpected(f"{told}: penpot.url should be the address that this leads to")
        return PenpotUnexpected(told)


def _rest(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, as told by ``Retry-After`` or by Penpot's ``x-rate-limit-reset``.

    That one is a query string of limits and the second since 1970 at which each begins anew, and
    ``x-rate-limit-remaining`` tells in the same form which of them are used up.
    """
    left = dict(parse_qsl(headers.get("x-rate-limit-remaining", "")))
    resets = parse_qsl(headers.get("x-rate-limit-reset", ""))
    rests = [_float(headers.get("retry-after", ""))]
    rests += [_float(at) - time.time() for name, at in resets if left.get(name, "0") == "0"]
    told = [rest for rest in rests if rest > 0]
    return min(max(told), LONGEST_REST) if told else None


def _float(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0
