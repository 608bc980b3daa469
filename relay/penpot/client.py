"""What applies to each call to Penpot's RPC API, without I/O: response, errors, sharing, budget and
circuit breaker.

Responses: ``rpc.clj`` and ``http/middleware.clj`` in Penpot's ``backend/src/app``.
"""

import asyncio
import json
import math
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeVar
from urllib.parse import parse_qsl, urlsplit

from relay.bounded_http import Answer
from relay.errors import RelayError
from relay.penpot.wire import replace_lone_surrogates

MAX_RETRY_AFTER_SECONDS = 3600.0  # Penpot's clock may differ from ours
BAD_TOKEN = "the access token is unknown to Penpot, expired or revoked"  # noqa: S105 - a sentence
ADDRESS_KEY = "penpot.api_url (by default penpot.url)"
_LOGIN_PAGE = "probably the login of a proxy in front of Penpot"
_PAST_LOGIN = (
    "The token is not the cause: let /api/ and /assets/ pass without that login, or set "
    "penpot.api_url to an address behind the proxy"
)
_WRONG_ADDRESS = f"{ADDRESS_KEY} is not the address of Penpot itself"
MIN_BURST_SIZE = 10  # calls that may go out at once after a pause
WEBHOOK_VALIDATION: Final = "webhook-validation"
"""The code of the error when Penpot can't call a webhook's address, with a hint."""
ALL: Final = ""  # in place of a method

T = TypeVar("T")

_MAX_PAUSES = 1000
_MAX_ERROR_BYTES = 64 * 1024
_SCHEME_PATTERN = re.compile("(basic|digest|negotiate|ntlm|bearer)\\b", re.IGNORECASE)
_LOGIN_PATTERN = re.compile("log-?in|sign-?in|auth|sso|saml|oidc|/cdn-cgi/access", re.IGNORECASE)
_CODE_PATTERN = re.compile(r"[a-z][a-z0-9-]{0,60}")
_HINT_PATTERN = re.compile(r"[a-z][a-z -]{0,60}(:(\d{3}|[a-z][a-z -]{0,60}))?")


class PenpotError(RelayError):
    """A call failed. The text gives the reason and never contains the token."""

    outcome: ClassVar[str] = "error"  # label in logs and metrics
    delay: ClassVar[float] = 0.0  # seconds without calls, unless Penpot names a delay
    affects_all = False  # whether calls of other methods would fail too
    retry_after: float | None = None  # seconds, if Penpot gave them


class PenpotRefused(PenpotError):
    """The token is invalid, or Penpot or a proxy in front of it denies access."""

    outcome = "refused"
    delay = 300.0
    affects_all = True


class PenpotBehindLogin(PenpotRefused):
    """A proxy in front of Penpot denies access. The token may be valid."""


class PenpotBusy(PenpotError):
    """A temporary failure: unreachable, too slow, rate-limited, or a server error."""

    outcome = "busy"
    delay = 30.0

    def __init__(
        self, text: str, retry_after: float | None = None, *, affects_all: bool = True
    ) -> None:
        super().__init__(text)
        self.retry_after = retry_after
        self.affects_all = affects_all


class PenpotPaused(PenpotError):
    """No call was made, because of earlier failures."""

    outcome = "paused"


class PenpotUnexpected(PenpotError):
    """A response that Penpot does not give to this call: another server or another version."""

    outcome = "unexpected"
    delay = 300.0


class RpcResponse(Answer):
    __slots__ = ()

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

    @property
    def hint(self) -> str:
        """Why Penpot can't call a webhook's address, in its words; empty if it does not say so.
        Like the code it is words only."""
        if self.code != WEBHOOK_VALIDATION:
            return ""
        hint = json.loads(self.body).get("hint")
        return hint if isinstance(hint, str) and _HINT_PATTERN.fullmatch(hint) else ""

    @property
    def is_page(self) -> bool:
        """Whether the body is HTML, which Penpot's API never returns."""
        return "html" in self.headers.get("content-type", "").lower()

    @property
    def login(self) -> str:
        """Which login in front of Penpot responded in its place, in words; empty for none."""
        if self.status not in (401, 403):
            return ""
        if self.headers.get("cf-mitigated"):
            return "Cloudflare's bot check in front of Penpot denies access"
        if asked := self.headers.get("www-authenticate"):
            scheme = _SCHEME_PATTERN.match(asked)
            how = f" (HTTP {scheme[0].capitalize()})" if scheme else ""
            return f"a proxy in front of Penpot asks for a login{how}"
        return _LOGIN_PAGE if self.is_page else ""

    @property
    def _leads_to_login(self) -> bool:
        """Whether the redirect's target is a login or a start page, rather than the same call."""
        try:
            target = urlsplit(self.headers.get("location", ""))
        except ValueError:
            return False
        is_start = target.path in ("", "/") and bool(target.query)
        return is_start or _LOGIN_PATTERN.search(target.netloc + target.path) is not None

    def values(self) -> Any:
        """The values of a JSON body. Raises ``ValueError`` with the reason."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            if self.is_page:
                raise ValueError(f"an HTML page: {_LOGIN_PAGE}, or {_WRONG_ADDRESS}")
            raise ValueError(f"not JSON: {_WRONG_ADDRESS}")
        try:
            return replace_lone_surrogates(json.loads(self.body), self.body)
        except UnicodeDecodeError:
            raise ValueError("not UTF-8") from None
        except json.JSONDecodeError as error:
            raise ValueError(f"not JSON: {error.msg} at character {error.pos}") from None
        except RecursionError:
            raise ValueError("nested too deeply") from None

    def read(self, method: str, read: Callable[["RpcResponse"], T]) -> T:
        """The result of ``read``, which may raise ``ValueError``. Raises ``PenpotError``."""
        if self.status != 200:
            raise self._error(method)
        try:
            return read(self)
        except ValueError as error:
            raise PenpotUnexpected(f"{method} returned an unexpected body: {error}") from None

    def _error(self, method: str) -> PenpotError:
        text = f"{method} returned {self.status}" + (f" {self.code}" if self.code else "")
        text += f" ({self.hint})" if self.hint else ""
        if self.status == 407:
            return PenpotBehindLogin("the proxy in HTTP_PROXY or ALL_PROXY needs a login")
        if self.login:
            return PenpotBehindLogin(f"{text}: {self.login}. {_PAST_LOGIN}")
        if self.status == 401:
            return PenpotRefused(BAD_TOKEN)
        if self.status == 403:
            return PenpotRefused(f"{text}: Penpot, or a proxy in front of it, denies access")
        if self.status == 429 or self.status >= 500:
            pause = _retry_after(self.headers)
            is_specific = self.status == 500 and pause is None
            return PenpotBusy(text, pause, affects_all=not is_specific)
        if self.status == 404:
            return PenpotUnexpected(f"{text}: {_WRONG_ADDRESS}")
        if 300 <= self.status < 400:
            if self._leads_to_login:
                return PenpotUnexpected(f"{text}, a redirect: {_LOGIN_PAGE}. {_PAST_LOGIN}")
            return PenpotUnexpected(f"{text}: {ADDRESS_KEY} should be the target of the redirect")
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


class SharedTasks:
    """One task per key at a time. It continues when those who wait for it are cancelled."""

    def __init__(self, failed: Callable[[Any, BaseException], None] = lambda _key, _error: None):
        """``failed`` is called with the key and the exception of a task."""
        self._failed = failed
        self._tasks: dict[Any, asyncio.Task[Any]] = {}

    def start(
        self, key: Hashable, run: Callable[[], Coroutine[Any, Any, Any]]
    ) -> asyncio.Task[Any]:
        """The task that is under way for the key, or a new one."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(run())
            task.add_done_callback(lambda task: self._ended(key, task))
        return task

    def _ended(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        del self._tasks[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(key, error)

    async def close(self) -> None:
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class CallBudget:
    """A token bucket of calls. A running job may overdraw it; the next one waits for that."""

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` returns seconds."""
        self._rate = per_minute / 60.0
        self._size = max(MIN_BURST_SIZE, self._rate)
        self._left = self._size
        self._clock = clock
        self._refilled_at = clock()

    def spend(self) -> None:
        self._left = self.left() - 1

    def wait(self) -> float:
        """Seconds until a call may go out."""
        return max(0.0, (1 - self.left()) / self._rate)

    def left(self) -> float:
        """Calls that may go out at once."""
        now = self._clock()
        elapsed = max(0.0, now - self._refilled_at)
        self._left = min(self._size, self._left + elapsed * self._rate)
        self._refilled_at = now
        return self._left


class CircuitBreaker:
    """Pauses calls after failures: of one method, or of all methods if Penpot refuses the token or
    does not answer."""

    def __init__(
        self,
        opened: Callable[[str, PenpotError, bool], None],
        answered: Callable[[bool], None] = lambda _: None,
        delay: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``opened`` is called with the method that pauses or ``ALL``, the reason, and whether it
        is the first failure in a row; ``answered`` with whether the pause of all methods ends.
        ``delay`` is in seconds, and replaces those for each kind of error."""
        self._opened = opened
        self._answered = answered
        self._delay = delay
        self._clock = clock
        self._paused_until: dict[str, float] = {}
        self._failing_since: float | None = None
        self.last_answer_at = -math.inf  # on the clock

    def is_open(self, *methods: str) -> bool:
        """Whether no calls of these methods, or of any method, are made for now."""
        now = self._clock()
        return max(self._paused_until.get(key, now) for key in (*methods, ALL)) > now

    def failed(self, method: str, error: PenpotError) -> None:
        method = ALL if error.affects_all else method
        now = self._clock()
        is_first = method not in self._paused_until
        if self._delay is None:
            delay = error.retry_after or error.delay
        else:
            delay = max(self._delay, error.retry_after or 0.0)
        until = max(now + delay, self._paused_until.pop(method, 0.0))
        self._paused_until[method] = until
        if len(self._paused_until) > _MAX_PAUSES:
            del self._paused_until[next(iter(self._paused_until))]
        if method == ALL:
            self._failing_since = now
        self._opened(method, error, is_first)

    def answered(self, started: float) -> None:
        """An answer to a call that started at that time came."""
        self.last_answer_at = self._clock()
        is_recovery = self._failing_since is not None and started > self._failing_since
        if is_recovery:
            self._failing_since = None
            self._paused_until.pop(ALL, None)
        self._answered(is_recovery)

    def now(self) -> float:
        return self._clock()


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """What applies to the calls of one part of Relay."""

    count: Callable[[str, str], None] = lambda _method, _outcome: None
    """Called with each method and its outcome: found, nothing, or that of ``PenpotError``."""
    breaker: CircuitBreaker | None = None
    budget: CallBudget | None = None

    async def run(
        self, method: str, call: Callable[[], Awaitable[T | None]], part: str = ""
    ) -> T | None:
        """``part`` is the part of the method that an unexpected answer says something about."""
        breaker = self.breaker
        if breaker and breaker.is_open(method, method + part):
            raise PenpotPaused(f"{method} is paused")
        if self.budget:
            self.budget.spend()
        started = breaker.now() if breaker else 0.0
        try:
            answer = await call()
        except PenpotError as error:
            self.count(method, error.outcome)
            if breaker:
                is_part = isinstance(error, PenpotUnexpected)
                breaker.failed(method + part if is_part else method, error)
            raise
        self.count(method, "nothing" if answer is None else "found")
        if breaker:
            breaker.answered(started)
        return answer
