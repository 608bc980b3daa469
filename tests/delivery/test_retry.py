"""When a failed delivery is tried again, and how fast a queue may go."""

from hypothesis import given
from hypothesis import strategies as st

from relay.delivery.pace import BURST, RateLimiter
from relay.delivery.retry import LONGEST, delay


@given(st.integers(1, 10_000))
def test_waits_double_up_to_the_longest_and_vary_in_their_upper_half(attempts: int) -> None:
    ceiling = min(LONGEST, 2.0 ** min(attempts - 1, 30))
    assert ceiling / 2 <= delay(attempts) <= ceiling


@given(st.integers(1, 100), st.floats(0, 1e6))
def test_no_wait_is_shorter_than_what_the_server_asked_for(attempts: int, asked: float) -> None:
    assert delay(attempts, asked) >= asked


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_queue_without_a_pace_never_waits() -> None:
    pace = RateLimiter(None)
    assert [pace.take() for _ in range(100)] == [0.0] * 100


def test_a_few_messages_go_at_once_and_the_rest_one_by_one() -> None:
    clock = Clock()
    pace = RateLimiter(60, clock)
    sent = []
    for _ in range(BURST + 10):
        clock.now += pace.take()
        sent.append(clock.now - 1000.0)
    assert sent == [0.0] * BURST + [float(second) for second in range(1, 11)]


@given(st.lists(st.floats(0, 20), min_size=20, max_size=200))
def test_no_minute_has_more_messages_than_pace_and_burst(pauses: list[float]) -> None:
    clock = Clock()
    pace = RateLimiter(60, clock)
    sent = []
    for between in pauses:
        clock.now += between
        clock.now += pace.take()
        sent.append(clock.now)
    for start in sent:
        assert sum(start <= at < start + 60 for at in sent) <= 60 + BURST
