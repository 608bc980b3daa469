"""The login at the running service, by HTTP client and in a browser."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from argon2 import PasswordHasher

from relay.config.settings import Config
from relay.inspector.auth import COOKIE, SESSION_TTL, Sessions
from tests.inspector.conftest import STDOUT, Open, accessibility_problems, keep_picture, too_wide
from tests.service import SECRET, Service, running

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


def _token(text: str) -> str:
    (token,) = re.findall(r'name="token" value="([^"]+)"', text)
    return str(token)


def _log_in(client: httpx.Client, password: str, **fields: str) -> httpx.Response:
    token = _token(client.get("/inspector/login").text)
    data = {"token": token, "password": password} | fields
    return client.post("/inspector/login", data=data)


def test_a_login_sets_an_http_only_cookie(locked: Service) -> None:
    with httpx.Client(base_url=locked.admin) as client:
        answer = _log_in(client, PASSWORD, next="/inspector/events/7")
        assert (answer.status_code, answer.headers["location"]) == (303, "/inspector/events/7")
        cookie = next(
            value for value in answer.headers.get_list("set-cookie") if value.startswith(COOKIE)
        )
        assert {"HttpOnly", "SameSite=strict", "Path=/inspector", f"Max-Age={SESSION_TTL}"} <= set(
            cookie.split("; ")
        )
        assert "Secure" not in cookie
        assert client.get("/inspector").status_code == 200


def test_an_https_login_sets_a_secure_cookie(locked: Service) -> None:
    with httpx.Client(base_url=locked.admin, headers={"x-forwarded-proto": "https"}) as client:
        page = client.get("/inspector/login")
        form_id = page.cookies["relay_login"]
        assert "Secure" in page.headers["set-cookie"]
        client.cookies.clear()  # the client would not send it back by http
        answer = client.post(
            "/inspector/login",
            data={"token": _token(page.text), "password": PASSWORD},
            headers={"cookie": f"relay_login={form_id}"},
        )
        assert answer.status_code == 303
        assert "Secure" in answer.headers.get_list("set-cookie")[0]


def test_a_login_redirects_only_within_the_inspector(locked: Service) -> None:
    urls = "https://evil.example/", "//evil.example", "/\\evil.example", "/hooks/x", "//["
    for url in urls:
        with httpx.Client(base_url=locked.admin) as client:
            assert _log_in(client, PASSWORD, next=url).headers["location"] == "/inspector"


def test_a_login_without_its_forms_token_is_refused(locked: Service) -> None:
    with httpx.Client(base_url=locked.admin) as client:
        answer = client.post("/inspector/login", data={"password": PASSWORD})
        assert answer.status_code == 403
        client.get("/inspector/login")
        answer = client.post("/inspector/login", data={"password": PASSWORD, "token": "guessed"})
        assert answer.status_code == 403
        assert COOKIE not in client.cookies


def test_wrong_passwords_are_throttled_and_logged(locked: Service) -> None:
    with httpx.Client(base_url=locked.admin) as client:
        answers = [_log_in(client, f"wrong {number}") for number in range(4)]
        assert [answer.status_code for answer in answers] == [403, 403, 403, 429]
        assert int(answers[-1].headers["retry-after"]) == 1
        assert _log_in(client, PASSWORD).status_code == 429
        time.sleep(1.1)
        assert _log_in(client, PASSWORD).status_code == 303
    log = locked.log.read_text()
    assert "wrong password from 127.0.0.1" in log
    assert "wrong 0" not in log
    assert PASSWORD not in log


def test_a_throttled_client_behind_a_proxy_does_not_affect_others(locked: Service) -> None:
    with httpx.Client(
        base_url=locked.admin, headers={"x-forwarded-for": "203.0.113.9"}
    ) as attacker:
        answers = [_log_in(attacker, f"wrong {number}").status_code for number in range(5)]
        assert answers[-1] == 429
        assert _log_in(attacker, PASSWORD).status_code == 429
    headers = {"x-forwarded-for": "203.0.113.9, 198.51.100.7"}
    with httpx.Client(base_url=locked.admin, headers=headers) as client:
        assert _log_in(client, PASSWORD).status_code == 303
    assert "wrong password from 203.0.113.9" in locked.log.read_text()


def test_a_password_opens_only_its_own_team(locked: Service) -> None:
    with httpx.Client(base_url=locked.admin) as client:
        for team, password in (("", OTHER), ("acme", PASSWORD), ("other", PASSWORD)):
            assert _log_in(client, password, team=team).status_code == 403
            time.sleep(0.3)
    with httpx.Client(base_url=locked.admin) as client:
        time.sleep(1)
        assert _log_in(client, OTHER, team="other").status_code == 303
        assert '<span class="muted">other</span>' in client.get("/inspector").text


def test_logging_out_deletes_the_cookie(locked: Service) -> None:
    with httpx.Client(base_url=locked.admin) as client:
        _log_in(client, PASSWORD)
        home = client.get("/inspector")
        assert client.post("/inspector/logout").status_code == 403
        answer = client.post("/inspector/logout", data={"token": _token(home.text)})
        assert answer.headers["location"] == "/inspector/login"
        assert client.get("/inspector").status_code == 303


def test_a_password_may_be_plain_text(tmp_path: Path) -> None:
    with (
        running(tmp_path, STDOUT, extra=f'[inspector]\npassword = "{PASSWORD}"') as service,
        httpx.Client(base_url=service.admin) as client,
    ):
        assert _log_in(client, f"{PASSWORD}!").status_code == 403
        assert _log_in(client, PASSWORD).status_code == 303


def _config(password: str) -> Config:
    return Config.model_validate(
        {
            "inspector": {"password": password},
            "teams": {"acme": {"secret": SECRET, "inspector_password": OTHER}},
        }
    )


def test_a_session_ends_after_its_ttl_and_with_its_password() -> None:
    sessions = Sessions(_config(PASSWORD))
    cookie = sessions.begin("", 1000.0)
    assert sessions.viewer(cookie, 1000.0 + SESSION_TTL - 1) is not None
    assert sessions.viewer(cookie, 1000.0 + SESSION_TTL) is None
    assert Sessions(_config(PASSWORD)).viewer(cookie, 1000.0) is not None  # another replica
    assert Sessions(_config(f"{PASSWORD}!")).viewer(cookie, 1000.0) is None


def test_a_forged_cookie_is_refused() -> None:
    sessions = Sessions(_config(PASSWORD))
    cookie = sessions.begin("acme", 1000.0)
    viewer = sessions.viewer(cookie, 1000.0)
    assert viewer is not None
    assert viewer.team == "acme"
    for forged in (
        "",
        "~~~",
        "é~1~2~3",
        cookie.removeprefix("acme"),
        cookie.replace("acme", "nobody"),
        cookie[:-1],
        cookie + "0",
    ):
        assert sessions.viewer(forged, 1000.0) is None


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
