"""The rules of Matrix's settings, with the exact text of every problem."""

from pathlib import Path

import pytest

from tests.config.files import MATRIX, problems_of, write

CASES = {
    "direct to all": (
        MATRIX + 'direct = "all"\nroom = "!a:m"',
        [
            'teams.acme.channels.a.direct = "all": must be "" or "mentioned"',
            'teams.acme.channels.a.room = "!a:m": does not work with direct: '
            "each person gets a room",
        ],
    ),
    "no room": (
        MATRIX,
        ['teams.acme.channels.a.room: is required: "!id:server" or "#alias:server"'],
    ),
    "matrix room": (
        MATRIX + 'room = "design"',
        [
            'teams.acme.channels.a.room = "design": must be a room\'s id such as '
            '"!abc:example.org" or "#alias:example.org"'
        ],
    ),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_a_problem_names_key_value_and_rule(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems_of(write(tmp_path, text), {}) == expected
