"""apprise in its own process: messages, failures, and the process's end."""

import asyncio
import time
from dataclasses import replace

import pytest

from relay.channels.apprise import process
from relay.channels.apprise.channel import AppriseChannel
from relay.channels.base import Misconfigured, RetryLater
from relay.channels.errors import DOUBT_TIMEOUT
from relay.messages.message import Content
from tests.channels.apprise.place import Place, address, ntfy
from tests.channels.builders import (
    MESSAGE,
    assert_leaks_no_secret,
    delivery_error,
    findings,
    opened,
)
from tests.servers.loopback import Answer, raw

pytestmark = pytest.mark.anyio


FAILURES = [
    (Answer.of({"code": 40301}, 403), "http-403", "ntfy answered 403: check url in the config"),
    (Answer.of({"code": 42901}, 429), "ratelimited", "ntfy limits the rate of messages"),
    (Answer(cut=True), "connect", "ntfy can't be reached, or does not answer: check url"),
]


async def test_a_message_that_fails_is_retried_for_an_hour(at: Place) -> None:
    """All in one process, as its start takes a second."""
    settings = ntfy(at.url)
    async with opened(settings) as channel:
        for number, (failure, reason, words) in enumerate(FAILURES):
            at.server.next.append(failure)
            message = replace(MESSAGE, full=Content(f"> This is {number}"))
            with pytest.raises(RetryLater) as refused:
                await channel.send(message, str(number))
            error = refused.value
            assert_leaks_no_secret(error, settings)
            assert (error.reason, error.give_up_after) == (reason, DOUBT_TIMEOUT)
            assert error.answered is (reason != "connect")
            assert words in error.detail
            assert error.detail.endswith("; Relay retries it for an hour")
            assert (await channel.send(message, str(number))).id == str(number)
    assert [text.split("\n")[0] for text in at.server.texts] == [f"> This is {n}" for n in range(3)]


async def test_a_process_that_takes_too_long_or_is_killed_starts_again(
    at: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(ntfy(at.url)) as channel:
        assert isinstance(channel, AppriseChannel)
        await channel.send(MESSAGE, "1")
        first = channel._process._process
        assert first is not None
        with raw(b"", silent=True) as silent:
            channel._job["url"] = address(silent.url)
            monkeypatch.setattr(process, "JOB_TIMEOUT", 0.3)
            with pytest.raises(RetryLater) as late:
                await channel.send(MESSAGE, "2")
        assert (late.value.reason, late.value.answered) == ("timeout", False)
        assert first.returncode is not None
        monkeypatch.undo()
        channel._job["url"] = address(at.url)
        await channel.send(MESSAGE, "2")
        second = channel._process._process
        assert second is not None
        second.kill()
        await second.wait()
        await channel.send(MESSAGE, "3")
        third = channel._process._process
    assert third is not None
    assert third.returncode is not None
    assert len(at.server.messages) == 3


async def test_an_endless_answer_is_bounded(at: Place) -> None:
    """By the memory of the process, which ends the attempt or itself."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    started = time.monotonic()
    with raw(head, endless=True) as server:
        error = await delivery_error(ntfy(server.url))
    assert isinstance(error, RetryLater)
    assert error.reason in ("refused", "connect", "answer", "timeout")
    assert time.monotonic() - started < 50


async def test_an_idle_process_ends(at: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_IDLE_TIMEOUT", 0.1)
    async with opened(ntfy(at.url)) as channel:
        assert isinstance(channel, AppriseChannel)
        await channel.send(MESSAGE, "1")
        running = channel._process._process
        assert running is not None
        async with asyncio.timeout(30):
            await running.wait()


async def test_a_url_that_is_invalid_by_now_is_misconfigured(at: Place) -> None:
    """Such as after an update of apprise, while Relay runs."""
    settings = ntfy(at.url)
    async with opened(settings) as channel:
        assert isinstance(channel, AppriseChannel)
        channel._job["url"] = "rubbish"
        with pytest.raises(Misconfigured, match="url in the config must be one apprise URL"):
            await channel.send(MESSAGE, "1")


async def test_check_sends_nothing(at: Place) -> None:
    text = await findings(ntfy(at.url))
    assert text == "ok ntfy gets the messages, by apprise. This is tested by a message: relay send"
    assert at.server.requests == []
