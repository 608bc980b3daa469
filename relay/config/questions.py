"""What ``relay init`` asks about a table of the config: from its settings, one question a key.

Answers are texts, as they are typed or given as options.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from relay.config.environment import types_of, value_of
from relay.config.load import rule_of
from relay.config.secret import Secret
from relay.config.types import Ask

_OWN_KEYS = frozenset({"type", "name"})  # of each channel, which have no questions


@dataclass(frozen=True, slots=True)
class Question:
    key: str
    """Of the table, such as ``token`` or ``smtp.host``."""
    text: str
    hint: str = ""
    way: str = ""
    """As in ``Ask``."""
    is_secret: bool = False
    is_optional: bool = False
    choices: tuple[str, ...] = ()
    default: str = ""
    after: str = ""
    """Another key, without an answer to which this one is not asked."""
    create: Callable[[], str] | None = None


def questions(model: type[BaseModel], prefix: str = "") -> Iterator[Question]:
    """About each key that is required, alone or in one way, or often needed."""
    for name, field in model.model_fields.items():
        table = _table(field)
        if name in _OWN_KEYS and not prefix:
            continue
        if table is not None:
            yield from questions(table, f"{prefix}{name}.")
        elif field.is_required() or _ask(field) is not None:
            yield _question(model, name, field, prefix)


def question(model: type[BaseModel], key: str) -> Question | None:
    """About any key; None where the table has no such key."""
    name, _, rest = key.partition(".")
    field = model.model_fields.get(name)
    table = _table(field) if field is not None else None
    if field is None or bool(rest) != (table is not None):
        return None
    if table is None:
        return _question(model, name, field, "")
    inner = question(table, rest)
    return inner and _question(table, rest, table.model_fields[rest], f"{name}.")


def ways(model: type[BaseModel]) -> list[str]:
    """The ways to reach the service, of which one is chosen."""
    return list(dict.fromkeys(each.way for each in questions(model) if each.way))


def _table(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _ask(field: FieldInfo) -> Ask | None:
    return next((each for each in field.metadata if isinstance(each, Ask)), None)


def _question(model: type[BaseModel], name: str, field: FieldInfo, prefix: str) -> Question:
    ask = _ask(field) or Ask((field.description or name).partition("\n")[0].rstrip("."))
    choices = tuple(each for each in get_args(field.annotation) if isinstance(each, str))
    return Question(
        f"{prefix}{name}",
        ask.text,
        ask.hint,
        ask.way,
        Secret in types_of(model, name),
        ask.is_optional,
        choices,
        str(field.default) if choices else "",
        f"{prefix}{ask.after}" if ask.after else "",
        ask.create,
    )


def with_answers(model: type[BaseModel], answers: Mapping[str, str]) -> dict[str, Any]:
    """The raw table. Of an unknown key the text is the value, for the error."""
    raw: dict[str, Any] = {
        name: {}
        for name, field in model.model_fields.items()
        if field.is_required() and _table(field) is not None
    }
    for key, text in answers.items():
        types = types_of(model, key) if question(model, key) else set()
        value = value_of(text, types)
        if types == {bool} and text in ("true", "false"):
            value = text == "true"
        *tables, last = key.split(".")
        into = raw
        for name in tables:
            inner = into.get(name)
            if not isinstance(inner, dict):
                inner = into[name] = {}
            into = inner
        into[last] = value
    return raw


@dataclass(frozen=True, slots=True)
class KeyProblem:
    key: str
    rule: str


def problems(model: type[BaseModel], raw: Mapping[str, Any]) -> list[KeyProblem]:
    """What keeps the table from being valid, without any value."""
    try:
        model.model_validate(raw)
    except ValidationError as error:
        return [_problem(details) for details in error.errors(include_url=False)]
    return []


def _problem(details: ErrorDetails) -> KeyProblem:
    names = [part for part in details["loc"] if isinstance(part, str)]
    return KeyProblem(".".join(names), rule_of(details))


def broken_rule(model: type[BaseModel], raw: Mapping[str, Any], key: str) -> str:
    """The rule that the value of ``key`` breaks; empty for none. That other keys are missing is
    no problem yet."""
    return next((each.rule for each in problems(model, raw) if each.key == key), "")
