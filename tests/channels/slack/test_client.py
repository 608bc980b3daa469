"""Connections to Slack: reuse, logs, the proxy of the environment."""

import logging
from contextlib import suppress

import pytest

from relay.channels.base import RetryLater
from relay.channels.slack import client
from relay.channels.slack.channel import SlackChannel
from relay.channels.slack.client import SlackApi
from relay.messages.message import Picture
from tests.channels.builders import MESSAGE, opened, slack_bot, slack_hook
from tests.servers.fixtures import RunningSlack
from tests.servers.hostile import ATTACKS, MAX_MEMORY, Hostile, MemoryGrowth
from tests.servers.loopback import Answer, Request, in_thread, raw

pytestmark = pytest.mark.anyio


async def test_one_connection_serves_many_messages(slack_server: RunningSlack) -> None:
    async with opened(slack_bot(slack_server.api_url)) as channel:
        assert isinstance(channel, SlackChannel)
        for number in range(3):
            await channel.send(MESSAGE, f"delivery-{number}")
        assert channel._api._client.session is not None
        connector = channel._api._client.session.connector
        assert connector is not None
        assert sum(len(idle) for idle in connector._conns.values()) == 1


async def test_the_sdk_logs_neither_webhook_nor_message(
    slack_server: RunningSlack, caplog: pytest.LogCaptureFixture
) -> None:
    settings = slack_hook(slack_server.webhook_url)
    with caplog.at_level(logging.DEBUG):
        async with opened(settings) as channel:
            await channel.send(MESSAGE, "delivery-1")
    assert "Secret" not in caplog.text
    assert "Lovelace" not in caplog.text


async def test_the_proxy_of_the_environment_respects_no_proxy(
    slack_server: RunningSlack, environment_without_proxies: pytest.MonkeyPatch
) -> None:
    monkeypatch = environment_without_proxies
    with in_thread(slack_server.slack.handle) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        async with opened(slack_bot("http://slack.invalid/api")) as channel:
            await channel.send(MESSAGE, "delivery-1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with opened(slack_bot(slack_server.api_url)) as channel:
        await channel.send(MESSAGE, "delivery-2")
    assert len(slack_server.slack.messages) == 2


@pytest.mark.parametrize("attack", sorted(ATTACKS.keys() - {"slow charset"}))
async def test_a_hostile_file_storage_costs_neither_memory_nor_time(
    attack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture is uploaded with the status 200, whatever follows."""
    monkeypatch.setattr(client, "_TIMEOUT", 1.0)
    picture = Picture(b"\x89PNG", "image/png", 1, 1)
    with Hostile(attack) as storage, MemoryGrowth() as growth:
        target = Answer.of({"ok": True, "upload_url": storage.url, "file_id": "F1"})
        with in_thread(lambda _: target) as server:
            api = SlackApi(slack_bot(server.url))
            with suppress(RetryLater):
                await api.upload(picture)
            await api.close()
    assert storage.requests == 1
    assert growth.bytes < MAX_MEMORY


ACCEPTED = {
    "Slack and Mattermost": Answer(b"ok", content_type="text/plain"),
    "Rocket.Chat": Answer(b'{"success":true}'),
    "Ryver": Answer(status=204),
    "empty": Answer(b"", 200),
    "upper case": Answer(b"OK", 201, "text/html"),
    "a page": Answer(b"<html>no_service</html>", 202, "text/html"),
    "not UTF-8": Answer(b"\xff\xff", 200),
}


@pytest.mark.parametrize("own", [False, True], ids=["another host", "Slack"])
@pytest.mark.parametrize("answer", ACCEPTED.values(), ids=ACCEPTED)
async def test_a_status_from_200_to_299_is_a_delivery(
    answer: Answer, own: bool, request: pytest.FixtureRequest
) -> None:
    if own:
        request.getfixturevalue("loopback_is_slack")
    posts: list[Request] = []

    def handle(post: Request) -> Answer:
        posts.append(post)
        return answer

    with in_thread(handle) as server:
        async with opened(slack_hook(f"{server.url}/hooks/x")) as channel:
            await channel.send(MESSAGE, "delivery-1")
    assert len(posts) == 1


async def test_an_error_word_with_status_200_is_a_delivery_on_another_host() -> None:
    with in_thread(lambda _: Answer(b"no_service", 200, "text/plain")) as server:
        async with opened(slack_hook(f"{server.url}/hooks/x")) as channel:
            await channel.send(MESSAGE, "delivery-1")


@pytest.mark.usefixtures("loopback_is_slack")
@pytest.mark.parametrize(
    "answer",
    [
        b"Content-Length: 500\r\n\r\n{",
        b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nxyz",
        b"\r\n",
    ],
    ids=["cut off", "encoded", "endless"],
)
async def test_an_accepted_message_is_delivered_even_if_the_answer_breaks_off(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_TIMEOUT", 5.0)
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
    with raw(head + answer, endless=answer == b"\r\n") as server:
        async with opened(slack_hook(f"{server.url}/services/x")) as channel:
            await channel.send(MESSAGE, "delivery-1")
