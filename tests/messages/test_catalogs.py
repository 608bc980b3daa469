"""The catalogs of Relay's words in messages: complete, and as ``make catalogs`` writes them."""

from collections.abc import Sequence
from gettext import GNUTranslations
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog

from relay.messages.locale import LANGUAGES
from tests.catalogs import FOLDER, extract, languages, mo_file, po_file, problems, read, updated

TEXTS = extract()


def test_there_are_four_languages() -> None:
    assert languages() == ["de", "es", "fr"]
    assert LANGUAGES == ("de", "en", "es", "fr")


@pytest.mark.parametrize("language", languages())
def test_a_catalog_translates_all_texts(language: str) -> None:
    assert list(problems(read(FOLDER / f"{language}.po"), TEXTS)) == []


@pytest.mark.parametrize("language", languages())
def test_a_catalog_is_as_make_catalogs_writes_it(language: str) -> None:
    path = FOLDER / f"{language}.po"
    assert po_file(updated(read(path), TEXTS)).decode() == path.read_text(), "run make catalogs"
    assert mo_file(read(path)) == path.with_suffix(".mo").read_bytes(), "run make catalogs"


@pytest.mark.parametrize("language", languages())
def test_the_standard_library_reads_a_catalog(language: str) -> None:
    with (FOLDER / f"{language}.mo").open("rb") as file:
        compiled = GNUTranslations(file)
    for message in read(FOLDER / f"{language}.po"):
        if message.id and isinstance(message.id, str):
            shown = (
                compiled.pgettext(message.context, message.id)
                if message.context
                else compiled.gettext(message.id)
            )
            assert shown == message.string


def test_extraction_finds_the_texts_of_templates_and_package() -> None:
    found = {message.id for message in TEXTS}
    assert {"Someone", "Unsubscribe", "%(names)s and %(last)s"} <= found
    in_english = [path for path in Path("templates").glob("*.j2") if "trans" in path.read_text()]
    assert len(in_english) > 30


COUNT = ("%(num)s **file** of %(name)s", "%(num)s **files** of %(name)s")


@pytest.mark.parametrize(
    ("text", "translation", "found"),
    [
        ("**%(a)s** left", "Fort ist **%(a)s**", []),
        ("**%(a)s** left", "", ["not translated"]),
        ("**%(a)s** left", "Fort ist **%(b)s**", ["other values"]),
        ("**%(a)s** left", "Fort ist **jemand**", ["other values"]),
        ("**%(a)s** left", "Fort ist **%(a)d**", ["other values"]),
        ("**%(a)s** left", "Fort ist %(a)s", ["other '"]),
        ("**%(a)s** left", "Fort: **%(a)s** *", ["other '"]),
        ("Run `relay check`.", "Starte `relay prüfe`.", ["other '"]),
        ("[a](b)", "[c](d)", ["other '"]),
        ("a", "a\n", ["other '", "other '"]),
        ("50%% off", "50 %% weniger", []),
        ("50%% off", "50 % weniger", ["other values"]),
        (COUNT, ("eine **Datei** von %(name)s", "%(num)s **Dateien** von %(name)s"), ["other v"]),
        (COUNT, ("%(num)s **Datei** von %(name)s", "**Dateien** von %(name)s"), ["other values"]),
        (COUNT, ("%(num)s **Datei** von %(name)s", ""), ["not translated"]),
        (COUNT, ("%(num)s **Datei** von %(name)s",), ["has 1 forms instead of 2"]),
        (("a file", "%(num)s files"), ("eine Datei", "%(num)s Dateien"), []),
        (("a file", "%(num)s files"), ("%(num)s Datei", "%(num)s Dateien"), []),
        (("a file", "%(num)s files"), ("eine Datei", "viele Dateien"), ["other values"]),
    ],
)
def test_a_problem_of_a_translation_is_found(
    text: str | tuple[str, str], translation: str | tuple[str, ...], found: Sequence[str]
) -> None:
    texts, catalog = Catalog(), Catalog("de")
    texts.add(text)
    catalog.add(text, translation)
    reported = list(problems(catalog, texts))
    assert len(reported) == len(found)
    assert all(line.startswith(begin) for line, begin in zip(reported, found, strict=True))


def test_a_catalog_that_differs_from_the_sources_is_found() -> None:
    texts, catalog = Catalog(), Catalog("de")
    texts.add("new")
    texts.add("changed a little", context="verb")
    catalog.add("old", "alt")
    catalog.add("changed a little", "anders", flags=["fuzzy"], context="verb")
    assert list(problems(catalog, texts)) == [
        "not in the catalog: new",
        "not in the sources any more: old",
        "fuzzy: changed a little",
    ]
    assert "new" in po_file(updated(catalog, texts)).decode()
    assert catalog.obsolete == {}
