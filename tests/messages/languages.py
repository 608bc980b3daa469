"""Catalogs for tests, beside those of Relay."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from gettext import NullTranslations
from unittest.mock import patch

from relay.messages import locale


class Words(NullTranslations):
    """A catalog with these texts: by text, by ``(context, text)`` or ``(singular, plural)``."""

    def __init__(self, texts: Mapping[str | tuple[str, str], str | tuple[str, str]]) -> None:
        super().__init__()
        self._texts = texts

    def gettext(self, message: str) -> str:
        return str(self._texts.get(message, message))

    def pgettext(self, context: str, message: str) -> str:
        return str(self._texts.get((context, message), message))

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self._texts.get((msgid1, msgid2), (msgid1, msgid2))[n != 1]

    def npgettext(self, context: str, msgid1: str, msgid2: str, n: int) -> str:
        return self.ngettext(f"{context}:{msgid1}", msgid2, n).removeprefix(f"{context}:")


@contextmanager
def speaking(catalog: NullTranslations) -> Iterator[locale.Locale]:
    """The locale of a language of its own with this catalog, in this process, while in it."""
    language = locale.Locale("tlh")
    catalogs = locale.catalog
    with patch.object(locale, "catalog", lambda code: catalog if code == "tlh" else catalogs(code)):
        yield language
