"""What channels share to tell a failure: in one word for a metric, in a sentence for a person.

Texts of libraries' exceptions are never repeated, for they may hold an address with its secret.
"""

import re
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isnan

from relay.channels.base import Failure, Verdict

Rules = dict[str, tuple[Verdict, str]]
"""A server's error words, each with what to do and a sentence about it."""

LONGEST_WAIT = 24 * 3600.0
"""Seconds: whoever asks for more is asked again after a day."""
_NOT_SHOWN = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


def words(text: str, *secrets: str) -> str:
    """A server's own words, on one line of at most 300 characters, without the secrets."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    text = _NOT_SHOWN.sub(" ", text).strip()
    return text if len(text) <= 300 else text[:299] + "…"


def seconds(retry_after: str | None) -> float | None:
    """What a ``Retry-After`` header asks for, in seconds: a number, or a date (RFC 9110 10.2.3).

    None where it is missing or makes no sense; never more than a day.
    """
    if not retry_after:
        return None
    try:
        wait = float(retry_after)
    except ValueError:
        try:
            date = parsedate_to_datetime(retry_after).astimezone(UTC)
        except (ValueError, OverflowError):  # no date, or one outside of the years 1 to 9999
            return None
        wait = (date - datetime.now(UTC)).total_seconds()
    return None if isnan(wait) else min(max(wait, 0.0), LONGEST_WAIT)


def from_status(status: int, server: str, after: float | None = None) -> Failure:
    """An answer that says nothing but its HTTP status. It is always ``retry``: it comes from a
    proxy, a wrong address or a server in trouble, and none of these is the message's fault."""
    if status == 429:
        return Failure("retry", "ratelimited", f"{server} asks to send more slowly", after)
    if 300 <= status < 400:
        meaning = "redirects: give the address that it leads to"
    elif status >= 500:
        meaning = "is in trouble"
    elif status >= 400:
        meaning = "does not know this address or refuses it: check the address in the config"
    else:
        return Failure("retry", "answer", f"{server} gave an answer that is not its own", after)
    return Failure("retry", f"http-{status}", f"{server} answered {status}: it {meaning}", after)


def from_network(error: BaseException, server: str) -> Failure:
    """A connection that failed, or an answer that never came."""
    for cause in _causes(error):
        match cause:  # aiohttp's errors are such errors too, but without their attributes
            case ssl.SSLCertVerificationError(verify_message=str(why)):
                text = (
                    f"the certificate of {server} is not trusted ({why}): where a private "
                    "authority signed it, name that one in ca_file"
                )
                return Failure("retry", "tls", text)
            case ssl.SSLError(reason=str(why)):
                text = f"no TLS with {server}: {why.replace('_', ' ').lower()}"
                return Failure("retry", "tls", text)
            case socket.gaierror():
                return Failure("retry", "dns", f"the host name of {server} is not known")
            case ConnectionRefusedError():
                return Failure("retry", "connect", f"{server} refuses connections")
    if any(isinstance(cause, TimeoutError) for cause in _causes(error)):
        return Failure("retry", "timeout", f"{server} did not answer in time")
    return Failure("retry", "connect", f"the connection to {server} failed or broke off")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, the outermost first."""
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
        # aiohttp keeps what the operating system said beside the usual chain.
        chain = (cause.__cause__, cause.__context__, getattr(cause, "os_error", None))
        pending.extend(link for link in chain if isinstance(link, BaseException))
