"""Delivery errors that the channels share.

The text of a library's exception is never shown: it may hold a URL with its secret.
"""

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from math import isnan
from urllib.parse import urlsplit

from relay.bounded_http import UnusableAnswer
from relay.channels.base import (
    MAX_REQUESTED_DELAY,
    DeliveryError,
    Misconfigured,
    Permanent,
    RetryLater,
)

ErrorTable = dict[str, tuple[type[DeliveryError], str]]
"""By a server's error code: the kind of error, and a sentence for a person."""

DOUBT_TIMEOUT = 3600.0  # seconds, for a refusal that may end without a person
CONTENT_STATUSES = frozenset({400, 413, 422})
"""What the receiver of a webhook answers to a message that it does not accept, and to a wrong
URL."""
# OpenSSL's, for bytes that are no TLS record. It has no name for "not TLS".
_PLAIN_PORT_REASONS = frozenset(
    {"WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"}
)
_CERTIFICATE_HINTS = {  # by OpenSSL's number of the reason
    9: "it is not valid yet: check this machine's clock",
    10: "its server needs a new one",
    62: "write the host as the certificate does",
    64: "write the host as the certificate does",
}
_BLANKS_PATTERN = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
# Values of one header that commas separate. A date has a comma after its weekday.
_DELAY_PATTERN = re.compile(r"(?:\s*[A-Za-z]{3,9},)?[^,]+")
ADDRESS = "the address in the config"  # where the caller names no key
_PROXY_LOGIN = (
    "the proxy needs a login: put it into its variable, such as http://user:password@proxy:3128"
)
_CODE_PATTERN = re.compile(r"[A-Za-z][A-Za-z0-9_.]{1,59}")


def error_table(kinds: Mapping[type[DeliveryError], Mapping[str, str]]) -> ErrorTable:
    """From the sentences of each kind of error, each by its codes, which spaces separate."""
    return {
        code: (kind, sentence)
        for kind, sentences in kinds.items()
        for codes, sentence in sentences.items()
        for code in codes.split()
    }


def error_from_code(
    table: ErrorTable,
    server: str,
    status: int,
    code: object,
    more: str,
    retry_after: float | None,
    *,
    secret: str,
    key: str = ADDRESS,
) -> DeliveryError:
    """For an answer with the ``code`` of an error, of any type, and ``more`` text of the server.
    ``key`` is that of the server's address in the config.

    An answer without a code comes from a proxy. An unknown code is retried, as is each error of a
    failing server (5xx).
    """
    if not isinstance(code, str) or not _CODE_PATTERN.fullmatch(code) or code in secret:
        return error_from_status(status, server, retry_after, key=key)
    if status == 429 and code not in table:
        return error_from_status(status, server, retry_after, key=key)
    kind, sentence = table.get(code, (RetryLater, f"{server} refuses, for an unknown reason"))
    if status >= 500:
        kind, sentence = RetryLater, f"{server} has a problem"
    more = redact(more, secret)
    return kind(code, f"{sentence} ({more})" if more else sentence, retry_after)


def one_line(text: str) -> str:
    """Without what a reader may take for a line end, and without other control characters."""
    return _BLANKS_PATTERN.sub(" ", text).strip()


def redact(text: str, secret: str) -> str:
    """A server's text on one line of at most 300 characters, without the secret."""
    text = one_line(text.replace(secret, "***") if secret else text)
    return text if len(text) <= 300 else text[:299] + "…"


def parse_retry_after(*headers: str | None, date: str = "") -> float | None:
    """Seconds from ``Retry-After`` headers, each a number or a date (RFC 9110 10.2.3), at most a
    day. Of several, also in one header, the longest counts. ``date`` is the server's time, which
    may differ from this machine's.

    None where all headers are missing or malformed.
    """
    now = _parse_date(date) or datetime.now(UTC)
    delays = [
        seconds
        for header in headers
        for value in _DELAY_PATTERN.findall(header or "")
        if (seconds := _seconds_until(value.strip(), now)) is not None
    ]
    return max(delays, default=None)


def requested_delay(headers: Mapping[str, str], *more: str) -> float | None:
    """From ``Retry-After``, which may be there several times, and ``more`` values like it."""
    getall = getattr(headers, "getall", None)  # of aiohttp, whose ``get`` returns the first
    values = getall("Retry-After", []) if getall else [headers.get("Retry-After")]
    return parse_retry_after(*values, *more, date=headers.get("Date", ""))


def _seconds_until(value: str, now: datetime) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        if (date := _parse_date(value)) is None:
            return None
        seconds = (date - now).total_seconds()
    return None if isnan(seconds) else min(max(seconds, 0.0), MAX_REQUESTED_DELAY)


def _parse_date(value: str) -> datetime | None:
    try:
        return parsedate_to_datetime(value).astimezone(UTC)
    except (ValueError, OverflowError):  # not a date, or outside of the years 1 to 9999
        return None


def error_from_status(
    status: int, server: str, retry_after: float | None = None, *, key: str = ADDRESS
) -> DeliveryError:
    """For an answer without an error code of the server. It is always retried: it comes from a
    proxy, a wrong address or a failing server, and never from the message."""
    if status == 429:
        return RetryLater("ratelimited", f"{server} limits the rate of messages", retry_after)
    if status == 407:
        return Misconfigured("http-407", _PROXY_LOGIN)
    if 300 <= status < 400:
        meaning = f"it redirects: set {key} to the redirect's target"
    elif status >= 500:
        meaning = "the server has a problem"
    elif status >= 400:
        meaning = f"it does not know this address or refuses it: check {key}"
    else:
        text = f"{server} sent an unexpected answer: check {key}, and what answers in its place"
        return RetryLater("answer", text, retry_after)
    return RetryLater(f"http-{status}", f"{server} answered {status}: {meaning}", retry_after)


def error_from_content_status(status: int, server: str, key: str) -> DeliveryError:
    """For one of ``CONTENT_STATUSES``; ``key`` is that of the webhook's URL."""
    reason = f"http-{status}"
    if status == 413:
        return Permanent(reason, f"{server} refuses a message of this size")
    text = f"{server} answered {status}: it refuses the message, or does not know {key}"
    return RetryLater(reason, f"{text}; Relay retries it for an hour", give_up_after=DOUBT_TIMEOUT)


def error_from_exception(
    error: BaseException,
    server: str,
    *,
    plain: str = "or write http:// instead of https://",
    key: str = "",
    url: str = "",
) -> DeliveryError:
    """For a connection that failed, or an answer that did not arrive. ``plain``: how the config
    says that the server has no TLS. ``key``: that of the address in the config, if the text is to
    name it. ``url``: that of the request; its path and query are not shown."""
    check = f": check {key}" if key else ""
    unreachable = partial(RetryLater, answered=False)
    causes = list(_causes(error))
    for cause in causes:
        if (status := _proxy_status(cause)) is not None:
            return _error_from_proxy(status, server)
        match cause:  # aiohttp's errors have these types too, but not always the attributes
            case ssl.SSLCertVerificationError(verify_message=str(why)):
                hint = "if a private authority signed it, set ca_file"
                hint = _CERTIFICATE_HINTS.get(getattr(cause, "verify_code", 0), hint)
                text = f"the certificate of {server} is not trusted ({why}): {hint}"
                return unreachable("tls", text)
            case ssl.SSLError(reason=str(why)) if why in _PLAIN_PORT_REASONS:
                text = f"{server} does not speak TLS at this port: check the port, {plain}"
                return unreachable("tls", text)
            case ssl.SSLError(reason=str(why)):
                why = why.replace("_", " ").lower()
                return unreachable("tls", f"no TLS with {server}: {why}")
            case socket.gaierror():
                return unreachable("dns", f"the host name of {server} can't be resolved{check}")
            case UnusableAnswer():
                return RetryLater("answer", f"{server} sent an unexpected answer: {cause}")
            case ConnectionRefusedError():
                return unreachable("connect", f"{server} refuses connections{check}")
    if any(isinstance(cause, TimeoutError) for cause in causes):
        hint = _plain_port_hint(url) if "ReadTimeout" not in map(_type_name, causes) else ""
        return unreachable("timeout", f"{server} did not answer in time{check}{hint}")
    return unreachable("connect", f"the connection to {server} failed{check}")


def _type_name(error: BaseException) -> str:
    return type(error).__name__


def _plain_port_hint(url: str) -> str:
    """A server without TLS waits for the end of a line where TLS begins. One at the usual port has
    TLS."""
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.port in (None, 443):
        return ""
    return f". Does it speak http at port {parts.port}? Then write http:// instead of https://"


def _proxy_status(error: BaseException) -> int | None:
    """The status with which a proxy refused to connect, from httpx's or aiohttp's exception; 0 if
    it is unknown. Both libraries load with their channels only."""
    match type(error).__name__:
        case "ProxyError":
            code = str(error)[:3]
            return int(code) if code.isdecimal() else 0
        case "ClientHttpProxyError":
            return int(getattr(error, "status", 0))
    return None


def _error_from_proxy(status: int, server: str) -> DeliveryError:
    """``server`` names the proxy, too."""
    if status == 407:
        return Misconfigured("http-407", _PROXY_LOGIN)
    text = f"no connection to {server}, which answered {status or 'something unexpected'}"
    if status >= 500:
        text = f"{text}: it can't reach the server"
    else:
        text = f"{text}: it may not allow this server; NO_PROXY bypasses it"
    return RetryLater("proxy", text, answered=False)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes, the outermost first."""
    seen: list[BaseException] = []
    pending = [error]
    while pending:
        cause = pending.pop()
        if cause in seen:
            continue
        seen.append(cause)
        yield cause
        if isinstance(cause, BaseExceptionGroup):
            pending.extend(cause.exceptions)
        # aiohttp keeps the operating system's error outside of the usual chain.
        chain = (cause.__cause__, cause.__context__, getattr(cause, "os_error", None))
        pending.extend(link for link in chain if isinstance(link, BaseException))
