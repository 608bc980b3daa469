import json
import os
from pathlib import Path

import pytest
from jinja2 import BaseLoader, DictLoader, TemplateNotFound, TemplateSyntaxError, UndefinedError
from jinja2.sandbox import SecurityError

from relay.channels.slack.blocks import FORMAT
from relay.messages.environments import (
    HtmlEnvironment,
    JsonEnvironment,
    MarkdownEnvironment,
    TemplateFiles,
)
from relay.messages.escape import Markdown
from relay.penpot.events import Person
from tests.messages.clock import clock_at


class SlackJson(JsonEnvironment):
    def __init__(self, loader: BaseLoader) -> None:
        super().__init__(loader, FORMAT.escapes)


FILES = {
    "words.md.j2": "{% macro bold(x) %}**{{ x }}**{% endmacro %}",
    "base.md.j2": "{% block a %}A {{ n }}{% endblock %}|{% block b %}{{ self.a() }}{% endblock %}",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("*x* {{ n }}", "*x* a\\*b"),
        ("{{ '*' }}", "\\*"),
        ("{{ n | upper }}", "A\\*B"),
        ("{{ n ~ ' · ' ~ n }}", "a\\*b · a\\*b"),
        ("{{ (n | link('http://x')) ~ n }}", "[a\\*b](<http://x>)a\\*b"),
        ("{{ ('*' | link('http://x')) ~ '*' }}", "[\\*](<http://x>)\\*"),
        ("{% set x %}*{{ n }}*{% endset %}{{ x }}{{ x ~ n }}", "*a\\*b**a\\*b*a\\*b"),
        ("{% set x = n ~ '*' %}{{ x }}", "a\\*b\\*"),
        ("{% macro m(x) %}*{{ x }}*{% endmacro %}{{ m(n) }}{{ m(m(n)) }}", "*a\\*b***a\\*b**"),
        ("{% from 'words.md.j2' import bold %}{{ bold(n) }}", "**a\\*b**"),
        ("{% import 'words.md.j2' as w %}{{ w.bold(n) | trim }}", "**a\\*b**"),
        ("{% macro m() %}*{{ caller() }}*{% endmacro %}{% call m() %}{{ n }}{% endcall %}", "*a\\*b*"),  # noqa: E501
        ("{% filter upper %}{{ n }}{% endfilter %}", "A\\*B"),
        ("{% extends 'base.md.j2' %}{% block a %}*{{ super() }}*{% endblock %}", "*A a\\*b*|*A a\\*b*"),  # noqa: E501
        ("{% extends 'base.md.j2' %}{% block b %}{{ self.a() ~ n }}{% endblock %}", "A a\\*b|A a\\*ba\\*b"),  # noqa: E501
        ("{% include 'base.md.j2' %}", "A a\\*b|A a\\*b"),
        ("{{ [n, n] | join('*') }}", "a\\*b\\*a\\*b"),
        ("{{ [n] | map('link', 'http://x') | join(' ') }}", "[a\\*b](<http://x>)"),
        ("{{ '%s*' | format(n) }}{{ '{}*'.format(n) }}", "a\\*b\\*a\\*b\\*"),
        ("{{ n | escape }}{{ n | e | escape }}", "a\\*ba\\*b"),
        ("{{ n if n else '*' }}{{ none }}{{ true }}{{ 3 }}", "a\\*byes3"),
        ("{% for x in [n] recursive %}{{ x }}{% endfor %}", "a\\*b"),
    ],
)  # fmt: skip
def test_a_value_is_escaped_exactly_once(folder: Path, template: str, text: str) -> None:
    environment = MarkdownEnvironment(TemplateFiles((), folder))
    assert environment.from_string(template).render(n="a*b") == text


@pytest.mark.parametrize(
    "template",
    [
        "{{ (n | link('http://x')) | upper }}",
        "{{ (n | link('http://x'))[1:] }}",
        "{{ (n | link('http://x')) | replace('a', '*') }}",
        "{{ ((n | link('http://x')) ~ '%s') % n }}",
        "{% macro m() %}*{{ n }}{% endmacro %}{{ m() | list | join }}",
        "{{ m | default(n | tojson) }}",
    ],
)
def test_text_that_loses_its_mark_is_escaped_again(folder: Path, template: str) -> None:
    environment = MarkdownEnvironment(TemplateFiles((), folder))
    text = environment.from_string(template).render(n="a*b")
    assert "*" not in text.replace("\\*", "")
    assert "[" not in text.replace("\\[", "")


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{{ n | safe }}", TemplateSyntaxError),
        ("{% autoescape false %}{{ n }}{% endautoescape %}", TemplateSyntaxError),
        ("{{ n.__class__ }}", SecurityError),
        ("{{ l.append(1) }}", SecurityError),
        ("{{ missing }}", UndefinedError),
        ("{% if missing %}{% endif %}", UndefinedError),
        ("{% include '../secret' %}", TemplateNotFound),
    ],
)
@pytest.mark.parametrize("kind", [MarkdownEnvironment, HtmlEnvironment, SlackJson])
def test_no_template_escapes_jinja_s_sandbox(
    folder: Path, kind: type[MarkdownEnvironment], template: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        kind(TemplateFiles((), folder)).from_string(template).render(n="a*b", l=[])


def test_a_value_in_slack_json_can_neither_end_its_string_nor_ping() -> None:
    environment = SlackJson(TemplateFiles((), Path()))
    template = environment.from_string(
        '{"mrkdwn": "{{ n ~ 1 }} {{ n | truncate(4) }}", '
        '"list": {{ [n] | tojson }}, "d": "{{ d | when }}"}'
    )
    name = '"<!channel>\\\n'
    with clock_at("2027-07-25T09:00Z"):
        rendered = template.render(n=name, d="2026-07-25T08:17:02Z")
    assert json.loads(rendered) == {
        "mrkdwn": '"&lt;!channel&gt;\\\n1 "&lt;!…',
        "list": [name],
        "d": "25 Jul 2026, 08:17 UTC",
    }


def test_a_value_in_html_is_text() -> None:
    environment = HtmlEnvironment(TemplateFiles((), Path()))
    template = environment.from_string(
        "<b>{{ n }}</b> {{ n | link('http://x/?a&b') }}{{ t | quote }}{{ n | truncate(2) }}"
    )
    assert template.render(n="<i>\u202e", t="a*\nb") == (
        '<b>&lt;i&gt;</b> <a href="http://x/?a&amp;b">&lt;i&gt;</a>'
        "<blockquote><p>a*<br>b</p></blockquote>&lt;…"
    )


def test_filters_escape_the_result_of_a_macro_once() -> None:
    html = HtmlEnvironment(TemplateFiles((), Path()))
    source = "{% set x %}{{ n }}{% endset %}{{ x | link('http://x') }} {{ x | truncate(9) }}"
    assert html.from_string(source).render(n="R&D <b>") == (
        '<a href="http://x">R&amp;D &lt;b&gt;</a> R&amp;D &lt;b&gt;'
    )
    slack = SlackJson(TemplateFiles((), Path()))
    source = '"{% set x %}{{ n }}{% endset %}{{ x | truncate(9) }}"{{ n | tojson | truncate(9) }}'
    assert slack.from_string(source).render(n="R&D <b>").startswith('"R&amp;D &lt;b&gt;"')


def test_the_filter_escape_also_cleans() -> None:
    html = HtmlEnvironment(TemplateFiles((), Path()))
    assert html.from_string("{{ n | e }}{{ n | escape }}").render(n="<\u202e\0") == "&lt; &lt; "


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.md.j2").write_text("# a", encoding="utf-8-sig")
    environment = MarkdownEnvironment(TemplateFiles((), tmp_path))
    assert environment.get_template("a.md.j2").render() == "# a"


def test_files_are_found_by_precedence_and_reloaded_when_they_change(tmp_path: Path) -> None:
    user, builtin = tmp_path / "user", tmp_path / "builtin"
    user.mkdir()
    builtin.mkdir()
    (builtin / "a.md.j2").write_text("built-in")
    environment = MarkdownEnvironment(TemplateFiles((user,), builtin))

    def text() -> str:
        return environment.get_template("a.md.j2").render()

    assert text() == "built-in"
    (user / "a.md.j2").write_text("mine, with {% include 'builtin/a.md.j2' %}")
    assert text() == "mine, with built-in"
    (user / "a.md.j2").write_text("mine")
    os.utime(user / "a.md.j2", ns=(0, 0))
    assert text() == "mine"
    (user / "a.md.j2").unlink()
    assert text() == "built-in"


@pytest.mark.parametrize(
    ("content", "line", "text"),
    [(b"a" * 1_000_001, 1, "larger than 1 MB"), (b"a\nb\xff", 2, "not UTF-8")],
)
def test_an_invalid_file_is_reported_with_its_line(
    tmp_path: Path, content: bytes, line: int, text: str
) -> None:
    (tmp_path / "a.md.j2").write_bytes(content)
    with pytest.raises(TemplateSyntaxError, match=text) as caught:
        MarkdownEnvironment(TemplateFiles((), tmp_path)).get_template("a.md.j2")
    assert (caught.value.lineno, caught.value.filename) == (line, str(tmp_path / "a.md.j2"))


def test_the_output_of_a_template_is_marked_as_markdown() -> None:
    environment = MarkdownEnvironment(TemplateFiles((), Path()))
    assert isinstance(environment.from_string("*a*").render(), Markdown)


FOREIGN = "*[x](http://evil.example)* <!here>"
MARKED = (
    "{% set line %}New: {} {k} %s a{% endset %}",
    "{% macro line() %}New {}{k}%s{% endmacro %}",
)


@pytest.mark.parametrize(
    ("environment", "template"),
    [
        (environment, f"{start}{{{{ {use} }}}}")
        for environment in (MarkdownEnvironment, SlackJson)
        for start, line in zip(MARKED, ("line", "line()"), strict=True)
        for use in (
            f"{line}.format(n, k=n)",
            f"({line} ~ '').format(n, k=n)",
            f"{line}['format'](n, k=n)",
            f"({line} | attr('format'))(n, k=n)",
            f"({line} | replace('{{}}', '')).format(n, k=n)",
            f"'{{}}'.format({line} ~ n)",
            f"({line} | replace('{{}}', '')).format_map({{'k': n}})",
            f"{line}.replace('{{}}', '').format_map({{'k': n}})",
            f"{line} | format(n)",
            f"{line} % n",
            f"{line}.join([n, n])",
            f"[n, {line}] | join({line})",
            f"{line} + n",
            f"n + {line}",
            f"{line}.replace('New', n)",
            f"{line} | replace('New', n)",
            f"{line} | indent(n)",
            f"n | wordwrap(5, wrapstring={line})",
            f"{line}.center(90, n[0]) ~ n",
            f"{line} | default(n) ~ n",
        )
    ],
)  # fmt: skip
def test_no_method_of_marked_text_lets_unescaped_text_through(
    environment: type[MarkdownEnvironment], template: str
) -> None:
    text = environment(TemplateFiles((), Path())).from_string(template).render(n=FOREIGN)
    assert "<!" not in text.replace("\\<\\!", "")
    if environment is MarkdownEnvironment:
        plain = text.replace("\\*", "").replace("\\[", "")
        assert "*" not in plain
        assert "[" not in plain


@pytest.mark.parametrize("environment", [MarkdownEnvironment, SlackJson])
@pytest.mark.parametrize("name", [name for name in dir(str) if not name.startswith("_")])
def test_the_result_of_a_string_method_is_marked_only_if_it_is_escaped(
    environment: type[MarkdownEnvironment], name: str
) -> None:
    sandbox = environment(TemplateFiles((), Path()))
    marked = sandbox.concat(["New: {k} %s a"])
    assert type(marked) is not str
    method = sandbox.getattr(marked, name)
    calls = 0
    for arguments in (
        (),
        ("a",),
        (200,),
        (FOREIGN,),
        (FOREIGN, FOREIGN),
        ("a", FOREIGN),
        (90, "*"),
        ([FOREIGN, FOREIGN],),
        ({"k": FOREIGN, "0": FOREIGN, 97: FOREIGN},),
    ):
        for named in ({}, {"k": FOREIGN}):
            try:
                result = method(*arguments, **named)
            except (TypeError, LookupError, ValueError):
                continue
            calls += 1
            for part in result if isinstance(result, list | tuple) else [result]:
                if type(part) is type(marked):
                    assert "*" not in part.replace("\\*", "")
                    assert "<" not in part.replace("\\<", "")
    assert calls


@pytest.mark.parametrize("use", ["format(n, k=n)", "replace('{}', '').format_map({'k': n})"])
def test_html_escapes_the_arguments_of_format(use: str) -> None:
    environment = HtmlEnvironment(TemplateFiles((), Path()))
    template = environment.from_string(
        "{% set line %}<b>{k}</b>{}{% endset %}{{ line." + use + "}}"
    )
    text = template.render(n="<i>")
    assert "<b>&lt;i&gt;</b>" in text
    assert "<i>" not in text


@pytest.mark.parametrize(
    ("use", "text"),
    [
        ("actor.nmae", "a person has no 'nmae'; did you mean \"name\"?"),
        ("actor[0]", "a person has no '0'"),
        ("actor.name.foo", "a text has no 'foo'"),
        ("[actor].foo", "a list has no 'foo'"),
        ("props.nam", "a mapping has no 'nam'; did you mean \"name\"?"),
        ("none.foo", "a missing value has no 'foo'"),
        ("self.foo()", "a template has no 'foo'"),
        ("range", "a function can't be printed"),
    ],
)
def test_an_error_in_a_template_shows_no_python_object(use: str, text: str) -> None:
    environment = MarkdownEnvironment(DictLoader({}))
    with pytest.raises((UndefinedError, TypeError)) as caught:
        environment.from_string(f"{{{{ {use} }}}}").render(
            actor=Person(name="Ada"), props={"name": "x"}
        )
    assert str(caught.value) == text
