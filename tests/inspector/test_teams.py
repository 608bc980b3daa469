"""The teams pages, in a browser and by HTTP client."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from relay.penpot.samples import sample
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
from tests.servers.channels import slack_channel
from tests.servers.fixtures import RunningSlack
from tests.service import SECRET, Service, running, wait_until

OTHER = "of the other team alone"
TEAM = '[teams.other]\nsecret = "another-secret-of-24-chars"\n'


@pytest.fixture
def two_teams(tmp_path: Path, slack_server: RunningSlack) -> Iterator[Service]:
    """Two teams: the first has a working channel and one that its bot was removed from."""
    design = slack_channel(slack_server.api_url, "design")
    place = {"channel": "C0GONE000", "events": ["files", "!delete-*"]}
    gone = slack_channel(slack_server.api_url, "gone", **place)
    with running(tmp_path, STDOUT + design + gone + TEAM) as started:
        yield started


def _post(client: httpx.Client, path: str, **fields: str) -> httpx.Response:
    token = form_token(client.get("/inspector/teams").text)
    return client.post(f"/inspector/teams/{path}", data={"token": token} | fields)


def test_each_channel_shows_its_state(
    two_teams: Service, slack_server: RunningSlack, open_page: Open
) -> None:
    assert two_teams.post(sample("create-file")) == 204
    wait_until(lambda: "channel_not_found" in two_teams.log.read_text(), 30)
    page = open_page(f"{two_teams.admin}/inspector/teams")

    design = page.locator("#channel-design")
    assert design.locator(".mark").inner_text() == "ready"
    assert "60 a minute at most" in design.inner_text()
    assert "the default events" in design.inner_text()
    assert design.locator("time").count() == 1
    gone = page.locator("#channel-gone")
    assert gone.locator(".mark").inner_text() == "stopped"
    assert "channel_not_found" in gone.locator(".notice.bad").inner_text()
    assert "files, !delete-*" in gone.inner_text()
    assert "This team has no channels" in page.locator("#team-other").locator("../..").inner_text()

    assert accessibility_problems(page) == []
    page.set_viewport_size({"width": 360, "height": 800})
    assert not too_wide(page)
    keep_picture(page, "teams-phone")
    page.set_viewport_size({"width": 1200, "height": 800})
    keep_picture(page, "teams")


def test_a_test_message_is_sent_by_keyboard(
    two_teams: Service, slack_server: RunningSlack, open_page: Open
) -> None:
    page = open_page(f"{two_teams.admin}/inspector/teams/acme")
    page.get_by_role("button", name="Send test design").focus()
    page.keyboard.press("Enter")
    page.locator("#channel-design .notice.good").wait_for()
    expect(page.get_by_role("button", name="Send test design")).to_be_focused()
    page.get_by_role("button", name="Send test gone").click()
    refused = page.locator("#channel-gone .notice.bad")
    refused.wait_for()
    assert "channel_not_found" in refused.inner_text()
    (message,) = slack_server.slack.messages
    assert message["text"] == "A test from Relay for the team acme"
    facts = page.locator("#channel-design .facts").inner_text()
    assert "nothing yet; test messages do not count" in facts


def test_doctor_findings_are_shown_with_the_channels(two_teams: Service, open_page: Open) -> None:
    page = open_page(f"{two_teams.admin}/inspector/teams/acme", color_scheme="dark")
    page.get_by_role("button", name="Run doctor").click()
    page.locator(".findings li").first.wait_for()
    text = page.locator(".findings").inner_text()
    assert "acme/log Messages are printed to standard output." in text
    assert re.search(r"FAIL acme/gone .*C0GONE000", text)
    assert accessibility_problems(page) == []
    keep_picture(page, "doctor-dark")


def test_dead_letters_are_red_until_they_are_dismissed(
    two_teams: Service, slack_server: RunningSlack, open_page: Open
) -> None:
    slack_server.slack.next.extend(["msg_too_long", "msg_too_long"])
    assert two_teams.post(sample("delete-file")) == 204  # the other channel excludes it
    wait_until(lambda: "msg_too_long" in two_teams.run("log", "--state", "dead").stdout, 30)
    page = open_page(f"{two_teams.admin}/inspector/teams/acme")
    design = page.locator("#channel-design")
    assert design.locator(".mark").inner_text() == "dead"
    assert "a message is dead: msg_too_long" in design.locator(".notice.bad").inner_text()
    assert accessibility_problems(page) == []
    keep_picture(page, "teams-dead")

    page.get_by_role("button", name="Dismiss design").click()
    design.locator(".notice.good").wait_for()
    assert design.locator(".notice.good").inner_text() == "1 message dismissed"
    assert design.locator(".mark").inner_text() == "ready"
    assert design.locator(".notice.bad").count() == 0
    assert "msg_too_long" in two_teams.run("log", "--state", "dead").stdout

    with client_of(two_teams) as client:  # without scripts
        text = _post(client, "acme/resend", channel="design").text
        assert re.search(r'name="confirmed" value="1">\s*<button[^>]* autofocus>Send again', text)
    # dismissed ones are dead, and can be sent again: the page shows it without a reload
    page.get_by_role("button", name="Resend 1 dead message design").press("Enter")
    again = page.get_by_role("button", name="Send again design")
    expect(again).to_be_focused()
    assert design.get_by_text("Send 1 dead message of design again?").is_visible()
    assert accessibility_problems(page) == []
    keep_picture(page, "teams-resend")
    page.set_viewport_size({"width": 360, "height": 800})
    assert not too_wide(page)
    keep_picture(page, "teams-resend-phone")
    assert slack_server.slack.messages == []
    page.keyboard.press("Enter")
    expect(design.locator(".notice.good")).to_have_text("1 message queued again")
    expect(design.locator(".mark")).to_have_text("ready", timeout=20_000)
    expect(page.get_by_role("button", name="Resend")).to_have_count(0)
    expect(design.locator(".facts time")).to_have_count(2)  # sent, after a failure
    wait_until(lambda: len(slack_server.slack.messages) == 1, 10)
    with client_of(two_teams) as client:
        for action in ("dismiss", "resend"):
            assert _post(client, f"acme/{action}", channel="none").status_code == 404
        assert "no message is dead" in _post(client, "acme/resend", channel="design").text
        state = "/inspector/teams/acme/state"
        assert client.get(state).status_code == 404
        assert client.get(state, params={"channel": "none"}).status_code == 404
        text = client.get(state, params={"channel": "design", "polls": "9"}).text
        assert 'id="state-acme-design" hx-swap-oob="true"' in text


def test_the_webhook_url_is_shown_only_on_request(two_teams: Service, open_page: Open) -> None:
    page = open_page(f"{two_teams.admin}/inspector/teams")
    assert SECRET not in page.content()
    page.locator("section", has=page.locator("#team-acme")).get_by_role(
        "button", name="Show webhook URL"
    ).click()
    page.locator("#hook-url-acme").wait_for()
    assert page.locator("#hook-url-acme").inner_text().endswith(f"/hooks/acme/{SECRET}")
    assert "another-secret" not in page.content()
    assert httpx.get(f"{two_teams.admin}/inspector/teams/acme/hook").status_code == 405
    with client_of(two_teams) as client:
        assert client.post("/inspector/teams/acme/hook").status_code == 403


def test_without_scripts_the_page_shows_the_results(two_teams: Service) -> None:
    with client_of(two_teams) as client:
        answer = _post(client, "acme/test", channel="log")
        assert answer.status_code == 200
        assert "<h1" in answer.text
        assert re.search(
            r'id="result-acme-log" role="status">\s*<p class="notice good"><bdi>sent',
            answer.text,
        )
        assert answer.headers["cache-control"] == "no-store"
        assert _post(client, "acme/test", channel="none").status_code == 404
        assert _post(client, "nobody/doctor").status_code == 404
        assert client.get("/inspector/teams/nobody").status_code == 404


def test_a_teams_own_password_shows_only_that_team(tmp_path: Path) -> None:
    teams = f'{STDOUT}{TEAM}inspector_password = "{OTHER}"\n'
    with running(tmp_path, teams) as service, client_of(service) as client:
        assert log_in(client, OTHER, team="other").status_code == 303
        text = client.get("/inspector/teams").text
        assert 'id="team-other"' in text
        assert "acme" not in text
        assert client.get("/inspector/teams/acme").status_code == 404
        for action in ("hook", "test", "dismiss", "resend", "resume", "doctor"):
            assert _post(client, f"acme/{action}", channel="log").status_code == 404
        assert client.get("/inspector/teams/acme/state?channel=log").status_code == 404
        findings = _post(client, "other/doctor").text
        assert "acme" not in findings
        assert "relay.db" not in findings
