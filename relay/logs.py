"""Logging to stderr, one record per line, as text or JSON."""

import json
import logging
import sys
import time
from datetime import UTC, datetime

from relay.channels import CHANNEL_TYPES


class _TextFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        # foreign text in a message must not start a new line
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


def configure_logging(level: str, form: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    text = _TextFormatter("%(asctime)s %(levelname)-7s %(message)s")
    handler.setFormatter(_JsonFormatter() if form == "json" else text)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    libraries = {name for kind in CHANNEL_TYPES.values() for name in kind.loggers}
    for library in {"httpx", "httpcore", "uvicorn", "asyncio"} | libraries:
        # they log URLs, and a webhook's URL is a secret
        logging.getLogger(library).setLevel(max(logging.WARNING, root.level))
