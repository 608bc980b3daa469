"""The process's own output as a channel: for the demo, for a container's log, for trying."""

import asyncio
import contextlib
import re
import sys
import threading
from collections.abc import Callable
from typing import ClassVar

from relay.channels.base import Failure, Finding, KeyValueStore, Receipt, ReplyTo
from relay.config import StdoutSettings
from relay.messages.markdown import parse
from relay.messages.message import Message
from relay.messages.plain import to_text
from relay.picture import Picture

# A terminal obeys control characters; a message has no business with any but its line ends.
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


class StdoutChannel:
    """Prints messages as a person reads them."""

    kind: ClassVar[str] = "stdout"
    pace: ClassVar[float | None] = None

    def __init__(self, settings: StdoutSettings, notes: KeyValueStore) -> None:
        self._name = settings.name

    async def send(
        self,
        message: Message,
        key: str,
        thread: ReplyTo | None = None,
        picture: Picture | None = None,
    ) -> Receipt:
        """Print it, with a blank line after it. The receipt's id is ``key``."""
        encoding = sys.stdout.encoding or "utf-8"
        text = render(message).encode(encoding, "replace").decode(encoding)
        try:
            await _in_thread(lambda: _print(text))
        except (OSError, ValueError) as error:
            raise Failure("retry", "output", "standard output is closed or full") from error
        return Receipt(key)

    async def check(self) -> list[Finding]:
        """Standard output is always there."""
        return [Finding(ok=True, text="Messages are printed to standard output.")]

    async def close(self) -> None:
        """Nothing to give back."""


def _print(text: str) -> None:
    # One write, so that queues that print at the same time stay apart.
    sys.stdout.write(text + "\n\n")
    sys.stdout.flush()


async def _in_thread(work: Callable[[], None]) -> None:
    """Run ``work`` in a daemon thread: a reader that stalls holds up the queue, and neither the
    service nor its end, as one in the loop's own threads would."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def run() -> None:
        error: Exception | None = None
        try:
            work()
        except Exception as raised:  # noqa: BLE001 - handed on to who waits
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, error)

    def tell(error: Exception | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    threading.Thread(target=run, name="stdout", daemon=True).start()
    await done


def render(message: Message) -> str:
    """The message as text: its body, which tells all that the title does, and its footer.

    Where the message leads to a place in Penpot, only that address is shown, on a line of its
    own: a terminal can't hide the others behind their words.
    """
    links = not message.url
    documents = map(parse, (message.body, message.footer))
    parts = (to_text(document, links=links, quoted="│ ") for document in documents)
    text = "\n\n".join(filter(None, parts)) or message.title
    return _CONTROLS.sub(" ", f"{text}\n{message.url}" if message.url else text)
