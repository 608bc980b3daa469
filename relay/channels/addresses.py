"""The web addresses in a text, for channels that make links of them."""

import re
from collections.abc import Iterator

from relay.config.types import web_address

# Not the start of a longer address that "…" cut off. Brackets are allowed only around an IPv6
# address; punctuation beyond ASCII, quotation marks and invisible characters end an address.
_ADDRESS_PATTERN = re.compile(
    r"(?<![a-z0-9+.-])https?://(?:\[[0-9a-f:.]+\])?"
    r"[^\x00-\x20<>\"`{|}\\^\[\]\x7f-\xa0\xab\xad\xbb\u1680\u2000-\u206f\u3000-\u303f\ufeff"
    r"\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]++(?!\u2026)",
    re.ASCII | re.IGNORECASE,
)
_CLOSING_PUNCTUATION = "?!.,:;*_~'"  # as GitHub's Markdown, which leaves it out at the end


def addresses(text: str) -> Iterator[tuple[int, int, str]]:
    """Start and end of each web address in the text, without the punctuation after it, and the
    address itself. It is empty if it must not become a link: one with a user's name in front of the
    host can look like another one."""
    for match in _ADDRESS_PATTERN.finditer(text):
        address, end = match[0], len(match[0])
        open_brackets = address.count("(") - address.count(")")
        while address[end - 1] in _CLOSING_PUNCTUATION or (
            address[end - 1] == ")" and open_brackets < 0
        ):
            open_brackets += address[end - 1] == ")"
            end -= 1
        address = address[:end]
        parts = web_address(address)
        is_plain = parts is not None and "@" not in parts.netloc
        yield match.start(), match.start() + end, address if is_plain else ""
