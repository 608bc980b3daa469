"""Log lines as text and as JSON, and the libraries whose lines would hold secrets."""

import json
import logging
import re
from collections.abc import Iterator

import pytest

from relay.logs import configure_logging

LIBRARIES = ("httpx", "httpcore", "slack_sdk", "aiohttp", "uvicorn", "asyncio")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in LIBRARIES}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def test_a_text_line_has_time_level_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "text")
    logging.getLogger("relay.x").info("queue %s runs", "a/b")
    logging.getLogger("relay.x").debug("not shown")
    line = capsys.readouterr().err
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO    queue a/b runs\n", line)


def test_foreign_text_starts_no_new_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "text")
    logging.getLogger("relay.x").warning("server says %s", "no\r\n2026 ERROR forged")
    assert capsys.readouterr().err.endswith("server says no⏎2026 ERROR forged\n")


def test_a_json_line_has_the_same_fields_and_the_trace(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    logging.getLogger("relay.x").error("größer\nthan %s", 1)
    try:
        raise ZeroDivisionError("a bug")
    except ZeroDivisionError:
        logging.getLogger("relay.y").exception("failed")
    plain, failed = map(json.loads, capsys.readouterr().err.splitlines())
    at = plain.pop("at")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", at)
    assert plain == {"level": "error", "logger": "relay.x", "message": "größer\nthan 1"}
    assert failed["trace"].startswith("Traceback")
    assert failed["trace"].endswith("ZeroDivisionError: a bug")


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_urls_that_libraries_log_are_not_shown(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("debug", form)
    for name in LIBRARIES:
        logging.getLogger(name).info("POST https://hooks.slack.com/services/T/B/secret")
        logging.getLogger(name).warning("a warning of %s", name)
    logging.getLogger("relay.x").debug("shown")
    lines = capsys.readouterr().err
    assert "secret" not in lines
    assert "shown" in lines
    assert lines.count("a warning of") == len(LIBRARIES)


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("control", ["\x00", "\x1b[2J", "\x7f", "\x85", "\x9b", "\u202e", "\u2066"])
def test_foreign_text_controls_no_terminal(
    form: str, control: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In messages and in tracebacks."""
    configure_logging("info", form)
    logging.getLogger("relay.x").warning("server says %s", f"before{control}after")
    try:
        raise ValueError(f"before{control}after")
    except ValueError:
        logging.getLogger("relay.y").exception("failed")
    output = capsys.readouterr().err
    assert control[0] not in output
    assert output.count("after") >= 2
    assert output.isprintable() or set(output) - {"\n"} == {
        character for character in output if character.isprintable()
    }


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_long_text_is_truncated(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", form)
    logging.getLogger("relay.x").warning("server says %s!", "x" * 1_000_000)
    try:
        raise ValueError("y" * 1_000_000)
    except ValueError:
        logging.getLogger("relay.y").exception("failed")
    message, *_ = output = capsys.readouterr().err.splitlines()
    assert "xxx!" in message
    assert sum(map(len, output)) < 50_000


def test_each_message_may_be_put_in_the_users_terms(capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("text", "json"):
        configure_logging("info", form, lambda text: text.replace("penpot.url", "RELAY_PENPOT_URL"))
        logging.getLogger("relay.x").warning("set %s to %d", "penpot.url", 1)
        assert "set RELAY_PENPOT_URL to 1" in capsys.readouterr().err


def test_an_exceptions_text_starts_no_record(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "text")
    try:
        raise ValueError("no\r\n2026-11-28T00:00:00.000Z ERROR   forged\r2026 ERROR forged")
    except ValueError:
        logging.getLogger("relay.y").exception("failed")
    record, *trace = capsys.readouterr().err.splitlines()
    assert record.endswith("failed")
    assert all(line.startswith("    ") for line in trace)
