"""The admin listener under attack: other sites in a viewer's browser, Penpot, and strangers."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, Response, sync_playwright

from tests.faults.attacks import Penpot, Target, attacking, everything
from tests.inspector.conftest import QUIET, STDOUT, client_of, form_token, log_in
from tests.penpot.sender import Sender
from tests.servers.loopback import Answer, in_thread
from tests.service import SECRET, Service, running, wait_until

PASSWORD = "correct horse battery"
TEST = "/inspector/teams/acme/test"
TEST_MESSAGE = "will look like this"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser in which the name of the attacker's host leads to this machine."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is missing: on Debian, apt install chromium")
    rules = "--host-resolver-rules=MAP evil.example 127.0.0.1"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=[*QUIET, rules])
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Service]:
    """Without a login, on loopback."""
    with running(tmp_path, STDOUT) as service:
        yield service


def test_a_name_that_is_rebound_to_this_machine_reads_and_sends_nothing(
    local: Service, page: Page
) -> None:
    token = form_token(httpx.get(f"{local.admin}/inspector/teams").text)
    opened = page.goto(f"http://evil.example:{local.admin_port}/healthz")
    assert opened is not None
    assert opened.text() == "ok\n"  # so scripts of this origin may read what the listener answers
    read = "path => fetch(path).then(answer => answer.text())"
    assert page.evaluate(read, "/inspector") == "Not Found"
    sent = """([path, token]) => fetch(path, {
        method: "POST",
        headers: {"content-type": "application/x-www-form-urlencoded"},
        body: new URLSearchParams({token: token, channel: "log"}),
    }).then(answer => answer.status)"""
    assert page.evaluate(sent, [TEST, token]) == 404
    page.goto(f"{local.admin}/inspector")
    assert page.evaluate(sent, [TEST, token]) == 200  # of the inspector's own page
    assert local.output.read_text().count(TEST_MESSAGE) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "evil.example"])
@pytest.mark.parametrize("is_locked", [False, True])
def test_a_page_of_another_site_sends_no_form(
    tmp_path: Path, page: Page, host: str, is_locked: bool
) -> None:
    """Even with a right token, and in a browser that has logged in."""
    extra = f'[inspector]\npassword = "{PASSWORD}"' if is_locked else ""
    with running(tmp_path, STDOUT, extra=extra) as service:
        if is_locked:
            page.goto(f"{service.admin}/inspector")
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Log in").click()
            page.wait_for_url("**/inspector")
        page.goto(f"{service.admin}/inspector/teams/acme")
        form = (
            f'<form method="post" action="{service.admin}{TEST}">'
            f'<input name="token" value="{form_token(page.content())}">'
            '<input name="channel" value="log"><button>Win</button></form>'
        )
        answer = Answer(form.encode(), content_type="text/html")
        with in_thread(lambda _: answer) as site:
            page.goto(site.url.replace("127.0.0.1", host))
            with page.expect_navigation() as navigation:
                page.get_by_role("button").click()
            response: Response = navigation.value
        assert response.status == 404
        assert TEST_MESSAGE not in service.output.read_text()


def test_penpot_neither_saves_nor_calls_a_webhook_of_the_admin_listener(tmp_path: Path) -> None:
    extra = f'[inspector]\npassword = "{PASSWORD}"'
    with running(tmp_path, STDOUT, extra=extra) as service:
        penpot = Sender()
        for path in (f"/hooks/acme/{SECRET}", "/", "/metrics", "/inspector/login", TEST):
            assert penpot.check(service.admin + path).status == 405
            assert penpot.deliver(service.admin + path, b"{}").status == 404
        assert penpot.check(service.hook).status == 200
        assert "no events yet" in service.run("log").stdout


@pytest.mark.timeout(120)
def test_strangers_at_the_admin_listener_delay_no_post_and_no_viewer(
    local: Service, long: bool
) -> None:
    penpot = Penpot(local.hook)
    with (
        client_of(local) as viewer,
        viewer.stream("GET", "/inspector/live?after=0") as live,
        attacking(everything, Target(local.admin_port, f"/hooks/acme/{SECRET}")),
    ):
        lines = live.iter_lines()
        assert next(lines).startswith("retry")
        penpot.post_for(60 if long else 5)
        assert any(line.startswith("data:") for line in lines)  # the stream was not replaced
    assert set(penpot.statuses) == {204}, penpot
    assert max(penpot.seconds) < (1 if long else 4), penpot
    wait_until(lambda: httpx.get(f"{local.admin}/readyz").status_code == 200, 10)
    assert 'relay_connections_refused_total{listener="admin"' in (
        httpx.get(f"{local.admin}/metrics").text
    )


def test_wrong_passwords_of_one_client_behind_a_proxy_lock_out_nobody_else(tmp_path: Path) -> None:
    """Not even where the client may try every team."""
    teams = "".join(
        f'[teams.t{number}]\nsecret = "{SECRET}-{number}"\ninspector_password = "{PASSWORD}"\n'
        for number in range(30)
    )
    extra = f'[inspector]\npassword = "{PASSWORD}"\n{teams}'
    with running(tmp_path, STDOUT, extra=extra) as service:
        with client_of(service, **{"x-forwarded-for": "203.0.113.9"}) as attacker:
            statuses = [
                log_in(attacker, "wrong", team=f"t{number % 30}").status_code
                for number in range(60)
            ]
        assert statuses.count(403) < 9
        with client_of(service, **{"x-forwarded-for": "198.51.100.7"}) as client:
            assert log_in(client, PASSWORD, team="t1").status_code == 303
