"""``Secret``: a string that prints as ``***``."""

import hmac
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


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
        return core_schema.no_info_plain_validator_function(cls._read)

    @classmethod
    def _read(cls, value: object) -> "Secret":
        if isinstance(value, Secret):
            return value
        if isinstance(value, str) and value:
            return cls(value, plain=True)
        raise ValueError(
            'must be { env = "NAME" }, { file = "/run/secrets/name" } or a non-empty string'
        )
