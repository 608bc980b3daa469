"""The program of the sandbox's process."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LATE_REPORT = """
import pickle, sys, time
from relay.messages import lint, sandbox_worker

where, folder = sys.argv[1:]
places = {
    "while it is located": (lint, "_location"),
    "in the worker": (sandbox_worker, "to_problem"),
}
owner, name = places[where]
real, pause = getattr(owner, name), [0.5]

def late(*given):
    time.sleep(pause.pop() if pause else 0)  # as on a machine under load
    return real(*given)

setattr(owner, name, late)
job = "override", (folder,), folder, (), {}, "x.md.j2", {}
print(*sandbox_worker.SandboxWorker(0.2, 64 * 2**20).answer(pickle.dumps(job)))
"""


@pytest.mark.parametrize("where", ["while it is located", "in the worker"])
@pytest.mark.parametrize("error", ["1 / 0", "'x' * 10 ** 9"])
def test_a_timeout_while_another_error_is_reported_has_its_line(
    tmp_path: Path, error: str, where: str
) -> None:
    (tmp_path / "x.md.j2").write_text(f"a\n{{{{ {error} }}}}")
    command = [sys.executable, "-c", LATE_REPORT, where, str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert 'x.md.j2", 2, "takes longer than 0.2 s' in answer
    assert answer.endswith("True\n")


JOBS = """
import json, pickle, sys
from relay.channels import override_formats
from relay.messages.sandbox_worker import SandboxWorker

formats = tuple(override_formats().values())
worker = SandboxWorker(5.0, 64 * 2**20)
for task, folder, drafts, name in json.loads(sys.argv[1]):
    work = pickle.dumps((task, (folder,), folder, formats, drafts, name, {"x": "<b>"}))
    answer, must_exit = worker.answer(work)
    print(json.dumps([json.loads(answer), must_exit]))
"""


def answers(*jobs: tuple[str, str, dict[str, str], str]) -> list[Any]:
    """The answers of one worker, which limits its own process, to jobs in a row."""
    command = [sys.executable, "-c", JOBS, json.dumps(jobs)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in lines.splitlines()]


def test_one_worker_answers_several_jobs(tmp_path: Path) -> None:
    (tmp_path / "x.md.j2").write_text("<!-- title -->\nT\n<!-- body -->\n{{ x }}")
    (tmp_path / "x.email.html.j2").write_text("<p>{{ x }}</p>")
    folder = str(tmp_path)
    assert answers(
        ("sections", folder, {}, "x.md.j2"),
        ("override", folder, {}, "x.email.html.j2"),
        ("sections", folder, {"x.md.j2": "typed"}, "x.md.j2"),
        ("sections", folder, {"x.md.j2": "typed again"}, "x.md.j2"),
    ) == [
        [{"result": ["T", "\\<b\\>", "", []]}, False],
        [{"result": "<p>&lt;b&gt;</p>"}, False],
        [{"result": ["typed", "typed", "", []]}, False],
        [{"result": ["typed again", "typed again", "", []]}, False],
    ]


@pytest.mark.parametrize(("source", "text"), [("a\n{{ y }}", "'y' is undefined")])
def test_a_failed_job_has_its_file_and_line_and_the_process_stays(
    tmp_path: Path, source: str, text: str
) -> None:
    (tmp_path / "x.md.j2").write_text(source)
    ((answer, must_exit),) = answers(("sections", str(tmp_path), {}, "x.md.j2"))
    assert answer["problem"] == [str(tmp_path / "x.md.j2"), 2, text]
    assert not answer.get("exceeded_limits")
    assert not must_exit


def test_the_worker_imports_no_channel() -> None:
    program = "import sys, relay.messages.sandbox_worker; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    modules = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "relay.messages.rendering" in modules
    foreign = ("relay.channels", "relay.config", "relay.penpot", "pydantic")
    assert [name for name in modules if name.startswith(foreign)] == []
