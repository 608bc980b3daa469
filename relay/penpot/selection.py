"""Which events a channel takes: the ``events`` list of the config."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from relay.penpot.catalogue import CATALOGUE, GROUPS
from relay.penpot.filters import literal_glob

_DEFAULT = [kind for kind in CATALOGUE.values() if kind.is_default]
DEFAULT = (
    "comments",
    *(kind.name for kind in _DEFAULT if kind.group != "comments" and not kind.is_activity),
)
DAILY = tuple(kind.name for kind in _DEFAULT if kind.is_activity)
"""Also by default where a channel sums up activity in daily lines."""

MATCHES_NO_EVENT = (
    f"matches no event: use a group ({', '.join(GROUPS)}), a name from `relay events` "
    'or a glob; "!" in front excludes'
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Groups, event names and globs; an entry with ``!`` excludes. The last match decides."""

    entries: tuple[str, ...] = DEFAULT

    @classmethod
    def of(cls, entries: Sequence[str], *, daily: bool = False) -> "Selection":
        """From the config: a list of exclusions only is added to the default. ``daily``: whether
        the channel sums up activity in daily lines."""
        if all(entry.startswith("!") for entry in entries):
            return cls((*DEFAULT, *(DAILY if daily else ()), *entries))
        return cls(tuple(entries))

    def takes(self, name: str, group: str) -> bool:
        return self.deciding(name, group)[1]

    def deciding(self, name: str, group: str) -> tuple[str, bool]:
        """The entry that decides, empty where none matches, and whether the event is taken."""
        for entry in reversed(self.entries):
            pattern = entry.removeprefix("!")
            if pattern == group or _is_match(name, pattern):
                return entry, not entry.startswith("!")
        return "", False


def matches_any_event(entry: str) -> bool:
    """Whether an entry matches at least one event of the catalogue."""
    pattern = entry.removeprefix("!")
    return pattern in GROUPS or any(_is_match(name, pattern) for name in CATALOGUE)


def _is_match(name: str, pattern: str) -> bool:
    return fnmatchcase(name, literal_glob(pattern))
