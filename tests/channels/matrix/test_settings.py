"""The rules of Matrix's settings, with the exact text of every problem."""

from pathlib import Path

import pytest

from relay.channels.matrix.settings import MatrixSettings
from relay.config.secret import Secret
from tests.config.files import MATRIX, problems_of, write

CASES = {
    "direct to all": (
        MATRIX + 'direct = "all"\nroom = "!a:m"',
        [
            'teams.acme.channels.a.direct = "all": must be "", "mentioned" or "involved"',
            'teams.acme.channels.a.room = "!a:m": does not work with direct: '
            "each person gets a room",
        ],
    ),
    "no room": (
        MATRIX,
        ['teams.acme.channels.a.room: is required: "!id:server" or "#alias:server"'],
    ),
    "path": (
        MATRIX.replace("m.example.org", "m.example.org/_matrix/client/v3") + 'room = "#a:b"',
        [
            'teams.acme.channels.a.homeserver = "https://m.example.org/_matrix/client/v3": '
            'must end before "/_matrix", such as "https://matrix.example.org"'
        ],
    ),
    "path with a slash": (
        MATRIX.replace("https://m.example.org", "m.example.org/_matrix/") + 'room = "#a:b"',
        [
            'teams.acme.channels.a.homeserver = "m.example.org/_matrix/": '
            'must end before "/_matrix", such as "https://matrix.example.org"'
        ],
    ),
    **{
        f"homeserver {value}": (
            MATRIX.replace("https://m.example.org", value) + 'room = "#a:b"',
            [
                f'teams.acme.channels.a.homeserver = "{value}": must be a web address such as '
                '"https://matrix.example.org", or a server name such as "example.org"'
            ],
        )
        for value in ("@bot:example.org", "htps://m.example.org", "a b", "a:99999", "a:0", "")
    },
    "thumbnails": (
        MATRIX + 'room = "#a:b"\nthumbnails = "img"',
        ['teams.acme.channels.a.thumbnails = "img": must be true, false or "image"'],
    ),
    "thumbnails as a number": (
        MATRIX + 'room = "#a:b"\nthumbnails = 1',
        ['teams.acme.channels.a.thumbnails = 1: must be true, false or "image"'],
    ),
    "images that notify": (
        MATRIX + 'room = "#a:b"\nthumbnails = "image"\nmsgtype = "notice"',
        [
            'teams.acme.channels.a.thumbnails = "image": does not work with msgtype = "notice": an '
            "image of its own notifies",
            'teams.acme.channels.a.thumbnails = "image": needs penpot.access_token, to get the '
            "pictures from Penpot",
        ],
    ),
    "msgtype": (
        MATRIX + 'room = "#a:b"\nmsgtype = "m.text"',
        [
            'teams.acme.channels.a.msgtype = "m.text": must be "auto", "text" or "notice"; '
            "did you mean text?",
        ],
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


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("example.org", "example.org"),
        ("example.org:8448", "example.org:8448"),
        ("[::1]:8448", "[::1]:8448"),
        ("https://m.example.org/sub/", "https://m.example.org/sub"),
    ],
)
def test_a_homeserver_is_an_address_or_a_name(value: str, expected: str) -> None:
    settings = MatrixSettings(
        type="matrix", name="a", homeserver=value, access_token=Secret("t"), room="#a:b"
    )
    assert settings.homeserver == expected


@pytest.mark.parametrize(
    ("msgtype", "advice"),
    [
        ("auto", ""),
        ("text", ""),
        ("notice", 'msgtype = "notice": clients notify nobody, not even the people mentioned'),
    ],
)
def test_the_check_says_that_notices_notify_nobody(msgtype: str, advice: str) -> None:
    settings = MatrixSettings(
        type="matrix",
        name="a",
        homeserver="b",
        access_token=Secret("t"),
        room="#a:b",
        msgtype=msgtype,  # type: ignore[arg-type]
    )
    assert settings.advice == advice
