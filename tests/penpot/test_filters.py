"""Filters of names against a model that knows no regular expressions."""

import unicodedata
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.penpot.filters import Candidate, Filter, Verdict, closest, matches

ID, OTHER_ID = "2f6a1c10-3b5e-4f7a-9c1d-0123456789ab", "2f6a1c10-3b5e-4f7a-9c1d-0123456789ac"


def judge(entries: Sequence[str], *candidates: Candidate) -> Verdict:
    return Filter(entries).judge(candidates)


@pytest.mark.parametrize(("pattern", "name", "is_match"), [
    ("Website", "Website", True),
    ("website", "WEBSITE", True),
    ("Website", "Website 2", False),
    ("Website*", "Website 2", True),
    ("Website ?", "Website 2", True),
    ("Website ?", "Website 22", False),
    ("STRASSE", "Straße", True),
    ("Café", "Cafe\N{COMBINING ACUTE ACCENT}", True),
    ("Ｗｅｂ", "web", True),
    ("ﬁle", "File", True),
    ("ΣΊΣΥΦΟΣ", "Σίσυφος", True),
    ("[draft]*", "[Draft] Home", True),
    ("[draft]", "d", False),
    ("[!a]", "b", False),
    ("何？", "何?", True),
    ("何？", "何か", False),
    ("a.b", "axb", False),
    ("a\\*", "a\\b", True),
    ("Landing  page", "Landing page", True),
    ("*", "anything", True),
])  # fmt: skip
def test_a_pattern_matches_a_name(pattern: str, name: str, is_match: bool) -> None:
    assert matches(pattern, Candidate(name=name)) is is_match


def test_a_uuid_matches_an_id_only() -> None:
    assert matches(ID, Candidate(ID)) is True
    assert matches(ID.upper(), Candidate(ID, "Website")) is True
    assert matches(ID, Candidate(OTHER_ID)) is False
    assert matches(ID, Candidate(name="just created")) is False
    assert matches(ID, Candidate()) is None


def test_a_person_is_matched_by_name_or_mail_address() -> None:
    ada = Candidate(ID, "Ada Lovelace", "ada@example.com")
    for pattern in ("ada lovelace", "Ada*", "ADA@example.com", "*@example.com", ID):
        assert matches(pattern, ada) is True, pattern
    assert matches("*@example.com", Candidate(ID, "Ada")) is None
    assert matches("Ada", Candidate(ID, "", "grace@example.com")) is None
    assert matches("grace*", Candidate(ID, "", "grace@example.com")) is True


def test_the_last_matching_entry_decides() -> None:
    entries = ["*", "!Archive*", "Archive 2026"]
    assert judge(entries, Candidate(name="Website")) == Verdict(True, "*")
    assert judge(entries, Candidate(name="archive 2025")) == Verdict(False, "!Archive*")
    assert judge(entries, Candidate(name="Archive 2026")) == Verdict(True, "Archive 2026")


def test_exclusions_alone_accept_everything_else() -> None:
    assert judge(["!Archive"], Candidate(name="Website")) == Verdict(True)
    assert judge(["Archive"], Candidate(name="Website")) == Verdict(False)
    assert judge(["!Archive"]) == Verdict(True)
    assert judge(["*"]) == Verdict(False)


def test_one_candidate_is_enough() -> None:
    old, new = Candidate(ID, "Website"), Candidate(ID, "Site")
    assert judge(["Website"], new, old) == Verdict(True, "Website")
    assert judge(["!Website"], new, old) == Verdict(True)
    assert judge(["Shop"], new, old) == Verdict(False)


def test_what_is_not_known_is_judged_by_the_kind_of_filter() -> None:
    unknown = Candidate(ID)
    assert judge(["Website"], unknown) == Verdict(False, is_known=False)
    assert judge(["!Website"], unknown) == Verdict(True, is_known=False)
    assert judge(["Website", ID], unknown) == Verdict(True, ID)
    assert judge([ID, "!Website"], unknown) == Verdict(False, is_known=False)
    assert judge(["Website", "*"], unknown) == Verdict(True, "*")
    # one of several files is known not to match, the other may
    assert judge(["Website"], Candidate(OTHER_ID, "Shop"), unknown).is_known is False


def test_the_closest_name_is_suggested() -> None:
    assert closest("websit*", ["Website", "Shop"]) == "Website"
    assert closest("zzz", ["Website", "Shop"]) == ""


# The model: a filter is a list of decisions, a pattern is matched letter by letter.

_LETTERS = "aAbß.[]!-?*é ？"
_names = st.text(_LETTERS, min_size=1, max_size=6).filter(lambda name: name.strip() != "")
_entries = st.lists(st.builds(str.__add__, st.sampled_from(["", "!"]), _names), min_size=1)


def _fold(text: str) -> str:
    text = unicodedata.normalize("NFKC", " ".join(text.split())).casefold()
    return unicodedata.normalize("NFKC", text)


def _model_match(pattern: list[str], name: str) -> bool:
    """``pattern``: a letter each, ``ANY`` and ``MANY`` for the wildcards."""
    if not pattern:
        return not name
    first, *rest = pattern
    if first == "MANY":
        return any(_model_match(rest, name[count:]) for count in range(len(name) + 1))
    return bool(name) and first in ("ANY", name[0]) and _model_match(rest, name[1:])


def _model(entries: Sequence[str], name: str) -> bool:
    accepted = all(entry.startswith("!") for entry in entries)
    for entry in entries:
        pattern: list[str] = []
        for letter in " ".join(entry.removeprefix("!").split()):
            wildcard = {"*": "MANY", "?": "ANY"}.get(letter)
            folded = unicodedata.normalize("NFKC", letter).casefold() if letter != " " else " "
            pattern += [wildcard] if wildcard else folded
        if _model_match(pattern, _fold(name)):
            accepted = not entry.startswith("!")
    return accepted


@given(_entries, st.lists(_names, min_size=1, max_size=3))
@example(["!"], ["a"])
@example(["*", "![a]*"], ["[A]b"])
def test_a_filter_decides_as_the_model(entries: list[str], names: list[str]) -> None:
    verdict = judge(entries, *(Candidate(name=name) for name in names))
    assert verdict.accepts == any(_model(entries, name) for name in names)
    assert verdict.is_known
