"""Work off the event loop: the teams in turn, and long messages only."""

import asyncio
import threading

import pytest

from relay.messages.message import Content, Message
from relay.messages.turns import MAX_INLINE_LENGTH, MAX_INLINE_MARKUP, TeamTurns, convert

pytestmark = pytest.mark.anyio


async def test_a_waiting_team_goes_before_the_second_job_of_another() -> None:
    turns, gate, done = TeamTurns("test", 1), threading.Event(), list[str]()

    def job(name: str) -> None:
        gate.wait(20)
        done.append(name)

    names = ["a1", "a2", "a3", "b1", "b2", "c1"]
    jobs = [asyncio.create_task(turns.run(name[0], lambda name=name: job(name))) for name in names]
    await asyncio.sleep(0.01)
    gate.set()
    await asyncio.gather(*jobs)
    assert done == ["a1", "b1", "c1", "a2", "b2", "a3"]


async def test_a_team_has_one_job_at_a_time_however_many_threads_there_are() -> None:
    turns, running, most = TeamTurns("test", 8), set[str](), list[int]()
    gate = threading.Barrier(2)

    def job(name: str) -> None:
        running.add(name)
        most.append(sum(other[0] == name[0] for other in running))
        gate.wait(20)  # until the other team's job runs too
        running.discard(name)

    names = ["a1", "a2", "a3", "b1", "b2", "b3"]
    await asyncio.gather(*(turns.run(name[0], lambda name=name: job(name)) for name in names))
    assert max(most) == 1


async def test_an_error_ends_only_its_own_job() -> None:
    turns = TeamTurns("test", 1)
    results = await asyncio.gather(
        turns.run("a", lambda: 1 // 0), turns.run("a", lambda: 2), return_exceptions=True
    )
    assert isinstance(results[0], ZeroDivisionError)
    assert results[1] == 2


@pytest.mark.parametrize("part", ["body", "footer", "override"])
async def test_only_a_long_message_is_converted_off_the_event_loop(part: str) -> None:
    for length, is_long in ((MAX_INLINE_LENGTH, False), (MAX_INLINE_LENGTH + 1, True)):
        message = Message("", Content(**{part: "x" * length}), team="acme")
        thread = await convert(message, threading.get_ident)
        assert (thread != threading.get_ident()) is is_long


@pytest.mark.parametrize("markup", ["[", r"\[", r"\\[", "\n- a", "\r- a", "*a "])
async def test_a_short_message_with_much_markup_is_converted_off_the_event_loop(
    markup: str,
) -> None:
    """Of which a few thousand characters may take 0.1 s to parse."""
    for count, is_slow in ((MAX_INLINE_MARKUP, False), (MAX_INLINE_MARKUP + 1, True)):
        message = Message("", Content(markup * count), team="acme")
        assert len(message.full.body) <= MAX_INLINE_LENGTH
        thread = await convert(message, threading.get_ident)
        assert (thread != threading.get_ident()) is is_slow
