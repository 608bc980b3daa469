"""The clock on the wall set back and forward, under waits and ages."""

from dataclasses import dataclass

import pytest

from relay.delivery import clock as clock_module
from relay.delivery.clock import DOUBT, Clock, RetryTimers
from relay.delivery.retry import LONGEST
from relay.store.base import Delivery

DAY = 24 * 3600.0


@dataclass
class Clocks:
    """Both clocks of a machine."""

    wall: float = 1_800_000_000.0
    other: float = 5000.0

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.other

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.other += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    clocks = Clocks()
    monkeypatch.setattr(clock_module, "time", clocks)
    return clocks


def delivery(next_at: float) -> Delivery:
    return Delivery(7, 1, "a", "key", "{}", "waiting", 1, next_at, "busy", "", 0.0)


@pytest.mark.parametrize("jump", [-DAY, 0.0, DAY])
def test_a_wait_is_as_long_as_it_was_meant_to_be_however_the_clock_is_set(
    clocks: Clocks, jump: float
) -> None:
    waits = RetryTimers()
    next_at = clocks.wall + 20
    waits.begin("a", 7, next_at, 20.0)
    clocks.wall += jump
    assert waits.left("a", delivery(next_at)) == 20.0
    clocks.pass_by(15)
    assert waits.left("a", delivery(next_at)) == 5.0
    clocks.pass_by(5)
    assert waits.left("a", delivery(next_at)) <= 0


def test_what_another_process_wrote_holds_a_queue_up_for_minutes_at_the_most(
    clocks: Clocks,
) -> None:
    waits, waiting = RetryTimers(), delivery(clocks.wall + 20)
    assert waits.left("a", waiting) == 20.0
    late = delivery(clocks.wall + DAY)
    assert waits.left("a", late) == LONGEST
    clocks.pass_by(LONGEST - 1)
    assert waits.left("a", late) == 1.0
    clocks.pass_by(1)
    assert waits.left("a", late) <= 0


def test_what_is_put_back_by_hand_does_not_wait(clocks: Clocks) -> None:
    waits = RetryTimers()
    waits.begin("a", 7, clocks.wall + DAY, DAY)
    assert waits.left("a", delivery(0.0)) <= 0


@pytest.mark.parametrize("jump", [-DAY, DAY])
def test_a_clock_that_was_set_is_believed_after_a_while(clocks: Clocks, jump: float) -> None:
    clock = Clock()
    clocks.pass_by(DOUBT + 1)
    assert clock.is_sure()
    assert not clock.is_sure(100.0)
    clocks.pass_by(100.0)
    assert clock.is_sure(100.0)
    clocks.wall += jump
    assert not clock.is_sure()
    clocks.pass_by(DOUBT - 1)
    assert not clock.is_sure()
    clocks.wall -= jump
    clocks.pass_by(2)
    assert not clock.is_sure()
    clocks.pass_by(DOUBT + 1)
    assert clock.is_sure()


def test_a_clock_is_not_believed_soon_after_a_start_but_when_it_runs_a_little_fast(
    clocks: Clocks,
) -> None:
    clock = Clock()
    assert not clock.is_sure()
    clocks.pass_by(DOUBT + 1)
    for _ in range(100):
        clocks.pass_by(600)
        clocks.wall += 1
        assert clock.is_sure()
