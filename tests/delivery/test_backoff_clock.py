"""Retry delays and the age of messages when the wall clock is set back and forward."""

from dataclasses import dataclass

import pytest

from relay.delivery import backoff as clock_module
from relay.delivery.backoff import MAX_RETRY_DELAY, SETTLE_SECONDS, Clock, RetryTimers
from relay.store.base import Delivery

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
    timers = RetryTimers()
    next_at = clocks.wall + 20
    timers.start("a", 7, next_at, 20.0)
    clocks.wall += jump
    assert timers.remaining("a", delivery(next_at)) == 20.0
    clocks.advance(15)
    assert timers.remaining("a", delivery(next_at)) == 5.0
    clocks.advance(5)
    assert timers.remaining("a", delivery(next_at)) <= 0


def test_a_stored_retry_time_delays_a_queue_by_the_maximum_at_most(
    clocks: Clocks,
) -> None:
    timers, waiting = RetryTimers(), delivery(clocks.wall + 20)
    assert timers.remaining("a", waiting) == 20.0
    late = delivery(clocks.wall + DAY)
    assert timers.remaining("a", late) == MAX_RETRY_DELAY
    clocks.advance(MAX_RETRY_DELAY - 1)
    assert timers.remaining("a", late) == 1.0
    clocks.advance(1)
    assert timers.remaining("a", late) <= 0


def test_a_resent_delivery_does_not_wait(clocks: Clocks) -> None:
    timers = RetryTimers()
    timers.start("a", 7, clocks.wall + DAY, DAY)
    assert timers.remaining("a", delivery(0.0)) <= 0


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
