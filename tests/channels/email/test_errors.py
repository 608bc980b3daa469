"""The delivery error for each answer of a mail server."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from relay.channels.base import DeliveryError, Permanent, RetryLater
from relay.channels.email import channel
from tests.channels import builders
from tests.channels.answers import Case, assert_raised
from tests.channels.builders import delivery_error
from tests.servers.hostile import MAX_MEMORY, MemoryGrowth
from tests.servers.loopback import Threaded, close_at_end, raw
from tests.servers.smtp import MailServer

pytestmark = pytest.mark.anyio

TO = "design@example.com"


def smtp(
    replies: dict[str, str], kind: type[DeliveryError], reason: str, words: str = "", **more: Any
) -> Case:
    return Case("email", replies, kind, reason, words=words, more=more)


CASES = [
    smtp({"MAIL": f"451 4.3.0 try later {builders.PASSWORD}"}, RetryLater, "451", login=True),
    smtp({"MAIL": "421 4.3.2 going down"}, RetryLater, "421"),
    smtp({"MAIL": "530 5.7.0 who are you"}, RetryLater, "530", "smtp.username"),
    smtp({"MAIL": "550 5.7.1 not this sender"}, RetryLater, "550", "sender"),
    smtp({"MAIL": "552 5.3.4 too big"}, Permanent, "552"),
    smtp({TO: "450 4.2.0 greylisted"}, RetryLater, "450"),
    smtp({TO: "550 5.1.1 no such user"}, Permanent, "550", "no such user"),
    smtp({TO: "554 5.7.1 relay access denied"}, RetryLater, "554", "relay access denied"),
    smtp({"DATA": "452 4.3.1 disk full"}, RetryLater, "452"),
    smtp({"DATA": "554 5.7.1 looks like spam"}, Permanent, "554"),
    smtp({"DATA": "554 5.2.252 SendAsDenied; not allowed to send as"}, RetryLater, "554"),
    smtp({"DATA": "550 5.4.5 Daily user sending limit exceeded"}, RetryLater, "550"),
    smtp({"DATA": "554 Message rejected: Email address is not verified."}, RetryLater, "554"),
    smtp({TO: "550 5.4.6 Unusual sending activity detected"}, RetryLater, "550"),
    smtp({}, RetryLater, "535", "username or password", login=True, password="wrong-password"),
    smtp({}, RetryLater, "starttls", 'tls = "tls"', tls="starttls"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_each_answer_raises_its_kind_of_error_without_a_secret(case: Case) -> None:
    with MailServer(auth=case.more.get("login", False), replies=case.answer) as server:
        error = await delivery_error(builders.email(server.port, **case.more))
    assert_raised(error, case)


async def _continuation(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"250-MORE\r\n" * 1000)
        await writer.drain()


async def _line(writer: asyncio.StreamWriter) -> None:
    writer.write(b"250 ")
    while True:
        writer.write(b"a" * 65536)
        await writer.drain()


async def _drip(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"250-MORE\r\n")
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("reply", [_continuation, _line, _drip])
async def test_an_endless_reply_costs_neither_memory_nor_time(
    reply: Callable[[asyncio.StreamWriter], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "_ANSWER_TIMEOUT", 1.0)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        close_at_end(writer)
        writer.write(b"220 mail.example.com\r\n")
        with suppress(ConnectionError):
            await reader.readline()
            await reply(writer)
        writer.transport.abort()

    started = time.monotonic()
    server = Threaded(lambda: asyncio.start_server(talk, "127.0.0.1", 0))
    with server, MemoryGrowth() as growth:
        error = await delivery_error(builders.email(server.port))
    assert isinstance(error, RetryLater)
    assert growth.bytes < MAX_MEMORY
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("greeting", ["554 5.3.2 not here", "421 4.3.2 too many connections"])
async def test_a_mail_server_that_refuses_connections_is_retried(greeting: str) -> None:
    with raw(f"{greeting}\r\n".encode(), greets=True) as server:
        error = await delivery_error(builders.email(int(server.url.rpartition(":")[2]), login=True))
    assert (type(error), error.reason) == (RetryLater, greeting[:3])
    assert "refuses the connection" in error.detail
