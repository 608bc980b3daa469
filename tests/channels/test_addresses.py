"""Web addresses in a text; more cases are in the tests of Slack's blocks, which link them."""

import pytest

from relay.channels.addresses import addresses


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("See https://a.example/x_(y)?q=1, or", ["https://a.example/x_(y)?q=1"]),
        ("(http://a.example).", ["http://a.example"]),
        ("https://bank.example@evil.example", [""]),
        ("https://a.example/cut…", []),
        ("ftp://a.example www.a.example", []),
    ],
)
def test_the_addresses_of_a_text(text: str, found: list[str]) -> None:
    assert [address for _, _, address in addresses(text)] == found
    for start, end, address in addresses(text):
        assert text[start:end] == address or not address
