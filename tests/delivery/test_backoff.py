"""Retry delays and rate limits."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.channels.base import RetryLater
from relay.delivery import backoff as clock_module
from relay.delivery.backoff import (
    BURST_SIZE,
    MAX_RETRY_DELAY,
    SETTLE_SECONDS,
    Clock,
    FailureCounter,
    RateLimiter,
    RetryTimer,
    retry_delay,
)
from relay.store.records import Delivery


@given(st.integers(1, 10_000))
def test_delays_double_up_to_the_maximum_with_a_random_upper_half(attempts: int) -> None:
    ceiling = min(MAX_RETRY_DELAY, 2.0 ** min(attempts - 1, 30))
    assert ceiling / 2 <= retry_delay(attempts) <= ceiling


def test_the_own_delay_ends_at_a_minute() -> None:
    assert MAX_RETRY_DELAY == 60
    assert 30 <= retry_delay(1000) <= 60


@given(st.integers(1, 100), st.floats(0, 1e6))
def test_a_requested_delay_is_used_as_it_is(failures: int, requested: float) -> None:
    assert retry_delay(failures, requested) == min(max(requested, 1.0), 86400.0)


def failing(attempts: int, id_: int = 7) -> Delivery:
    return Delivery(id_, 1, "a", "key", "{}", "waiting", attempts, 0.0, "", "", 0.0)


AWAY = RetryLater("connect", answered=False)
BUSY = RetryLater("503")


def test_the_backoff_restarts_after_a_sent_message() -> None:
    counter = FailureCounter()
    assert [counter.failed(failing(number), BUSY) for number in range(6)] == [1, 2, 3, 4, 5, 6]
    assert counter.failed(failing(0, 8), BUSY) == 7  # the one before is dead
    counter.succeeded()
    assert counter.failed(failing(0, 9), BUSY) == 1


def test_the_backoff_restarts_once_when_a_server_is_reached_again() -> None:
    counter = FailureCounter()
    errors = [AWAY, AWAY, AWAY, BUSY, BUSY, AWAY, BUSY, BUSY]
    counts = [counter.failed(failing(number), error) for number, error in enumerate(errors)]
    assert counts == [1, 2, 3, 1, 2, 3, 4, 5]
    counter.succeeded()
    assert [counter.failed(failing(0), error) for error in (AWAY, AWAY, BUSY)] == [1, 2, 1]


def test_the_backoff_continues_after_a_restart_and_a_lost_lease() -> None:
    counter = FailureCounter()
    assert counter.failed(failing(4), BUSY) == 5
    counter.forget()
    assert counter.failed(failing(8), BUSY) == 9


class HandClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_queue_without_a_rate_limit_never_waits() -> None:
    limiter = RateLimiter(None)
    assert [limiter.take() for _ in range(100)] == [0.0] * 100


def test_a_burst_is_sent_at_once_and_the_rest_at_the_limit() -> None:
    clock = HandClock()
    limiter = RateLimiter(60, clock)
    sent = []
    for _ in range(BURST_SIZE + 10):
        clock.now += limiter.take()
        sent.append(clock.now - 1000.0)
    assert sent == [0.0] * BURST_SIZE + [float(second) for second in range(1, 11)]


@given(st.lists(st.floats(0, 20), min_size=20, max_size=200))
def test_no_minute_has_more_messages_than_limit_and_burst(idle_times: list[float]) -> None:
    clock = HandClock()
    limiter = RateLimiter(60, clock)
    sent = []
    for idle in idle_times:
        clock.now += idle
        clock.now += limiter.take()
        sent.append(clock.now)
    for start in sent:
        assert sum(start <= at < start + 60 for at in sent) <= 60 + BURST_SIZE


# Clocks that are set


DAY = 24 * 3600.0


@dataclass
class Clocks:
    """Both clocks of a machine."""

    wall: float = 1_800_000_000.0
    steady: float = 5000.0

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    clocks = Clocks()
    monkeypatch.setattr(clock_module, "time", clocks)
    return clocks


def delivery(next_at: float) -> Delivery:
    return Delivery(7, 1, "a", "key", "{}", "waiting", 1, next_at, "busy", "", 0.0)


@pytest.mark.parametrize("jump", [-DAY, 0.0, DAY])
def test_a_retry_delay_does_not_change_when_the_clock_is_set(clocks: Clocks, jump: float) -> None:
    timer = RetryTimer()
    next_at = clocks.wall + 20
    timer.start(7, next_at, 20.0)
    clocks.wall += jump
    assert timer.remaining(delivery(next_at)) == 20.0
    clocks.advance(15)
    assert timer.remaining(delivery(next_at)) == 5.0
    clocks.advance(5)
    assert timer.remaining(delivery(next_at)) <= 0


@pytest.mark.parametrize("asked", [20.0, DAY])
def test_another_process_continues_a_retry_delay(clocks: Clocks, asked: float) -> None:
    """It waits no longer than the delay was, though the clock was set back."""
    failed_at = clocks.wall
    waiting = delivery(failed_at + asked)
    clocks.advance(5)
    timer = RetryTimer()
    assert not timer.is_restored(waiting)
    timer.restore(waiting, failed_at)
    assert timer.is_restored(waiting)
    assert timer.remaining(waiting) == asked - 5
    clocks.wall -= 30 * DAY
    timer = RetryTimer()
    timer.restore(waiting, failed_at)
    assert timer.remaining(waiting) == asked


def test_a_retry_delay_of_unknown_length_is_short(clocks: Clocks) -> None:
    timer, late = RetryTimer(), delivery(clocks.wall + DAY)
    timer.restore(late, None)
    assert timer.remaining(late) == MAX_RETRY_DELAY


def test_a_resent_delivery_does_not_wait(clocks: Clocks) -> None:
    timer = RetryTimer()
    timer.start(7, clocks.wall + DAY, DAY)
    assert timer.remaining(delivery(0.0)) <= 0


@pytest.mark.parametrize("jump", [-DAY, DAY])
def test_a_changed_clock_is_trusted_again_after_a_while(clocks: Clocks, jump: float) -> None:
    clock = Clock()
    clocks.advance(SETTLE_SECONDS + 1)
    assert clock.is_trusted()
    assert not clock.is_trusted(100.0)
    clocks.advance(100.0)
    assert clock.is_trusted(100.0)
    clocks.wall += jump
    assert not clock.is_trusted()
    clocks.advance(SETTLE_SECONDS - 1)
    assert not clock.is_trusted()
    clocks.wall -= jump
    clocks.advance(2)
    assert not clock.is_trusted()
    clocks.advance(SETTLE_SECONDS + 1)
    assert clock.is_trusted()


def test_a_clock_is_not_trusted_after_a_start_but_when_it_runs_slightly_fast(
    clocks: Clocks,
) -> None:
    clock = Clock()
    assert not clock.is_trusted()
    clocks.advance(SETTLE_SECONDS + 1)
    for _ in range(100):
        clocks.advance(600)
        clocks.wall += 1
        assert clock.is_trusted()
