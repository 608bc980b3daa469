"""The stand-in for Rocket.Chat: a request that violates each of its rules is refused, and another
client's is accepted."""

import json
from typing import Any

import apprise
import httpx
import pytest

from tests.channels.rocketchat.place import Place
from tests.servers.rocketchat import (
    INFO_PATH,
    INTEGRATION,
    MAX_LENGTH,
    ROOM,
    TOKEN,
    WEBHOOK_PATH,
    pings,
)

OK = {"text": "x"}


def post(at: Place, body: Any = OK, path: str = WEBHOOK_PATH, **more: Any) -> httpx.Response:
    return httpx.post(at.url + path, json=body, trust_env=False, **more)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (OK | {"channel": ROOM}, "overriding destination channel is disabled"),
        (OK | {"roomId": "1"}, "overriding destination channel is disabled"),
        ({"text": "x" * (MAX_LENGTH + 1)}, "error-message-size-exceeded"),
        ({"text": "😀" * (MAX_LENGTH // 2 + 1)}, "error-message-size-exceeded"),
        ({"text": {"a": 1}}, "Match error"),
        (OK | {"icon_url": "javascript:alert(1)"}, "Invalid href value provided"),
    ],
)
def test_a_message_that_breaks_a_rule_is_refused(at: Place, body: Any, error: str) -> None:
    answer = post(at, body)
    assert (answer.status_code, answer.json()["success"]) == (400, False)
    assert error in answer.json()["error"]
    assert at.server.messages == []


@pytest.mark.parametrize(
    ("state", "body", "status", "error"),
    [
        ({"is_enabled": False}, OK, 503, "Service Unavailable"),
        ({"has_room": False}, OK, 400, "invalid-channel"),
        ({"has_override": True}, OK | {"channel": "#other"}, 400, "invalid-channel"),
        ({"is_member": False}, OK, 400, "error-not-allowed"),
        ({"is_readonly": True}, OK, 400, "readonly"),
        ({"may_impersonate": False}, OK | {"username": "P"}, 400, "Not enough permission"),
        ({"script": lambda body: {"error": "no"}}, OK, 400, "no"),
    ],
)
def test_what_an_administrator_does_not_allow_is_refused(
    at: Place, state: dict[str, Any], body: Any, status: int, error: str
) -> None:
    for name, value in state.items():
        setattr(at.server, name, value)
    answer = post(at, body)
    assert answer.status_code == status
    assert error in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/hooks/{INTEGRATION}/other", 404),
        (f"/hooks/other/{TOKEN}", 404),
        (f"/hooks/info/{INTEGRATION}/other", 404),
        ("/api/v1/anything", 404),
        (INFO_PATH, 200),
    ],
)
def test_only_the_integrations_address_is_known(at: Place, path: str, status: int) -> None:
    assert post(at, OK, path).status_code == status
    assert at.server.messages == []


def test_what_is_no_json_is_an_empty_message_which_is_not_posted(at: Place) -> None:
    for content in (b"{", b"[]", b"x"):
        headers = {"content-type": "application/json"}
        answer = httpx.post(at.url + WEBHOOK_PATH, content=content, headers=headers)
        assert answer.json() == {"success": True}
    assert httpx.post(at.url + WEBHOOK_PATH, content=b"x").json() == {"success": True}
    at.server.script = lambda body: None
    assert post(at).json() == {"success": True}
    assert at.server.messages == []
    at.server.script = lambda body: {"content": {"msg": f"from {body['text']}"}}
    post(at)
    assert at.server.texts == ["from x"]


def test_a_form_is_read(at: Place) -> None:
    httpx.post(at.url + WEBHOOK_PATH, data={"payload": json.dumps(OK)})
    assert at.server.texts == ["x"]


def test_more_calls_than_the_limit_are_refused_with_the_delay(at: Place) -> None:
    at.server.limit = 1
    assert [post(at).status_code for _ in range(2)] == [200, 429]
    assert "You must wait 60 seconds" in post(at).json()["error"]


def test_names_are_mentioned_after_white_space_only() -> None:
    text = "@ada a@ada (@ada) *@ada* >@ada\n@here,\u00a0@all `\t@ada` @adam @\u200bada @ada:x"
    assert pings(text) == ["@ada", "@ada", "@here", "@all", "@ada"]


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
def test_apprise_posts_to_the_webhook_as_it_does_to_rocketchat(at: Place) -> None:
    host = at.url.removeprefix("http://")
    url = f"rocket://{INTEGRATION}/{TOKEN}@{host}/?avatar=no"
    assert apprise.Apprise(url).notify(title="A title", body="The *words*")
    assert "The *words*" in at.server.texts[0]
    assert not apprise.Apprise(url.replace(TOKEN, "other")).notify(body="x")
    assert not apprise.Apprise(url.replace("/?", "/#design/?")).notify(body="x")
    at.server.has_override = True
    assert apprise.Apprise(url.replace("/?", "/#design/?")).notify(body="x")
