"""What a person reads about a file that is not TOML."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config.toml_errors import explain


def explained(text: str) -> str:
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(text)
    return explain(str(caught.value), text)


@pytest.mark.parametrize(
    ("text", "explanation"),
    [
        (
            '[teams.acme]\nname = "Acme"\nsecret = hunter2',
            'line 3, `secret = …`: put the text in quotation marks: secret = "…" (Invalid value)',
        ),
        ("a = ", 'line 1, `a =`: put the text in quotation marks: a = "…"'),
        ("emoji = False", "line 1, `emoji = …`: write emoji = false"),
        ("room = “hunter2”", 'line 1, `room = …`: write straight quotation marks, "…"'),
        ('token: "hunter2"', 'line 1, `token: …`: write "=" after the name: token = "…"'),
        ('token = "hunter2', "line 1, `token = …`: the text has no quotation mark at its end"),
        ('a = "hunter2\nb = 1', "line 1, `a = …`: the text has no quotation mark at its end"),
        ("a = 'hunter2", "line 1, `a = …`: the text has no quotation mark at its end"),
        (r'a = "C:\Users\hunter2"', r"line 1, `a = …`: write each \ of a text as \\"),
        (r'a = "C:\data\hunter2"', r"line 1, `a = …`: write each \ of a text as \\"),
        ('to = ["a", "b"\nx = 1', "line 2, `x = …`: a comma or the closing bracket is missing,"),
        ('to = ["a" "b"]', "line 1, `to = …`: a comma or the closing bracket is missing, here or"),
        ('[server\nhost = "hunter2"', "line 1, `[server`: the name of a table has as many"),
        ('[a] b = "hunter2"', "line 1, `[a] …`: something follows the value"),
        ("[a]\nx = 1\n[a]\ny = 2", "line 3, `[a]`: put all keys of this table below one [name]"),
        (
            "[a.b]\nx = 1\n[[a.b]]\nx = 2",
            "line 3, `[[a.b]]`: a table above has this name in single brackets: write [[…]] there",
        ),
        ("x = 1\nx = 2\n\n", "line 2, `x = …`: the key is there twice: remove one"),
        ('x = "a" hunter2', "line 1, `x = …`: something follows the value: texts are"),
        ("pause = 10s", 'line 1, `pause = …`: something follows the value: texts are "…"'),
        ("export TOKEN=hunter2", 'line 1, `export …`: a line is name = "text", name = 1'),
        ("hunter2", 'line 1: a line is name = "text"'),
        ('x = """\nhunter2\n', "line 2: the text has no quotation mark at its end"),
    ],
)
def test_the_line_is_shown_without_its_value_and_with_the_correct_form(
    text: str, explanation: str
) -> None:
    shown = explained(text)
    assert shown.startswith(f"is not TOML at {explanation}")
    assert "hunter2" not in shown


def test_a_table_in_braces_has_to_be_on_one_line() -> None:
    try:
        shown = explained("smtp = { a = 1,\n b = 2 }")
    except pytest.fail.Exception:  # TOML 1.1 allows it, and so does a later Python
        return
    assert shown.startswith("is not TOML at line 1, `smtp = …`: a table in braces, {")


@given(st.text(alphabet='ab="[]{}\n#,.:1 ”\\', max_size=40))
def test_every_error_is_explained(text: str) -> None:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        shown = explain(str(error), text)
    else:
        return
    assert shown.startswith("is not TOML at line ")
