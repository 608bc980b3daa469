"""``Secret``: a string that prints as ``***``, and the sources of secrets."""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


@dataclass(frozen=True, slots=True)
class SecretSources:
    """The validation context with which ``{ env = … }`` and ``{ file = … }`` are read."""

    environ: Mapping[str, str]
    hidden: re.Pattern[str]  # matches a secret that was written in place of a variable's name
    is_read: bool = True  # False: each secret gets a placeholder, for commands that need none

    def read(self, source: str, name: str) -> str:
        if source == "env":
            is_name = name.isidentifier() and not self.hidden.search(name)
            variable = f"the environment variable {name}" if is_name else "the variable"
            text, rule = self.environ.get(name, ""), f"{variable} is not set"
        else:
            text, rule = _read_file(name)
        if not text:
            raise PydanticCustomError("unread", "{rule}", {"rule": rule})
        return text


class Secret:
    """A config value that must not appear in a log, an error, a metric or a page."""

    __slots__ = ("_text", "is_read", "plain")

    def __init__(self, text: str, *, plain: bool = False, is_read: bool = True) -> None:
        """``plain``: the config file contains the text itself, not a reference to it; ``is_read``
        is False for a placeholder."""
        self._text = text
        self.plain = plain
        self.is_read = is_read

    def reveal(self) -> str:
        return self._text

    def matches(self, other: str) -> bool:
        """Whether ``other`` is the same text, compared in constant time."""
        return hmac.compare_digest(self._text.encode(), other.encode("utf-8", "replace"))

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
        return core_schema.with_info_plain_validator_function(cls._read)

    @classmethod
    def _read(cls, value: object, info: ValidationInfo) -> "Secret":
        return cls.resolve(value, info, is_needed=False)

    @classmethod
    def resolve(cls, value: object, info: ValidationInfo, *, is_needed: bool = True) -> "Secret":
        """``is_needed``: also read for a command that needs no secrets."""
        if isinstance(value, Secret):
            return value
        if isinstance(value, str) and value:
            return cls(value, plain=True)
        sources = info.context
        if isinstance(value, dict) and len(value) == 1 and isinstance(sources, SecretSources):
            ((source, name),) = value.items()
            if source in ("env", "file") and isinstance(name, str):
                if sources.is_read or is_needed:
                    return cls(sources.read(source, name))
                return cls("not-read-by-this-command", is_read=False)
        rule = 'must be { env = "NAME" }, { file = "/run/secrets/name" } or a non-empty string'
        raise PydanticCustomError("secret", "{rule}", {"rule": rule})


def _read_file(name: str) -> tuple[str, str]:
    try:
        return Path(name).read_text(encoding="utf-8").strip(), f"the file {name} is empty"
    except (OSError, UnicodeDecodeError) as error:
        return "", f"the file {name} can't be read ({getattr(error, 'strerror', 'not UTF-8')})"
