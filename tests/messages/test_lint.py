"""Static checks of one template."""

from pathlib import Path

import pytest

from relay.channels import override_formats
from relay.delivery.notices import notice_samples
from relay.messages.templates import Templates, check
from relay.penpot.catalogue import CATALOGUE
from tests.messages.samples import known, unknown

SAMPLES = [
    *(variables(name) for name in CATALOGUE for variables in (known, unknown)),
    *notice_samples(),
]


@pytest.mark.parametrize(
    ("name", "source", "line", "text"),
    [
        ("create-file.md.j2", "a\n{{ fil }}", 2, "'fil' is undefined; did you mean \"file\"?"),
        ("create-file.md.j2", "{% if false %}\n{{ fil }}{% endif %}x", 2, "'fil' is undefined"),
        (
            "create-file.md.j2",
            "{% if false %}\n{{ file.nam }}{% endif %}x",
            2,
            "'file' has no 'nam'",
        ),
        ("create-file.md.j2", "{{ event.props.nonsense }}", 1, "a mapping has no 'nonsense'"),
        ("create-file.md.j2", "\n{% if %}", 2, "Expected an expression"),
        ("create-file.md.j2", "\n{{ file | lnk }}", 2, "No filter named 'lnk'"),
        ("_words.md.j2", "\n{% macro who() %}", 2, "Unexpected end of template"),
        ("acme/base.md.j2", "<!-- body -->\n{{ nobody }}", 2, "'nobody' is undefined"),
        ("acme/rename-file.md.j2", "{{ 1 / 0 }}", 1, "division by zero"),
        (
            "create-fil.md.j2",
            "a",
            0,
            'no event is called "create-fil"; did you mean "create-file"?',
        ),
        ("create-file.slack.json.j2", '{"a": {{ file }}}', 0, "gives no valid JSON"),
        ("create-file.matrix.html.j2", "<b>{{ fil }}", 1, "'fil' is undefined"),
        ("rename-file.md", "a", 0, "the name ends in none of: "),
        ("create-file.txt.j2", "a", 0, "the name ends in none of: "),
        (
            "create-file.md.j2",
            '{% extends "builtin/create-file.md.j2" %}\n{% block titel %}a{% endblock %}',
            2,
            'block "titel" is not shown; did you mean "title"?',
        ),
        (
            "create-file.md.j2",
            '{% extends "builtin/create-file.md.j2" %}\n\na{% block body %}a{% endblock %}',
            3,
            "text outside of blocks is not shown",
        ),
        (
            "create-file.md.j2",
            '{% extends "builtin/create-file.md.j2" %}\n{{ file }}',
            2,
            "text outside of blocks is not shown",
        ),
        (
            "create-comment.md.j2",
            '{% extends "base.md.j2" %}{% block title %}x{% endblock %}{% block digest %}\n'
            "{% if thread.number %}{{ 1 / 0 }}{% endif %}x{% endblock %}",
            2,
            "division by zero",
        ),
        ("queue-stopped.md.j2", "\n{{ queue.nme }}", 2, "'queue' has no 'nme'"),
    ],
)
def test_a_problem_has_its_file_and_line(
    tmp_path: Path, name: str, source: str, line: int, text: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(source)
    problems = check(Templates(tmp_path, override_formats()), SAMPLES)
    assert {(problem.file, problem.line) for problem in problems} == {(str(path), line)}
    assert any(text in problem.text for problem in problems)


@pytest.mark.parametrize(
    "source",
    [
        "{% for file in files %}{{ file.name }}{% endfor %}x{{ range(3) | list }}",
        "{% set x = actor %}x{{ x.email }}{% macro m(file) %}{{ file.any }}{% endmacro %}",
        '{% extends "builtin/create-file.md.j2" %}{% from "_mine.md.j2" import hi %}'
        "{% block body %}{{ hi(file) }}{% endblock %}",
        '{% extends "base.md.j2" %}{% block short %}a{% endblock %}'
        "{% block title %}{{ self.short() }}{% endblock %}",
        '<!-- title -->\nA\n{% extends "base.md.j2" %}\n{# b #}\n{% set x = 1 %}\n'
        "{% block body %}{% block mine %}c{% endblock %}{% endblock %}",
    ],
)
def test_valid_templates_have_no_problems(tmp_path: Path, source: str) -> None:
    (tmp_path / "create-file.md.j2").write_text(source)
    (tmp_path / "_mine.md.j2").write_text("{% macro hi(x) %}Hi {{ x }}{% endmacro %}")
    assert check(Templates(tmp_path, override_formats()), SAMPLES) == []
