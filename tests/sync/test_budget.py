"""The backoff of jobs."""

from relay.sync.budget import MAX_BACKOFF_DELAY, MIN_BACKOFF_DELAY, Backoff, jittered


def test_delays_double_up_to_the_maximum_with_little_jitter() -> None:
    backoff = Backoff()
    for number in range(20):
        delay = min(MIN_BACKOFF_DELAY * 2**number, MAX_BACKOFF_DELAY)
        backoff.failed(100.0)
        assert 0.9 * delay <= backoff.until - 100.0 <= 1.1 * delay
    backoff.reset()
    assert (backoff.failures, backoff.until) == (0, 0.0)


def test_the_delay_that_penpot_asked_for_is_kept() -> None:
    backoff = Backoff()
    backoff.failed(100.0, 7.0)
    assert backoff.until == 107.0


def test_jobs_of_many_teams_do_not_coincide() -> None:
    delays = {jittered(100.0) for _ in range(100)}
    assert len(delays) > 50
    assert 90.0 <= min(delays) <= max(delays) <= 110.0
