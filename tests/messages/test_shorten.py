import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.messages.shorten import boundary, shorten

CHARACTERS = [
    "a",
    "e\u0301\u0323",
    "👍🏽",
    "👩🏽‍🚀",
    "👨‍👩‍👧‍👦",
    "❤️",
    "🇩🇪",
    "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "한",
    "\u1112\u1161\u11ab",
    "नि",
    "1️⃣",
    "\r\n",
]


@given(st.lists(st.sampled_from(CHARACTERS), max_size=12), st.integers(0, 60))
def test_a_boundary_splits_no_visible_character(characters: list[str], at: int) -> None:
    edges = [sum(map(len, characters[:count])) for count in range(len(characters) + 1)]
    text = "".join(characters)
    assert boundary(text, at) == max(edge for edge in edges if edge <= at)


@pytest.mark.parametrize(
    ("text", "length", "short"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("ab cd", 4, "ab…"),
        ("👨‍👩‍👧‍👦 family", 5, "…"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_the_ellipsis_counts_towards_the_length(text: str, length: int, short: str) -> None:
    assert shorten(text, length) == short


def test_a_long_sequence_of_marks_is_cut() -> None:
    assert len(shorten("a" + "\u0301" * 10_000, 5_000)) > 4_900
