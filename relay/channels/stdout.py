"""Standard output as a channel: for the demo, a container's log and experiments."""

import asyncio
import re
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import ClassVar

from relay.channels.base import Finding, KeyValueStore, Receipt, ReplyTo, RetryLater
from relay.config.settings import StdoutSettings
from relay.messages.document import parse
from relay.messages.message import Message, Picture
from relay.messages.plain import to_text

# A terminal executes control characters; a message needs only its line ends.
_CONTROLS_PATTERN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


class StdoutChannel:
    kind: ClassVar[str] = "stdout"
    pace: ClassVar[float | None] = None

    def __init__(self, settings: StdoutSettings, kv: KeyValueStore) -> None:
        self._name = settings.name

    async def send(
        self,
        message: Message,
        key: str,
        thread: ReplyTo | None = None,
        picture: Picture | None = None,
    ) -> Receipt:
        encoding = sys.stdout.encoding or "utf-8"
        text = render(message).encode(encoding, "replace").decode(encoding)
        try:
            await _in_thread(lambda: _print(text))
        except (OSError, ValueError) as error:
            raise RetryLater("output", "standard output is closed or full") from error
        return Receipt(key)

    async def check(self) -> list[Finding]:
        return [Finding(ok=True, text="Messages are printed to standard output.")]

    async def close(self) -> None:
        pass


def _print(text: str) -> None:
    # A single write, so that the output of concurrent queues does not interleave.
    sys.stdout.write(text + "\n\n")
    sys.stdout.flush()


async def _in_thread(work: Callable[[], None]) -> None:
    """In a daemon thread, so that a stalled reader blocks only this queue. A thread of the event
    loop's executor would also block the shutdown."""
    future = Future[None]()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - passed to the caller
            future.set_exception(error)
        else:
            future.set_result(None)

    threading.Thread(target=run, name="stdout", daemon=True).start()
    await asyncio.wrap_future(future)


def render(message: Message) -> str:
    """The body, which says all that the title does, and the footer.

    Of a message with a URL only that URL is shown, on its own line: a terminal can't hide the
    other links behind their text.
    """
    links = not message.url
    documents = map(parse, (message.body, message.footer))
    parts = (to_text(document, links=links, quoted="│ ") for document in documents)
    text = "\n\n".join(filter(None, parts)) or message.title
    return _CONTROLS_PATTERN.sub(" ", f"{text}\n{message.url}" if message.url else text)
