"""The questions of ``relay init`` in a terminal, and its options in their place."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import click
from pydantic import BaseModel

from relay.channels.base import Finding
from relay.config.questions import Question, broken_rule, with_answers

NO_ANSWER = "-"
"""Takes back the answer to an optional question."""
AfterFailure = Literal["change", "again", "keep"]


class Dialog:
    """Asks one question after the other until the answer is valid. With ``silent`` it asks none:
    what no option answers gets its default, or is an error."""

    def __init__(self, *, silent: bool = False) -> None:
        self.silent = silent

    def report(self, subject: str, findings: Iterable[Finding]) -> bool:
        """Print the findings as `relay doctor` does; whether all are good."""
        is_good = True
        for finding in findings:
            click.echo(f"{finding.status:<4}  {subject}: {finding.text}")
            is_good = is_good and finding.ok
        return is_good

    def ask(
        self,
        question: Question,
        rule: Callable[[str], str],
        option: str,
        given: str | None = None,
        before: str = "",
    ) -> str:
        """The answer; empty for none to an optional question. ``rule`` returns the one that a
        text breaks, ``option`` is what gives the answer in a script, ``before`` the answer that
        is to be changed. Raises ``click.UsageError`` for an invalid or missing option."""
        if given is not None:
            if broken := rule(given):
                shown = "" if question.is_secret else f" {given!r}"
                raise click.UsageError(f"{option}{shown}: {broken}")
            return given
        if self.silent:
            return self._without_asking(question, option)
        while True:
            answer = self._prompt(question, before)
            if answer == NO_ANSWER and question.is_optional:
                return ""
            if not answer and (question.is_optional or question.create):
                return question.create() if question.create else ""
            if answer and not (broken := rule(answer)):
                return answer
            click.echo(f"      {broken if answer else 'is required'}")

    def fill(
        self,
        question: Question,
        model: type[BaseModel],
        answers: dict[str, str],
        option: str,
        given: str | None = None,
        base: Mapping[str, Any] | None = None,
    ) -> None:
        """Put the answer about a table of the config into ``answers``, which holds one of before,
        if any. ``base`` has keys of the table beside them."""

        def rule(text: str) -> str:
            raw = with_answers(model, {**answers, question.key: text})
            return broken_rule(model, {**(base or {}), **raw}, question.key)

        before = answers.pop(question.key, "") if given is None else ""
        if answer := self.ask(question, rule, option, given, before):
            answers[question.key] = answer

    @staticmethod
    def _without_asking(question: Question, option: str) -> str:
        if question.create is not None:
            return question.create()
        if question.default or question.is_optional:
            return question.default
        raise click.UsageError(f"--yes asks nothing, so {option} is required: {question.text}")

    @staticmethod
    def _prompt(question: Question, before: str) -> str:
        hint = f" ({question.hint})" if question.hint else ""
        default = before or question.default
        if before:
            same = "Enter: as before" if question.is_secret else ""
            none = f"{NO_ANSWER} for none" if question.is_optional else ""
            hint = f" ({'; '.join(filter(None, (same, none)))})" if same or none else ""
        answer = click.prompt(
            f"{question.text}{hint}",
            default=default,
            show_default=bool(default) and not question.is_secret,
            hide_input=question.is_secret,
            type=click.Choice(question.choices) if question.choices else str,
        )
        return str(answer).strip()

    def choose(
        self, text: str, names: Sequence[str], option: str, labels: Mapping[str, str] | None = None
    ) -> str:
        """One of the names, by itself, by its label or by its number in the list."""
        shown = [(labels or {}).get(name, name) for name in names]
        if self.silent:
            raise click.UsageError(
                f"--yes asks nothing, so {option} is required: one of {', '.join(shown)}"
            )
        click.echo(f"{text}:")
        for number, label in enumerate(shown, 1):
            click.echo(f"  {number:>2}  {label}")
        known = {str(number): name for number, name in enumerate(names, 1)}
        known |= {label.lower(): name for name, label in zip(names, shown, strict=True)}
        known |= {name.lower(): name for name in reversed(names)}
        while True:
            answer = click.prompt("Number or name", default="1").strip().lower()
            if answer in known:
                return known[answer]
            click.echo(f"      must be a number of the list, 1 to {len(names)}")

    def after_failure(self, keep: str) -> AfterFailure:
        """What follows a problem that was reported. ``keep`` says what "keep" does. Raises
        ``click.ClickException`` with ``silent``."""
        if self.silent:
            raise click.ClickException("nothing was written: fix the problem above")
        text = f"[c]hange the answer, try [a]gain, or [k]eep it ({keep})"
        letter = click.prompt(
            text, type=click.Choice(["c", "a", "k"]), show_choices=False, default="c"
        )
        answers: dict[str, AfterFailure] = {"c": "change", "a": "again", "k": "keep"}
        return answers[letter]

    def confirm(self, text: str, given: bool | None) -> bool:
        """``given`` is an option's answer; with ``silent`` the answer is yes without one."""
        if given is not None or self.silent:
            return given is not False
        return click.confirm(text, default=True)
