"""Filters: the lists ``projects``, ``files`` and ``actors`` of a channel, and their patterns."""

import difflib
import fnmatch
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

from relay.penpot.text import uuid

_nfkc = partial(unicodedata.normalize, "NFKC")


class Candidate(NamedTuple):
    """Something that exists, for a filter to judge; an unknown text is empty."""

    id: str = ""  # a UUID in lower case
    name: str = ""
    email: str = ""  # of a person


class Verdict(NamedTuple):
    accepts: bool
    entry: str = ""  # that decided; empty where none did
    is_known: bool = True  # whether enough was known for a decision by the entries


@dataclass(frozen=True, slots=True)
class Filter:
    """Names, ids and globs; an entry with ``!`` excludes. The last entry that matches decides.
    Where none does, a filter with exclusions only accepts, any other one rejects."""

    entries: Sequence[str]

    @property
    def accepts_others(self) -> bool:
        """Whether it accepts what no entry matches, and what is not known."""
        return all(entry.startswith("!") for entry in self.entries)

    def judge(self, candidates: Iterable[Candidate]) -> Verdict:
        """Accepts an event if it accepts one of its candidates, whatever is not known of others."""
        verdicts = [self._judge(candidate) for candidate in candidates]
        accepted = next((each for each in verdicts if each.accepts and each.is_known), None)
        unknown = next((each for each in verdicts if not each.is_known), None)
        return accepted or unknown or next(iter(verdicts), Verdict(self.accepts_others))

    def _judge(self, candidate: Candidate) -> Verdict:
        for entry in reversed(self.entries):
            is_match = matches(entry.removeprefix("!"), candidate)
            if is_match is None:
                return Verdict(self.accepts_others, is_known=False)
            if is_match:
                return Verdict(not entry.startswith("!"), entry)
        return Verdict(self.accepts_others)


def matches(pattern: str, candidate: Candidate) -> bool | None:
    """A UUID is compared with the id, any other pattern with name and mail address. None if that
    is not known: one with an ``@`` may be a mail address."""
    if set(pattern) == {"*"}:
        return True
    if id_ := uuid(pattern):
        # What has a name and no id was created by the event: no config can name it yet.
        return candidate.id == id_ if candidate.id or candidate.name else None
    if any(text and is_match(pattern, text) for text in (candidate.name, candidate.email)):
        return True
    return False if (candidate.email if "@" in pattern else candidate.name) else None


def is_match(pattern: str, text: str) -> bool:
    """Case-folded and Unicode-normalized; ``*`` and ``?`` are the only wildcards."""
    return bool(_compiled(pattern).match(folded(text)))


def folded(text: str) -> str:
    """Equal for names that people take for the same."""
    return _nfkc(_nfkc(" ".join(text.split())).casefold())


def literal_glob(pattern: str) -> str:
    """For ``fnmatch``, whose ``[`` is a third wildcard."""
    return pattern.replace("[", "[[]")


def closest(pattern: str, names: Iterable[str]) -> str:
    """The name that the pattern may mean; empty if none is similar."""
    by_folded = {folded(name): name for name in names}
    close = difflib.get_close_matches(folded(pattern.replace("*", "")), by_folded, n=1)
    return by_folded[close[0]] if close else ""


@lru_cache(maxsize=10_000)
def _compiled(pattern: str) -> re.Pattern[str]:
    # Before normalization, which turns full-width question marks of names into narrow ones.
    parts = re.split(r"([*?])", " ".join(pattern.split()))
    glob = "".join(
        part if number % 2 else re.sub(r"[*?\[]", r"[\g<0>]", _nfkc(_nfkc(part).casefold()))
        for number, part in enumerate(parts)
    )
    return re.compile(fnmatch.translate(glob))
