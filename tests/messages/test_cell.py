"""Templates that users write are programs: none may take the service's time or memory."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.messages import cell
from relay.messages.check import check
from relay.messages.templates import Rendered, Templates
from tests.messages.samples import known

SECONDS = 0.4
LATE = 1.5
"""Seconds to say where it was, on a machine that is busy with other tests."""
TIME = f"takes longer than {SECONDS} s"
MEMORY = "needs more than 48 MB of memory"
EITHER = f"{TIME}|{MEMORY}"
"""Which it is depends on the machine."""
LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
NESTED = "{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}"

HOSTILE = [
    ("\n" + LOOPS, 2, TIME),
    ("{% macro m(n) %}\n{{ m(n - 1) ~ m(n - 1) if n }}{% endmacro %}{{ m(90) }}", 2, TIME),
    ("{% for x in [1, 2] recursive %}{{ loop([1, 2]) if loop.depth < 90 }}{% endfor %}", 1, TIME),
    ("{% set x %}" + LOOPS + "{% endset %}x", 1, TIME),
    ("x\n{% set x = 10 ** (10 ** 8) %}", 2, TIME),
    ("{{ lipsum(n=10 ** 7) }}", 1, TIME),
    ("{{ ('x' * 9999999) | wordwrap(1) }}", 1, EITHER),
    ("{{ range(99999) | map('center', 9999) | map('upper') | join | length }}", 1, EITHER),
    ("{{ range(99999) | map('string') | map('center', 9999) | list }}", 1, EITHER),
    ("{% set n = namespace(x=[1]) %}" + NESTED + "{{ n.x }}", 1, EITHER),
    ("{% set n = namespace(x=[1]) %}" + NESTED + "{{ n.x | tojson }}", 1, EITHER),
    # One call into C that Python can't stop: the process is ended, the line is not known.
    ("{% set n = namespace(x=[1]) %}" + NESTED + "{% set y = n.x %}{% set n.x = [1] %}"
     + NESTED + "{{ y == n.x }}", 0, TIME),
    # What it gives takes long to be read as Markdown.
    ("{% for i in range(60000) %}[{% endfor %}", 0, EITHER),
    ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", 0, "calls itself without end"),
    ("\n{{ 'x' * 10 ** 9 }}", 2, MEMORY),
    ("\n{{ [0] * 10 ** 9 }}", 2, MEMORY),
    ("{{ '%0999999999d' % 1 }}", 1, MEMORY),
    ("{{ '%0999999999d' | format(1) }}", 1, MEMORY),
    ("{{ '{:>999999999}'.format(1) }}", 1, MEMORY),
    ("{{ 'x'.ljust(10 ** 9) }}", 1, MEMORY),
    ("{{ 'x'.zfill(10 ** 9) }}", 1, MEMORY),
    ("{{ '\t'.expandtabs(10 ** 9) }}", 1, MEMORY),
    ("{{ ('x' * 99999).replace('x', 'y' * 99999) }}", 1, EITHER),
    ("{{ ('y' * 99999).join(['x'] * 99999) }}", 1, EITHER),
    ("{{ ('x' * 99999).translate({120: 'y' * 99999}) }}", 1, EITHER),
    ("{{ (1).to_bytes(10 ** 9, 'big') }}", 1, MEMORY),
    ("{{ 'x' | center(10 ** 9) }}", 1, MEMORY),
    ("{{ ['a', 'b'] | join('\n') | indent(10 ** 9) }}", 2, MEMORY),
    ("{{ [1] | batch(10 ** 9, 'x') | list }}", 1, EITHER),
    ("{{ [1] | slice(10 ** 9) | list }}", 1, EITHER),
    ("{% set n = namespace(x='x') %}{% for i in range(99) %}\n"
     "{% set n.x = n.x ~ n.x %}{% endfor %}", 2, EITHER),
    ("{% set n = namespace(x='x') %}{% for i in range(99) %}\n"
     "{% set n.x = n.x + n.x %}{% endfor %}", 2, EITHER),
    ("{% for i in range(99999) %}{% for i in range(999) %}xxxxxxxx{% endfor %}{% endfor %}", 0,
     "gives more than 1 MB of text"),
]  # fmt: skip


class House:
    """A user's folder of templates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.templates = Templates(folder)
        self._others = set(_processes())
        self.write("{{ file }}")
        assert self.render().problems == ()

    def write(self, source: str, name: str = "create-file.md.j2") -> str:
        path = self.folder / name
        path.write_text(source)
        return str(path)

    def render(self, name: str = "create-file", **named: dict[str, str]) -> Rendered:
        return self.templates.render(name, known(name), team="acme", channel_kind="stdout", **named)

    def told(self) -> list[str]:
        return [str(one).removeprefix(f"{self.folder}/") for one in self.render().problems]

    @property
    def processes(self) -> list[int]:
        """Those that run its templates."""
        return [one for one in _processes() if one not in self._others]


def _processes() -> list[int]:
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdecimal()
        and "in_cell" in _of(entry, "cmdline")
        and f"PPid:\t{os.getpid()}\n" in _of(entry, "status")
    ]


def _of(process: Path, name: str) -> str:
    try:
        return (process / name).read_text()
    except OSError:  # it has ended
        return ""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(cell, "SECONDS", SECONDS)
    monkeypatch.setattr(cell, "_LATE", LATE)
    house = House(tmp_path)
    yield house
    house.templates.close()


@pytest.fixture(scope="module")
def same_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell, "SECONDS", SECONDS)
        patch.setattr(cell, "_LATE", LATE)
        house = House(tmp_path_factory.mktemp("templates"))
        yield house
        house.templates.close()


BUILTIN = Templates().render(
    "create-file", known("create-file"), team="acme", channel_kind="stdout"
)


@pytest.mark.parametrize(("source", "line", "text"), HOSTILE)
def test_a_template_takes_bounded_time_and_memory(
    same_house: House, source: str, line: int, text: str
) -> None:
    path = same_house.write(source)
    same_house.render("rename-file")  # its process is there
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    rendered = same_house.render()
    took = time.monotonic() - started

    assert rendered.message == BUILTIN.message
    (problem,) = rendered.problems
    assert (problem.file, problem.line) == (path, line)
    assert any(one in problem.text for one in text.split("|"))
    assert took < SECONDS + LATE + 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024
    for process in same_house.processes:
        status = _of(Path(f"/proc/{process}"), "status")
        assert int(status.partition("VmHWM:")[2].split()[0]) < 100 * 1024


TOLD_LATE = """
import pickle, sys, time
from jinja2 import Environment
from relay.messages import in_cell

where, folder = sys.argv[1:]
places = {"in the template": (Environment, "handle_exception"), "in the cell": (in_cell, "problem")}
owner, name = places[where]
real, pause = getattr(owner, name), [0.5]

def told(*given):
    time.sleep(pause.pop() if pause else 0)  # as on a busy machine
    return real(*given)

setattr(owner, name, told)
job = "override", (folder,), folder, {}, "x.md.j2", {}
print(*in_cell.SandboxWorker(0.2, 64 * 2**20).answer(pickle.dumps(job)))
"""


@pytest.mark.parametrize("where", ["in the template", "in the cell"])
@pytest.mark.parametrize("fault", ["1 / 0", "'x' * 10 ** 9"])
def test_a_time_that_is_over_while_another_fault_is_told_is_told_with_its_place(
    tmp_path: Path, fault: str, where: str
) -> None:
    (tmp_path / "x.md.j2").write_text(f"a\n{{{{ {fault} }}}}")
    command = [sys.executable, "-c", TOLD_LATE, where, str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert 'x.md.j2", 2, "takes longer than 0.2 s' in answer
    assert answer.endswith("True\n")


def test_what_took_too_much_is_not_tried_again_for_each_event(house: House) -> None:
    house.write(LOOPS)
    first = house.told()
    started = time.monotonic()
    told = [house.told() for _ in range(100)]

    assert time.monotonic() - started < 10 * SECONDS
    assert first == ["create-file.md.j2:1: takes longer than 0.4 s"]
    assert told == [first] * 100


@pytest.mark.parametrize("name", ["create-file.md.j2", "_mine.md.j2", "base.md.j2"])
def test_it_is_tried_again_when_its_file_changes_or_one_that_it_takes_in(
    house: House, name: str
) -> None:
    base = "{% block body %}{% endblock %}"
    house.write(base + (LOOPS if name == "base.md.j2" else ""), "base.md.j2")
    house.write("hi" + (LOOPS if name == "_mine.md.j2" else ""), "_mine.md.j2")
    mine = '{% extends "base.md.j2" %}{% block body %}{% include "_mine.md.j2" %}'
    loops = LOOPS if name == "create-file.md.j2" else ""
    house.write(f"{mine}{loops}{{% endblock %}}")
    assert house.told() == house.told() == [f"{name}:1: {TIME}"]

    house.write((house.folder / name).read_text().replace(LOOPS, ""), name)
    assert house.told() == []
    assert house.render().message.body == "hi"


def test_it_is_tried_again_after_a_while_for_the_machine_may_have_been_busy(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.write(LOOPS)
    house.told()
    monkeypatch.setattr(cell, "AGAIN", 0.0)
    started = time.monotonic()
    assert house.told() == [f"create-file.md.j2:1: {TIME}"]
    assert time.monotonic() - started >= SECONDS


def test_a_large_or_slow_event_does_not_set_a_template_aside(house: House) -> None:
    house.write("{{ 'x' * 1000001 }}")
    assert "1 MB" in house.told()[0]
    house.write("{{ 1 / 0 if event.name == 'create-file' }}x", "event.md.j2")
    house.write("{{ 1 / 0 }}")
    assert house.told() == ["create-file.md.j2:1: division by zero"]


def test_other_templates_go_on(house: House) -> None:
    house.write(LOOPS)
    house.write("still here", "rename-file.md.j2")
    house.told()
    assert house.render("rename-file").message.body == "still here"


def test_what_takes_long_to_be_read_is_not_handed_to_the_channels(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.templates.close()
    monkeypatch.setattr(cell, "SECONDS", 20.0)
    house.write("{% for i in range(30000) %}[{% endfor %}")
    assert house.told() == ["create-file.md.j2: gives Markdown that takes too long to read"]
    house.write("{{ ('*_[]()!`' * 1250) | quote }}")
    assert house.told() == []


def test_a_template_for_one_kind_of_channel_is_bounded_as_well(house: House) -> None:
    path = house.write("{{ 10 ** (10 ** 8) }}", "create-file.email.html.j2")
    rendered = house.templates.render(
        "create-file", known("create-file"), team="acme", channel_kind="email"
    )
    assert [(one.file, one.line, one.text) for one in rendered.problems] == [(path, 1, TIME)]
    assert rendered.message.override == ""


def test_relay_check_tells_it_and_does_not_take_as_long_for_each_sample(house: House) -> None:
    path = house.write(f"<!-- title -->\n{{% block title %}}{{% endblock %}}{LOOPS}", "base.md.j2")
    samples = [
        known(name) for name in ("create-file", "rename-file", "delete-file", "create-comment")
    ]
    house.write('{% extends "base.md.j2" %}')
    started = time.monotonic()
    problems = check(house.templates, samples)

    assert [(one.file, one.line, one.text) for one in problems] == [(path, 2, TIME)]
    assert time.monotonic() - started < 4 * SECONDS + 4


def test_a_template_that_is_typed_wins_over_the_files(house: House) -> None:
    typed = {"create-file.md.j2": '{% include "_mine.md.j2" %}', "_mine.md.j2": "typed"}
    assert house.render(typed=typed).message.body == "typed"
    assert house.render().message.body == "Landing page"

    rendered = house.render(typed={"create-file.md.j2": f"a\n{LOOPS}"})
    assert [str(one) for one in rendered.problems] == [f"create-file.md.j2:2: {TIME}"]
    assert house.told() == []


def test_what_is_typed_next_takes_the_place_of_what_was_typed_before(house: House) -> None:
    for text in ("one", "two", "{% set x = 3 %}{{ x }}", "two"):
        told = house.render(typed={"create-file.md.j2": text}).message.body
        assert told == text.replace("{% set x = 3 %}{{ x }}", "3")
    assert house.render(typed={"_mine.md.j2": "elsewhere"}).message.body != "two"


def test_the_faults_of_what_is_typed_are_told(house: House) -> None:
    typed = {"create-file.md.j2": "a\n{{ fil }}", "rename-fil.md.j2": "{% if %}"}
    samples = [known("create-file")]

    def told(name: str) -> list[str]:
        events = ["create-file", "rename-file"]
        return list(
            map(str, house.templates.faults(name, events, samples, team="acme", typed=typed))
        )

    assert told("create-file.md.j2") == [
        "create-file.md.j2:2: 'fil' is undefined; did you mean \"file\"?"
    ]
    assert [one.partition(";")[0] for one in told("rename-fil.md.j2")] == [
        'rename-fil.md.j2: no event is called "rename-fil"',
        "rename-fil.md.j2:1: Expected an expression, got 'end of statement block'",
    ]


def test_typed_templates_need_no_folder() -> None:
    templates = Templates()
    typed = {"create-file.md.j2": "hi {{ file }}"}
    variables = known("create-file")
    rendered = templates.render(
        "create-file", variables, team="acme", channel_kind="stdout", typed=typed
    )
    templates.close()
    assert rendered.message.body == "hi Landing page"


def test_the_process_knows_no_secret_and_ends_when_it_is_not_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_SECRET", "a-secret-of-24-characters")
    monkeypatch.setattr(cell, "IDLE", 0.2)
    house = House(tmp_path)
    (process,) = house.processes
    assert "secret" not in _of(Path(f"/proc/{process}"), "environ")
    os.kill(process, signal.SIGTERM)  # as systemd sends it to all of a service
    assert house.told() == []
    assert house.processes == [process]

    time.sleep(0.5)
    assert _of(Path(f"/proc/{process}"), "cmdline") == ""
    assert house.told() == []
    (another,) = house.processes
    assert another != process
    house.templates.close()
    assert house.processes == []


def test_a_process_that_was_killed_is_replaced(house: House) -> None:
    (process,) = house.processes
    os.kill(process, signal.SIGKILL)
    time.sleep(0.05)
    assert house.told() == []

    house.write(LOOPS)
    (process,) = house.processes
    threading.Timer(0.1, os.kill, (process, signal.SIGKILL)).start()
    assert house.told() == ["create-file.md.j2: ends the process that runs it (-9)"]


def test_without_a_process_the_built_in_message_stands_in(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.templates.close()
    monkeypatch.setattr(cell, "_PROGRAM", "raise SystemExit(3)")
    rendered = house.render()
    assert rendered.message == BUILTIN.message
    assert "does not start" in rendered.problems[0].text


def test_no_process_is_started_for_the_built_in_templates(house: House) -> None:
    house.templates.close()
    Templates().render("create-file", known("create-file"), team="acme", channel_kind="slack")
    assert house.processes == []
