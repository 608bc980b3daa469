"""The rate that Discord's answers allow, and what each request has."""

import time

import pytest

from relay.channels.base import RetryLater
from relay.channels.discord import client
from tests.channels.builders import delivery_error
from tests.channels.discord.place import Place, hook, message
from tests.servers.loopback import Answer

pytestmark = pytest.mark.anyio


async def test_requests_pause_when_the_bucket_is_empty(at: Place) -> None:
    at.discord.limit, at.discord.window = 2, 0.4
    started = time.monotonic()
    async with at.channel() as channel:
        for number in range(5):
            await channel.send(message(), str(number))
    assert len(at.discord.posted) == 5
    assert 0.7 < time.monotonic() - started < 5


async def test_a_long_pause_is_the_queues(at: Place) -> None:
    at.discord.limit, at.discord.window = 1, 60.0
    async with at.channel() as channel:
        await channel.send(message(), "1")
        with pytest.raises(RetryLater) as refused:
            await channel.send(message(), "2")
    assert len(at.discord.requests) == 1
    assert 50 < (refused.value.retry_after or 0) <= 60


async def test_a_limit_that_was_not_announced_is_waited_for(at: Place) -> None:
    at.discord.limit = 0
    error = await delivery_error(hook(at.url))
    assert (type(error), error.reason) == (RetryLater, "ratelimited")
    assert 1 <= (error.retry_after or 0) <= 3


async def test_of_header_and_body_the_longer_delay_counts(at: Place) -> None:
    body = {"message": "You are being rate limited.", "retry_after": 64.57, "global": False}
    at.discord.next.append(Answer.of(body, 429, **{"Retry-After": "65"}))
    assert (await delivery_error(hook(at.url))).retry_after == 65


async def test_cloudflares_ban_is_named(at: Place) -> None:
    page = Answer(b"error code: 1015", 429, "text/plain", {"Retry-After": "120"})
    at.discord.next.append(page)
    error = await delivery_error(hook(at.url))
    assert (error.reason, error.retry_after) == ("cloudflare_1015", 120)
    assert "blocks this network" in error.detail


async def test_requests_name_the_version_the_agent_and_wait(at: Place) -> None:
    async with at.channel() as channel:
        await channel.send(message(), "1")
    (request,) = at.discord.requests
    assert request.path.startswith("/api/v10/webhooks/")
    assert request.query == "wait=true"
    assert request.headers["user-agent"].startswith("DiscordBot (https://")


def test_the_longest_pause_within_a_send_is_short() -> None:
    assert client._MAX_PAUSE <= 10  # what a stop gives to sends in progress
