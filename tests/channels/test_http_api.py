"""Requests to chats; more is in the tests of all channels' errors."""

import pytest

from relay.channels.base import RetryLater
from relay.channels.http_api import HttpApi, json_object, parse_json
from tests.servers.loopback import Answer, in_thread

pytestmark = pytest.mark.anyio


async def test_an_answer_of_any_status_is_returned() -> None:
    with in_thread(lambda request: Answer.of({"a": request.headers["user-agent"]}, 418)) as server:
        api = HttpApi("the server", server.url, "url", None, "agent")
        answer = await api.request("GET", server.url)
        await api.close()
    assert (answer.status, json_object(answer.body)) == (418, {"a": "agent"})


async def test_a_connection_that_fails_names_the_key() -> None:
    api = HttpApi("the server", "http://127.0.0.1:1", "url in the config", None)
    with pytest.raises(RetryLater) as refused:
        await api.request("GET", "http://127.0.0.1:1")
    await api.close()
    text = "the server at 127.0.0.1:1 refuses connections: check url in the config"
    assert str(refused.value) == f"connect: {text}"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b"\xff"])
def test_what_is_no_json_is_none(body: bytes) -> None:
    assert parse_json(body) is None
    assert json_object(body) == {}


def test_another_value_is_no_object() -> None:
    assert json_object(b"[1]") == {}
