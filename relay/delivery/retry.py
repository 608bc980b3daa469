"""Exponential backoff for failed deliveries."""

import random

FIRST_RETRY_DELAY = 1.0  # seconds
MAX_RETRY_DELAY = 300.0  # seconds, unless a server asks for more


def retry_delay(attempts: int, requested: float | None = None) -> float:
    """Seconds to wait after ``attempts`` failed attempts (1 after the first).

    Doubles up to ``MAX_RETRY_DELAY``; the upper half is random, so that the queues of one failed
    server do not retry at the same moment. Never less than what the server ``requested``.
    """
    ceiling: float = min(MAX_RETRY_DELAY, FIRST_RETRY_DELAY * 2 ** min(attempts - 1, 30))
    wait = ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - no secret depends on it
    return max(wait, requested or 0.0)
