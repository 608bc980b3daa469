"""Cutting text between visible characters (grapheme clusters).

Implements the rules of Unicode's UAX #29 that matter for names and comments, with the standard
library's tables: combining marks, emoji with skin tones, joiners, flags and tags, Hangul syllables.
"""

import unicodedata

ELLIPSIS = "…"

_JOINER = "\u200d"
_MAX_CLUSTER_LENGTH = 64  # code points; longer sequences of marks occur only in hostile text


def shorten(text: str, length: int, *, whole: bool = True) -> str:
    """At most ``length`` characters of ``text``, ending in "…" if it was cut.

    ``whole=False``: it was cut before, so it ends in "…" in any case.
    """
    if whole and len(text) <= length:
        return text
    if length < 1:
        return ""
    return text[: boundary(text, length - 1)].rstrip() + ELLIPSIS


def boundary(text: str, at: int) -> int:
    """The last index at or before ``at`` that splits no visible character."""
    if at >= len(text):
        return len(text)
    for index in range(at, max(0, at - _MAX_CLUSTER_LENGTH), -1):
        if not _is_joined(text, index):
            return index
    return max(0, at - _MAX_CLUSTER_LENGTH)


def _is_joined(text: str, at: int) -> bool:
    """Whether the code points before and after ``at`` form one visible character."""
    before, after = text[at - 1], text[at]
    if before.isascii() and after.isascii():
        return before == "\r" and after == "\n"
    if _extends(after):
        return True
    if before == _JOINER:
        return unicodedata.category(after) in ("So", "Cn")  # Cn: an emoji newer than Python
    if _is_flag_half(before) and _is_flag_half(after):
        start = at
        while start > 0 and _is_flag_half(text[start - 1]):
            start -= 1
        return (at - start) % 2 == 1
    if "\u1100" <= before <= "\u115f":
        return _is_hangul(after)
    return _is_hangul(before) and "\u1160" <= after <= "\u11ff"


def _extends(character: str) -> bool:
    return (
        unicodedata.category(character) in ("Mn", "Me", "Mc")
        or character in "\u200c\u200d"
        or "\U0001f3fb" <= character <= "\U0001f3ff"  # skin tones
        or "\U000e0020" <= character <= "\U000e007f"  # tag letters in the flag of a region
    )


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _is_hangul(character: str) -> bool:
    return "\u1100" <= character <= "\u11ff" or "\uac00" <= character <= "\ud7a3"
