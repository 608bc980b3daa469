"""The stand-in for ntfy: a request that violates each of its rules is refused."""

from typing import Any

import httpx
import pytest

from tests.channels.apprise.place import Place
from tests.servers.ntfy import MAX_LENGTH, TOKEN, TOPIC

MESSAGE = {"topic": TOPIC, "message": "x"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{", 40017),
        ("[]", 40017),
        (MESSAGE | {"unknown": 1}, 40017),
        ({"message": "x"}, 40009),
        (MESSAGE | {"topic": "a/b"}, 40009),
        (MESSAGE | {"topic": "other"}, 40301),
        (MESSAGE | {"message": "ü" * (MAX_LENGTH // 2 + 1)}, 40014),
        (MESSAGE | {"message": "x" * 2 * MAX_LENGTH}, 41303),
    ],
)
def test_a_message_that_breaks_a_rule_is_refused(at: Place, body: Any, code: int) -> None:
    form = {"content": body} if isinstance(body, str) else {"json": body}
    headers = {"authorization": f"Bearer {TOKEN}"}
    answer = httpx.post(at.url, headers=headers, trust_env=False, **form)
    assert (answer.status_code, answer.json()["code"]) == (code // 100, code)
    assert at.server.messages == []


def test_others_and_other_places_are_refused(at: Place) -> None:
    assert httpx.post(at.url, json=MESSAGE, trust_env=False).status_code == 401
    assert httpx.get(at.url, trust_env=False).status_code == 404
    assert httpx.post(at.url + "/x", json=MESSAGE, trust_env=False).status_code == 404
