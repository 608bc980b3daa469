"""From a template's output to the parts of a message."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from relay.messages.lint import Problem
from tests.messages.samples import subject
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
    message = user.render(file=subject("x" * 5_000)).message
    assert len(message.title) == 300
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
