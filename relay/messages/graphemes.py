"""Cutting text where a reader sees a boundary, never inside one visible character.

The rules of Unicode's UAX #29 that occur in names and comments, on the standard library's
tables: combining marks, emoji with skin tones, joiners, flags and tags, Hangul syllables.
"""

import unicodedata

ELLIPSIS = "…"

_JOINER = "\u200d"
_LONGEST = 64  # characters; a longer pile of marks is no character that anyone reads


def shorten(text: str, length: int, *, whole: bool = True) -> str:
    """``text`` in at most ``length`` characters, with "…" at its end where it was cut.

    It is not ``whole`` where it was cut before: then it ends in "…" however short it is.
    """
    if whole and len(text) <= length:
        return text
    if length < 1:
        return ""
    return text[: boundary(text, length - 1)].rstrip() + ELLIPSIS


def boundary(text: str, at: int) -> int:
    """The last place at or before ``at`` where no visible character is torn apart."""
    if at >= len(text):
        return len(text)
    for place in range(at, max(0, at - _LONGEST), -1):
        if not _joined(text, place):
            return place
    return max(0, at - _LONGEST)


def _joined(text: str, at: int) -> bool:
    """Whether the characters before and after ``at`` are one for the reader."""
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
        or "\U000e0020" <= character <= "\U000e007f"  # the letters in a region's flag
    )


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _is_hangul(character: str) -> bool:
    return "\u1100" <= character <= "\u11ff" or "\uac00" <= character <= "\ud7a3"
