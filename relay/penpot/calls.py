"""What applies to each call to Penpot: errors, cache, sharing, budget and circuit breaker."""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from relay.errors import RelayError

MIN_BURST_SIZE = 10  # calls that may go out at once after a pause
ALL: Final = ""  # in place of a method
BUSY_DELAY = 30.0  # seconds without calls after Penpot did not answer, unless it names a delay
REFUSED_DELAY = 300.0  # seconds without calls after Penpot refused the token
UNEXPECTED_DELAY = 300.0  # seconds without calls of a method after an unexpected answer
_MAX_PAUSES = 1000


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


class PenpotPaused(PenpotError):
    """No call was made, because of earlier failures."""

    outcome = "paused"


class PenpotUnexpected(PenpotError):
    """A response that Penpot does not give to this call: another server or another version."""

    outcome = "unexpected"


class AnswerCache:
    """Recent answers by call; above ``max_size`` the least recently used are dropped."""

    def __init__(
        self,
        max_size: int,
        ttl: float = math.inf,
        size: Callable[[Any], int] = lambda _: 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``ttl`` is in seconds; ``max_size`` is the sum of what ``size`` returns."""
        self.max_size = max_size
        self.ttl = ttl
        self._size_of = size
        self._clock = clock
        self._answers: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()
        self._size = 0

    def get(self, key: Hashable, max_age: float = math.inf) -> Any:
        """An answer that is at most that many seconds old; None if there is none."""
        cached_at, answer = self._answers.get(key, (-math.inf, None))
        if self._clock() - cached_at >= min(max_age, self.ttl):
            return None
        self._answers.move_to_end(key)
        return answer

    def put(self, key: Hashable, answer: Any) -> None:
        now = self._clock()
        self._drop(key)
        for expired in [key for key, (at, _) in self._answers.items() if now - at >= self.ttl]:
            self._drop(expired)
        self._answers[key] = now, answer
        self._size += self._size_of(answer)
        while self._size > self.max_size:
            self._drop(next(iter(self._answers)))

    def _drop(self, key: Hashable) -> None:
        _, answer = self._answers.pop(key, (0.0, None))
        self._size -= self._size_of(answer) if answer is not None else 0


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

    def is_open(self, method: str = ALL) -> bool:
        """Whether no calls are made for now."""
        now = self._clock()
        return max(self._paused_until.get(key, now) for key in (method, ALL)) > now

    def failed(self, method: str, error: PenpotError) -> None:
        affects_all = isinstance(error, PenpotRefused)
        affects_all |= isinstance(error, PenpotBusy) and not error.maybe_request_specific
        method = ALL if affects_all else method
        now = self._clock()
        is_first = method not in self._paused_until
        until = max(now + self._pause(error), self._paused_until.pop(method, 0.0))
        self._paused_until[method] = until
        if len(self._paused_until) > _MAX_PAUSES:
            del self._paused_until[next(iter(self._paused_until))]
        if method == ALL:
            self._failing_since = now
        self._opened(method, error, is_first)

    def _pause(self, error: PenpotError) -> float:
        retry_after = error.retry_after if isinstance(error, PenpotBusy) else None
        if self._delay is not None:
            return max(self._delay, retry_after or 0.0)
        if isinstance(error, PenpotBusy):
            return retry_after or BUSY_DELAY
        return REFUSED_DELAY if isinstance(error, PenpotRefused) else UNEXPECTED_DELAY

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
