"""Wrong passwords are slowed down."""

from relay.inspector.slowdown import CLIENTS, FREE, LONGEST, TOGETHER, LoginThrottle


def test_a_few_tries_are_free_then_each_takes_twice_as_long() -> None:
    slowdown = LoginThrottle()
    assert [slowdown.begin("10.0.0.1", 100.0) for _ in range(FREE)] == [0.0] * FREE
    now, waits = 100.0, []
    for _ in range(5):
        wait = slowdown.begin("10.0.0.1", now)
        waits.append(wait)
        now += wait
        assert slowdown.begin("10.0.0.1", now) == 0.0
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_nobody_waits_longer_than_five_minutes() -> None:
    slowdown, now = LoginThrottle(), 0.0
    for _ in range(30):
        now += slowdown.begin("10.0.0.1", now)
        slowdown.begin("10.0.0.1", now)
    assert slowdown.begin("10.0.0.1", now) <= LONGEST


def test_a_right_password_begins_anew() -> None:
    slowdown = LoginThrottle()
    for _ in range(FREE):
        slowdown.begin("10.0.0.1", 0.0)
    slowdown.right("10.0.0.1")
    assert slowdown.begin("10.0.0.1", 0.0) == 0.0


def test_who_has_one_password_tries_another_no_faster_by_it() -> None:
    slowdown = LoginThrottle()
    for _ in range(FREE):
        slowdown.begin("10.0.0.1", 0.0)
        assert slowdown.begin("10.0.0.1", 0.0, "acme") == 0.0
        slowdown.right("10.0.0.1", "acme")
    assert slowdown.begin("10.0.0.1", 0.0) > 0


def test_many_clients_share_what_there_is() -> None:
    slowdown = LoginThrottle()
    free = [slowdown.begin(f"10.0.{number}.1", 0.0) == 0.0 for number in range(100)]
    assert sum(free) == TOGETHER
    assert slowdown.begin("10.9.9.9", 3600.0) == 0.0


def test_a_network_of_ipv6_is_one_client() -> None:
    slowdown = LoginThrottle()
    for number in range(FREE):
        assert slowdown.begin(f"2001:db8::{number}", 0.0) == 0.0
    assert slowdown.begin("2001:db8::ffff:1", 0.0) > 0
    assert slowdown.begin("2001:db8:0:1::1", 0.0) == 0.0


def test_memory_is_bounded() -> None:
    slowdown = LoginThrottle()
    for number in range(3 * CLIENTS):
        slowdown.begin(f"client {number}", number * 10.0)
    assert len(slowdown._clients) == CLIENTS
