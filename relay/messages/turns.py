"""Work off the event loop: one job at a time for each team, and the teams in turn."""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar
from weakref import WeakValueDictionary

from relay.messages.locale import using
from relay.messages.message import Message

T = TypeVar("T")

MAX_INLINE_LENGTH = 4000  # characters of a message that is converted on the event loop
MAX_INLINE_MARKUP = 100  # of them with a meaning in Markdown: each may take 0.2 ms to parse
# Also after a backslash, which may be escaped itself.
_MARKUP_PATTERN = re.compile(r"[\[*_`~<\n\r]")


class TeamTurns:
    """Runs blocking work in threads. A team that waits goes before the second job of another."""

    def __init__(self, name: str, max_threads: int) -> None:
        self._executor = ThreadPoolExecutor(max_threads, name)  # starts jobs in their order
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run(self, team: str, work: Callable[[], T]) -> T:
        """``team`` is the team's key in the config."""
        async with self._locks.setdefault(team, asyncio.Lock()):
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)


CONVERSIONS = TeamTurns("conversion", 2)
"""Of messages to a channel's form and to previews. Python runs one thread at a time: more of them
would leave less time to the event loop."""


async def convert(message: Message, work: Callable[[], T]) -> T:
    """A channel's form of ``message``, made by ``work`` in the message's language: off the event
    loop if it takes long."""
    work = partial(localized, message, work)
    content = message.content
    is_long = len(content.body) + len(content.footer) + len(content.override) > MAX_INLINE_LENGTH
    if is_long or len(_MARKUP_PATTERN.findall(content.body + content.footer)) > MAX_INLINE_MARKUP:
        return await CONVERSIONS.run(message.team, work)
    return work()


def localized(message: Message, work: Callable[[], T]) -> T:
    """The result of ``work``, whose own texts are in the language of ``message``."""
    with using(message.locale):
        return work()
