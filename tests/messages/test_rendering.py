"""From a template's output to the parts of a message."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from relay.messages.lint import Problem
from relay.messages.rendering import MAX_MARKDOWN_LENGTH, MAX_TITLE_LENGTH
from tests.messages.samples import known, subject
from tests.messages.user import User


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


@pytest.mark.parametrize(
    ("source", "title"),
    [
        ("{{ props.x | quote }}", "First *line*"),
        ("**{{ props.x }}\nand more**\n\nbody", "First *line* second and more"),
        ("- {{ file | link }}\n- b", "Landing page"),
        ("---\n\n1. > # {{ file }}", "Landing page"),
        ("```\n\n{{ file }}\n```", "Landing page"),
    ],
)
def test_without_section_marks_the_title_is_the_first_visible_line(
    user: User, source: str, title: str
) -> None:
    user.write("create-file.md.j2", source.replace("props", "event.props"))
    assert user.render(props={"x": "First *line*\nsecond"}).message.title == title


def test_the_title_has_a_maximum_length(user: User) -> None:
    user.write("create-file.md.j2", "<!-- title -->\n{{ file }}\n<!-- body -->\n{{ file }}")
    message = user.render(file=subject("x" * 5_000)).message
    assert len(message.title) == len(message.notice) == len(message.subject) == MAX_TITLE_LENGTH
    assert message.title.endswith("…")
    assert "x" * 5_000 in message.content.body


def test_a_name_cannot_start_another_section(user: User) -> None:
    user.write("create-file.md.j2", "{{ file }}\n{{ file.name | quote }}\n{{ file | link }}\n")
    message = user.render(
        file=SimpleNamespace(name="a\n<!-- footer -->\nb", url="http://x")
    ).message
    assert message.content.footer == ""


def test_json_of_any_value_stays_json(user: User) -> None:
    user.write(
        "create-file.slack.json.j2", '[{"a": "{{ file }}", "b": {{ event.props | tojson }}}]'
    )
    nasty = '"\\\n\ud800\x00'
    message = user.render(channel="slack", file=subject(nasty), props={"x": nasty}).message
    assert json.loads(message.content.override) == [{"a": '"\\\n\ufffd\x00', "b": {"x": nasty}}]


def test_a_problem_as_text() -> None:
    assert str(Problem("a.md.j2", 3, "is wrong")) == "a.md.j2:3: is wrong"
    assert str(Problem("a.md.j2", 0, "is wrong")) == "a.md.j2: is wrong"


ADDRESS = "http://example.com/" + "x" * 4000
TOO_LARGE = {
    "long": ("x" * 50_001, "more than 50,000 characters of Markdown"),
    "many blocks": ("{% for i in range(2100) %}- a\n{% endfor %}", "more than 2,000 blocks"),
    "many links": ("{% for i in range(1100) %}[a](http://b) {% endfor %}", "more than 2,000 blo"),
    "deep": ("> " * 21 + "a", "nested deeper than 20"),
    "deep lists": ("{% for i in range(11) %}- > {% endfor %}a", "nested deeper than 20"),
    "one address for many links": (
        f"[a]: {ADDRESS}\n\n" + "{% for i in range(99) %}[a] {% endfor %}",
        "more than 100,000 characters with links' addresses",
    ),
    "a long digest": (
        "{% block body %}x{% endblock %}{% if false %}{% block digest %}"
        "{{ 'x' * 50001 }}{% endblock %}{% endif %}",
        "more than 50,000 characters of Markdown",
    ),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_the_markdown_of_a_users_template_is_bounded(user: User, name: str) -> None:
    source, text = TOO_LARGE[name]
    path = user.write("create-file.md.j2", source)
    rendered = user.templates.render(
        "create-file", known("create-file"), team="acme", channel_kind="stdout", digest=True
    )
    (problem,) = rendered.problems
    assert (problem.file, problem.line) == (path, 0)
    assert text in problem.text
    assert "Landing page" in rendered.message.title  # of the built-in template


def test_the_longest_comment_is_within_the_bounds(user: User) -> None:
    user.write("create-comment.md.j2", "{{ comment.text | quote }}")
    text = "\n".join("*[<&_`" * 5 for _ in range(330))
    comment = SimpleNamespace(text=text, mentions=(), edited=False)
    assert len(text) > 10_000
    rendered = user.render("create-comment", comment=comment)
    assert rendered.problems == ()
    assert 2 * len(rendered.message.content.body) < MAX_MARKDOWN_LENGTH


@pytest.mark.parametrize(
    ("form", "source", "text"),
    [
        (
            "slack.json",
            '{"text": "' + "x" * 200_000 + '"}',
            "more than 200,000 characters",
        ),
        ("slack.json", '[{"a": [' + ", ".join("0" * 5000) + "]}]", "more than 5,000 values"),
        ("slack.json", "[" + ", ".join(["{}"] * 51) + "]", "more than 50 blocks"),
        ("slack.json", '[{"a": "' + "x" * 20_000 + '"}]', "more than 20,000 characters"),
        ("matrix.html", "x" * 40_001, "more than 40,000 characters"),
        ("email.html", "x" * 200_001, "more than 200,000 characters"),
    ],
)
def test_an_override_is_bounded(user: User, form: str, source: str, text: str) -> None:
    user.write(f"create-file.{form}.j2", source)
    rendered = user.render(channel=form.partition(".")[0])
    assert rendered.message.content.override == ""
    (problem,) = rendered.problems
    assert text in problem.text
