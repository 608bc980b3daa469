"""Relay with a clock on the wall that a test sets while it runs.

    python -m tests.faults.clocked FILE serve --config relay.toml

``FILE`` holds the seconds by which it is wrong; an empty or missing one is right. The other clock,
which nobody can set, is the machine's.
"""

import sys
import time
from pathlib import Path

from relay.cli import main

_right = time.time


def _wrong(file: Path) -> float:
    try:
        return float(file.read_text())
    except (OSError, ValueError):
        return 0.0


if __name__ == "__main__":
    told = Path(sys.argv.pop(1))
    time.time = lambda: _right() + _wrong(told)
    main()
