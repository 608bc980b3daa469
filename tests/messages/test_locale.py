import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from relay.messages import locale
from relay.messages.locale import (
    LANGUAGES,
    Locale,
    current,
    gettext,
    ngettext,
    pgettext,
    using,
)
from tests.messages.languages import Words, speaking

WORDS = Words(
    {
        "a file": "eine Datei",
        "%(actor)s replied": "Antwort von %(actor)s",
        "%(actor)s left": "%(person)s ging",
        "%(actor)s came": "%(actor)d kam",
        "100%% of %(file)s": "%(file)s zu 100%%",
        "50% off": "50% weniger",
        ("%(num)s file", "%(num)s files"): ("%(num)s Datei", "%(num)s Dateien"),
        ("verb", "Open"): "Öffnen",
    }
)


def test_texts_are_in_the_current_language() -> None:
    assert gettext("a file") == "a file"
    with speaking(WORDS) as language:
        assert gettext("a file") == "a file"
        with using(language):
            assert current() == language
            assert gettext("a file") == "eine Datei"
            assert gettext("another") == "another"
            assert gettext("%(actor)s replied", actor="Ada") == "Antwort von Ada"
            assert pgettext("verb", "Open") == "Öffnen"
            assert pgettext("adjective", "Open") == "Open"
            assert [ngettext("%(num)s file", "%(num)s files", n) for n in (1, 2)] == [
                "1 Datei",
                "2 Dateien",
            ]
        assert current() == Locale("en", "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("%(actor)s left", "Ada left"),  # the translation has a value that it does not get
        ("%(actor)s came", "Ada came"),  # or in a form that is not one
    ],
)
def test_a_wrong_translation_costs_no_message(text: str, shown: str) -> None:
    with speaking(WORDS) as language, using(language):
        assert gettext(text, actor="Ada") == shown


def test_a_percent_sign_survives_in_text_and_value() -> None:
    with speaking(WORDS) as language, using(language):
        assert gettext("100%% of %(file)s", file="5% %(file)s %%") == "5% %(file)s %% zu 100%"
        assert gettext("50% off") == "50% weniger"


def test_a_value_that_is_missing_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match=r'"%\(actor\)s replied" has a value .* get: file'):
        gettext("%(actor)s replied", file="a")


def test_the_description_of_a_catalog_is_no_text() -> None:
    for language in LANGUAGES:
        with using(Locale(language)):
            assert gettext("") == pgettext("", "") == ""


@pytest.mark.parametrize("language", ["xx", "../de", ""])
def test_a_language_without_a_catalog_is_english(language: str) -> None:
    with using(Locale(language)):
        assert gettext("a file") == "a file"


@pytest.mark.parametrize("content", [None, b"", b"no catalog", b"\xde\x12\x04\x95"])
def test_a_catalog_that_cannot_be_read_is_english(
    content: bytes | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "languages").mkdir()
    if content is not None:
        (tmp_path / "languages/eo.mo").write_bytes(content)
    monkeypatch.setattr(locale, "builtin_folder", lambda: tmp_path)
    monkeypatch.setattr(locale, "LANGUAGES", ("en", "eo"))
    locale.catalog.cache_clear()
    with using(Locale("eo")):
        assert gettext("a file") == "a file"
    assert "eo.mo (messages are in English)" in caplog.text


def test_tasks_and_threads_have_locales_of_their_own() -> None:
    async def run() -> list[Locale]:
        async def other() -> Locale:
            with using(Locale("fr")):
                await asyncio.sleep(0)
                return current()

        with using(Locale("de")):
            return [*await asyncio.gather(other(), other()), current()]

    assert asyncio.run(run()) == [Locale("fr"), Locale("fr"), Locale("de")]


def test_catalogs_are_loaded_when_they_are_needed_and_without_babel() -> None:
    code = (
        "import sys; from relay.messages import locale, templates\n"
        "assert 'babel' not in sys.modules and locale.catalog.cache_info().currsize == 0\n"
        "locale.load_catalogs(); assert locale.catalog.cache_info().currsize > 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
