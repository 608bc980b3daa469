"""Which events a channel takes: the ``events`` list of the config."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from relay.penpot.events import CATALOGUE, GROUPS

DEFAULT = (
    "*",
    "!update-file",
    "!update-project-pin",
    "!export-binfile",
    "!create-font-variant",
)
"""Everything but what is personal or noise."""


@dataclass(frozen=True, slots=True)
class Selection:
    """An ``events`` list: groups, Penpot's names and globs, ``!`` takes away.

    The last entry that fits an event decides. A list that only takes away takes from the
    default.
    """

    entries: tuple[str, ...] = DEFAULT

    @classmethod
    def of(cls, entries: Sequence[str]) -> "Selection":
        """The selection that a config's list means."""
        if all(entry.startswith("!") for entry in entries):
            return cls((*DEFAULT, *entries))
        return cls(tuple(entries))

    def takes(self, name: str, group: str) -> bool:
        """Whether an event of that name and group is wanted."""
        return not (self.deciding(name, group) or "!").startswith("!")

    def deciding(self, name: str, group: str) -> str:
        """The entry that decides about an event; empty where none fits."""
        for entry in reversed(self.entries):
            pattern = entry.removeprefix("!")
            if pattern == group or fnmatchcase(name, pattern):
                return entry
        return ""


def is_known(entry: str) -> bool:
    """Whether an entry of an ``events`` list can fit any event of the catalogue."""
    pattern = entry.removeprefix("!")
    return pattern in GROUPS or any(fnmatchcase(name, pattern) for name in CATALOGUE)
