"""The stand-in for Mattermost: a request that violates each of its rules is refused, and another
client's is accepted."""

from typing import Any

import apprise
import httpx
import pytest

from tests.channels.mattermost.place import Place
from tests.servers.mattermost import DESIGN, HOOK, TOKEN, WEBHOOK_PATH

POST = {"channel_id": DESIGN, "message": "x"}


def call(at: Place, method: str, path: str, body: Any, token: str = TOKEN) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"}
    url = f"{at.url}/api/v4/{path}"
    return httpx.request(method, url, json=body, headers=headers, trust_env=False)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (POST | {"channel_id": "other"}, 403, "api.context.permissions.app_error"),
        (POST | {"unknown": 1}, 400, "api.context.invalid_body_param.app_error"),
        ([], 400, "api.context.invalid_body_param.app_error"),
        (POST | {"message": "x" * 16_384}, 400, "model.post.is_valid.message_length.app_error"),
        (POST | {"root_id": "gone"}, 400, "api.post.create_post.root_id.app_error"),
    ],
)
def test_a_post_that_breaks_a_rule_is_refused(at: Place, body: Any, status: int, code: str) -> None:
    answer = call(at, "POST", "posts", body)
    assert (answer.status_code, answer.json()["id"]) == (status, code)
    assert at.server.posts == {}


def test_a_reply_is_in_the_channel_of_its_root_and_no_reply_to_a_reply(at: Place) -> None:
    root = call(at, "POST", "posts", POST).json()["id"]
    reply = call(at, "POST", "posts", POST | {"root_id": root}).json()["id"]
    answer = call(at, "POST", "posts", POST | {"root_id": reply})
    assert answer.json()["id"] == "api.post.create_post.root_id.app_error"
    at.server.members.add("other")
    answer = call(at, "POST", "posts", {"channel_id": "other", "message": "x", "root_id": root})
    assert answer.json()["id"] == "api.post.create_post.channel_root_id.app_error"
    assert call(at, "DELETE", f"posts/{root}", None).status_code == 200
    assert at.server.posts == {}  # with its reply


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "posts/gone/patch"),
        ("DELETE", "posts/gone"),
        ("GET", "users/username/eve"),
        ("GET", "teams/name/other/channels/name/design"),
        ("GET", "teams/name/acme/channels/name/other"),
        ("GET", "channels/other/members/me"),
        ("GET", "anything"),
    ],
)
def test_what_does_not_exist_is_not_found(at: Place, method: str, path: str) -> None:
    answer = call(at, method, path, None if method == "GET" else {"message": "x"})
    assert answer.status_code == 404
    assert answer.json()["id"].endswith("app_error")


def test_a_direct_channel_is_of_two_people(at: Place) -> None:
    assert call(at, "POST", "channels/direct", ["x"]).status_code == 400


def test_a_file_is_for_a_channel_of_the_bots_and_for_one_post(at: Place) -> None:
    url, headers = f"{at.url}/api/v4/files", {"authorization": f"Bearer {TOKEN}"}
    options: dict[str, Any] = {
        "headers": headers,
        "trust_env": False,
        "files": {"files": ("a", b"x")},
    }
    assert httpx.post(url, data={"channel_id": "other"}, **options).status_code == 403
    answer = httpx.post(url, data={"channel_id": DESIGN}, **options)
    file = answer.json()["file_infos"][0]["id"]
    posts = [call(at, "POST", "posts", POST | {"file_ids": [file]}).json() for _ in range(2)]
    assert [post["file_ids"] for post in posts] == [[file], []]


def test_archived_channels_and_late_edits_are_refused(at: Place) -> None:
    post = call(at, "POST", "posts", POST).json()["id"]
    at.server.is_editable = False
    answer = call(at, "PUT", f"posts/{post}/patch", {"message": "y"})
    assert answer.json()["id"] == "api.post.update_post.permissions_time_limit.app_error"
    at.server.is_editable, at.server.is_archived = True, True
    assert call(at, "PUT", f"posts/{post}/patch", {"message": "y"}).status_code == 400
    assert call(at, "POST", "posts", POST).status_code == 400
    assert call(at, "GET", "users/me", None, "other").status_code == 401


@pytest.mark.parametrize(
    ("path", "content", "status", "code"),
    [
        (WEBHOOK_PATH, b'{"text": ""}', 400, "web.incoming_webhook.text.app_error"),
        (WEBHOOK_PATH, b"{", 400, "web.incoming_webhook.parse.app_error"),
        (WEBHOOK_PATH, b"[]", 400, "web.incoming_webhook.parse.app_error"),
        ("/hooks/other", b'{"text": "x"}', 400, "web.incoming_webhook.invalid.app_error"),
    ],
)
def test_a_webhook_that_breaks_a_rule_is_refused(
    at: Place, path: str, content: bytes, status: int, code: str
) -> None:
    answer = httpx.post(at.url + path, content=content, trust_env=False)
    assert (answer.status_code, answer.json()["id"]) == (status, code)
    at.server.is_archived = True
    assert httpx.post(at.url + WEBHOOK_PATH, json={"text": "x"}).status_code == 400
    at.server.has_webhooks = False
    assert httpx.post(at.url + path, content=content).status_code == 501


def test_a_webhooks_text_pings_as_in_slack_and_is_split(at: Place) -> None:
    text = "<!channel> <@adaadaadaadaadaadaadaadaa1> x@all.@ada, :here: @here"
    assert httpx.post(at.url + WEBHOOK_PATH, json={"text": text}).text == "ok"
    assert "@channel" in at.server.pings
    assert at.server.pings.count("@ada") + at.server.pings.count("@here") >= 2
    httpx.post(at.url + WEBHOOK_PATH, json={"text": "x" * 20_000})
    assert [len(text) for text in at.server.texts[1:]] == [16_383, 3617]


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
@pytest.mark.parametrize(
    "form",
    ["mmost://Penpot@{host}/" + HOOK, "mmost://{host}/" + HOOK + "?image=no"],
)
def test_apprise_posts_to_the_webhook_as_it_does_to_mattermost(at: Place, form: str) -> None:
    url = form.format(host=at.url.removeprefix("http://"))
    assert apprise.Apprise(url).notify(title="A title", body="The *words*")
    assert "The *words*" in at.server.texts[0]
    assert not apprise.Apprise(url.replace(HOOK, "other")).notify(body="x")
