"""Errors of TOML for a person who does not know it: the line, what is wrong, the correct form.

A line may hold a secret, so that only its key or table is shown.
"""

import re

_FORM = 'a line is name = "text", name = 1, name = true or name = ["a", "b"]'
# What the parser says, and what it most often means. It reports where it can't go on, which may be
# the line after the mistake.
_ADVICE = {
    r"Illegal character '\\n'|Expected \"'\"|Unterminated string": (
        "the text has no quotation mark at its end"
    ),
    r"Unescaped|Invalid hex value": r"write each \ of a text as \\",
    r"Unclosed": "a comma or the closing bracket is missing, here or in a line above",
    r"Invalid initial character": "a table in braces, { a = 1, b = 2 }, has to be on one line",
    r"Cannot declare .* twice": "put all keys of this table below one [name]",
    r"Cannot overwrite|Duplicate": "the key is there twice: remove one",
    r"Expected newline": 'something follows the value: texts are "…", and a comment begins with #',
    r"Expected '\]": "the name of a table has as many brackets after it as before, as in [[name]]",
}
_PLACE_PATTERN = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_LINE_PATTERN = re.compile(
    r"\s*(?:(?P<table>\[{1,2}[^]=\"']{0,80}\]{0,2})|(?P<key>[\w.\"'-]{1,80})(?P<sign>\s*[=:]|\s+))"
)
_CURLY_QUOTES = frozenset("\u201c\u201d\u201e\u201f\u2018\u2019\u201a\xab\xbb\uff02")


def explain(error: str, text: str) -> str:
    """``error`` is that of ``tomllib`` about the file's ``text``."""
    lines = text.splitlines()
    place = _PLACE_PATTERN.search(error)
    what = error[: place.start()] if place else error
    filled = [number for number, line in enumerate(lines, 1) if line.strip()]
    number = int(place[1]) if place and place[1] else filled[-1]
    line = lines[number - 1] if number <= len(lines) else ""
    known = _LINE_PATTERN.match(line)
    shown = ""
    if known:
        shown = known[0].strip() + " …" * bool(line[known.end() :].strip())
    where = f"line {number}" + (f", `{shown}`" if shown else "")
    return f"is not TOML at {where}: {_advice(what, line, known)} ({what})"


def _advice(what: str, line: str, known: re.Match[str] | None) -> str:
    if _CURLY_QUOTES & set(line):
        return 'write straight quotation marks, "…"'
    key, sign = (known["key"] or "", (known["sign"] or "").strip()) if known else ("", "")
    value = line[known.end() :].strip() if known else ""
    if sign == ":":
        return f'write "=" after the name: {key} = "…"'
    if sign and what == "Invalid value":
        if value in ("True", "False"):
            return f"write {key} = {value.lower()}"
        return f'put the text in quotation marks: {key} = "…"'
    if line.lstrip().startswith("[[") and what.startswith("Cannot"):
        return "a table above has this name in single brackets: write [[…]] there too"
    return next((text for found, text in _ADVICE.items() if re.search(found, what)), _FORM)
