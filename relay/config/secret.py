"""``Secret``: a string that prints as ``***``, and the sources of secrets."""

import hmac
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

SET_BUT_EMPTY = (
    "is set but empty: give it a value, in a file that Compose reads between single quotation "
    "marks, as some versions cut it at a #"
)
_QUOTES = {tuple(pair) for pair in ('""', "''", "``", "“”", "„“", "\u2018\u2019", "«»")}
_BLANKS = " \t\r\n"


def copying_error(text: str) -> str:
    """What the way into the config left in a value: quotation marks around it, or a character that
    nobody sees. Empty if there is nothing."""
    if len(text) > 1 and (text[0], text[-1]) in _QUOTES:
        return (
            "has quotation marks around it, and they count as part of the value: remove them "
            "(Docker's --env-file and Kubernetes keep them, unlike a shell)"
        )
    for position, character in enumerate(text, 1):
        kind = unicodedata.category(character)
        if kind in ("Cf", "Zl", "Zp") or (kind == "Zs" and character != " "):
            name = unicodedata.name(character).lower()
            if character == "\ufeff":
                name = "byte order mark (BOM)"
            return (
                f"contains an invisible character, the {name} (U+{ord(character):04X}), at "
                f"position {position}: type that part again"
            )
    return ""


def broken(kind: str, rule: str) -> PydanticCustomError:
    """The error for a broken rule. Its ``kind`` says whether the value is shown, and where the
    problem is listed."""
    return PydanticCustomError(kind, "{rule}", {"rule": rule})


@dataclass(frozen=True, slots=True)
class SecretSources:
    """The validation context with which ``{ env = … }`` and ``{ file = … }`` are read."""

    environ: Mapping[str, str]
    is_read: bool = True  # False: each secret is ``UNREAD``, for commands that need none

    def read(self, source: str, name: str) -> str:
        text = ""
        if source == "env":
            text = self.environ.get(name, "").strip(_BLANKS)
            # anything but a usual name may be the secret itself
            shown = f" {name}" if re.fullmatch("[A-Z0-9_]+", name) else ""
            state = SET_BUT_EMPTY if name in self.environ else "is not set"
            rule = f"the environment variable{shown} {state}"
        else:
            rule = f"the file {name} is empty"
            try:
                text = Path(name).read_text(encoding="utf-8").strip(_BLANKS)
            except (OSError, UnicodeDecodeError) as error:
                rule = f"the file {name} can't be read ({getattr(error, 'strerror', 'not UTF-8')})"
        if not text:
            raise broken("unread", rule)
        return text


class Secret:
    """A config value that must not appear in a log, an error, a metric or a page."""

    __slots__ = ("_text", "plain")

    def __init__(self, text: str, *, plain: bool = False) -> None:
        """``plain``: the config file contains the text itself, not a reference to it."""
        self._text = text
        self.plain = plain

    def reveal(self) -> str:
        return self._text

    def matches(self, other: str) -> bool:
        """Whether ``other`` is the same text, compared in constant time."""
        return hmac.compare_digest(self._text.encode(), other.encode("utf-8", "replace"))

    def _checked(self) -> "Secret":
        if rule := copying_error(self._text):
            raise broken("secret", rule)
        return self

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.matches(other._text)

    def __hash__(self) -> int:
        return hash(self._text)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            lambda value, info: cls.resolve(value, info, is_needed=False)
        )

    @classmethod
    def resolve(cls, value: Any, info: ValidationInfo, *, is_needed: bool = True) -> "Secret":
        """``is_needed``: also read for a command that needs no secrets."""
        match value:
            case Secret():
                return value._checked()
            case str() if value:
                return cls(value, plain=True)._checked()
            case {"env": str(name)} | {"file": str(name)} if len(value) == 1 and info.context:
                is_read = is_needed or info.context.is_read
                return cls(info.context.read(*value, name))._checked() if is_read else UNREAD
        rule = 'must be { env = "NAME" }, { file = "/run/secrets/name" } or a non-empty string'
        raise broken("secret", rule)


UNREAD = Secret("not-read-by-this-command")
"""In place of a secret that was not read; valid for each key."""
