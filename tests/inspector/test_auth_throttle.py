"""Throttling of login attempts."""

from relay.inspector.auth import (
    FREE_ATTEMPTS_COUNT,
    MAX_CLIENTS,
    MAX_DELAY,
    SHARED_BURST_LIMIT,
    LoginThrottle,
)


def test_first_attempts_are_free_then_each_waits_twice_as_long() -> None:
    throttle = LoginThrottle()
    assert [throttle.begin("10.0.0.1", 100.0) for _ in range(FREE_ATTEMPTS_COUNT)] == [
        0.0
    ] * FREE_ATTEMPTS_COUNT
    now, waits = 100.0, []
    for _ in range(5):
        wait = throttle.begin("10.0.0.1", now)
        waits.append(wait)
        now += wait
        assert throttle.begin("10.0.0.1", now) == 0.0
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_nobody_waits_longer_than_five_minutes() -> None:
    throttle, now = LoginThrottle(), 0.0
    for _ in range(30):
        now += throttle.begin("10.0.0.1", now)
        throttle.begin("10.0.0.1", now)
    assert throttle.begin("10.0.0.1", now) <= MAX_DELAY


def test_a_right_password_resets_the_count() -> None:
    throttle = LoginThrottle()
    for _ in range(FREE_ATTEMPTS_COUNT):
        throttle.begin("10.0.0.1", 0.0)
    throttle.succeeded("10.0.0.1")
    assert throttle.begin("10.0.0.1", 0.0) == 0.0


def test_a_right_password_of_one_account_does_not_reset_another() -> None:
    throttle = LoginThrottle()
    for _ in range(FREE_ATTEMPTS_COUNT):
        throttle.begin("10.0.0.1", 0.0)
        assert throttle.begin("10.0.0.1", 0.0, "acme") == 0.0
        throttle.succeeded("10.0.0.1", "acme")
    assert throttle.begin("10.0.0.1", 0.0) > 0


def test_all_clients_share_a_limit() -> None:
    throttle = LoginThrottle()
    free = [throttle.begin(f"10.0.{number}.1", 0.0) == 0.0 for number in range(100)]
    assert sum(free) == SHARED_BURST_LIMIT
    assert throttle.begin("10.9.9.9", 3600.0) == 0.0


def test_a_network_of_ipv6_is_one_client() -> None:
    throttle = LoginThrottle()
    for number in range(FREE_ATTEMPTS_COUNT):
        assert throttle.begin(f"2001:db8::{number}", 0.0) == 0.0
    assert throttle.begin("2001:db8::ffff:1", 0.0) > 0
    assert throttle.begin("2001:db8:0:1::1", 0.0) == 0.0


def test_memory_is_bounded() -> None:
    throttle = LoginThrottle()
    for number in range(3 * MAX_CLIENTS):
        throttle.begin(f"client {number}", number * 10.0)
    assert len(throttle._clients) == MAX_CLIENTS
