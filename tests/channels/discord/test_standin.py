"""The stand-in for Discord: a request that violates each of its rules is refused, and another
client's is accepted."""

import json
from typing import Any

import apprise
import httpx
import pytest
from apprise.plugins.discord import NotifyDiscord

from tests.channels.discord.place import Place
from tests.servers.discord import TOKEN, WEBHOOK_ID, WEBHOOK_PATH

OK = {"content": "x"}
EMBED = {"description": "d"}
VIOLATIONS: list[tuple[str, Any, int, str]] = [
    ("no words", {}, 50006, ""),
    ("blank", {"content": "  "}, 50006, ""),
    ("content", {"content": "x" * 2001}, 50035, "content"),
    ("embeds", {"embeds": [EMBED] * 11}, 50035, "embeds"),
    ("description", {"embeds": [{"description": "x" * 4097}]}, 50035, "embeds"),
    ("title", {"embeds": [{"title": "x" * 257}]}, 50035, "embeds"),
    ("footer", {"embeds": [EMBED | {"footer": {"text": "x" * 2049}}]}, 50035, "embeds"),
    ("author", {"embeds": [EMBED | {"author": {"name": "x" * 257}}]}, 50035, "embeds"),
    ("fields", {"embeds": [{"fields": [{"name": "a", "value": "b"}] * 26}]}, 50035, "embeds"),
    ("field", {"embeds": [{"fields": [{"name": "a", "value": "b" * 1025}]}]}, 50035, "embeds"),
    ("all text", {"embeds": [{"description": "x" * 3001}] * 2}, 50035, "embeds"),
    ("empty embed", {"embeds": [{}]}, 50035, "embeds"),
    ("image", {"embeds": [{"image": {"url": "ftp://x"}}]}, 50035, "embeds"),
    ("attachment", {"embeds": [{"image": {"url": "attachment://a.png"}}]}, 50035, "embeds"),
    ("attachments", OK | {"attachments": [{"id": 0, "filename": "a.png"}]}, 50035, "attachments"),
    ("username", OK | {"username": "x" * 81}, 50035, "username"),
    ("both", OK | {"allowed_mentions": {"parse": ["users"], "users": ["1"]}}, 50035,
     "allowed_mentions"),
    ("kinds", OK | {"allowed_mentions": {"parse": ["here"]}}, 50035, "allowed_mentions"),
    ("people", OK | {"allowed_mentions": {"users": ["1"] * 101}}, 50035, "allowed_mentions"),
    ("person", OK | {"allowed_mentions": {"users": ["ada"]}}, 50035, "allowed_mentions"),
]  # fmt: skip


def post(at: Place, body: Any, path: str = WEBHOOK_PATH, **more: Any) -> httpx.Response:
    return httpx.post(at.url + path, json=body, trust_env=False, **more)


@pytest.mark.parametrize(
    ("name", "body", "code", "key"), VIOLATIONS, ids=lambda value: str(value)[:20]
)
def test_a_message_that_breaks_a_rule_is_refused(
    at: Place, name: str, body: Any, code: int, key: str
) -> None:
    answer = post(at, body)
    assert (answer.status_code, answer.json()["code"]) == (400, code), name
    assert key in answer.json().get("errors", {"": ""})
    assert at.discord.posted == []


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (WEBHOOK_PATH.replace(WEBHOOK_ID, "1"), 404, 10015),
        (WEBHOOK_PATH.replace(TOKEN, "other"), 401, 50027),
        (f"{WEBHOOK_PATH}?thread_id=5", 404, 10003),
        ("/api/users/1", 404, 0),
    ],
)
def test_an_address_that_is_wrong_is_refused(at: Place, path: str, status: int, code: int) -> None:
    answer = post(at, OK, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_body_has_to_be_json(at: Place) -> None:
    options: dict[str, Any] = {"trust_env": False}
    answer = httpx.post(
        at.url + WEBHOOK_PATH, content=b"{", headers={"content-type": "text/plain"}, **options
    )
    assert answer.json()["code"] == 50035
    for text in (b"{", b"[]"):
        json_type = {"content-type": "application/json"}
        answer = httpx.post(at.url + WEBHOOK_PATH, content=text, headers=json_type, **options)
        assert answer.json()["code"] == 50109
    answer = httpx.post(
        at.url + WEBHOOK_PATH,
        data={"payload_json": json.dumps(OK)},
        files={"files[0]": ("", b"x")},
        **options,
    )
    assert answer.json()["code"] == 50035


def test_without_an_agent_nothing_is_accepted(at: Place) -> None:
    assert post(at, OK, headers={"user-agent": ""}).json()["code"] == 40333


def test_more_requests_than_the_limit_are_refused_with_the_delay(at: Place) -> None:
    at.discord.limit = 1
    first, second = post(at, OK), post(at, OK)
    assert first.headers["X-RateLimit-Remaining"] == "0"
    assert (first.status_code, second.status_code) == (204, 429)
    assert 0 < second.json()["retry_after"] <= 2
    assert int(second.headers["Retry-After"]) >= second.json()["retry_after"]


def test_by_default_a_mention_of_a_user_pings_and_that_of_everyone_does_not(at: Place) -> None:
    post(at, {"content": "<@1> @everyone", "embeds": [{"description": "<@2>"}]})
    assert at.discord.pings == ["1"]
    post(at, {"content": "<@1> @here", "allowed_mentions": {"parse": ["everyone"]}})
    assert at.discord.pings == ["1", "everyone"]


def test_a_message_that_is_gone_can_not_be_edited_or_deleted(at: Place) -> None:
    path = f"{at.url}{WEBHOOK_PATH}/messages/1"
    for answer in (httpx.patch(path, json=OK), httpx.delete(path)):
        assert (answer.status_code, answer.json()["code"]) == (404, 10008)


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
@pytest.mark.parametrize("options", ["", "?format=markdown"])
def test_apprise_posts_here_as_it_does_to_discord(
    at: Place, options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NotifyDiscord, "notify_url", f"{at.url}/api/webhooks")
    client = apprise.Apprise(f"discord://{WEBHOOK_ID}/{TOKEN}/{options}")
    assert client.notify(title="A title", body="The *words*")
    (posted,) = at.discord.posted
    assert "words" in json.dumps(posted)
    assert not apprise.Apprise(f"discord://{WEBHOOK_ID}/{TOKEN[:-1]}/").notify(body="x")
