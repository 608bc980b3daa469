"""The language and the time zone of a message, and the catalogs of Relay's words in messages.

Texts are written in English, with named values such as ``%(file)s``; with values ``%%`` is a
percent sign, and so is any other ``%``. A catalog is ``templates/languages/<code>.mo``, which
``make catalogs`` makes of the ``.po`` file beside it. A text that a catalog lacks, or has with a
value that the English text does not get, stays English: a translation must never cost a message.
"""

import logging
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

ENGLISH = "en"
CATALOG_FOLDER = "languages"
"""Inside the folder of the built-in templates."""
_PLACEHOLDER_PATTERN = re.compile(r"%(?:%|\((\w+)\)s)")
_BROKEN_PLACEHOLDER = "%("


class Locale(NamedTuple):
    language: str = ENGLISH  # the code of a catalog
    zone: str = ""  # its name in IANA's database; empty where the config has none

    @property
    def timezone(self) -> str:
        return self.zone or "UTC"


DEFAULT_LOCALE = Locale()
# Not a variable of the templates: a macro that a template imports does not see the variables of
# that template.
_current: ContextVar[Locale] = ContextVar("locale")


def current() -> Locale:
    return _current.get(DEFAULT_LOCALE)


@contextmanager
def using(locale: Locale) -> Iterator[None]:
    """Texts are in this language. Another thread has a locale of its own."""
    token = _current.set(locale)
    try:
        yield
    finally:
        _current.reset(token)


def builtin_folder() -> Path:
    """The folder of the built-in templates: inside the installed package, or beside it in a
    checkout."""
    package = Path(str(files("relay")))
    inside = package / "templates"
    return inside if inside.is_dir() else package.parent / "templates"


LANGUAGES = tuple(
    sorted({ENGLISH, *(path.stem for path in (builtin_folder() / CATALOG_FOLDER).glob("*.mo"))})
)
"""The codes of the languages that messages can have."""


def gettext(message: str, /, **values: object) -> str:
    """A text of Relay in the current language, with its values; as it is without values."""
    texts = translations("gettext", message)
    return "".join(fill(texts, values)) if values else texts[0]


def ngettext(singular: str, plural: str, number: int, /, **values: object) -> str:
    """The form for ``number``, which is also the value ``num``."""
    texts = translations("ngettext", singular, plural, number)
    return "".join(fill(texts, {"num": number, **values}))


def pgettext(context: str, message: str, /, **values: object) -> str:
    """As ``gettext``, for a text whose translation depends on its ``context``."""
    texts = translations("pgettext", context, message)
    return "".join(fill(texts, values)) if values else texts[0]


def marked(text: str) -> str:
    """``text``, which is translated where it is shown: the catalogs need it."""
    return text


def translations(function: str, /, *arguments: object) -> tuple[str, ...]:
    """What this function of gettext gives in the current language, and in English."""
    english = str(getattr(_ENGLISH_CATALOG, function)(*arguments))
    if not english:  # a catalog has its own description under the empty text
        return (english,)
    language = current().language
    if language == ENGLISH:
        return (english,)
    return str(getattr(catalog(language), function)(*arguments)), english


def fill(
    texts: tuple[str, ...],
    values: Mapping[str, object],
    show_value: Callable[[object], str] = str,
    show_text: Callable[[str], str] = str,
) -> list[str]:
    """The parts of the first of the ``texts`` of which all values are known. A value that looks
    like a placeholder stays as it is. Raises ``ValueError`` where no text can be used."""
    for text in texts:
        parts, names, is_broken = _split(text)
        if not is_broken and names <= values.keys():
            break
    else:
        known = ", ".join(values) or "it gets none"
        raise ValueError(f'the text "{texts[-1]}" has a value that it does not get: {known}')
    shown = list(parts)
    shown[::2] = map(show_text, parts[::2])
    shown[1::2] = [show_value(values[name]) if name else show_text("%") for name in parts[1::2]]
    return shown


@lru_cache(maxsize=1000)
def _split(text: str) -> tuple[tuple[str, ...], frozenset[str], bool]:
    """Text and name in turn, where a name is empty for a percent sign; the names; and whether a
    placeholder is broken."""
    parts = [part or "" for part in _PLACEHOLDER_PATTERN.split(text)]
    is_broken = any(_BROKEN_PLACEHOLDER in part for part in parts[::2])
    return tuple(parts), frozenset(filter(None, parts[1::2])), is_broken


def load_catalogs() -> None:
    """Read all catalogs now, for a process that can open no file later."""
    for language in LANGUAGES:
        catalog(language)


_ENGLISH_CATALOG = NullTranslations()


@cache
def catalog(language: str) -> NullTranslations:
    """English for a language without a catalog."""
    if language == ENGLISH or language not in LANGUAGES:
        return _ENGLISH_CATALOG
    path = builtin_folder() / CATALOG_FOLDER / f"{language}.mo"
    try:
        with path.open("rb") as file:
            return GNUTranslations(file)
    except (OSError, ValueError, struct.error) as error:
        log.error("catalog %s (messages are in English): %s", path, error)  # noqa: TRY400 - the text says all
        return _ENGLISH_CATALOG
