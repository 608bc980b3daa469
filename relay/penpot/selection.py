"""Which events a channel takes: the ``events`` list of the config."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from relay.penpot.catalogue import CATALOGUE, GROUPS

# Everything except personal and frequent events.
DEFAULT = ("*", "!update-file", "!update-project-pin", "!export-binfile", "!create-font-variant")


@dataclass(frozen=True, slots=True)
class Selection:
    """Groups, event names and globs; an entry with ``!`` excludes. The last match decides."""

    entries: tuple[str, ...] = DEFAULT

    @classmethod
    def of(cls, entries: Sequence[str]) -> "Selection":
        """From the config: a list of exclusions only is added to the default."""
        if all(entry.startswith("!") for entry in entries):
            return cls((*DEFAULT, *entries))
        return cls(tuple(entries))

    def takes(self, name: str, group: str) -> bool:
        return self.skipped_by(name, group) is None

    def skipped_by(self, name: str, group: str) -> str | None:
        """The entry that excludes an event, empty where none matches; None if it is taken."""
        for entry in reversed(self.entries):
            pattern = entry.removeprefix("!")
            if pattern == group or fnmatchcase(name, pattern):
                return entry if entry.startswith("!") else None
        return ""


def matches_any_event(entry: str) -> bool:
    """Whether an entry matches at least one event of the catalogue."""
    pattern = entry.removeprefix("!")
    return pattern in GROUPS or any(fnmatchcase(name, pattern) for name in CATALOGUE)
