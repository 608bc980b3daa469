"""The clock that says which day is today in messages."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from types import SimpleNamespace

import pytest

from relay.messages import times


@contextmanager
def clock_at(now: str | float) -> Iterator[None]:
    """``now``: seconds since 1970, or ISO 8601 with a zone."""
    seconds = datetime.fromisoformat(now).timestamp() if isinstance(now, str) else now
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(times, "time", SimpleNamespace(time=lambda: seconds))
        yield
