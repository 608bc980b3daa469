"""Relay with channels of the type ``file``: in the one with the file ``deadly`` a message with the
word ``DEADLY`` ends the process. The delays after that are short.

    python -m tests.faults.deadly serve --config relay.toml
"""

import os
import signal
from typing import Any

from relay.channels import CHANNEL_TYPES
from relay.cli import main
from relay.delivery import attempts
from relay.delivery.backoff import retry_delay
from relay.messages.message import Message
from tests.channels.file_channel import FileChannel, register

DELAY_RATIO = 0.2


class DeadlyChannel(FileChannel):
    async def send(self, message: Message, *values: Any, **more: Any) -> Any:
        if self._path.name == "deadly" and "DEADLY" in message.content.body:
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().send(message, *values, **more)


if __name__ == "__main__":
    register("file")
    object.__setattr__(CHANNEL_TYPES["file"], "load", lambda: DeadlyChannel)
    attempts.retry_delay = lambda number: DELAY_RATIO * retry_delay(number)
    main()
