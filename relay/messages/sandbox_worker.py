"""The program of the sandbox's process (``sandbox.py``): one job after the other, within limits."""

import json
import os
import pickle
import resource
import signal
import sys
from collections.abc import Mapping
from typing import Any

from relay.messages.environments import OverrideFormat, TemplateFiles
from relay.messages.lint import Problem, to_problem
from relay.messages.rendering import InProcessTemplates

MAX_PARSE_SECONDS = 0.2
"""Processor time for parsing the rendered Markdown, which every channel parses again in the main
process. The longest comment of punctuation only takes 0.06."""
_REPORT_BYTES = 8 * 1024 * 1024  # additional memory for reporting that the memory ran out
_ORPHAN_SECONDS = 10.0  # processor time for a job beyond its timeout, if the service has ended


class _JobTimeout(BaseException):
    """Not an ``Exception``: no ``except Exception`` on its way may catch it."""


class SandboxWorker:
    """Runs jobs, each with the template set that it names."""

    def __init__(self, timeout: float, max_growth: int) -> None:
        """``timeout`` in seconds for a job; ``max_growth`` in bytes from here on."""
        self._timeout = timeout
        self._max_growth = max_growth
        self._initial_size = _process_size()
        self._sets: dict[tuple[Any, ...], InProcessTemplates] = {}
        signal.signal(signal.SIGALRM, self._on_timeout)
        self._limit_memory(max_growth)

    def answer(self, work: bytes) -> tuple[bytes, bool]:
        """The answer to a job, and whether the process has to exit after it.

        A job is a pickled tuple: task (a method of ``InProcessTemplates``), folders, folder of the
        built-in templates, override formats, drafts, template name, and the task's further
        arguments.
        """
        task, folders, builtin, formats, drafts, name, *arguments = pickle.loads(work)  # noqa: S301 - our own
        # Python handles this timer and can report the line. The service kills a process that does
        # not answer in time, and the kernel one whose service has ended.
        signal.setitimer(signal.ITIMER_PROF, self._timeout + _ORPHAN_SECONDS)
        signal.setitimer(signal.ITIMER_REAL, self._timeout)
        must_exit = False
        try:
            try:
                templates = self._templates(folders, builtin, formats, drafts)
                answer = self._run(templates, task, name, arguments)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except _JobTimeout as error:  # raised anywhere, also while another error is reported
            problem = to_problem(error, name)._replace(text=timeout_text(self._timeout))
            answer, must_exit = json.dumps(limit_exceeded(problem)), True
        self._limit_memory(self._max_growth)
        signal.setitimer(signal.ITIMER_PROF, 0)
        return answer.encode(), must_exit or self._has_grown()

    def _run(
        self, templates: InProcessTemplates, task: str, name: str, arguments: list[Any]
    ) -> str:
        try:
            return json.dumps({"result": getattr(templates, task)(name, *arguments)})
        except MemoryError as error:
            self._limit_memory(self._max_growth + _REPORT_BYTES)
            text = f"needs more than {self._max_growth // 2**20} MB of memory"
            return json.dumps(limit_exceeded(to_problem(error, name)._replace(text=text)))
        except Exception as error:  # noqa: BLE001 - templates run a user's code
            return json.dumps({"problem": to_problem(error, name), "exceeded_limits": False})

    def _templates(
        self,
        folders: tuple[str, ...],
        builtin: str,
        formats: tuple[OverrideFormat, ...],
        drafts: Mapping[str, str],
    ) -> InProcessTemplates:
        # Cached by the names of the drafts: the next text of a draft replaces the last one, and the
        # templates that it extends need no new compilation for every key press.
        key = folders, builtin, tuple(sorted(drafts))
        if key not in self._sets:
            files = TemplateFiles(folders, builtin)
            self._sets[key] = InProcessTemplates(files, formats, MAX_PARSE_SECONDS)
        self._sets[key].files.drafts = drafts
        return self._sets[key]

    def _on_timeout(self, *_: object) -> None:
        raise _JobTimeout

    def _has_grown(self) -> bool:
        return _process_size() > self._initial_size + self._max_growth // 4

    def _limit_memory(self, max_growth: int) -> None:
        _, hard_limit = resource.getrlimit(resource.RLIMIT_AS)
        limit = self._initial_size + max_growth
        if hard_limit != resource.RLIM_INFINITY:
            limit = min(limit, hard_limit)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard_limit))


def _process_size() -> int:
    """Bytes of address space, as ``RLIMIT_AS`` counts them."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.readline().split()[0]) * os.sysconf("SC_PAGESIZE")


def timeout_text(seconds: float) -> str:
    return f"takes longer than {seconds:g} s"


def limit_exceeded(problem: Problem) -> dict[str, Any]:
    return {"problem": problem, "exceeded_limits": True}


def main() -> None:
    """Serve the pipe that the command line names, until it is closed or idle."""
    from multiprocessing.connection import Connection  # the service needs only the functions above

    pipe = Connection(int(sys.argv[1]))
    timeout, max_growth, idle_timeout = float(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the closed pipe ends the process
    worker = SandboxWorker(timeout, max_growth)
    pipe.send_bytes(b"ready")
    must_exit = False
    while not must_exit and pipe.poll(idle_timeout):
        try:
            work = pipe.recv_bytes()
        except EOFError:
            return
        answer, must_exit = worker.answer(work)
        pipe.send_bytes(answer)
