"""Messages on standard output."""

import asyncio
import io
import os
import sys
import time

import pytest

from relay.channels.base import RetryLater
from relay.channels.stdout import StdoutSettings
from relay.messages.filters import quote, when
from relay.messages.message import Content, Message
from tests.channels.builders import MESSAGE, delivery_error, findings, opened
from tests.messages.clock import clock_at

pytestmark = pytest.mark.anyio

SETTINGS = StdoutSettings(type="stdout", name="log")


async def test_a_message_is_printed_as_plain_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with opened(SETTINGS) as channel:
        await channel.send(MESSAGE, "delivery-1")
        receipt = await channel.send(Message("Only a title", Content("")), "delivery-2")
    assert capsys.readouterr().out == (
        "Ada Lovelace commented on Landing page\n\n"
        "│ The button is too small.\n│ <!channel> please\n\n"
        "Website · Acme · Open in Penpot\n"
        "https://penpot.example/#/view?a=1&b=2\n\n"
        "Only a title\n\n"
    )
    assert receipt.id == "delivery-2"


async def test_a_time_has_its_date_in_the_messages_zone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with clock_at("2026-07-25T12:00Z"):
        body = f"at {when('2026-07-25T08:17Z')}"
        async with opened(SETTINGS) as channel:
            await channel.send(Message("a", Content(body), zone="Europe/Madrid"), "delivery-1")
    assert capsys.readouterr().out == "at 25 Jul, 10:17\n\n"


async def test_typed_quotation_marks_stay(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with opened(SETTINGS) as channel:
        await channel.send(Message("a", Content(str(quote(">50px\n\n>> really")))), "delivery-1")
    assert capsys.readouterr().out == "│ >50px\n│\n│ >> really\n\n"


async def test_control_characters_are_removed(capsys: pytest.CaptureFixture[str]) -> None:
    async with opened(SETTINGS) as channel:
        await channel.send(Message("a\x1b[2Jb\x07\x9b31m", Content("")), "delivery-1")
    assert capsys.readouterr().out == "a [2Jb  31m\n\n"


async def test_an_output_without_unicode_gets_replacements(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", output)
    async with opened(SETTINGS) as channel:
        await channel.send(Message("Größe", Content("")), "delivery-1")
    assert output.buffer.getvalue() == b"Gr??e\n\n"  # type: ignore[attr-defined]


async def test_a_closed_output_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    error = await delivery_error(SETTINGS)
    assert (type(error), error.reason) == (RetryLater, "output")


async def test_check_is_always_good() -> None:
    assert (await findings(SETTINGS)).startswith("ok ")


async def test_a_stalled_reader_blocks_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    while True:
        try:
            os.write(writing, b"x" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(writing, True)
    with os.fdopen(writing, "w") as stalled, monkeypatch.context() as patched:
        patched.setattr("sys.stdout", stalled)
        async with opened(SETTINGS) as channel:
            sending = asyncio.create_task(channel.send(MESSAGE, "delivery-1"))
            started = time.monotonic()
            await asyncio.sleep(0.05)
            assert time.monotonic() - started < 1
            assert not sending.done()
            while not sending.done():
                os.read(reading, 65536)
                await asyncio.sleep(0.01)
            assert (await sending).id == "delivery-1"
    os.close(reading)
