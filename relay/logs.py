"""How Relay tells what it does: one line an event, on stderr."""

import json
import logging
import sys
from datetime import UTC, datetime


class _TextFormatter(logging.Formatter):
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")
        self.converter = lambda seconds: datetime.fromtimestamp(seconds or 0, UTC).timetuple()

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        # text from outside may stand in a message: it must not begin a line of its own
        return super().formatMessage(record).replace("\n", "⏎").replace("\r", "")


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up(level: str, form: str) -> None:
    """Send everything from ``level`` on to stderr, as ``text`` or ``json`` lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if form == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("httpx", "httpcore", "slack_sdk", "aiohttp", "uvicorn", "asyncio"):
        # they write addresses, and a webhook's address is a secret
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
