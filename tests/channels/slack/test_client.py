"""Connections to Slack: reuse, logs, the proxy of the environment."""

import logging

import pytest

from relay.channels.base import RetryLater
from relay.channels.slack import client
from relay.channels.slack.channel import SlackChannel
from relay.channels.slack.client import SlackApi
from relay.messages.message import Picture
from tests.channels.builders import MESSAGE, opened, slack_bot, slack_hook
from tests.servers.fixtures import RunningSlack
from tests.servers.hostile import ATTACKS, MAX_MEMORY, Hostile, MemoryGrowth
from tests.servers.loopback import Answer, in_thread

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
    slack_server: RunningSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
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
    monkeypatch.setattr(client, "_TIMEOUT", 1.0)
    picture = Picture(b"\x89PNG", "image/png", 1, 1)
    with Hostile(attack) as storage, MemoryGrowth() as growth:
        target = Answer.of({"ok": True, "upload_url": storage.url, "file_id": "F1"})
        with in_thread(lambda _: target) as server:
            api = SlackApi(slack_bot(server.url))
            with pytest.raises(RetryLater):
                await api.upload(picture)
            await api.close()
    assert storage.requests == 1
    assert growth.bytes < MAX_MEMORY
