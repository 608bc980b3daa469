"""Users' templates are programs: none may use up the service's time or memory."""

import os
import re
import resource
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.channels import override_formats
from relay.delivery.notices import notice_samples
from relay.messages import sandbox as cell
from relay.messages.budget import SandboxBudget
from relay.messages.environments import TemplateFiles
from relay.messages.lint import Problem
from relay.messages.locale import Locale, gettext, using
from relay.messages.templates import RenderResult, Templates, check
from tests.messages.samples import known
from tests.messages.user import busy

TIMEOUT = 0.4
REPORT_TIMEOUT = 1.5  # long, for a machine that runs other tests as well
PATIENT_TIMEOUT = 60.0
TIME = f"takes longer than {TIMEOUT} s"
MEMORY = "needs more than 48 MB of memory"
EITHER = f"{TIME}|{MEMORY}"  # depends on the machine
LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
NESTED = "{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}"

HOSTILE = [
    ("\n" + LOOPS, 2, TIME),
    ("{% macro m(n) %}{{ m(n - 1) ~ m(n - 1) if n }}{% endmacro %}{{ m(90) }}", 1, TIME),
    ("{% for x in [1, 2] recursive %}{{ loop([1, 2]) if loop.depth < 90 }}{% endfor %}", 1, TIME),
    ("{% set x %}" + LOOPS + "{% endset %}x", 1, TIME),
    ("x\n{% set x = 10 ** (10 ** 8) %}", 2, TIME),
    ("{{ lipsum(n=10 ** 7) }}", 1, TIME),
    ("{{ ('x' * 9999999) | wordwrap(1) }}", 1, EITHER),
    ("{{ range(99999) | map('center', 9999) | map('upper') | join | length }}", 1, EITHER),
    ("{{ range(99999) | map('string') | map('center', 9999) | list }}", 1, EITHER),
    ("{% set n = namespace(x=[1]) %}" + NESTED + "{{ n.x }}", 1, EITHER),
    ("{% set n = namespace(x=[1]) %}" + NESTED + "{{ n.x | tojson }}", 1, EITHER),
    # One call into C that Python can't interrupt: the process is killed, the line is unknown.
    ("{% set n = namespace(x=[1]) %}" + NESTED + "{% set y = n.x %}{% set n.x = [1] %}"
     + NESTED + "{{ y == n.x }}", 0, TIME),
    # Its output is slow to parse as Markdown.
    ("{% for i in range(49000) %}[{% endfor %}", 0, EITHER),
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


class UserTemplates:
    """A user's folder of templates."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.templates = Templates(path, override_formats())
        self._others = set(_processes())
        self.write("{{ file }}")
        assert self.render().problems == ()

    def write(self, source: str, name: str = "create-file.md.j2") -> str:
        path = self.path / name
        path.write_text(source)
        return str(path)

    def render(self, name: str = "create-file", **named: dict[str, str]) -> RenderResult:
        return self.templates.render(name, known(name), team="acme", channel_kind="stdout", **named)

    def problems(self) -> list[str]:
        problems = self.render().problems
        return [str(problem).removeprefix(f"{self.path}/") for problem in problems]

    @property
    def processes(self) -> list[int]:
        """The ids of the sandbox's processes."""
        return [process for process in _processes() if process not in self._others]


def _processes() -> list[int]:
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdecimal()
        and "sandbox_worker" in _of(entry, "cmdline")
        and f"PPid:\t{os.getpid()}\n" in _of(entry, "status")
    ]


def _of(process: Path, name: str) -> str:
    try:
        return (process / name).read_text()
    except OSError:  # it has ended
        return ""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UserTemplates]:
    monkeypatch.setattr(cell, "TEMPLATE_TIMEOUT", TIMEOUT)
    monkeypatch.setattr(cell, "_REPORT_TIMEOUT", REPORT_TIMEOUT)
    folder = UserTemplates(tmp_path)
    yield folder
    folder.templates.close()


@pytest.fixture(scope="module")
def same_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UserTemplates]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell, "TEMPLATE_TIMEOUT", TIMEOUT)
        patch.setattr(cell, "_REPORT_TIMEOUT", REPORT_TIMEOUT)
        folder = UserTemplates(tmp_path_factory.mktemp("templates"))
        yield folder
        folder.templates.close()


BUILTIN = Templates().render(
    "create-file", known("create-file"), team="acme", channel_kind="stdout"
)


@pytest.mark.parametrize(("source", "line", "text"), HOSTILE)
def test_time_and_memory_of_a_template_are_limited(
    same_folder: UserTemplates,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    line: int,
    text: str,
) -> None:
    # A busy machine must neither end the time before the memory, nor kill a process that reports.
    timeout, is_killed = TIMEOUT if TIME in text else PATIENT_TIMEOUT, (line, text) == (0, TIME)
    monkeypatch.setattr(cell, "_REPORT_TIMEOUT", 0.2 if is_killed else PATIENT_TIMEOUT)
    if timeout != cell.TEMPLATE_TIMEOUT:
        monkeypatch.setattr(cell, "TEMPLATE_TIMEOUT", timeout)
        same_folder.templates.close()  # a process keeps the limit that it starts with
    path = same_folder.write(source)
    same_folder.render("rename-file")  # starts the process
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rendered = same_folder.render()

    assert rendered.message == BUILTIN.message
    (problem,) = rendered.problems
    assert (problem.file, problem.line) == (path, line)
    assert any(part in problem.text for part in text.split("|"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024
    for process in same_folder.processes:
        peak = _of(Path(f"/proc/{process}"), "status").partition("VmHWM:")[2].split()
        # After a limit the process ends by itself: while it does, it has no memory to report.
        assert not peak or int(peak[0]) < 100 * 1024
    if timeout != TIMEOUT:
        same_folder.templates.close()


def test_a_template_that_exceeded_a_limit_is_quarantined(folder: UserTemplates) -> None:
    folder.write(LOOPS)
    first = folder.problems()
    started = time.monotonic()
    later = [folder.problems() for _ in range(100)]

    assert time.monotonic() - started < 10 * TIMEOUT
    assert first == ["create-file.md.j2:1: takes longer than 0.4 s"]
    assert later == [first] * 100


@pytest.mark.parametrize("name", ["create-file.md.j2", "_mine.md.j2", "base.md.j2"])
def test_quarantine_ends_when_the_template_or_one_it_uses_changes(
    folder: UserTemplates, name: str
) -> None:
    base = "{% block body %}{% endblock %}"
    folder.write(base + (LOOPS if name == "base.md.j2" else ""), "base.md.j2")
    folder.write("hi" + (LOOPS if name == "_mine.md.j2" else ""), "_mine.md.j2")
    mine = '{% extends "base.md.j2" %}{% block body %}{% include "_mine.md.j2" %}'
    loops = LOOPS if name == "create-file.md.j2" else ""
    folder.write(f"{mine}{loops}{{% endblock %}}")
    assert folder.problems() == folder.problems() == [f"{name}:1: {TIME}"]

    folder.write((folder.path / name).read_text().replace(LOOPS, ""), name)
    assert folder.problems() == []
    assert folder.render().message.content.body == "hi"


def test_quarantine_ends_after_its_ttl(
    folder: UserTemplates, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(LOOPS)
    folder.problems()
    monkeypatch.setattr(cell, "QUARANTINE_TTL", 0.0)
    started = time.monotonic()
    assert folder.problems() == [f"create-file.md.j2:1: {TIME}"]
    assert time.monotonic() - started >= TIMEOUT


def test_other_errors_do_not_quarantine_a_template(folder: UserTemplates) -> None:
    folder.write("{{ 'x' * 1000001 }}")
    assert "1 MB" in folder.problems()[0]
    folder.write("{{ 1 / 0 if event.name == 'create-file' }}x", "event.md.j2")
    folder.write("{{ 1 / 0 }}")
    assert folder.problems() == ["create-file.md.j2:1: division by zero"]


def test_the_process_stays_after_a_missing_or_unreadable_template(folder: UserTemplates) -> None:
    processes = folder.processes
    (folder.path / "_bad.md.j2").write_bytes(b"a\nb\xff")
    for name, problem in [
        ("none.md.j2", 'create-file.md.j2:1: there is no template "none.md.j2"'),
        ("_bad.md.j2", "_bad.md.j2:2: is not UTF-8"),
    ]:
        folder.write(f'{{% include "{name}" %}}')
        assert folder.problems() == [problem]
    assert folder.processes == processes


def test_other_templates_are_not_quarantined(folder: UserTemplates) -> None:
    folder.write(LOOPS)
    folder.write("still here", "rename-file.md.j2")
    folder.problems()
    assert folder.render("rename-file").message.content.body == "still here"


def test_markdown_that_is_slow_to_parse_does_not_reach_the_channels(
    folder: UserTemplates, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.templates.close()
    monkeypatch.setattr(cell, "TEMPLATE_TIMEOUT", 20.0)
    folder.write("{% for i in range(30000) %}[{% endfor %}")
    assert folder.problems() == ["create-file.md.j2: gives Markdown that takes too long to read"]
    folder.write("{{ ('*_[]()!`' * 1250) | quote }}")
    assert folder.problems() == []


def test_limits_apply_to_templates_for_one_kind_of_channel(folder: UserTemplates) -> None:
    path = folder.write("{{ 10 ** (10 ** 8) }}", "create-file.email.html.j2")
    rendered = folder.templates.render(
        "create-file", known("create-file"), team="acme", channel_kind="email"
    )
    assert [(item.file, item.line, item.text) for item in rendered.problems] == [(path, 1, TIME)]
    assert rendered.message.content.override == ""


def test_relay_check_stops_after_the_first_template_that_exceeds_a_limit(
    folder: UserTemplates, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, run = list[str](), cell.Sandbox.run

    def counted(sandbox: cell.Sandbox, team: str, job: Any, files: TemplateFiles) -> Any:
        jobs.append(job[0])
        return run(sandbox, team, job, files)

    monkeypatch.setattr(cell.Sandbox, "run", counted)
    path = folder.write(f"<!-- title -->\n{{% block title %}}{{% endblock %}}{LOOPS}", "base.md.j2")
    samples = [
        *(known(name) for name in ("create-file", "rename-file", "delete-file", "create-comment")),
        *notice_samples(),
    ]
    folder.write('{% extends "base.md.j2" %}')
    problems = check(folder.templates, samples)

    assert [(item.file, item.line, item.text) for item in problems] == [(path, 2, TIME)]
    assert jobs == ["lint", "lint", "sections"]


def test_a_template_that_extends_a_built_in_one_is_in_the_language_of_its_message(
    folder: UserTemplates,
) -> None:
    folder.write(
        '{% extends "builtin/create-file.md.j2" %}{% block footer %}{{ language }} {{ timezone }} '
        '{{ _("Someone") }} {% trans name=file %}**{{ name }}** is mine{% endtrans %}{% endblock %}'
    )
    titles = set()
    for language in ("de", "es", "fr", "en", "de"):
        locale = Locale(language, "Europe/Berlin")
        result = folder.templates.render(
            "create-file", known("create-file"), team="acme", channel_kind="stdout", locale=locale
        )
        assert result.problems == ()
        builtin = Templates().render(
            "create-file", known("create-file"), team="acme", channel_kind="stdout", locale=locale
        )
        assert result.message.title == builtin.message.title
        assert result.message.full.body == builtin.message.full.body
        with using(locale):
            words = gettext("Someone")
        footer = f"{language} Europe\\/Berlin {words} **Landing page** is mine"
        assert result.message.full.footer == footer
        titles.add(result.message.title)
    assert len(titles) == 4
    assert len(folder.processes) == 1


def test_a_draft_wins_over_the_files(folder: UserTemplates) -> None:
    drafts = {"create-file.md.j2": '{% include "_mine.md.j2" %}', "_mine.md.j2": "typed"}
    assert folder.render(drafts=drafts).message.content.body == "typed"
    assert folder.render().message.content.body == "Landing page"

    rendered = folder.render(drafts={"create-file.md.j2": f"a\n{LOOPS}"})
    assert list(map(str, rendered.problems)) == [f"create-file.md.j2:2: {TIME}"]
    assert folder.problems() == []


def test_the_next_draft_replaces_the_last_one(folder: UserTemplates) -> None:
    for text in ("one", "two", "{% set x = 3 %}{{ x }}", "two"):
        body = folder.render(drafts={"create-file.md.j2": text}).message.content.body
        assert body == text.replace("{% set x = 3 %}{{ x }}", "3")
    assert folder.render(drafts={"_mine.md.j2": "elsewhere"}).message.content.body != "two"


def test_problems_of_drafts_are_reported(folder: UserTemplates) -> None:
    drafts = {"create-file.md.j2": "a\n{{ fil }}", "rename-fil.md.j2": "{% if %}"}
    samples = [known("create-file")]

    def problems(name: str) -> list[str]:
        events = ["create-file", "rename-file"]
        return list(
            map(str, folder.templates.lint(name, events, samples, team="acme", drafts=drafts))
        )

    assert problems("create-file.md.j2") == [
        "create-file.md.j2:2: 'fil' is undefined; did you mean \"file\"?"
    ]
    assert [text.partition(";")[0] for text in problems("rename-fil.md.j2")] == [
        'rename-fil.md.j2: no event is called "rename-fil"',
        "rename-fil.md.j2:1: Expected an expression, got 'end of statement block'",
    ]


def test_drafts_need_no_folder() -> None:
    templates = Templates()
    drafts = {"create-file.md.j2": "hi {{ file }}"}
    variables = known("create-file")
    rendered = templates.render(
        "create-file", variables, team="acme", channel_kind="stdout", drafts=drafts
    )
    templates.close()
    assert rendered.message.content.body == "hi Landing page"


def test_the_process_has_no_secrets_and_exits_when_idle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_SECRET", "a-secret-of-24-characters")
    monkeypatch.setattr(cell, "IDLE_TIMEOUT", 0.2)
    folder = UserTemplates(tmp_path)
    (process,) = folder.processes
    assert "secret" not in _of(Path(f"/proc/{process}"), "environ")
    limits = _of(Path(f"/proc/{process}"), "limits")
    for name in ("open files", "file size", "processes", "core file size"):
        assert re.search(rf"^Max {name} +0 +0 ", limits, re.MULTILINE)
    os.kill(process, signal.SIGTERM)  # as systemd sends it to all of a service
    assert folder.problems() == []
    assert folder.processes == [process]

    deadline = time.monotonic() + 10  # an interpreter takes its time to end on a busy machine
    while _of(Path(f"/proc/{process}"), "cmdline") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _of(Path(f"/proc/{process}"), "cmdline") == ""
    assert folder.problems() == []
    (another,) = folder.processes
    assert another != process
    folder.templates.close()
    assert folder.processes == []


def test_a_killed_process_is_replaced(folder: UserTemplates) -> None:
    (process,) = folder.processes
    os.kill(process, signal.SIGKILL)
    time.sleep(0.05)
    assert folder.problems() == []

    folder.write(LOOPS)
    (process,) = folder.processes
    threading.Timer(0.1, os.kill, (process, signal.SIGKILL)).start()
    assert folder.problems() == ["create-file.md.j2: ends the process that runs it (-9)"]


def test_without_a_process_the_built_in_template_is_used(
    folder: UserTemplates, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.templates.close()
    monkeypatch.setattr(cell, "_PROGRAM", "raise SystemExit(3)")
    rendered = folder.render()
    assert rendered.message == BUILTIN.message
    assert "does not start" in rendered.problems[0].text


def test_the_built_in_templates_start_no_process(folder: UserTemplates) -> None:
    folder.templates.close()
    Templates().render("create-file", known("create-file"), team="acme", channel_kind="slack")
    assert folder.processes == []


# Teams


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def budgeted(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Templates]:
    """Templates with a budget of 0.5 s; those of team slow need a part of it."""
    monkeypatch.setattr(cell, "TEMPLATE_TIMEOUT", PATIENT_TIMEOUT)
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "create-file.md.j2").write_text(f"slow{busy(0.15)}")
    (tmp_path / "create-file.md.j2").write_text("quick")
    templates = Templates(tmp_path, override_formats(), budget=SandboxBudget(0.5, clock))
    yield templates
    templates.close()


def rendered(templates: Templates, team: str, **named: dict[str, str]) -> RenderResult:
    variables = known("create-file")
    return templates.render("create-file", variables, team=team, channel_kind="stdout", **named)


def test_a_team_that_has_spent_its_budget_gets_the_built_in_template(
    budgeted: Templates, clock: Clock, tmp_path: Path
) -> None:
    results = [rendered(budgeted, "slow") for _ in range(40)]
    own = [result for result in results if result.message.content.body == "slow"]
    # Four, but more where the machine was slow when the loop's length was measured.
    assert 0 < len(own) <= 20
    assert {result.message.content.body for result in results[len(own) :]} == {
        BUILTIN.message.content.body
    }
    (problem,) = [problem for result in results for problem in result.problems]
    assert problem == Problem(
        str(tmp_path / "slow" / "create-file.md.j2"),
        0,
        "is not used: its team's templates have run for 0.5 s in this minute",
    )
    assert rendered(budgeted, "other").message.content.body == "quick"

    clock.now += 60
    assert rendered(budgeted, "slow").message.content.body == "slow"
    assert len([problem for _ in range(30) for problem in rendered(budgeted, "slow").problems]) == 1


def test_a_draft_whose_team_has_spent_its_budget_says_so_each_time(budgeted: Templates) -> None:
    while not rendered(budgeted, "slow").problems:
        pass
    drafts = {"create-file.md.j2": "typed"}
    for _ in range(2):
        (problem,) = rendered(budgeted, "slow", drafts=drafts).problems
        assert (problem.file, "0.5 s" in problem.text) == ("create-file.md.j2", True)
        (problem,) = budgeted.lint(
            "create-file.md.j2", ["create-file"], [], team="slow", drafts=drafts
        )
        assert problem.file == "create-file.md.j2"
    assert rendered(budgeted, "other", drafts=drafts).message.content.body == "typed"


def test_nobody_waits_for_a_slow_team(budgeted: Templates, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its job has not ended, another team's has: also that of a team with many short jobs."""
    spent, spend = Counter[str](), SandboxBudget.spend

    def counted(budget: SandboxBudget, team: str, seconds: float) -> None:
        spent[team] += seconds
        spend(budget, team, seconds)

    monkeypatch.setattr(SandboxBudget, "spend", counted)
    assert rendered(budgeted, "slow").message.content.body == "slow"
    while spent["other"] < min(0.2, spent["slow"]):
        assert rendered(budgeted, "other").message.content.body == "quick"
    is_held, gate, read = threading.Event(), threading.Event(), cell._loaded

    def held(files: TemplateFiles, template: str) -> bytes:
        if any(folder.endswith("slow") for folder in files.folders):
            is_held.set()
            gate.wait(20)
        return read(files, template)

    monkeypatch.setattr(cell, "_loaded", held)
    slow = threading.Thread(target=rendered, args=(budgeted, "slow"))
    slow.start()
    try:
        assert is_held.wait(20)
        assert rendered(budgeted, "other").message.content.body == "quick"
        assert slow.is_alive()
    finally:
        gate.set()
        slow.join()


def test_what_makes_a_template_slow_for_one_team_is_quarantined_for_that_team(
    folder: UserTemplates,
) -> None:
    folder.write(f"{{% if event.name == 'create-file' and team == 'A' %}}{LOOPS}{{% endif %}}fine")

    def problems(team: str, name: str) -> list[str]:
        variables = known("create-file") | {"team": name}
        result = folder.templates.render("create-file", variables, team=team, channel_kind="stdout")
        return [problem.text for problem in result.problems]

    assert problems("a", "A") == problems("a", "A") == [TIME]
    assert problems("b", "B") == []


def test_a_job_that_ends_its_process_costs_its_team_the_next_one(
    folder: UserTemplates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise its restarts would take the others' time."""
    spent: list[float] = []
    monkeypatch.setattr(SandboxBudget, "spend", lambda _, team, seconds: spent.append(seconds))
    folder.render()
    folder.write(LOOPS)
    folder.render()
    assert spent[0] < 0.3 <= spent[1]


def test_the_templates_that_one_job_loads_are_limited(
    folder: UserTemplates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell, "TEMPLATE_TIMEOUT", PATIENT_TIMEOUT)
    folder.templates.close()
    source = (
        "{% for i in range(10000) %}{% include 'a' ~ i ~ '.md.j2' ignore missing %}{% endfor %}"
    )
    path = folder.write(source + "x")
    (problem,) = folder.render().problems
    assert (problem.file, problem.text) == (path, "loads more than 200 templates")
