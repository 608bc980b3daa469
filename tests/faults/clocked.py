"""Relay with a system clock that a test sets while it runs.

    python -m tests.faults.clocked FILE serve --config relay.toml

``FILE`` holds the offset in seconds; an empty or missing file means 0. The monotonic clock is not
changed.
"""

import sys
import time
from pathlib import Path

from relay.cli import main

_real_time = time.time


def _offset(file: Path) -> float:
    try:
        return float(file.read_text())
    except (OSError, ValueError):
        return 0.0


if __name__ == "__main__":
    file = Path(sys.argv.pop(1))
    time.time = lambda: _real_time() + _offset(file)
    main()
