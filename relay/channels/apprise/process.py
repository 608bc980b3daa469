"""apprise's process: what a URL's service can take, and the sending of messages.

``worker.py`` is the process itself.
"""

import asyncio
import json
import subprocess
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import DEVNULL, PIPE, Process
from dataclasses import dataclass
from pathlib import Path
from typing import Any

JOB_TIMEOUT = 60.0  # seconds, for all targets of a URL
_START_TIMEOUT = 60.0  # seconds, for a description
_IDLE_TIMEOUT = 120.0  # seconds without a job, after which the process ends
_MAX_ANSWER_BYTES = 64 * 1024
_COMMAND = (sys.executable, "-P", str(Path(__file__).with_name("worker.py")))


@dataclass(frozen=True, slots=True)
class AppriseService:
    """What apprise says of a URL. Limits are in characters."""

    name: str
    body_limit: int
    title_limit: int  # 0: the title becomes the body's first line


ANY_SERVICE = AppriseService("apprise", 32_768, 250)
"""For a URL that is not known, with apprise's own default limits."""
EXAMPLE_URL = "jsons://chat.example.com/penpot"
_services = {EXAMPLE_URL: ANY_SERVICE}  # needs no apprise: previews show it everywhere


def describe(url: str) -> AppriseService:
    """Takes a second for a new URL. Raises ``ValueError`` with the rule that it breaks."""
    if url not in _services:
        job = json.dumps({"url": url}).encode() + b"\n"
        try:
            done = subprocess.run(  # noqa: S603 - our own program
                _COMMAND, input=job, capture_output=True, timeout=_START_TIMEOUT, check=False
            )
            answer = json.loads(done.stdout)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            raise ValueError("can't be checked: apprise does not start") from None
        if "error" in answer:
            raise ValueError(answer["error"])
        _services[url] = AppriseService(**answer)
    return _services[url]


class AppriseProcess:
    """Starts with the first job, and ends when it is idle. One job at a time."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._idle: asyncio.TimerHandle | None = None

    async def run(self, job: dict[str, Any]) -> dict[str, Any]:
        """The answer to a job. Raises ``TimeoutError``, and ``OSError`` or ``ValueError`` where the
        process ends; the message may have been sent all the same."""
        if self._idle is not None:
            self._idle.cancel()
        try:
            async with asyncio.timeout(JOB_TIMEOUT):
                jobs, answers = await self._pipes()
                jobs.write(json.dumps(job).encode() + b"\n")
                answer = json.loads(await answers.readline())
        except BaseException:
            await self.close()
            raise
        loop = asyncio.get_running_loop()
        self._idle = loop.call_later(_IDLE_TIMEOUT, self._kill)
        return dict(answer)

    async def close(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        process = self._process
        self._kill()
        if process is not None:
            await process.wait()

    async def _pipes(self) -> tuple[StreamWriter, StreamReader]:
        """Of the running process."""
        if self._process is None or self._process.returncode is not None:
            # In a session of its own: Ctrl-C must not end it before Relay's own stop.
            self._process = await asyncio.create_subprocess_exec(
                *_COMMAND,
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                limit=_MAX_ANSWER_BYTES,
                start_new_session=True,
            )
        jobs, answers = self._process.stdin, self._process.stdout
        if jobs is None or answers is None:
            raise OSError("no pipe")
        return jobs, answers

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        self._process = None
