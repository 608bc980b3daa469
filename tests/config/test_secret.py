"""A secret: printed as stars, compared in constant time."""

import hmac
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from relay.config.load import load
from relay.config.secret import Secret
from tests.config.files import TEAM, problems_of, write

TEXT = "hunter2-is-the-text"


def test_a_secret_is_printed_as_stars() -> None:
    secret = Secret(TEXT)
    assert {str(secret), repr(secret), f"{secret}", f"{secret!r}", "%s" % secret} == {"***"}  # noqa: UP031
    assert TEXT not in repr({"key": [secret]})
    assert secret.reveal() == TEXT


def test_secrets_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def recorded(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", recorded)
    secret = Secret(TEXT)
    assert secret.matches(TEXT)
    assert not secret.matches(TEXT[:-1])
    assert secret == Secret(TEXT)
    assert compared == [(TEXT.encode(), other.encode()) for other in (TEXT, TEXT[:-1], TEXT)]


def test_a_lone_surrogate_matches_nothing() -> None:
    assert not Secret(TEXT).matches(TEXT + "\ud800")


def test_equal_secrets_have_equal_hashes_and_differ_from_their_text() -> None:
    assert len({Secret(TEXT), Secret(TEXT, plain=True), Secret("other")}) == 2
    assert Secret(TEXT) != TEXT


def test_only_a_text_in_the_config_file_is_plain() -> None:
    adapter = TypeAdapter(Secret)
    given = Secret(TEXT)
    assert adapter.validate_python(given) is given
    assert not given.plain
    assert adapter.validate_python(TEXT).plain


@pytest.mark.parametrize("value", ["", 7, None, [TEXT], {"vault": TEXT}])
def test_another_value_is_refused_without_showing_it(value: object) -> None:
    with pytest.raises(ValidationError, match="must be") as caught:
        TypeAdapter(Secret).validate_python(value)
    assert TEXT not in str([error["msg"] for error in caught.value.errors()])


@pytest.mark.parametrize("source", ["env", "file", "text"])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('"the-token"', "has quotation marks around it"),
        ("the\u00a0token", "the no-break space (U+00A0), at position 4"),
        ("\ufeffthe-token", "the byte order mark (BOM) (U+FEFF), at position 1"),
    ],
)
def test_what_copying_left_in_a_secret_is_named(
    source: str, value: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(f"{value}\n", encoding="utf-8")
    given = {
        "env": '{ env = "TOKEN" }',
        "file": f'{{ file = "{tmp_path}/token" }}',
        "text": f"'{value}'",
    }[source]
    path = write(tmp_path, f"{TEAM}[penpot]\naccess_token = {given}\n")
    (problem,) = problems_of(path, {"TOKEN": value})
    assert problem.startswith("penpot.access_token = ***: ")
    assert words in problem


def test_an_environment_variable_that_is_empty_differs_from_a_missing_one(tmp_path: Path) -> None:
    path = write(tmp_path, f'{TEAM}[penpot]\naccess_token = {{ env = "TOKEN" }}\n')
    assert problems_of(path, {}) == [
        "penpot.access_token: the environment variable TOKEN is not set"
    ]
    for empty in ("", " \n"):
        (problem,) = problems_of(path, {"TOKEN": empty})
        assert "the environment variable TOKEN is set but empty: give it a value" in problem
    assert load(path, {"TOKEN": "the-token\n"}).penpot.access_token == Secret("the-token")
