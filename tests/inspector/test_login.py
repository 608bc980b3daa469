"""The login at the running service, by HTTP client and in a browser."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from relay.config.secret import Secret
from relay.inspector.auth import COOKIE, SESSION_TTL
from relay.inspector.login import (
    DEVICE_COOKIE,
    FREE_ATTEMPTS_COUNT,
    MAX_CLIENTS,
    MAX_DELAY,
    SHARED_BURST_LIMIT,
    SHARED_INTERVAL,
    LoginThrottle,
    matches,
    network,
)
from tests.inspector.conftest import (
    STDOUT,
    Open,
    accessibility_problems,
    client_of,
    form_token,
    keep_picture,
    log_in,
    too_wide,
)
from tests.service import Service, running

PASSWORD, OTHER = "correct horse battery", "of the other team alone"
HASH = PasswordHasher(time_cost=1, memory_cost=1024).hash(PASSWORD)
TEAMS = f"""{STDOUT}
[teams.other]
secret = "another-secret-of-24-chars"
inspector_password = "{OTHER}"
"""


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Service]:
    """The service with a password for all teams and one for one team."""
    extra = f"[inspector]\npassword = '{HASH}'"
    with running(tmp_path, TEAMS, extra=extra) as started:
        yield started


def test_a_login_sets_an_http_only_cookie(locked: Service) -> None:
    with client_of(locked) as client:
        answer = log_in(client, PASSWORD, next="/inspector/events/7")
        assert (answer.status_code, answer.headers["location"]) == (303, "/inspector/events/7")
        cookie = next(
            value for value in answer.headers.get_list("set-cookie") if value.startswith(COOKIE)
        )
        assert {"HttpOnly", "SameSite=strict", "Path=/inspector", f"Max-Age={SESSION_TTL}"} <= set(
            cookie.split("; ")
        )
        assert "Secure" not in cookie
        assert client.get("/inspector").status_code == 200


@pytest.mark.parametrize("name", ["x-forwarded-proto", "origin"])
def test_an_https_login_sets_secure_cookies(locked: Service, name: str) -> None:
    host = f"127.0.0.1:{locked.admin_port}"
    headers = {name: "https" if name == "x-forwarded-proto" else f"https://{host}"}
    with client_of(locked, **headers) as client:
        page = client.get("/inspector/login")
        form_id = page.cookies["relay_login"]
        client.cookies.clear()  # the client would not send it back by http
        answer = client.post(
            "/inspector/login",
            data={"token": form_token(page.text), "password": PASSWORD},
            headers={"cookie": f"relay_login={form_id}"},
        )
        assert answer.status_code == 303
        cookies = answer.headers.get_list("set-cookie")
        assert len(cookies) == 3
        assert all("Secure" in cookie for cookie in cookies)


def test_a_login_redirects_only_within_the_inspector(locked: Service) -> None:
    urls = "https://evil.example/", "//evil.example", "/\\evil.example", "/hooks/x", "//["
    for url in urls:
        with client_of(locked) as client:
            assert log_in(client, PASSWORD, next=url).headers["location"] == "/inspector"


def test_a_login_without_its_forms_token_is_refused(locked: Service) -> None:
    with client_of(locked) as client:
        answer = client.post("/inspector/login", data={"password": PASSWORD})
        assert answer.status_code == 403
        client.get("/inspector/login")
        answer = client.post("/inspector/login", data={"password": PASSWORD, "token": "guessed"})
        assert answer.status_code == 403
        assert COOKIE not in client.cookies


def test_wrong_passwords_are_throttled_and_logged(locked: Service) -> None:
    with client_of(locked) as client:
        answers = [log_in(client, f"wrong {number}") for number in range(4)]
        assert [answer.status_code for answer in answers] == [403, 403, 403, 429]
        assert int(answers[-1].headers["retry-after"]) == 1
        assert log_in(client, PASSWORD).status_code == 429
        time.sleep(1.1)
        assert log_in(client, PASSWORD).status_code == 303
    log = locked.log.read_text()
    assert "wrong password from 127.0.0.1" in log
    assert "wrong 0" not in log
    assert PASSWORD not in log


def test_a_password_opens_only_its_own_team(locked: Service) -> None:
    for team, password in (("", OTHER), ("acme", PASSWORD), ("other", PASSWORD)):
        with client_of(locked) as client:
            assert log_in(client, password, team=team).status_code == 403
    with client_of(locked, **{"x-forwarded-for": "198.51.100.7"}) as client:
        assert log_in(client, OTHER, team="other").status_code == 303
        assert '<span class="muted">other</span>' in client.get("/inspector").text


def test_logging_out_deletes_the_cookie(locked: Service) -> None:
    with client_of(locked) as client:
        log_in(client, PASSWORD)
        home = client.get("/inspector")
        assert client.post("/inspector/logout").status_code == 403
        answer = client.post("/inspector/logout", data={"token": form_token(home.text)})
        assert answer.headers["location"] == "/inspector/login"
        assert client.get("/inspector").status_code == 303


def test_a_password_may_be_plain_text(tmp_path: Path) -> None:
    with (
        running(tmp_path, STDOUT, extra=f'[inspector]\npassword = "{PASSWORD}"') as service,
        client_of(service) as client,
    ):
        assert log_in(client, f"{PASSWORD}!").status_code == 403
        assert log_in(client, PASSWORD).status_code == 303


def test_login_and_logout_by_keyboard(locked: Service, open_page: Open) -> None:
    page = open_page(f"{locked.admin}/inspector", expect=("403",))
    assert page.url.startswith(f"{locked.admin}/inspector/login")
    assert not accessibility_problems(page)
    keep_picture(page, "login")
    page.get_by_label("Password").focus()
    page.keyboard.type("not the password")
    page.keyboard.press("Enter")
    assert page.get_by_role("alert").inner_text() == "Wrong password."
    assert not accessibility_problems(page)
    page.get_by_label("Password").focus()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{locked.admin}/inspector")
    assert page.evaluate("document.cookie") == ""
    page.set_viewport_size({"width": 360, "height": 640})
    assert not too_wide(page)
    page.get_by_role("button", name="Log out").press("Enter")
    page.wait_for_url("**/inspector/login")


# Who is throttled


def _attack(service: Service, address: str, count: int = 8) -> None:
    """Wrong passwords until the client has to wait."""
    with client_of(service, **{"x-forwarded-for": address}) as attacker:
        answers = [log_in(attacker, f"wrong {number}").status_code for number in range(count)]
        assert answers[-1] == 429
        assert log_in(attacker, PASSWORD).status_code == 429


def test_a_throttled_client_behind_a_proxy_does_not_affect_others(locked: Service) -> None:
    _attack(locked, "203.0.113.9")
    for address in ("198.51.100.7", "203.0.113.9, 198.51.100.7"):
        with client_of(locked, **{"x-forwarded-for": address}) as client:
            assert log_in(client, PASSWORD).status_code == 303
    assert "wrong password from 203.0.113.9" in locked.log.read_text()


def test_an_unknown_proxy_can_not_name_clients(tmp_path: Path) -> None:
    extra = f"[inspector]\npassword = '{HASH}'\n[proxies]\ntrusted = ['10.0.0.0/8']"
    with running(tmp_path, STDOUT, extra=extra) as service:
        for number in range(FREE_ATTEMPTS_COUNT):
            with client_of(service, **{"x-forwarded-for": f"203.0.113.{number}"}) as client:
                assert log_in(client, "wrong").status_code == 403
        with client_of(service, **{"x-forwarded-for": "203.0.113.99"}) as client:
            assert log_in(client, PASSWORD).status_code == 429


def test_a_known_browser_logs_in_from_an_address_that_is_throttled(locked: Service) -> None:
    address = {"x-forwarded-for": "203.0.113.9"}
    with client_of(locked, **address) as known, client_of(locked, **address) as stranger:
        assert log_in(known, PASSWORD).status_code == 303
        _attack(locked, "203.0.113.9")
        assert log_in(stranger, PASSWORD).status_code == 429
        known.cookies.delete(COOKIE)  # the session has ended
        assert log_in(known, PASSWORD).status_code == 303


def test_a_known_browser_logs_in_while_many_addresses_guess(locked: Service) -> None:
    with client_of(locked) as known:
        assert log_in(known, PASSWORD).status_code == 303
        statuses = []
        for number in range(SHARED_BURST_LIMIT + 20):
            with client_of(locked, **{"x-forwarded-for": f"203.0.113.{number}"}) as attacker:
                statuses.append(log_in(attacker, "wrong").status_code)
        assert statuses.count(429) > 10
        known.cookies.delete(COOKIE)
        assert log_in(known, PASSWORD).status_code == 303


def test_a_stolen_device_cookie_gives_one_more_counter_and_a_forged_one_none(
    locked: Service,
) -> None:
    with client_of(locked) as known:
        assert log_in(known, PASSWORD).status_code == 303
        device = known.cookies[DEVICE_COOKIE]
        known.cookies.delete(COOKIE)
        assert known.get("/inspector").status_code == 303  # it opens no page
    accepted = []
    for cookie in (device, f"{device}0"):
        statuses = []
        for number in range(12):
            with client_of(locked, **{"x-forwarded-for": f"203.0.113.{number}"}) as thief:
                thief.cookies.set(DEVICE_COOKIE, cookie, path="/inspector")
                statuses.append(log_in(thief, "wrong").status_code)
        accepted.append(statuses.count(403))
    # A ninth attempt would need more than 30 s.
    assert FREE_ATTEMPTS_COUNT <= accepted[0] < 9
    assert accepted[1] == 12  # counted by address


# What a refusal reveals


def test_a_team_without_a_login_is_answered_as_one_that_does_not_exist(locked: Service) -> None:
    answers = []
    for number, team in enumerate(("acme", "nobody")):
        with client_of(locked, **{"x-forwarded-for": f"203.0.113.{number}"}) as client:
            client.cookies.set("relay_login", "a-form-id", path="/inspector")
            for password in ("wrong", PASSWORD, OTHER):
                answer = log_in(client, password, team=team)
                text = answer.text.replace(team, "TEAM")
                headers = {**answer.headers, "date": "", "content-length": ""}
                answers.append((answer.status_code, text, headers))
    half = len(answers) // 2
    assert answers[:half] == answers[half:]
    assert [status for status, *_ in answers[:half]] == [403, 403, 403]


@pytest.mark.parametrize("expected", [None, "hash", "plain"])
@pytest.mark.parametrize("is_any_hashed", [True, False])
def test_each_account_takes_the_same_verification(
    monkeypatch: pytest.MonkeyPatch, expected: str | None, is_any_hashed: bool
) -> None:
    verified: list[str] = []
    compared: list[str] = []
    verify, compare = PasswordHasher.verify, Secret.matches

    def noting_verify(self: PasswordHasher, hashed: str, password: str) -> bool:
        verified.append(hashed)
        return verify(self, hashed, password)

    def noting_compare(self: Secret, other: str) -> bool:
        compared.append(other)
        return compare(self, other)

    monkeypatch.setattr(PasswordHasher, "verify", noting_verify)
    monkeypatch.setattr(Secret, "matches", noting_compare)
    secrets = {None: None, "hash": Secret(HASH), "plain": Secret(OTHER)}
    decoy = Secret(HASH) if is_any_hashed or expected == "hash" else None
    right = {"hash": PASSWORD, "plain": OTHER}.get(expected or "", "")
    assert matches(secrets[expected], decoy, "wrong") is False
    assert len(verified) == (decoy is not None)
    assert len(compared) == (expected != "hash")
    assert matches(secrets[expected], decoy, right) is (expected is not None)


def test_a_hash_opens_no_account_but_its_own() -> None:
    for expected in (None, Secret(OTHER)):
        assert not matches(expected, Secret(HASH), PASSWORD)


# The throttle


def test_first_attempts_are_free_then_each_waits_twice_as_long() -> None:
    throttle = LoginThrottle(SHARED_INTERVAL)
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
    throttle, now = LoginThrottle(SHARED_INTERVAL), 0.0
    for _ in range(30):
        now += throttle.begin("10.0.0.1", now)
        throttle.begin("10.0.0.1", now)
    assert throttle.begin("10.0.0.1", now) <= MAX_DELAY


def test_a_right_password_resets_the_count() -> None:
    throttle = LoginThrottle(SHARED_INTERVAL)
    for _ in range(FREE_ATTEMPTS_COUNT):
        throttle.begin("10.0.0.1", 0.0)
    throttle.succeeded("10.0.0.1")
    assert throttle.begin("10.0.0.1", 0.0) == 0.0


def test_a_right_password_of_one_account_does_not_reset_another() -> None:
    throttle = LoginThrottle(SHARED_INTERVAL)
    for _ in range(FREE_ATTEMPTS_COUNT - 1):
        throttle.begin("10.0.0.1", 0.0)
        assert throttle.begin("10.0.0.1", 0.0, "acme") == 0.0
        throttle.succeeded("10.0.0.1", "acme")
    assert throttle.begin("10.0.0.1", 0.0) == 0.0
    assert throttle.begin("10.0.0.1", 0.0) > 0


def test_all_clients_share_a_limit() -> None:
    throttle = LoginThrottle(SHARED_INTERVAL)
    free = [throttle.begin(f"10.0.{number}.1", 0.0) == 0.0 for number in range(100)]
    assert sum(free) == SHARED_BURST_LIMIT
    assert throttle.begin("10.9.9.9", 3600.0) == 0.0


def test_a_network_of_ipv6_is_one_client() -> None:
    assert network("2001:db8::1") == network("2001:db8::ffff:1") != network("2001:db8:0:1::1")
    assert network("10.0.0.1") != network("10.0.0.2")
    assert network("") == ""


def test_one_client_does_not_use_up_the_shared_limit_with_many_accounts() -> None:
    throttle = LoginThrottle(SHARED_INTERVAL)
    accepted = [throttle.begin("10.0.0.1", 0.0, f"team {n}") == 0.0 for n in range(100)]
    assert sum(accepted) == FREE_ATTEMPTS_COUNT
    assert throttle.begin("10.0.0.2", 0.0) == 0.0


def test_without_a_shared_limit_no_client_waits_for_another() -> None:
    throttle = LoginThrottle(0.0)
    assert not any(throttle.begin(f"device {number}", 0.0) for number in range(100))


def test_memory_is_bounded() -> None:
    throttle = LoginThrottle(SHARED_INTERVAL)
    for number in range(3 * MAX_CLIENTS):
        throttle.begin(f"client {number}", number * 10.0)
    assert len(throttle._clients) == MAX_CLIENTS
