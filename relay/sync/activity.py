"""Where people are at work: files are looked at within seconds, and ever less after that."""

from dataclasses import dataclass

SOON = 10.0
"""Seconds between two looks at a file in which somebody has just commented."""
EDITED = 25.0
"""The same where somebody has just changed the file: comments are resolved at that work."""
SLOWER = 20.0
"""The time since the last activity through this is the time to the next look, if that is longer."""
QUIET = 3600.0
"""Seconds without a comment after which a file is left to the team's own looks."""
QUIET_EDITED = 600.0
"""The same without a change of the file."""


@dataclass(slots=True)
class ActiveFile:
    """A file in which somebody is at work. Times are in seconds since 1970."""

    file: str
    commented_at: float = 0.0
    edited_at: float = 0.0
    next_at: float = 0.0

    def heard(self, at: float, now: float, *, is_comment: bool) -> None:
        """Somebody did something at that time."""
        if is_comment:
            self.commented_at = max(self.commented_at, at)
        else:
            self.edited_at = max(self.edited_at, at)
        self.next_at = min(self.next_at or now + SOON, now + (pace(self, now) or SOON))

    def looked(self, now: float) -> bool:
        """It was looked at; whether it will be again before long."""
        seconds = pace(self, now)
        self.next_at = now + (seconds or 0.0)
        return seconds is not None


def pace(file: ActiveFile, now: float) -> float | None:
    """Seconds to the next look at a file; None where it has become quiet."""
    commented, edited = now - file.commented_at, now - file.edited_at
    seconds = [max(SOON, commented / SLOWER)] if commented < QUIET else []
    seconds += [EDITED] if edited < QUIET_EDITED else []
    return min(seconds, default=None)
