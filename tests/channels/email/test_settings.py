"""The rules of a mail channel's settings, with the exact text of every problem."""

from pathlib import Path

import pytest

from relay.config.load import load, warnings
from tests.config.files import MAIL, problems_of, write

CASES = {
    "kind of TLS": (
        MAIL + 'smtp = { host = "h", tls = "ssl" }',
        ['teams.acme.channels.a.smtp.tls = "ssl": must be "starttls", "tls" or "none"'],
    ),
    "name in EHLO": (
        MAIL + 'smtp = { host = "h", hello = "my relay" }',
        [
            'teams.acme.channels.a.smtp.hello = "my relay": must be a host\'s full name such as '
            '"relay.example.com", or its address as "[192.0.2.1]"'
        ],
    ),
    "address to unsubscribe": (
        MAIL + 'smtp = { host = "h" }\nunsubscribe = "http://x.org"',
        [
            'teams.acme.channels.a.unsubscribe = "http://x.org": must be an address such as '
            '"https://example.com/unsubscribe" or "mailto:design-leave@example.com"'
        ],
    ),
    "name of the sender": (
        MAIL + 'smtp = { host = "h" }\nsender_name = "Ada"',
        ['teams.acme.channels.a.sender_name = "Ada": must be "actor" or "fixed"'],
    ),
    "address for answers": (
        MAIL + 'smtp = { host = "h" }\nreply_to = "design"',
        [
            'teams.acme.channels.a.reply_to = "design": must be one mail address such as '
            '"design@example.com" or "Penpot <penpot@example.com>"'
        ],
    ),
    "user without password": (
        MAIL + 'smtp = { host = "h", username = "u" }',
        ["teams.acme.channels.a.smtp.password: goes together with the other one"],
    ),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_a_problem_names_key_value_and_rule(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems_of(write(tmp_path, text), {}) == expected


@pytest.mark.parametrize(
    ("value", "is_valid"),
    [
        ("mailto:leave@example.com", True),
        ("mailto:leave@example.com?subject=unsubscribe%20me", True),
        ("https://example.com/unsubscribe?list=design", True),
        ("mailto:", False),
        ("mailto:Ada <ada@example.com>", False),
        ("mailto:a@x.org,b@x.org", False),
        ("https://", False),
        ("https://example.com/<x>", False),
        ("https://example.com/a b", False),
        ("https://exämple.com/", False),
        ("https://example.com/" + "a" * 1000, False),
        ("javascript:alert(1)", False),
        ("leave@example.com", False),
    ],
)
def test_an_address_to_unsubscribe_fits_into_its_header(
    tmp_path: Path, value: str, is_valid: bool
) -> None:
    text = MAIL + f'smtp = {{ host = "h" }}\nunsubscribe = "{value}"'
    problems = problems_of(write(tmp_path, text), {}) if not is_valid else []
    assert is_valid == (problems == [])
    if is_valid:
        load(write(tmp_path, text), {})


@pytest.mark.parametrize(("tls", "is_wrong"), [("starttls", True), ("none", True), ("tls", False)])
def test_a_port_for_tls_at_once_is_named(tmp_path: Path, tls: str, is_wrong: bool) -> None:
    text = MAIL + f'smtp = {{ host = "h", port = 465, tls = "{tls}" }}'
    advice = [text for text in warnings(load(write(tmp_path, text), {})) if "465" in text]
    rule = 'servers speak TLS at once at port 465: set smtp.tls to "tls"'
    assert advice == [f"teams.acme.channels.a: {rule}"] * is_wrong
