"""Standard output as a channel: for the demo, a container's log and experiments."""

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import ClassVar

from relay.channels.base import (
    ChannelSettings,
    ChannelType,
    ChannelVariables,
    Finding,
    KeyValueStore,
    Receipt,
    ReplyTo,
    RetryLater,
    passed,
)
from relay.channels.preview import message_text, plain_preview
from relay.messages.message import Message, Picture
from relay.messages.turns import convert


class StdoutSettings(ChannelSettings):
    @property
    def places(self) -> frozenset[str]:
        return frozenset({"stdout"})

    @property
    def edit_mode(self) -> str:
        return self.edits or "messages"


class StdoutChannel:
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
        text = await convert(message, lambda: message_text(message))
        text = text.encode(encoding, "replace").decode(encoding)
        try:
            await _in_thread(lambda: _print(text))
        except (OSError, ValueError) as error:
            raise RetryLater(
                "output", "standard output is closed or full: free it, or restart Relay"
            ) from error
        return Receipt(key)

    async def check(self) -> list[Finding]:
        return [passed("Messages are printed to standard output.")]

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
            future.set_result(None)
        except Exception as error:  # noqa: BLE001 - passed to the caller
            future.set_exception(error)

    threading.Thread(target=run, name="stdout", daemon=True).start()
    await asyncio.wrap_future(future)


TYPE = ChannelType(
    name="stdout",
    label="Output",
    settings=StdoutSettings,
    load=lambda: StdoutChannel,
    preview=lambda message, thread, settings: plain_preview(message),
    variables=ChannelVariables(keys={"RELAY_STDOUT": ""}, required=("RELAY_STDOUT=1",)),
)
