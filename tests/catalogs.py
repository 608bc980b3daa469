"""``make catalogs``: extracts Relay's texts in messages, updates the catalogs and compiles them.

``python -m tests.catalogs CODE…`` adds languages. The files depend on the texts only: they have no
dates and no line numbers. Babel's work: Relay itself reads the compiled catalogs with the standard
library.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Set
from gettext import c2py  # type: ignore[attr-defined]
from io import BytesIO
from pathlib import Path

from babel.core import Locale
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from relay.messages.locale import CATALOG_FOLDER

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "templates" / CATALOG_FOLDER
_METHODS = [("**.py", "python"), ("**.j2", "jinja2.ext:babel_extract")]
# As in relay/messages/environments.py: white space is a part of a text.
_JINJA_OPTIONS = {
    "trimmed": "true",
    "trim_blocks": "true",
    "lstrip_blocks": "true",
    "newstyle_gettext": "true",
    "silent": "false",
}
_KEYWORDS = {
    "_": None,
    "gettext": None,
    "marked": None,
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
}
_COMMENT = "Translators:"
_VALUE_PATTERN = re.compile(r"%(?:%|\(.*?\)\w|\()")
_SAME_PATTERNS = tuple(
    map(re.compile, (r"\*+", r"`.*?`", r"[\[\]\\<>{}|_~#\n]", r"\]\(.*?\)", r"^\s|\s$", r"[:…]$"))
)
"""Of Markdown, of its code, and at the ends of a text: a translation must have the same."""
_WIDTH = 96  # characters of a line


def extract() -> Catalog:
    """The texts of the templates and of the package, without translations."""
    catalog = Catalog(project="Relay", version="", charset="utf-8")
    for folder in (ROOT / "templates", ROOT / "relay"):
        found = extract_from_dir(
            folder,
            _METHODS,
            {"**.j2": _JINJA_OPTIONS},
            _KEYWORDS,
            (_COMMENT,),
            strip_comment_tags=True,
        )
        for _, _, text, comments, context in found:
            catalog.add(text, auto_comments=comments, context=context)
    return catalog


def languages() -> list[str]:
    """The codes of the catalogs."""
    return sorted(path.stem for path in FOLDER.glob("*.po"))


def read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=path.stem)


def updated(catalog: Catalog, texts: Catalog) -> Catalog:
    """With the present ``texts``. A text that was changed a little is *fuzzy*: it keeps its
    translation for the translator, but is not compiled."""
    catalog.update(texts, no_fuzzy_matching=False)
    catalog.obsolete.clear()
    return catalog


class _Compact(Catalog):
    """A catalog whose description names only the language and its plural forms."""

    def __init__(self, catalog: Catalog) -> None:
        name = Locale.parse(str(catalog.locale)).get_display_name("en")
        comment = f"# {name} words of Relay in messages. MIT license, as Relay.\n#"
        super().__init__(str(catalog.locale), header_comment=comment, fuzzy=False)
        self._described = catalog
        for message in catalog:
            if message.id:
                self[message.id] = message

    @property
    def num_plurals(self) -> int:
        return self._described.num_plurals

    @property
    def mime_headers(self) -> list[tuple[str, str]]:
        return [
            ("Language", str(self.locale)),
            ("Plural-Forms", self._described.plural_forms),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Transfer-Encoding", "8bit"),
        ]


def po_file(catalog: Catalog) -> bytes:
    file = BytesIO()
    write_po(file, _Compact(catalog), width=_WIDTH, no_location=True, sort_output=True)
    return file.getvalue()


def mo_file(catalog: Catalog) -> bytes:
    """Without fuzzy translations."""
    file = BytesIO()
    write_mo(file, _Compact(catalog))
    return file.getvalue()


def problems(catalog: Catalog, texts: Catalog) -> Iterator[str]:
    """What a translator has to do about a catalog, which is not updated."""
    present = {(text.context, text.id) for text in texts if text.id}
    translated = {(message.context, message.id) for message in catalog if message.id}
    for _, text in sorted(present - translated, key=str):
        yield f"not in the catalog: {text}"
    for _, text in sorted(translated - present, key=str):
        yield f"not in the sources any more: {text}"
    for text in catalog.obsolete:
        yield f"obsolete: {text}"
    for message in catalog:
        if message.id:
            yield from (f"{text}: {message.id}" for text in _problems(catalog, message))


def _problems(catalog: Catalog, message: Message) -> Iterator[str]:
    if message.fuzzy:
        yield "fuzzy"
    if isinstance(message.id, str):
        yield from _differences(message.id, {message.id}, str(message.string))
        return
    singular, plural = message.id
    if len(message.string) != catalog.num_plurals:
        yield f"has {len(message.string)} forms instead of {catalog.num_plurals}"
        return
    form_of = c2py(catalog.plural_expr)
    for form, text in enumerate(message.string):
        is_one = [number for number in range(200) if form_of(number) == form] == [1]
        yield from _differences(plural, {singular, plural} if is_one else {plural}, text)


def _differences(source: str, sources: Set[str], text: str) -> Iterator[str]:
    """How a translation differs from its source in more than words; its values may be those of any
    of the ``sources``."""
    if not text:
        yield "not translated"
        return
    if sorted(_VALUE_PATTERN.findall(text)) not in (
        sorted(_VALUE_PATTERN.findall(each)) for each in sources
    ):
        yield f"other values in {text!r}"
    for pattern in _SAME_PATTERNS:
        if sorted(pattern.findall(text)) != sorted(pattern.findall(source)):
            yield f"other {pattern.pattern!r} in {text!r}"


def update(codes: Iterable[str]) -> None:
    texts = extract()
    for code in codes:
        path = FOLDER / f"{code}.po"
        catalog = read(path) if path.exists() else Catalog(code, charset="utf-8")
        content = po_file(updated(catalog, texts))
        path.write_bytes(content)
        compiled = read(path)
        path.with_suffix(".mo").write_bytes(mo_file(compiled))
        print(f"{path.relative_to(ROOT)}: {len(compiled)} texts")
        for problem in problems(compiled, texts):
            print(f"  {problem}")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    update(dict.fromkeys([*languages(), *sys.argv[1:]]))
