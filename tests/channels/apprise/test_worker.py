"""What apprise's process does with a job, here in the tests' process."""

import json
import logging
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest
import requests

from relay.channels.apprise import worker
from relay.channels.apprise.content import render
from relay.channels.apprise.worker import answer
from tests.channels.apprise.place import PHONE, Place, address
from tests.channels.builders import MESSAGE
from tests.servers.fixtures import Authority
from tests.servers.loopback import Answer, Threaded, listen, raw
from tests.servers.ntfy import TOKEN, TOPIC, Ntfy

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
GUIDE = Path(__file__).parents[3] / "deploy" / "README.md"
TEXT = {"title": "Ada commented", "body": "> The words\n\nhttps://penpot.example/#/view?a=1&b=2"}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "")  # which a job sets


def send(url: str, **more: Any) -> dict[str, Any]:
    return answer({"url": url, **TEXT, **more})


def test_a_message_is_sent_and_its_service_described(at: Place) -> None:
    assert answer({"url": address(at.url)}) == {
        "name": "ntfy",
        "body_limit": 7800,
        "title_limit": 200,
    }
    assert at.server.requests == []
    assert send(address(at.url)) == {"sent": True, "reason": ""}
    assert at.server.messages == [
        {"topic": TOPIC, "title": TEXT["title"], "message": TEXT["body"]},
    ]
    assert at.server.requests[0].headers["user-agent"] == "Penpot"


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (Answer.of({"code": 40301}, 403), "403"),
        (Answer.of({"code": 42901}, 429), "429"),
        (Answer(b"<html>", 502, "text/html"), "502"),
        (Answer(cut=True), "connect"),
    ],
)
def test_a_refusal_has_its_status_and_nothing_else(
    at: Place, refusal: Answer, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    at.server.next.append(refusal)
    with caplog.at_level(logging.DEBUG):
        assert send(address(at.url)) == {"sent": False, "reason": reason}
    assert TOKEN not in caplog.text
    assert "apprise" not in caplog.text


@pytest.mark.parametrize("text", [b"", b"\x00\x01garbage\r\n\r\n"])
def test_another_protocol_is_no_connection(text: bytes) -> None:
    with raw(text) as server:
        assert send(address(server.url)) == {"sent": False, "reason": "connect"}


def test_no_redirect_is_followed(at: Place) -> None:
    elsewhere = {"Location": at.url}
    at.server.next.append(Answer(status=307, headers=elsewhere))
    assert send(address(at.url)) == {"sent": False, "reason": "307"}
    assert len(at.server.requests) == 1


def test_options_that_hide_failures_have_no_effect(at: Place) -> None:
    at.server.next.extend([Answer(status=500)] * 9)
    url = address(at.url) + "?optional=yes&retry=5&emojis=yes&redirect=yes"
    assert send(url, body=":tada:") == {"sent": False, "reason": "500"}
    assert len(at.server.requests) == 1
    at.server.next.clear()
    assert send(url, body=":tada:")["sent"]
    assert at.server.texts == [":tada:"]


def test_a_url_with_several_targets_repeats_to_all_of_them(
    at: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_MAX_PAUSE", 0.01)
    url = address(at.url) + "/other"  # which is forbidden
    for _ in range(2):
        assert send(url) == {"sent": False, "reason": "403"}
    assert at.server.texts == [TEXT["body"]] * 2


def test_a_certificate_is_verified_by_system_and_ca_file(authority: Authority) -> None:
    server = Ntfy()
    tls = authority.certificate()
    with Threaded(lambda: listen(server.handle, tls=tls)) as running:
        url = address(running.url.replace("http:", "https:"))
        assert send(url)["reason"] == "connect"
        assert send(url, ca_file=str(authority.ca_file))["sent"]
    assert len(server.messages) == 1


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("ntfys://ntfy.example/a?verify=no", "must not have verify=no"),
        ("syslog://", "is reached by HTTP"),
        ("mailto://ada:password@example.com", 'mail by type = "email"'),
        ("irc://irc.example/channel", "is reached by HTTP"),
        ("dbus://", "must be one apprise URL"),
        ("gnome://", "must be one apprise URL"),
        ("windows://", "must be one apprise URL"),
        ("macosx://", "must be one apprise URL"),
        ("file:///etc/passwd", "must be one apprise URL"),
        ("exec://ls", "must be one apprise URL"),
        ("ntfy://a.example/a ntfy://b.example/b", "must be one apprise URL"),
        ("rubbish", "must be one apprise URL"),
        ("", "must be one apprise URL"),
    ],
)
def test_a_url_that_breaks_a_rule_is_refused(url: str, rule: str) -> None:
    assert rule in answer({"url": url})["error"]
    assert rule in send(url)["error"]


@pytest.fixture
def posts(monkeypatch: pytest.MonkeyPatch) -> list[requests.PreparedRequest]:
    """Instead of the services themselves, which are not on loopback."""
    posted: list[requests.PreparedRequest] = []

    def take(_: object, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        posted.append(request)
        assert options["verify"]
        response = requests.Response()
        response.status_code = 201 if "/ocs/" in str(request.url) else 200
        response._content = b'{"ok": true, "result": "success", "id": 1}'
        return response

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", take)
    return posted


def guide() -> dict[str, str]:
    """The URLs of the guide, by service, with valid values."""
    text = GUIDE.read_text(encoding="utf-8").partition("\n### Apprise\n")[2]
    rows = dict(re.findall(r"^\| ([A-Z]\w[\w ]+|ntfy) \| `([^`]+)`", text, re.MULTILINE))
    values = {
        "{workspace}": "AAAA_1bcd", "{key}": "AIzaSyA_bcdefghijklmnopqrstuvwxyz-012345",
        "{token}": "tk_" + "a" * 29, "{bot}": "relay", "{organization}": "acme",
        "{channel}": "design", "{chat}": "-1001234567890", "{user}": "relay",
        "{password}": "pass", "{room}": "abc123de", "{topic}": "penpot",
    }  # fmt: skip
    for name, url in rows.items():
        special = {"Telegram": "123456789:" + "a" * 35, "Gotify": "A" + "b" * 14, "Zulip": "a" * 32}
        url = url.replace("{token}", special.get(name, values["{token}"]))
        for key, value in values.items():
            url = url.replace(key, value)
        rows[name] = url
    return rows


@pytest.mark.parametrize(
    "name", ["Google Chat", "Zulip", "Telegram", "ntfy", "Gotify", "Nextcloud Talk"]
)
def test_each_service_of_the_guide_gets_the_text_unchanged(
    name: str, posts: list[requests.PreparedRequest]
) -> None:
    url = guide()[name]
    assert "{" not in url
    described = answer({"url": url})
    assert described["body_limit"] >= 1000
    notice = render(MESSAGE, PHONE)._replace(
        body=TEXT["body"] + "\n# \u2217x\u2217 \uff3fy\uff3f @\u200ball"
    )
    assert send(url, title=notice.title, body=notice.body)["sent"]
    (request,) = posts
    body = request.body.decode() if isinstance(request.body, bytes) else str(request.body)
    if "json" in str(request.headers.get("content-type")):
        values = json.loads(body)
        body = "\n".join(map(str, values.values()))
    body = unescape(unquote_plus(body).replace("<br/>", "\n"))
    shown = re.sub(r"</?b>", "", body)
    assert notice.title in shown
    assert " ".join(notice.body.split()) in " ".join(shown.split())


def test_without_the_package_the_extra_is_named(tmp_path: Path) -> None:
    """Also where an older one is installed."""
    file = str(Path(worker.__file__))
    job = json.dumps({"url": "ntfys://ntfy.example/a"}) + "\n"
    (tmp_path / "apprise.py").write_text("class NotifyBase: pass")
    for environ in ({}, {"PYTHONPATH": str(tmp_path)}):
        command = [sys.executable, "-S", "-P", file]  # -S: without installed packages
        done = subprocess.run(command, input=job, env=environ, capture_output=True, text=True)
        rule = json.loads(done.stdout)["error"]
        assert 'pip install "penpot-relay[apprise]"' in rule
