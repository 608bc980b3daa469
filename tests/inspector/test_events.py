"""The list of events, in a browser."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import httpx
import pytest
from playwright.sync_api import Browser, Page, Request, expect

from relay.inspector.events import ListQuery, matches
from relay.inspector.pages import Viewer
from relay.penpot.samples import SAMPLE_NAMES, sample
from relay.store.queries import DeliverySummary, EventRow
from relay.store.search import EventFilters
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
from tests.service import Service, free_port, running, wait_until

MAIL = (
    '[[teams.acme.channels]]\nname = "mail"\ntype = "email"\nto = ["a@example.com"]\n'
    'sender = "p@example.com"\nevents = ["comments"]\n'
    f'smtp = {{ host = "127.0.0.1", port = {free_port()}, tls = "none" }}\n'
)
TWO = f"""{STDOUT}{MAIL}
[teams.other]
secret = "another-secret-of-24-chars"
"""


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Service]:
    """The service with a channel for all events, one whose server is down, and a second team."""
    with running(tmp_path, TWO) as started:
        yield started


def project(name: str) -> bytes:
    return json.dumps({"name": "create-project", "props": {"name": name}}).encode()


def rows(page: Page) -> list[str]:
    return [" ".join(text.split()) for text in page.locator("#list .event").all_inner_texts()]


def test_the_list_is_updated_live(two: Service, open_page: Open) -> None:
    page = open_page(f"{two.admin}/inspector")
    assert not rows(page)
    assert not accessibility_problems(page)
    keep_picture(page, "events-empty")
    for name in SAMPLE_NAMES:
        assert two.post(sample(name)) == 204
    expect(page.locator("#list .event")).to_have_count(len(SAMPLE_NAMES))
    first = page.locator("#list .event").last
    expect(first.locator(".mark.sent")).to_have_text(re.compile("log"))
    expect(first.locator(".mark.waiting")).to_have_text(re.compile(r"mail waiting · (in \d+|now)"))
    assert "Ada Lovelace" in first.inner_text()
    assert "the headline is hard to read" in first.inner_text()
    pinned = page.locator("#list .event", has_text="create-project")
    assert "not listed" in pinned.locator(".mark.skipped").inner_text()
    assert not accessibility_problems(page)
    keep_picture(page, "events")
    page.emulate_media(color_scheme="dark")
    keep_picture(page, "events-dark")
    page.set_viewport_size({"width": 360, "height": 740})
    assert not too_wide(page)
    keep_picture(page, "events-phone")


def test_new_rows_change_neither_focus_nor_scroll_position(
    service: Service, open_page: Open
) -> None:
    for number in range(40):
        service.post(project(f"Project {number}"))
    page = open_page(f"{service.admin}/inspector", viewport={"width": 1000, "height": 500})
    expect(page.locator("#list .event")).to_have_count(40)
    link = page.locator("#list .event a", has_text="create-project").nth(25)
    link.focus()
    link.evaluate("element => { window.link = element; }")
    page.wait_for_timeout(100)
    before = link.bounding_box()
    service.post(project("One more"))
    expect(page.locator("#list .event")).to_have_count(41)
    assert page.evaluate("document.activeElement === window.link")
    after = page.evaluate("window.link.getBoundingClientRect().top")
    assert before is not None
    assert abs(before["y"] - after) <= 1


def test_a_background_tab_closes_its_connection_and_catches_up(
    service: Service, open_page: Open
) -> None:
    hide = """(hidden) => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page = open_page(f"{service.admin}/inspector")
    assert service.post(project("Before")) == 204
    expect(page.locator("#list .event")).to_have_count(1)
    page.evaluate(hide, True)
    for number in range(60):
        assert service.post(project(f"Meanwhile {number}")) == 204
    page.wait_for_timeout(1000)
    assert len(rows(page)) == 1
    page.evaluate(hide, False)
    expect(page.locator("#list .event")).to_have_count(51)
    page.get_by_role("link", name="Show the newest").click()
    expect(page.locator("#list .event")).to_have_count(50)
    expect(page.get_by_text("More events arrived")).to_be_hidden()


def test_filters_work_with_and_without_scripts(two: Service, open_page: Open) -> None:
    for name in SAMPLE_NAMES:
        two.post(sample(name))
    httpx.post(
        f"{two.url}/hooks/other/another-secret-of-24-chars",
        content=project("Elsewhere"),
        headers={"content-type": "application/json"},
    )
    two.post(b"[1,")
    wait_until(lambda: ">stored</span>" not in httpx.get(f"{two.admin}/inspector").text, 10)
    for scripts in (True, False):
        replaced = ("htmx:sendAbort", "htmx:afterRequest")  # by the next choice
        page = open_page(f"{two.admin}/inspector", expect=replaced, java_script_enabled=scripts)

        def choose(label: str, value: str, page: Page = page, scripts: bool = scripts) -> None:
            if label in ("Text", "From", "To"):
                page.get_by_label(label, exact=True).fill(value)
            else:
                page.get_by_label(label).select_option(value)
            if not scripts:
                page.get_by_role("button", name="Filter").click()

        # Each list has a text of its own: the one before may be there for a while.
        events = page.locator("#list .event")
        choose("Kind", "create-comment-thread")
        expect(events).to_have_count(1)
        choose("Kind", "")
        choose("State", "unreadable")
        expect(events.first).to_contain_text("not JSON")
        expect(events).to_have_count(1)
        assert "A body that Relay can't read as an event of Penpot" in rows(page)[0]
        choose("State", "")
        choose("Team", "other")
        expect(events.first).to_contain_text("Elsewhere")
        expect(events).to_have_count(1)
        page.wait_for_url(re.compile("team=other"))
        expect(page.get_by_label("Channel").locator("option")).to_have_text(["all"])
        choose("Team", "")
        choose("Channel", "acme/mail")
        expect(events.first.locator(".marks")).to_contain_text("mail")
        expect(events.filter(has_not_text="mail")).to_have_count(0)
        choose("Channel", "")
        choose("From", "2031-01-01")
        expect(page.locator("#list .event")).to_have_count(0)
        choose("To", "2030-01-01")
        choose("From", "")
        expect(page.locator("#list .event").first).to_be_visible()
        choose("Text", "overlay")
        expect(page.locator("#list .event").first).to_contain_text("darker overlay")
        assert "text=overlay" in page.url
        choose("Text", "nobody says this")
        expect(page.locator("#list .event")).to_have_count(0)
        expect(page.locator("#list .empty")).to_have_text("No matching events.")


def test_a_search_is_in_the_address_and_the_back_button_returns(
    two: Service, open_page: Open
) -> None:
    two.post(project("Website"))
    two.post(sample("create-comment-thread"))
    wait_until(lambda: ">stored</span>" not in httpx.get(f"{two.admin}/inspector").text, 10)
    page = open_page(f"{two.admin}/inspector", timezone_id="Pacific/Kiritimati")
    events = page.locator("#list .event")
    expect(events).to_have_count(2)
    page.get_by_label("Channel").select_option("acme/mail")
    expect(events).to_have_count(1)
    assert page.url == f"{two.admin}/inspector?channel=acme%2Fmail"
    today = datetime.now(ZoneInfo("Pacific/Kiritimati")).date()
    page.get_by_label("From").fill(str(today - timedelta(days=1)))
    expect(page.get_by_text("Days in the time zone Pacific/Kiritimati")).to_be_visible()
    expect(events).to_have_count(1)
    page.get_by_label("Text").fill("headline")
    page.wait_for_url(re.compile("text=headline"))
    page.get_by_label("Text").fill("nobody")
    page.wait_for_url(re.compile("text=nobody"))
    expect(events).to_have_count(0)

    shared = open_page(page.url, timezone_id="America/New_York")
    expect(shared.get_by_label("From")).to_have_value(str(today - timedelta(days=1)))
    expect(shared.get_by_text("Days in the time zone Pacific/Kiritimati")).to_be_visible()
    expect(shared.get_by_label("Text")).to_have_value("nobody")
    expect(shared.locator("#list .empty")).to_have_text("No matching events.")
    assert not accessibility_problems(shared)
    keep_picture(shared, "events-filtered")
    shared.set_viewport_size({"width": 360, "height": 740})
    assert not too_wide(shared)
    keep_picture(shared, "events-filtered-phone")

    page.go_back()  # what was typed is one step
    expect(page.get_by_label("Text")).to_have_value("")
    expect(events).to_have_count(1)
    page.go_back()
    expect(page.get_by_label("From")).to_have_value("")
    expect(page.get_by_label("Channel")).to_have_value("acme/mail")
    page.go_back()
    expect(events).to_have_count(2)
    expect(page.get_by_label("Channel")).to_have_value("")
    two.post(project("Live again"))
    expect(events).to_have_count(3)


def test_a_change_of_the_team_removes_the_channel_of_another(two: Service) -> None:
    address = f"{two.admin}/inspector?team=other&channel=acme/log&kind=&from=2026-02-30&zone=Mars"
    answer = httpx.get(address, headers={"hx-request": "true"})
    assert answer.headers["hx-push-url"] == "/inspector?team=other"


VIEWER = Viewer(None, ("acme", "other"), "")


def asked(query: str, viewer: Viewer = VIEWER) -> ListQuery:
    return ListQuery.of(dict(parse_qsl(query)), viewer)


@pytest.mark.parametrize(
    ("query", "since", "until"),
    [
        ("from=2026-03-29&to=2026-03-29", "2026-03-29T00:00+00:00", "2026-03-30T00:00+00:00"),
        # a day of 23 hours
        (
            "from=2026-03-29&to=2026-03-29&zone=Europe/Madrid",
            "2026-03-29T00:00+01:00",
            "2026-03-30T00:00+02:00",
        ),
        ("from=2026-03-29&zone=Mars/Base", "2026-03-29T00:00+00:00", ""),
        ("to=9998-12-31&zone=Pacific/Kiritimati", "", "9999-01-01T00:00+14:00"),
        ("from=1970-01-01&zone=Pacific/Kiritimati", "1970-01-01T00:00-10:40", ""),
        ("from=1969-12-31&to=9999-01-01", "", ""),
        ("from=2026-3-9&to=yesterday", "", ""),
    ],
)
def test_days_are_those_of_the_time_zone_in_the_address(query: str, since: str, until: str) -> None:
    filters = asked(query).filters
    for time, wanted in ((filters.since, since), (filters.until, until)):
        assert time == (datetime.fromisoformat(wanted).timestamp() if wanted else None)


@pytest.mark.parametrize("zone", ["", "../etc/passwd", "/etc/localtime", "a\0b", "x" * 300, "é"])
def test_only_the_name_of_a_time_zone_is_taken(zone: str) -> None:
    assert ListQuery.of({"from": "2026-01-01", "zone": zone}, VIEWER).zone == ""


def test_the_address_has_what_filters_and_nothing_else() -> None:
    given = "team=acme&channel=acme/x&kind=&state=lost&text=+a+&from=&to=2026-01-01&zone=UTC&y=1"
    assert asked(given).parameters(VIEWER) == {
        "team": "acme",
        "channel": "acme/x",
        "text": "a",
        "to": "2026-01-01",
        "zone": "UTC",
    }
    assert asked("zone=UTC").parameters(VIEWER) == {}
    own = Viewer("acme", ("acme",), "")
    assert (asked("team=other", own).team, asked("team=other", own).parameters(own)) == ("acme", {})
    assert asked("channel=other/x", own).filters == EventFilters()


def test_an_update_of_the_list_is_judged_as_by_the_search() -> None:
    def mark(queue: str, state: str) -> DeliverySummary:
        return DeliverySummary(1, 7, queue, state, 0, 0.0, "", 0.0, "")

    marks = [mark("acme/a", "sent"), mark("acme/b", "dead")]
    row = EventRow(7, "acme", "x", "fanned-out", "", 100.0, "Ada", "Page", deliveries=marks)
    for filters, wanted in (
        (EventFilters(), True),
        (EventFilters(queues=["acme/a"]), True),
        (EventFilters(queues=["acme/c"]), False),
        (EventFilters(queues=["acme/a"], state="sent"), True),
        (EventFilters(queues=["acme/a"], state="dead"), False),
        (EventFilters(state="dead"), True),
        (EventFilters(("x",)), True),
        (EventFilters(("y",)), False),
        (EventFilters(since=100.0, until=100.5), True),
        (EventFilters(since=100.1), False),
        (EventFilters(until=100.0), False),
        (EventFilters(text="ada page"), True),
        (EventFilters(text="nobody"), False),
    ):
        assert matches(row, filters) is wanted, filters


def test_live_updates_respect_the_filters(service: Service, open_page: Open) -> None:
    page = open_page(f"{service.admin}/inspector?text=wanted")
    page.wait_for_timeout(300)
    service.post(project("Something else"))
    service.post(project("The wanted one"))
    expect(page.locator("#list .event")).to_have_count(1)
    assert "The wanted one" in rows(page)[0]


def test_pages_go_older_and_newer(service: Service, open_page: Open) -> None:
    for number in range(120):
        service.post(project(f"Project {number:03}"))
    page = open_page(f"{service.admin}/inspector")
    expect(page.locator("#list .event").first).to_contain_text("Project 119")
    page.get_by_role("link", name="Older").click()
    page.get_by_role("link", name="Older").click()
    expect(page.locator("#list .event").first).to_contain_text("Project 019")
    expect(page.get_by_role("link", name="Older")).to_have_count(0)
    page.get_by_role("link", name="Newer", exact=True).click()
    expect(page.locator("#list .event").first).to_contain_text("Project 069")
    page.get_by_role("link", name="Newer", exact=True).click()
    expect(page.locator("#list .event").first).to_contain_text("Project 119")


def test_a_team_sees_only_its_own_events(tmp_path: Path) -> None:
    password = "of the other team alone"
    teams = f'{TWO}inspector_password = "{password}"\n'
    with running(tmp_path, teams) as two, client_of(two) as client:
        two.post(project("Of acme"))
        wait_until(lambda: "acme/log  sent" in two.run("log").stdout, 30)
        assert log_in(client, password, team="other").status_code == 303
        for path in (
            "",
            "?team=acme",
            "?team=acme&kind=create-project",
            "?channel=acme/log",
            "/events/1",
        ):
            assert "Of acme" not in client.get(f"/inspector{path}").text
        assert client.get("/inspector/events/1").status_code == 404
        assert client.get("/inspector/events/1/payload").status_code == 404
        token = form_token(client.get("/inspector").text)
        answer = client.post("/inspector/events/1/resend", data={"token": token, "delivery": "all"})
        assert answer.status_code == 404
        with client.stream("GET", "/inspector/live?team=acme&after=0&open=1") as live:
            two.post(project("Of acme too"))
            assert "Of acme" not in next(live.iter_text())


def test_a_trailing_slash_redirects_to_the_list(service: Service) -> None:
    answer = httpx.get(f"{service.admin}/inspector/")
    assert (answer.status_code, answer.headers["location"]) == (308, "/inspector")


def test_an_open_inspector_does_not_delay_the_stop(service: Service) -> None:
    with httpx.stream("GET", f"{service.admin}/inspector/live?after=0") as live:
        assert next(live.iter_text()).startswith("retry")
        assert service.stop() < 3
    assert "Cancel" not in service.log.read_text()


def test_the_first_visit_transfers_few_bytes(two: Service, browser: Browser) -> None:
    for number in range(60):
        two.post(project(f"Project {number}"))
    page = browser.new_page()
    requests: list[Request] = []
    page.on("requestfinished", lambda request: requests.append(request))
    page.goto(f"{two.admin}/inspector", wait_until="load")
    page.wait_for_timeout(300)
    sizes = [request.sizes()["responseBodySize"] for request in requests]
    print(f"first visit: {sum(sizes)} bytes in {len(sizes)} answers")
    assert 10_000 < sum(sizes) <= 60_000
    page.close()


def test_times_are_in_the_zone_and_language_of_the_browser(
    service: Service, open_page: Open
) -> None:
    service.post(project("One"))
    service.post(project("Two"))
    page = open_page(
        f"{service.admin}/inspector", timezone_id="Australia/Lord_Howe", locale="de-DE"
    )
    times = page.locator("#list time")
    expect(times).to_have_count(2)
    service.post(project("Three"))  # arrives as an update of the page
    expect(times).to_have_count(3)
    for time in times.all():
        at = datetime.fromisoformat(time.get_attribute("datetime") or "")
        assert datetime.now(UTC) - at < timedelta(minutes=1)
        local = at.astimezone(ZoneInfo("Australia/Lord_Howe"))
        expect(time).to_have_text(f"{local:%H:%M:%S}")
        title = time.get_attribute("title") or ""
        assert f"{local:%H:%M:%S}" in title
        assert title.endswith(" · Australia/Lord_Howe")
    assert not accessibility_problems(page)


def test_today_becomes_yesterday_on_an_open_page(service: Service, open_page: Open) -> None:
    service.post(project("One"))
    page = open_page(f"{service.admin}/inspector", timezone_id="Europe/Madrid", locale="es-ES")
    time = page.locator("#list time")
    expect(time).to_have_text(re.compile(r"^\d+:\d\d:\d\d$"))
    page.clock.set_fixed_time(datetime.now(UTC) + timedelta(days=1))
    expect(time).to_have_text(re.compile(r"^\d+ [a-z]+, \d+:\d\d:\d\d$"))


def test_times_without_scripts_are_in_utc_and_say_so(service: Service, open_page: Open) -> None:
    service.post(project("One"))
    page = open_page(
        f"{service.admin}/inspector", java_script_enabled=False, timezone_id="Asia/Tokyo"
    )
    expect(page.locator("#list time")).to_have_text(
        re.compile(rf"^{datetime.now(UTC):%Y-%m-%d} \d\d:\d\d:\d\d UTC$")
    )
