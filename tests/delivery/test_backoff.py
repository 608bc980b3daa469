"""Retry delays and rate limits."""

from hypothesis import given
from hypothesis import strategies as st

from relay.delivery.backoff import BURST_SIZE, MAX_RETRY_DELAY, RateLimiter, retry_delay


@given(st.integers(1, 10_000))
def test_delays_double_up_to_the_maximum_with_a_random_upper_half(attempts: int) -> None:
    ceiling = min(MAX_RETRY_DELAY, 2.0 ** min(attempts - 1, 30))
    assert ceiling / 2 <= retry_delay(attempts) <= ceiling


@given(st.integers(1, 100), st.floats(0, 1e6))
def test_no_delay_is_shorter_than_requested(attempts: int, requested: float) -> None:
    assert retry_delay(attempts, requested) >= requested


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_queue_without_a_rate_limit_never_waits() -> None:
    limiter = RateLimiter(None)
    assert [limiter.take() for _ in range(100)] == [0.0] * 100


def test_a_burst_is_sent_at_once_and_the_rest_at_the_limit() -> None:
    clock = Clock()
    limiter = RateLimiter(60, clock)
    sent = []
    for _ in range(BURST_SIZE + 10):
        clock.now += limiter.take()
        sent.append(clock.now - 1000.0)
    assert sent == [0.0] * BURST_SIZE + [float(second) for second in range(1, 11)]


@given(st.lists(st.floats(0, 20), min_size=20, max_size=200))
def test_no_minute_has_more_messages_than_limit_and_burst(idle_times: list[float]) -> None:
    clock = Clock()
    limiter = RateLimiter(60, clock)
    sent = []
    for idle in idle_times:
        clock.now += idle
        clock.now += limiter.take()
        sent.append(clock.now)
    for start in sent:
        assert sum(start <= at < start + 60 for at in sent) <= 60 + BURST_SIZE
