"""The template editor, in a browser."""

import json
import re
import statistics
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from relay.penpot.catalogue import CATALOGUE
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
from tests.service import Service, running, wait_until

EDITOR = "/inspector/templates/rename-file"
OTHER = (
    '[teams.other]\nsecret = "other-other-other-other"\n'
    '[[teams.other.channels]]\nname = "log"\ntype = "stdout"\n'
)
PHONE = {"width": 360, "height": 740}
OWN = "{{ actor }} says **hello** about {{ file | link }}"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service without user templates; tests only add events to it."""
    with running(tmp_path_factory.mktemp("relay"), STDOUT) as started:
        yield started


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The user's templates."""
    path = tmp_path / "templates"
    path.mkdir()
    return path


@pytest.fixture
def writing(tmp_path: Path, folder: Path) -> Iterator[Service]:
    """A service whose templates can be saved from the browser."""
    settings = f'[templates]\npath = "{folder}"\n[inspector]\nwrite_templates = true\n'
    with running(tmp_path, STDOUT + OTHER + settings) as started:
        yield started


def problems(page: Page) -> str:
    return page.locator("#problems").inner_text()


def test_the_preview_follows_the_text(service: Service, open_page: Open) -> None:
    page = open_page(service.admin + EDITOR)
    message = page.locator("#message")
    expect(message).to_contain_text("Ada Lovelace renamed the file Landing page to Landing page, a")
    page.locator("#text").fill(OWN)
    expect(message).to_contain_text("Ada Lovelace says hello about")
    expect(message.locator("a")).to_have_text("Landing page, autumn")
    page.get_by_text("Matrix", exact=True).click()
    expect(message.locator(".preview-matrix strong")).to_have_text("hello")
    page.get_by_text("Output", exact=True).click()
    expect(message.locator(".preview-terminal")).to_contain_text("Ada Lovelace says hello about")


def test_a_mail_is_shown_in_a_frame_with_its_own_styles(service: Service, open_page: Open) -> None:
    page = open_page(f"{service.admin}{EDITOR}?kind=email")
    frame = page.locator("iframe.preview-frame:not(.loading)")
    expect(frame).to_be_visible()
    inside = page.frame_locator("iframe.preview-frame:not(.loading)")
    expect(inside.locator(".button")).to_have_text("Open file")
    expect(inside.locator(".button")).to_have_css("background-color", "rgb(105, 17, 212)")
    expect(page.locator("#message")).to_contain_text("Subject")
    page.locator("#text").fill(OWN)
    expect(inside.locator("body")).to_contain_text("says hello about")
    expect(frame).to_have_count(1)
    page.get_by_text("Slack", exact=True).click()
    expect(frame).to_have_count(0)


PINGED = {"create-comment-thread", "update-comment"}  # of the samples that mention somebody


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_a_preview_pings_whom_the_message_pings(service: Service, name: str) -> None:
    """Not who is mentioned in a comment that was deleted or resolved."""
    with client_of(service) as client:
        page = client.get(f"/inspector/templates/{name}?kind=slack").text
    assert ("preview-mention" in page) == (name in PINGED)


def test_the_page_does_not_say_saved_before_it_is(writing: Service, folder: Path) -> None:
    with client_of(writing) as client:
        page = client.get(EDITOR).text
        assert "Saved" not in page
        assert f"<em>Save</em> writes it to <code>{folder}/rename-file.md.j2</code>" in page
        form = {"token": form_token(page), "file": "rename-file.md.j2", "text": OWN}
        saved = client.post(f"{EDITOR}/save", data=form | {"digest": ""}, follow_redirects=True)
        assert "Saved to <code>" in saved.text


def test_an_error_marks_its_line_and_keeps_the_last_preview(
    service: Service, open_page: Open
) -> None:
    page = open_page(service.admin + EDITOR)
    page.locator("#text").fill("one\n{{ fil.name }}")
    expect(page.locator("#problems")).to_contain_text("'fil' is undefined")
    assert "line 2" in problems(page)
    assert "did you mean" in problems(page)
    expect(page.locator(".lines .bad")).to_have_text("2")
    expect(page.locator("#message")).to_contain_text("renamed the file")
    page.get_by_text("line 2").click()
    assert page.evaluate("getSelection().toString()") == "{{ fil.name }}"
    keep_picture(page, "editor-error")
    page.locator("#text").fill("one\n{% if")
    expect(page.locator("#problems")).to_contain_text("unexpected")
    page.locator("#text").fill("good now")
    expect(page.locator("#problems")).to_have_text("")
    expect(page.locator(".lines .bad")).to_have_count(0)
    expect(page.locator("#message")).to_contain_text("good now")


def test_an_endless_template_is_stopped(service: Service, open_page: Open) -> None:
    page = open_page(service.admin + EDITOR)
    page.locator("#text").fill(
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"
    )
    expect(page.locator("#problems")).to_contain_text("takes longer than 1 s")
    page.locator("#text").fill("good")
    expect(page.locator("#message")).to_contain_text("good")


def test_the_preview_appears_within_150_ms_of_a_key(service: Service, open_page: Open) -> None:
    page = open_page(service.admin + EDITOR)
    page.locator("#text").fill("first")
    expect(page.locator("#message")).to_contain_text("first")
    page.evaluate(
        """() => {
            window.took = [];
            const text = document.getElementById("text");
            const message = document.getElementById("message");
            text.addEventListener("input", () => { window.pressed = performance.now(); });
            new MutationObserver(() => window.took.push(performance.now() - window.pressed))
                .observe(message, { childList: true });
        }"""
    )
    page.locator("#text").focus()
    for key in "abcdefghijklmnopqrst":
        seen = page.evaluate("window.took.length")
        page.keyboard.press(key)
        page.wait_for_function("seen => window.took.length > seen", arg=seen)
    took = sorted(page.evaluate("window.took"))
    p95 = statistics.quantiles(took, n=20)[-1]
    print(f"from key to message: median {statistics.median(took):.0f} ms, p95 {p95:.0f} ms")
    assert statistics.quantiles(took, n=4)[0] <= 150  # all of them on an idle machine


def test_a_received_event_replaces_the_sample(service: Service, open_page: Open) -> None:
    body = json.loads(sample("rename-file"))
    body["props"]["name"] = "From the log <script>alert(1)</script>"
    assert service.post(json.dumps(body).encode()) == 204
    wait_until(lambda: "From the log" in service.output.read_text(), 30)
    page = open_page(f"{service.admin}/inspector/events/1")
    page.get_by_role("link", name="Edit template for log").click()
    message = page.locator("#message .preview-terminal")
    expect(message).to_contain_text("From the log <script>alert(1)</script>")
    page.goto(service.admin + EDITOR)
    page.locator("select[name=from]").select_option("1")
    message = page.locator("#message")
    expect(message).to_contain_text("From the log <script>alert(1)</script>")
    expect(page.locator("#variables")).to_contain_text("here: From the log")
    assert message.locator("script").count() == 0


def test_a_template_is_saved_if_the_config_allows_it(
    writing: Service, open_page: Open, folder: Path
) -> None:
    page = open_page(writing.admin + EDITOR)
    page.locator("#text").fill(OWN)
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".notice.good")).to_contain_text(str(folder / "rename-file.md.j2"))
    assert (folder / "rename-file.md.j2").read_text() == OWN + "\n"
    assert [path.name for path in folder.iterdir()] == ["rename-file.md.j2"]
    expect(page.locator("#text")).to_have_value(OWN + "\n")
    assert writing.post(sample("rename-file")) == 204
    wait_until(lambda: "says hello about" in writing.output.read_text(), 30)
    page.locator("select[name=team]").select_option("acme")
    expect(page.locator("#file")).to_have_text("acme/rename-file.md.j2")
    page.locator("#text").fill("ours")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".notice.good")).to_be_visible()
    assert (folder / "acme" / "rename-file.md.j2").read_text() == "ours\n"
    page.goto(f"{writing.admin}/inspector/templates")
    expect(page.locator(".sample", has_text="rename-file").locator(".mark")).to_have_text("yours")


def test_a_delayed_preview_is_no_second_save(
    writing: Service, open_page: Open, folder: Path
) -> None:
    """htmx posts to the ``formaction`` of the button that was clicked last."""
    page = open_page(writing.admin + EDITOR)
    held: list[Route] = []
    page.route(
        "**/save", lambda route: held.append(route)
    )  # under load the page lives on for a while
    page.evaluate(
        """typed => {
            text.value = typed;
            text.dispatchEvent(new Event("input", { bubbles: true }));
            draft.querySelector("[formaction$=save]").click();
        }""",
        OWN,
    )
    page.wait_for_timeout(500)
    assert [route.request.headers.get("hx-request") for route in held] == [None]
    held[0].continue_()
    expect(page.locator(".notice.good")).to_be_visible()
    assert (folder / "rename-file.md.j2").read_text() == OWN + "\n"


def test_the_same_save_again_is_no_conflict(writing: Service, folder: Path) -> None:
    """A browser repeats a request whose connection ended, and a person may click twice."""
    with client_of(writing) as client:
        form = {"token": form_token(client.get(EDITOR).text), "file": "rename-file.md.j2"}
        form |= {"digest": "", "text": OWN}
        answers = [client.post(f"{EDITOR}/save", data=form) for _ in range(2)]
        other = client.post(f"{EDITOR}/save", data=form | {"text": "mine"})
    assert [answer.status_code for answer in answers] == [303, 303]
    assert "has changed since you opened it" in other.text
    assert (folder / "rename-file.md.j2").read_text() == OWN + "\n"


def test_a_failing_or_concurrently_changed_template_is_not_saved(
    writing: Service, open_page: Open, folder: Path
) -> None:
    page = open_page(writing.admin + EDITOR)
    page.locator("#text").fill("{{ nothing }}")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Not saved: the template fails")
    assert "'nothing' is undefined" in problems(page)
    (folder / "rename-file.md.j2").write_text("theirs")
    page.locator("#text").fill("mine")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("has changed since you opened it")
    expect(page.locator("#text")).to_have_value("mine\n")
    assert (folder / "rename-file.md.j2").read_text() == "theirs"


def test_a_download_is_the_template_file(service: Service, open_page: Open) -> None:
    page = open_page(f"{service.admin}{EDITOR}?file=rename-file.slack.json.j2")
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    expect(page.locator("#message .preview-slack")).to_contain_text("Ada Lovelace: rename-file")
    page.locator("#text").fill('{"blocks": [], "text": "x"}')
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "rename-file.slack.json.j2"
    with client_of(service) as client:  # without write_templates
        form = {"token": form_token(page.content()), "file": "rename-file.md.j2"}
        assert client.post(f"{EDITOR}/remove", data=form).status_code == 404
    assert download.value.path().read_text() == '{"blocks": [], "text": "x"}\n'


def test_the_built_in_and_the_saved_text_can_be_restored(
    writing: Service, open_page: Open, folder: Path
) -> None:
    (folder / "rename-file.md.j2").write_text("mine\n")
    page = open_page(writing.admin + EDITOR)
    expect(page.locator("#text")).to_have_value("mine\n")
    page.get_by_role("link", name="Start from built-in").click()
    expect(page.locator("#text")).to_have_value(re.compile(r"extends .base.md.j2"))
    page.get_by_role("link", name="Discard").click()
    expect(page.locator("#text")).to_have_value("mine\n")

    page.get_by_role("button", name="Remove yours").click()
    lines = page.locator(".diff")
    expect(lines.locator(".gone")).to_have_text(["-mine"])
    expect(lines.locator(".added").first).to_contain_text("extends")
    assert "the built-in template applies" in page.locator("main").inner_text()
    assert accessibility_problems(page) == []
    keep_picture(page, "remove")
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert not too_wide(page)
    keep_picture(page, "remove-phone")
    page.get_by_role("link", name="Cancel").click()
    expect(page.locator("#text")).to_have_value("mine\n")
    page.get_by_role("button", name="Remove yours").click()
    (folder / "rename-file.md.j2").write_text("theirs\n")
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("has changed since you opened it")
    expect(lines.locator(".gone")).to_have_text(["-theirs"])
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text("Removed")
    expect(page.locator("#text")).to_have_value(re.compile(r"extends .base.md.j2"))
    expect(page.get_by_role("button", name="Remove yours")).to_have_count(0)
    assert list(folder.iterdir()) == []


def test_the_text_can_be_left_by_keyboard(service: Service, open_page: Open) -> None:
    page = open_page(service.admin + EDITOR)
    text = page.locator("#text")
    text.fill("")
    page.keyboard.press("Tab")
    expect(text).to_have_value("  ")
    expect(text).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(text).not_to_be_focused()
    text.fill("")
    page.get_by_role("button", name="file.name", exact=True).press("Enter")
    expect(text).to_have_value("{{ file.name }}")


def test_without_scripts_there_is_a_button(service: Service, open_page: Open) -> None:
    page = open_page(service.admin + EDITOR, java_script_enabled=False)
    page.locator("#text").fill(OWN)
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#message")).to_contain_text("Ada Lovelace says hello about")
    expect(page.locator("#text")).to_have_value(OWN + "\n")


@pytest.mark.parametrize("kind", ["slack", "matrix", "email"])
def test_a_phone_needs_no_horizontal_scrolling(
    service: Service, open_page: Open, kind: str
) -> None:
    page = open_page(f"{service.admin}{EDITOR}?kind={kind}", viewport=PHONE)
    assert not too_wide(page)
    keep_picture(page, f"editor-phone-{kind}")
    page.goto(f"{service.admin}/inspector/templates?kind={kind}")
    assert not too_wide(page)
    keep_picture(page, f"gallery-phone-{kind}")


def test_light_and_dark_are_accessible(service: Service, open_page: Open) -> None:
    page = open_page(f"{service.admin}/inspector/templates/create-comment?kind=email")
    expect(page.locator("iframe.preview-frame:not(.loading)")).to_be_visible()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        keep_picture(page, f"editor-email-{scheme}")
    assert accessibility_problems(page) == []


def test_a_teams_own_password_opens_only_that_teams_templates(tmp_path: Path, folder: Path) -> None:
    (folder / "acme").mkdir()
    (folder / "acme" / "rename-file.md.j2").write_text("of acme alone")
    password = "a password of its own"
    teams = OTHER.replace("[[", f'inspector_password = "{password}"\n[[')
    settings = f'[templates]\npath = "{folder}"\n[inspector]\nwrite_templates = true\n'
    with (
        running(tmp_path, STDOUT + teams + settings) as started,
        client_of(started) as client,
    ):
        assert started.post(sample("rename-file")) == 204
        (folder / "other" / "_words.md.j2").mkdir(parents=True)
        assert log_in(client, password, team="other").status_code == 303
        page = client.get(EDITOR).text
        assert "other/rename-file.md.j2" in page
        assert "acme" not in page
        unreadable = client.get(EDITOR, params={"file": "_words.md.j2"})
        assert "yours is unreadable" in unreadable.text
        (folder / "other" / "_words.md.j2").rmdir()
        draft = {"token": form_token(page), "team": "other", "text": "x", "digest": ""}
        for theirs in ("acme", ""):
            assert client.get(EDITOR, params={"team": theirs}).status_code == 404
            for action in ("preview", "frame", "download", "save", "remove"):
                typed = draft | {"team": theirs}
                assert client.post(f"{EDITOR}/{action}", data=typed).status_code == 404
        typed = draft | {"from": "1"}
        assert "no longer stored" in client.post(f"{EDITOR}/preview", data=typed).text
        typed = draft | {"text": '{% include "acme/rename-file.md.j2" %}'}
        answer = client.post(f"{EDITOR}/preview", data=typed).text
        assert "of acme alone" not in answer
        assert "there is no template" in answer
        assert client.post(f"{EDITOR}/save", data=draft).status_code == 303
        assert client.post(f"{EDITOR}/save", data=draft | {"token": "no"}).status_code == 403
    assert (folder / "other" / "rename-file.md.j2").read_text() == "x\n"
    assert sorted(path.name for path in folder.iterdir()) == ["acme", "other"]


def test_a_date_of_slack_is_shown_as_the_reader_sees_it(service: Service, open_page: Open) -> None:
    def time(form: str, at: datetime = datetime(2014, 2, 18, 20, 39, 42, tzinfo=UTC)) -> str:
        return f"<!date^{at.timestamp():.0f}^{form}|no date>"

    address = f"{service.admin}{EDITOR}?file=rename-file.slack.json.j2"
    page = open_page(address, timezone_id="Asia/Tokyo", locale="en-GB")
    texts = [
        time("{date_num} {time}"),
        time("{date} at {time_secs}"),
        time("{date_short}, {date_long_full}"),
        time("{date_slash} {unknown}"),
        time("{day_divider_pretty}"),
        time("{date_long_pretty}", datetime.now(UTC)),
        time("{date_short_pretty}", datetime.now(UTC) - timedelta(days=1)),
    ]
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "\n".join(texts)}}
    page.locator("#text").fill(json.dumps({"blocks": [section]}))
    expect(page.locator("#message .preview-section")).to_have_text(
        "2014-02-19 05:39\n19 February at 05:39:42\n19 Feb 2014, 19 February 2014\n"
        "19/02/2014 {unknown}\nWednesday 19 February\ntoday\nyesterday"
    )
