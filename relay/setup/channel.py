"""The answers of ``relay init`` about the channel, from the registry's data."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import click

from relay.channels import CHANNEL_TYPES
from relay.config.questions import (
    Question,
    broken_rule,
    problems,
    question,
    questions,
    ways,
    with_answers,
)
from relay.config.settings import AnyChannel
from relay.setup.dialog import Dialog


class ChannelAnswers:
    """About a channel that has the name of its kind."""

    def __init__(self, kind: str, given: Mapping[str, str]) -> None:
        """``given`` are answers by option. Raises ``click.UsageError`` for an unknown kind."""
        if kind not in CHANNEL_TYPES:
            known = ", ".join(CHANNEL_TYPES)
            raise click.UsageError(f"--kind {kind!r}: must be one of {known}")
        self.kind = kind
        self._given = given
        self._model = CHANNEL_TYPES[kind].settings
        self._base = {"name": kind, "type": kind}
        self._answers = dict(given)
        every = list(questions(self._model))
        self._way = next((each.way for each in every if each.way and each.key in given), "")

    def raw(self) -> dict[str, Any]:
        """The channel's table."""
        return self._base | with_answers(self._model, self._answers)

    def settings(self) -> AnyChannel:
        return self._model.model_validate(self.raw())

    def problems(self) -> list[str]:
        """What keeps the channel from being valid, with the option of each key."""
        return [f"--set {each.key}: {each.rule}" for each in problems(self._model, self.raw())]

    def broken(self) -> list[str]:
        """The problems of the given answers alone."""
        broken = {key: broken_rule(self._model, self.raw(), key) for key in self._given}
        return [f"--set {key}: {rule}" for key, rule in broken.items() if rule]

    def create_missing(self) -> None:
        """Make the values that no option gives and that can be made."""
        for each in self._questions():
            if each.create is not None and each.key not in self._answers:
                self._answers[each.key] = each.create()

    def ask(self, dialog: Dialog, *, again: bool) -> None:
        """``again``: also what options gave."""
        choices = ways(self._model)
        if choices and (again or not self._way) and not dialog.silent:
            self._way = dialog.choose("Through", choices, "--set")
        for each in self._questions():
            if each.after and each.after not in self._answers:
                self._answers.pop(each.key, None)
            else:
                self._fill(dialog, each, None if again else self._given.get(each.key))
        while missing := self._missing():
            self._fill(dialog, missing, None)

    def _questions(self) -> list[Question]:
        """Those of one way to reach the service. Forgets the answers to the others."""
        every = list(questions(self._model))
        chosen = [each for each in every if each.way in ("", self._way)]
        if self._way:
            for each in every:
                if each not in chosen:
                    self._answers.pop(each.key, None)
        return chosen

    def _fill(self, dialog: Dialog, asked: Question, given: str | None) -> None:
        option = f"--set {asked.key}=…"
        dialog.fill(asked, self._model, self._answers, option, given, self._base)

    def _missing(self) -> Question | None:
        """About a key that a rule about several keys requires."""
        for problem in problems(self._model, self.raw()):
            if problem.key not in self._answers and (missing := question(self._model, problem.key)):
                return replace(missing, is_optional=False, hint=missing.hint or problem.rule)
        return None
