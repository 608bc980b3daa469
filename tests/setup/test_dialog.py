"""Questions in a terminal, and options in their place."""

from collections.abc import Callable
from typing import Any

import click
import pytest
from click.testing import CliRunner

from relay.channels.base import failed, noted, passed
from relay.config.questions import Question
from relay.config.settings import PenpotSettings
from relay.setup.dialog import Dialog

NAME = Question("name", "Name", "of the team")
TOKEN = Question("token", "Token", is_secret=True, is_optional=True)
SILENT = Dialog(silent=True)


def rule(text: str) -> str:
    return "" if text.islower() else "must be in lower case"


def answered(ask: Callable[[], Any], *answers: str) -> tuple[Any, str]:
    """What ``ask`` returns, and the screen."""
    results: list[Any] = []

    @click.command()
    def command() -> None:
        results.append(ask())

    lines = "".join(f"{answer}\n" for answer in answers)
    run = CliRunner().invoke(command, input=lines, catch_exceptions=False)
    return results[0] if results else None, run.output


def test_a_question_is_asked_until_the_answer_is_valid() -> None:
    answer, screen = answered(lambda: Dialog().ask(NAME, rule, "--name"), "ACME", "", " acme ")
    assert answer == "acme"
    assert screen.splitlines() == [
        "Name (of the team): ACME",
        "      must be in lower case",
        "Name (of the team): ",
        "      is required",
        "Name (of the team):  acme ",
    ]


def test_a_secret_is_not_on_the_screen() -> None:
    answer, screen = answered(lambda: Dialog().ask(TOKEN, rule, "--x"), "HUNTER2", "hunter2")
    assert answer == "hunter2"
    assert "hunter2" not in screen.lower()
    with pytest.raises(click.UsageError, match="--x: must be in lower case"):
        Dialog().ask(TOKEN, rule, "--x", given="HUNTER2")


def test_the_answer_of_before_is_kept_or_taken_back() -> None:
    for question, before, answers, result, shown in (
        (NAME, "acme", [""], "acme", "Name [acme]: "),
        (TOKEN, "hunter2", [""], "hunter2", "Token (Enter: as before; - for none): "),
        (TOKEN, "hunter2", ["-"], "", "Token (Enter: as before; - for none): "),
        (TOKEN, "", [""], "", "Token: "),
    ):
        answer, screen = answered(
            lambda q=question, b=before: Dialog().ask(q, rule, "--x", before=b), *answers
        )
        assert answer == result
        assert screen.startswith(shown)


def test_without_questions_there_are_options_defaults_and_errors() -> None:
    assert SILENT.ask(NAME, rule, "--name", given="acme") == "acme"
    assert SILENT.ask(TOKEN, rule, "--token") == ""
    assert SILENT.ask(Question("a", "A", default="x"), rule, "--a") == "x"
    assert SILENT.ask(Question("a", "A", create=lambda: "made"), rule, "--a") == "made"
    with pytest.raises(click.UsageError, match="--yes asks nothing, so --name is required: Name"):
        SILENT.ask(NAME, rule, "--name")
    with pytest.raises(click.UsageError, match="--name 'ACME': must be in lower case"):
        SILENT.ask(NAME, rule, "--name", given="ACME")
    with pytest.raises(click.UsageError, match="--team is required: one of Acme, Other"):
        SILENT.choose("Team", ["1", "2"], "--team", {"1": "Acme", "2": "Other"})
    with pytest.raises(click.ClickException, match="nothing was written"):
        SILENT.after_failure("keep")
    assert SILENT.confirm("Sure?", None)
    assert not SILENT.confirm("Sure?", given=False)


@pytest.mark.parametrize("typed", ["2", "b", "LABEL OF B"])
def test_a_list_takes_number_name_and_label(typed: str) -> None:
    labels = {"a": "Label of a", "b": "Label of b"}

    def ask() -> str:
        return Dialog().choose("Letter", ["a", "b"], "--letter", labels)

    answer, screen = answered(ask, "3", typed)
    assert answer == "b"
    assert screen.splitlines()[:5] == [
        "Letter:",
        "   1  Label of a",
        "   2  Label of b",
        "Number or name [1]: 3",
        "      must be a number of the list, 1 to 2",
    ]


def test_only_valid_answers_are_filled_in() -> None:
    answers = {"url": "https://old.example.com"}
    question = Question("url", "Address")

    def fill() -> None:
        Dialog().fill(question, PenpotSettings, answers, "--url")

    _, screen = answered(fill, "relay", "https://new.example.com")
    assert "must be a web address" in screen
    assert answers == {"url": "https://new.example.com"}


def test_findings_are_shown_as_those_of_doctor() -> None:
    good, screen = answered(lambda: Dialog().report("penpot", [passed("fine"), noted("well")]))
    assert good
    assert screen == "ok    penpot: fine\nnote  penpot: well\n"
    good, screen = answered(lambda: Dialog().report("penpot", [failed("gone"), passed("fine")]))
    assert not good
    assert screen.startswith("FAIL  penpot: gone\n")


@pytest.mark.parametrize(("typed", "choice"), [("", "change"), ("a", "again"), ("k", "keep")])
def test_a_problem_can_be_kept(typed: str, choice: str) -> None:
    answer, screen = answered(lambda: Dialog().after_failure("for later"), typed)
    assert answer == choice
    assert screen.startswith("[c]hange the answer, try [a]gain, or [k]eep it (for later) [c]: ")
