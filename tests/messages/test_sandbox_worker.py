"""The program of the sandbox's process."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from relay.channels import override_formats
from relay.messages.locale import Locale
from relay.messages.templates import Templates
from tests.messages.samples import known

LATE_REPORT = """
import pickle, sys, time
from relay.messages import lint, sandbox_worker
from relay.messages.environments import TemplateFiles
from relay.messages.locale import DEFAULT_LOCALE

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
job = "override", (folder,), 0, (), {}, (DEFAULT_LOCALE, b""), "x.md.j2", {}
load = lambda name: TemplateFiles((), folder).read(name)[:2]
print(*sandbox_worker.SandboxWorker(0.2, 64 * 2**20, load).answer(pickle.dumps(job)))
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
from relay.messages.environments import TemplateFiles
from relay.messages.locale import DEFAULT_LOCALE
from relay.messages.sandbox_worker import SandboxWorker

formats = tuple(override_formats().values())
worker = SandboxWorker(5.0, 64 * 2**20, lambda name: TemplateFiles((), folder).read(name)[:2])
for task, folder, drafts, name in json.loads(sys.argv[1]):
    work = (task, (folder,), 0, formats, drafts, (DEFAULT_LOCALE, b""), name, {"x": "<b>"})
    answer, must_exit = worker.answer(pickle.dumps(work))
    print(json.dumps([json.loads(answer), must_exit]))
"""


def answers(*jobs: tuple[str, str, dict[str, str], str]) -> list[Any]:
    """The answers of one worker, which limits its own process, to jobs in a row."""
    command = [sys.executable, "-c", JOBS, json.dumps(jobs)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    read = [json.loads(line) for line in lines.splitlines()]
    for answer, must_exit in read:
        assert 0 <= answer.pop("seconds") < 5
        assert answer.pop("exits") == must_exit
    return read


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
        [{"result": ["T", "\\<b\\>", "", "T", "T", ""]}, False],
        [{"result": "<p>&lt;b&gt;</p>"}, False],
        [{"result": ["typed", "typed", "", "typed", "typed", ""]}, False],
        [{"result": ["typed again", "typed again", "", *["typed again"] * 2, ""]}, False],
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


PROBE = """
import json, os, socket, sys
from relay.messages import sandbox_worker

if os.getuid() == 0:  # whom neither the limit of processes nor permissions stop
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
if sys.argv[1] == "restricted":
    sandbox_worker.restrict()
attempts = {
    "environ": lambda: open(f"/proc/{os.getppid()}/environ").close(),
    "mem": lambda: open(f"/proc/{os.getppid()}/mem").close(),
    "own environ": lambda: open("/proc/self/environ").close(),
    "file": lambda: open("/etc/passwd").close(),
    "a closed one": lambda: (os.close(0), open("/etc/passwd").close()),
    "write": lambda: os.write(1, b"x" * 99),
    "socket": lambda: socket.socket().close(),
    "pipe": os.pipe,
    "fork": lambda: os.fork() or os._exit(0),
    "more files": lambda: sandbox_worker.resource.setrlimit(
        sandbox_worker.resource.RLIMIT_NOFILE, (99, 99)
    ),
}
results = {}
for name, attempt in attempts.items():
    try:
        attempt()
        results[name] = "works"
    except (OSError, ValueError) as error:
        results[name] = type(error).__name__
os.write(2, json.dumps(results).encode())
"""


def probe(mode: str, output: Path) -> dict[str, str]:
    """What works in a process like the worker's."""
    with output.open("wb") as file:
        ended = subprocess.run(
            [sys.executable, "-c", PROBE, mode],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.PIPE,
        )
    results: dict[str, str] = json.loads(ended.stderr)
    return results


def test_the_worker_can_open_nothing_and_start_no_process(tmp_path: Path) -> None:
    without = probe("unrestricted", tmp_path / "without")
    del without["environ"], without["mem"]  # see the test of ``deny_tracing``
    works = {name for name, result in without.items() if result == "works"}
    assert works | {"own environ"} == without.keys()  # a process that gave up root has none

    results = probe("restricted", tmp_path / "restricted")
    assert [name for name, result in results.items() if result == "works"] == []
    assert (tmp_path / "restricted").read_bytes() == b""


CLOCKS = (r"08\:17 UTC", r"14\:02", r"10\:17")
FILTERS = """
{{ 'a b' | wordwrap(1) }}{{ {'a': 1} | pprint }}{{ lipsum(n=1) | length }}{{ [1] | tojson }}
{{ ['a', 'b'] | random | length }}{{ event.at.strptime('2026', '%Y').year }}{{ event.at | when }}
{{ event.at.strftime('%A %x %Z') }}{{ '%5.2f' | format(1.5) }}{{ 5000 | filesizeformat }}
{{ '&eacute;' | link('https://p.example') }}{{ 'É' | lower | title | urlencode | quote }}
{{ event.props | dictsort | map('first') | join }}{{ [3, 1] | sort | list | length }}
"""


def test_filters_need_no_file_in_the_worker(tmp_path: Path) -> None:
    (tmp_path / "create-file.md.j2").write_text(FILTERS)
    (tmp_path / "create-file.email.html.j2").write_text("{{ '<b>&eacute;' | striptags | urlize }}")
    templates = Templates(tmp_path, override_formats())
    rendered = [
        templates.render(
            "create-file", known("create-file"), team="acme", channel_kind="email", locale=locale
        )
        for locale in (Locale(), Locale(zone="Asia/Kathmandu"), Locale(zone="Europe/Madrid"))
    ]
    templates.close()
    assert [result.problems for result in rendered] == [()] * 3
    bodies = [result.message.full.body for result in rendered]
    assert all(clock in body for clock, body in zip(CLOCKS, bodies, strict=True))
