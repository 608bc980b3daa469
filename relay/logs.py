"""Logging to stderr, one record per line, as text or JSON."""

import json
import logging
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from textwrap import indent
from typing import Any

from relay.channels import CHANNEL_TYPES

MAX_MESSAGE_LENGTH = 4_000  # characters
MAX_TRACE_LENGTH = 20_000  # characters

# C0, C1, and what reorders text or ends a line in Unicode
_UNSAFE_PATTERN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)


def safe_text(text: str, max_length: int = MAX_MESSAGE_LENGTH) -> str:
    """``text`` with its control and bidirectional characters as escapes, except for tabs and line
    ends, and without the middle when it is long: foreign text must not act on a terminal."""
    if len(text) > max_length:
        half = max_length // 2
        text = f"{text[:half]} […{len(text) - 2 * half} characters…] {text[-half:]}"
    return _UNSAFE_PATTERN.sub(lambda match: repr(match[0])[1:-1], text.replace("\r\n", "\n"))


class _TextFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        # foreign text in a message must not start a new line
        return safe_text(super().formatMessage(record)).replace("\n", "⏎")

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        # nor must the text of an exception: the lines of a record's trace are indented
        return indent(safe_text(super().formatException(ei), MAX_TRACE_LENGTH), "    ")


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": safe_text(record.getMessage()),
        }
        if record.exc_info:
            line["trace"] = safe_text(self.formatException(record.exc_info), MAX_TRACE_LENGTH)
        return json.dumps(line, ensure_ascii=False)


def configure_logging(level: str, form: str, in_user_terms: Callable[[str], str] = str) -> None:
    """``in_user_terms`` is applied to each message."""

    def rewrite(record: logging.LogRecord) -> bool:
        record.msg, record.args = in_user_terms(record.getMessage()), None
        return True

    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(rewrite)
    text = _TextFormatter("%(asctime)s %(levelname)-7s %(message)s")
    handler.setFormatter(_JsonFormatter() if form == "json" else text)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    libraries = {name for kind in CHANNEL_TYPES.values() for name in kind.loggers}
    for library in {"httpx", "httpcore", "uvicorn", "asyncio"} | libraries:
        # they log URLs, and a webhook's URL is a secret
        logging.getLogger(library).setLevel(max(logging.WARNING, root.level))
