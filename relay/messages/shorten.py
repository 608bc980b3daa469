"""Plain text cut between visible characters."""

import unicodedata

ELLIPSIS = "…"
_MAX_CLUSTER_LENGTH = 64  # code points; longer sequences of marks occur only in hostile text
_JOINER = "\u200d"
_FLAG_HALVES = "".join(map(chr, range(0x1F1E6, 0x1F200)))
_EXTENDING = frozenset(map(chr, (*range(0x1160, 0x1200), *range(0x1F3FB, 0x1F400))))
"""Korean vowels and final consonants, and skin tones."""


def shorten(text: str, length: int) -> str:
    """At most ``length`` characters of ``text``, ending in "…" if it was cut."""
    if len(text) <= length:
        return text
    if length < 1:
        return ""
    return text[: boundary(text, length - 1)].rstrip() + ELLIPSIS


def boundary(text: str, at: int) -> int:
    """The last index at or before ``at`` that splits no visible character."""
    if at >= len(text):
        return len(text)
    first = max(0, at - _MAX_CLUSTER_LENGTH)
    return next((index for index in range(at, first, -1) if not _is_joined(text, index)), first)


def _is_joined(text: str, at: int) -> bool:
    """Whether the code points before and after ``at`` form one visible character, by the main rules
    of https://unicode.org/reports/tr29/#Grapheme_Cluster_Boundary_Rules."""
    before, after = text[at - 1], text[at]
    if before.isascii() and after.isascii():
        return before == "\r" and after == "\n"
    category = unicodedata.category(after)
    if category in ("Mn", "Me", "Mc", "Cf") or after in _EXTENDING:
        return True
    if before in _FLAG_HALVES and after in _FLAG_HALVES:
        halves = at - len(text[:at].rstrip(_FLAG_HALVES))
        return halves % 2 == 1
    return before == _JOINER and category in ("So", "Cn")  # Cn: an emoji newer than Python
