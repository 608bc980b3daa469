"""When a failed delivery is tried again."""

import random

FIRST = 1.0
"""Seconds until the second try, at the most."""
LONGEST = 300.0
"""Seconds between two tries, at the most; unless a server asks for more."""


def delay(attempts: int, asked: float | None = None) -> float:
    """Seconds to wait after ``attempts`` failed tries (1 after the first).

    Doubles each time, up to ``LONGEST``, and the upper half of it is left to chance, so that
    queues of one broken server do not come back all at once. What the server ``asked`` for is
    the least that is waited.
    """
    ceiling: float = min(LONGEST, FIRST * 2 ** min(attempts - 1, 30))
    wait = ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - no secret depends on it
    return max(wait, asked or 0.0)
