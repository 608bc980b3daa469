"""SMTP's answers: what to do, and a sentence for a person.

``dead`` is only what the server refuses for good because of this mail or its recipients. Who may
send, from which address and through which server is for an administrator to mend: ``retry``.
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

from relay.channels.base import Failure, Verdict
from relay.channels.failures import from_network, words

# Wants a login or refuses it (RFC 4954 section 6), wherever in the talk it says so.
_CREDENTIALS = frozenset({530, 534, 535, 538})
_TOO_BIG = 552
# The account and not the mail, said after DATA: a daily limit (Google, Zoho), a sender that the
# login may not send as (Microsoft), an address that is not verified (Amazon).
_ACCOUNT = re.compile(
    r"\b5\.(4\.[56]|2\.252|7\.60)\b|SendAsDenied|address is not verified", re.IGNORECASE
)

_SERVER = "the mail server"


def failure(error: Exception, *, secret: str) -> Failure:
    """What an error of aiosmtplib or of the network means."""
    whom = "a recipient, so nobody has the mail yet"
    if isinstance(error, SMTPRecipientsRefused):
        # One that is refused only for now makes the mail worth another try.
        error = min(error.recipients, key=lambda refusal: verdict(refusal) == "dead")
        whom = "all recipients"
    about = f"{error.recipient}: " if isinstance(error, SMTPRecipientRefused) else ""
    if not isinstance(error, SMTPResponseException):
        return from_network(error, _SERVER)
    told = words(f"{about}{error.message}", secret)
    if error.code < 200:  # aiosmtplib's -1: what came was no SMTP
        return Failure("retry", "answer", f"{_SERVER} gave an answer that is no SMTP")
    return Failure(verdict(error), str(error.code), f"{_meaning(error, whom)} ({told})")


def verdict(error: SMTPResponseException) -> Verdict:
    """What to do after one refusal."""
    if error.code < 500 or error.code in _CREDENTIALS:
        return "retry"
    if _ACCOUNT.search(str(error.message)):
        return "retry"
    match error:
        case SMTPRecipientRefused():
            # 5.7.x is a policy, mostly "relay access denied" (RFC 3463 section 3.8).
            return "retry" if str(error.message).startswith("5.7.") else "dead"
        case SMTPSenderRefused():  # for its address, which is mended, or for the mail's size
            return "dead" if error.code == _TOO_BIG else "retry"
        case SMTPDataError():
            return "dead"
        case _:
            return "retry"


def _meaning(error: SMTPResponseException, whom: str) -> str:
    if error.code == 530:
        return f"{_SERVER} wants a login: give smtp.username and smtp.password"
    if isinstance(error, SMTPAuthenticationError) or error.code in _CREDENTIALS:
        return f"{_SERVER} refuses username or password"
    match error:
        case SMTPRecipientRefused():
            return f"{_SERVER} refuses {whom}"
        case SMTPSenderRefused() if error.code != _TOO_BIG:
            return f"{_SERVER} refuses the sender: check sender in the config"
        case SMTPSenderRefused() | SMTPDataError():
            return f"{_SERVER} refuses the mail"
        case _:
            return f"{_SERVER} refuses to talk"
