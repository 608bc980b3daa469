"""SMTP's reply codes as delivery errors.

An error is permanent only where the server refuses this mail or its recipients for good. A wrong
login, sender or server is retried, since an administrator can fix it.
https://www.rfc-editor.org/rfc/rfc5321#section-4.2.2
"""

import re

from aiosmtplib import (
    SMTPAuthenticationError,
    SMTPDataError,
    SMTPRecipientRefused,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPSenderRefused,
)

from relay.channels.base import DeliveryError, Permanent, RetryLater
from relay.channels.errors import error_from_exception, redact

# A login is required or refused (RFC 4954 section 6), as the reply to any command.
_LOGIN_CODES = frozenset({534, 535, 538})
_LOGIN_REQUIRED_CODE = 530
_TOO_BIG_CODE = 552
# Replies to DATA that concern the account and not the mail: a daily limit (Google, Zoho), a sender
# that the login may not use (Microsoft), an address that is not verified (Amazon).
_ACCOUNT_PATTERN = re.compile(
    r"\b5\.(4\.[56]|2\.252|7\.60)\b|SendAsDenied|address is not verified", re.IGNORECASE
)

_SERVER = "the mail server"


def error_from_smtp(error: Exception, *, secret: str) -> DeliveryError:
    """``error`` comes from aiosmtplib or from the network."""
    whom = "a recipient, so nobody has the mail yet"
    if isinstance(error, SMTPRecipientsRefused):
        # If one recipient is refused only temporarily, a retry can succeed.
        error = min(error.recipients, key=lambda refusal: error_kind(refusal) is Permanent)
        whom = "all recipients"
    if not isinstance(error, SMTPResponseException):
        return error_from_exception(error, _SERVER)
    if error.code < 200:  # aiosmtplib's -1: the answer is not SMTP
        return RetryLater("answer", f"{_SERVER} sent an answer that is not SMTP")
    about = f"{error.recipient}: " if isinstance(error, SMTPRecipientRefused) else ""
    reply = redact(f"{about}{error.message}", secret)
    kind, meaning = _classify(error, whom)
    return kind(str(error.code), f"{_SERVER} {meaning} ({reply})")


def error_kind(error: SMTPResponseException) -> type[DeliveryError]:
    return _classify(error, "")[0]


def _classify(error: SMTPResponseException, whom: str) -> tuple[type[DeliveryError], str]:
    """The kind of error, and what the server does."""
    if error.code == _LOGIN_REQUIRED_CODE:
        return RetryLater, "requires a login: set smtp.username and smtp.password"
    if isinstance(error, SMTPAuthenticationError) or error.code in _LOGIN_CODES:
        return RetryLater, "refuses username or password"
    message = str(error.message)
    match error:
        case SMTPRecipientRefused():
            # 5.7.x is a policy, mostly "relay access denied" (RFC 3463 section 3.8).
            what, concerns_mail = whom, not message.startswith("5.7.")
        case SMTPSenderRefused() if error.code != _TOO_BIG_CODE:
            what, concerns_mail = "the sender: check sender in the config", False
        case SMTPSenderRefused() | SMTPDataError():
            what, concerns_mail = "the mail", True
        case _:
            what, concerns_mail = "the connection", False
    is_permanent = concerns_mail and error.code >= 500 and not _ACCOUNT_PATTERN.search(message)
    return Permanent if is_permanent else RetryLater, f"refuses {what}"
