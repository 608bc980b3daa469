"""The delivery error for each answer of a mail server."""

import asyncio
import csv
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from aiosmtplib import (
    SMTPAuthenticationError,
    SMTPConnectResponseError,
    SMTPDataError,
    SMTPHeloError,
    SMTPRecipientRefused,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPSenderRefused,
)

from relay.channels.base import DeliveryError, Misconfigured, Permanent, RetryLater
from relay.channels.email import channel
from relay.channels.email.errors import error_from_smtp
from tests.channels import builders
from tests.channels.answers import Case, assert_raised
from tests.channels.builders import delivery_error
from tests.servers.hostile import MAX_MEMORY, MemoryGrowth
from tests.servers.loopback import Threaded, close_at_end, raw
from tests.servers.smtp import MailServer

pytestmark = pytest.mark.anyio

TO = "design@example.com"

# What a server says, by what it means: the command, the reply, and whose server says so.
LOGIN = """
RCPT 550 relay not permitted, authentication required
RCPT 530 5.7.0 Authentication required
RCPT 550 Please turn on SMTP Authentication in your mail client. \
mail.example.com [192.0.2.1]:4711 is not permitted to relay through this server
MAIL 550 5.7.1 Authentication is required for relay
MAIL 550 Unauthenticated senders not allowed
MAIL 530 5.7.57 Client not authenticated to send mail. [AM0PR01.eurprd01.prod.exchangelabs.com]
MAIL 502 5.7.0 Please authenticate first
MAIL 550 5.7.1 Client was not authenticated
RCPT 553 5.7.1 <ada@example.net>: Sender address rejected: not logged in
RCPT 550 SMTP authentication is required.
RCPT 550 5.7.1 <a@example.net>... Relaying denied. Proper authentication required.
"""
REFUSED_LOGIN = """
AUTH 535 5.7.8 Username and Password not accepted. https://support.google.com/mail/?p=BadCredentials
AUTH 534 5.7.9 Application-specific password required.
AUTH 535 Incorrect authentication data
AUTH 535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.
AUTH 535 Authentication Credentials Invalid
AUTH 535 5.7.0 Invalid login or password
AUTH 550 no
"""
RELAY = """
RCPT 550 relay not permitted
RCPT 554 5.7.1 <ada@example.net>: Relay access denied
RCPT 454 4.7.1 <ada@example.net>: Relay access denied
RCPT 550 5.7.1 Unable to relay for ada@example.net
RCPT 550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain
RCPT 550 5.7.1 <ada@example.net>... Relaying denied. IP name lookup failed [192.0.2.1]
RCPT 553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)
RCPT 550 we do not relay
DATA 550 5.7.64 TenantAttribution; Relay Access Denied
RCPT 554 5.7.1 <ada@example.net>: Recipient address rejected: Access denied
"""
SENDER = """
DATA 553 Relaying disallowed as penpot@example.com
DATA 550 The from address does not match a verified Sender Identity. Mail cannot be sent
DATA 554 Message rejected: Email address is not verified. The following identities failed the check
DATA 554 5.2.252 SendAsDenied; penpot@example.com not allowed to send as ada@example.com
MAIL 550 5.7.60 SMTP; Client does not have permissions to send as this sender
RCPT 550 5.7.1 Client does not have permissions to send as this sender
RCPT 553 5.7.1 <penpot@example.com>: Sender address rejected: not owned by user relay
RCPT 450 4.1.8 <penpot@example.com>: Sender address rejected: Domain not found
RCPT 550 5.1.0 MailProtect : Domain of sender address penpot@example.com does not exist
RCPT 550 Verification failed for <penpot@example.com> The mail server does not recognize it. \
Sender verify failed
DATA 550 rejecting spoofed message
DATA 550 Incorrect sender header
DATA 554 5.7.1 Username penpot and sender doesn't match
DATA 550 From header sender domain not verified. On your Settings > Sender Domains page verify it
MAIL 550 This domain is not associated with your account
DATA 550 5.7.26 Unauthenticated email from example.com is not accepted due to domain's DMARC policy
DATA 550 5.7.26 Your email has been blocked because the sender is unauthenticated. Gmail requires \
all senders to authenticate with either SPF or DKIM.
RCPT 550 5.7.23 <a@example.net>: Message rejected due to: SPF fail - not authorized
MAIL 550 5.1.8 Access denied
RCPT 550 (#5.1.8)
DATA 553 Mail from must equal authorized user
DATA 550 5.7.0 From address is not one of your addresses
"""
AT_MAIL = """
MAIL 550 5.7.1 not this one
MAIL 554 no
"""
CLOSED = """
RCPT 550 Mailbox is frozen
RCPT 550 recipient account is blocked
"""
HELO = """
RCPT 504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname
MAIL 550 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)
MAIL 504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname
EHLO 501 Syntactically invalid HELO argument(s)
RCPT 450 4.7.1 <relay>: Helo command rejected: Host not found
EHLO 550 no
"""
ACCOUNT = """
DATA 550 5.4.5 Daily user sending limit exceeded
DATA 550 5.4.6 Unusual sending activity detected. To unblock click here
MAIL 502 5.7.0 Your SMTP account is not yet activated
DATA 552 Your account has been suspended. Please contact us to reactivate
RCPT 554 Sandbox subdomains are for test purposes only. Please add your own domain
DATA 554 Message rejected: Sending suspended for this account.
DATA 454 Throttling failure: Daily message quota exceeded.
AUTH 451 Authentication failed: Maximum credits exceeded
DATA 550 Domain example.com has exceeded the max emails per hour (150/100 (150%)) allowed.
DATA 554 5.7.1 <DATA>: Data command rejected: only 10 messages per day
DATA 550 sorry, too many emails (#5.7.1)
MAIL 550 Sender frequency limited
RCPT 550 "You are not allowed to send email"
RCPT 550 5.1.1 <a@example.net>... penpot@example.com has sent to too many recipients this hour
DATA 550 5.1.90 Your message can't be sent because you've reached your daily limit
"""
RECIPIENTS = """
RCPT 452 4.5.3 Error: too many recipients
RCPT 452 4.5.3 Your message has too many recipients. For more information regarding Google's limits
RCPT 452 too many recipients
RCPT 552 5.5.3 Maximum limit of 50 recipients reached
RCPT 550 5.5.3 RESOLVER.ADR.RecipLimit; too many recipients
"""
HOST = """
RCPT 554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org
MAIL 550 that IP address is not allowed to send
DATA 550 5.7.1 [192.0.2.1] The IP you're using to send mail is not authorized to send email directly
RCPT 554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied
AUTH 525 5.7.1 Unauthorized IP address
RCPT 550 mwinf5c14 ME Adresse IP source bloquee. Client host blocked for spamming issues.
"""
ENCRYPTION = """
MAIL 530 5.7.0 Must issue a STARTTLS command first
AUTH 538 5.7.11 Encryption required for requested authentication mechanism
"""
LATER = """
MAIL 421 4.7.0 Try again later, closing connection. (MAIL)
RCPT 421 4.7.1 Relay access denied
DATA 421 4.7.0 your sender is blocked
RCPT 451 4.7.1 Greylisting in action, please come back in 00:05:00
RCPT 450 4.2.0 <ada@example.net>: Recipient address rejected: Greylisted
RCPT 452 4.2.2 The email account that you tried to reach is over quota
RCPT 552 5.2.2 The email account that you tried to reach is over quota
RCPT 550 mailbox is full
RCPT 552 Mailbox quota exceeded
DATA 554 5.2.2 mailbox full
AUTH 454 4.7.0 Temporary authentication failure: Connection lost to authentication server
DATA 454 Throttling failure: Maximum sending rate exceeded.
RCPT 450 4.1.1 <a@example.net>: Recipient address rejected: unverified address
RCPT 450 Too many recipient attempts
RCPT 452 4.5.3 Recipients belong to multiple regions ATTR38
DATA 451 4.3.0 Error: queue file write error
EHLO 421 4.3.2 System shutting down
"""
USER = """
RCPT 550 5.1.1 <ada@example.net>: Recipient address rejected: User unknown in virtual mailbox table
RCPT 550 5.1.1 <ada@example.net>: Recipient address rejected: User unknown in relay recipient table
RCPT 550 5.1.1 The email account that you tried to reach does not exist. Please try double-checking
RCPT 550 No such user here
RCPT 550 <relay.denied@authentication.example.net> no such user
RCPT 550 Unrouteable address
RCPT 550 5.4.1 Recipient address rejected: Access denied. [AM5EUR02FT.eop-EUR02.prod.outlook.com]
DATA 550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup
RCPT 550 Requested action not taken: mailbox unavailable
RCPT 550 #5.1.0 Address rejected.
RCPT 550 5.4.1 All recipient addresses rejected : Access denied
RCPT 551 not our user
RCPT 550 [5.1.1] no
"""
SIZE = """
MAIL 552 5.3.4 Message size exceeds fixed limit
DATA 552 5.3.4 Error: message file too big
MAIL 552 Message size exceeds maximum permitted
DATA 552 too much
"""
SPAM = """
DATA 554 5.7.1 Message blocked due to spam content in the message.
DATA 550 5.7.1 [192.0.2.1 12] Our system has detected that this message is likely unsolicited mail.
DATA 552 5.7.0 This message was blocked because its content presents a potential security issue.
DATA 550 This message contains a virus (Eicar-Test-Signature).
DATA 554 5.7.1 The message contains a URI listed in a black list
DATA 553 Message filtered. Please see the FAQs section on spam
DATA 554 Transaction failed: Illegal header 'Received'.
"""
FOR_NOW = """
RCPT 550 Requested action not taken: mailbox unavailable. Try again later
RCPT 550 5.1.1 user unknown at this server, please try again later
DATA 550 message rejected as spam, temporarily
"""
UNKNOWN = """
RCPT 550 Administrative prohibition
RCPT 554 5.7.1 no
DATA 550 5.7.1 Command not allowed
DATA 554 5.7.1 Message rejected
RCPT 550 see 5.1.1.1 and 15.1.1
DATA 571 not here
"""
MEANINGS = {
    "login": (LOGIN, Misconfigured, "requires a login: set smtp.username"),
    "password": (REFUSED_LOGIN, Misconfigured, "refuses username or password"),
    "relay": (RELAY, Misconfigured, "does not relay this mail"),
    "sender": (SENDER, Misconfigured, "refuses the sender: check sender"),
    "at mail": (AT_MAIL, Misconfigured, "refuses mail of this sender, login or host"),
    "closed": (CLOSED, Permanent, "whose mailbox is closed or blocked"),
    "helo": (HELO, Misconfigured, "refuses the name in EHLO: set smtp.hello"),
    "account": (ACCOUNT, Misconfigured, "paused or over its quota"),
    "recipients": (RECIPIENTS, Misconfigured, "accepts fewer recipients per mail"),
    "restricted": ("", Misconfigured, "from certain senders only: allow the sender there"),
    "host": (HOST, Misconfigured, "refuses this host's IP address"),
    "encryption": (ENCRYPTION, Misconfigured, "requires encryption: set smtp.tls"),
    "later": (LATER, RetryLater, ""),
    "full": ("", RetryLater, "reports a full mailbox"),
    "too many": ("", RetryLater, "the recipient gets too many mails"),
    "user": (USER, Permanent, "does not know the recipient"),
    "size": (SIZE, Permanent, "refuses a mail of this size"),
    "content": (SPAM, Permanent, "content, or considers it spam"),
    "for now": (FOR_NOW, RetryLater, "refuses the mail for now; Relay retries it for an hour"),
    "unknown": (UNKNOWN, Misconfigured, "a reason that Relay does not know"),
}
REPLIES = [
    (line, kind, words)
    for lines, kind, words in MEANINGS.values()
    for line in lines.strip().splitlines()
]
# What servers said in public reports and in their documentation, with example addresses.
with Path(__file__).with_name("replies.tsv").open(encoding="utf-8") as table:
    REPLIES += [
        (row["reply"], *MEANINGS[row["meaning"]][1:])
        for row in csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE)
    ]


def reply_of(line: str) -> SMTPResponseException:
    """aiosmtplib's exception for "COMMAND CODE TEXT"."""
    command, code, text = line.split(" ", 2)
    match command:
        case "CONN":
            return SMTPConnectResponseError(int(code), text)
        case "EHLO":
            return SMTPHeloError(int(code), text)
        case "AUTH":
            return SMTPAuthenticationError(int(code), text)
        case "MAIL":
            return SMTPSenderRefused(int(code), text, "penpot@example.com")
        case "RCPT":
            return SMTPRecipientRefused(int(code), text, TO)
    return SMTPDataError(int(code), text)


def of_reply(line: str) -> DeliveryError:
    error = reply_of(line)
    if isinstance(error, SMTPRecipientRefused):
        return error_from_smtp(SMTPRecipientsRefused([error]), secret="")
    return error_from_smtp(error, secret="")


@pytest.mark.parametrize(("line", "kind", "words"), REPLIES)
def test_a_reply_is_classified_by_its_meaning(
    line: str, kind: type[DeliveryError], words: str
) -> None:
    error = of_reply(line)
    assert (type(error), error.reason) == (kind, line.split()[1])
    assert words in error.detail
    is_doubtful = words in (MEANINGS["unknown"][2], MEANINGS["for now"][2])
    assert error.give_up_after == (3600.0 if is_doubtful else None)


@pytest.mark.parametrize(("line", "kind", "words"), REPLIES)
def test_a_reply_in_several_lines_means_the_same(
    line: str, kind: type[DeliveryError], words: str
) -> None:
    error = of_reply(line.replace(" ", "\n").replace("\n", " ", 2))
    assert type(error) is kind
    assert words in error.detail


@pytest.mark.parametrize("line", [
    "MAIL 421 4.7.0 closing",
    "MAIL 550 Access denied - Invalid HELO name",
    "MAIL 550 5.7.1 authentication required",
    "MAIL 451 4.3.0 try later",
    "MAIL 552 5.3.4 too big",
])  # fmt: skip
def test_the_sender_is_not_blamed_for_what_it_did_not_cause(line: str) -> None:
    assert "sender" not in of_reply(line).detail


def test_a_mail_waits_while_one_recipient_may_still_get_it() -> None:
    dead, doubtful = reply_of("RCPT 550 user unknown"), reply_of("RCPT 550 no")
    later, fixable = reply_of("RCPT 450 no"), reply_of("RCPT 550 relay denied by us")
    despair = [fixable, later, doubtful, dead]
    for number, best in enumerate(despair):
        for refusals in permutations(despair[number:]):
            error = error_from_smtp(SMTPRecipientsRefused(list(refusals)), secret="")
            assert f"({TO}: {best.message})" in error.detail


def test_a_hostile_reply_is_classified_in_linear_time() -> None:
    started = time.monotonic()
    for piece in (
        "relay ",
        "sender ",
        "from ",
        "a",
        "your account ",
        "domain ",
        "5.1.1.",
        "smtp a ",
        "relay-",
        "https://",
        "header ",
        "from 1.1.1.1 ",
        "you have exceeded your ",
    ):
        assert of_reply(f"DATA 550 {piece * (32_000 // len(piece))}")
    assert time.monotonic() - started < 5


def smtp(
    replies: dict[str, str], kind: type[DeliveryError], reason: str, words: str = "", **more: Any
) -> Case:
    return Case("email", replies, kind, reason, words=words, more=more)


EXIM = "550-Please turn on SMTP Authentication in your mail client.\r\n550 not permitted to relay"
CASES = [
    smtp({"EHLO": "550 5.7.1 who are you"}, Misconfigured, "550", "smtp.hello"),
    smtp({"EHLO": "421 4.3.2 going down"}, RetryLater, "421"),
    smtp({"MAIL": f"451 4.3.0 try later {builders.PASSWORD}"}, RetryLater, "451", login=True),
    smtp({"MAIL": "421 4.3.2 going down"}, RetryLater, "421"),
    smtp({"MAIL": "530 5.7.0 who are you"}, Misconfigured, "530", "smtp.username"),
    smtp({"MAIL": "550 5.7.1 not this sender"}, Misconfigured, "550", "sender"),
    smtp({"MAIL": "552 5.3.4 too big"}, Permanent, "552"),
    smtp({TO: "450 4.2.0 greylisted"}, RetryLater, "450"),
    smtp({TO: "550 5.1.1 no such user"}, Permanent, "550", "no such user"),
    smtp({TO: EXIM}, Misconfigured, "550", "smtp.username"),
    smtp({TO: "554 5.7.1 relay access denied"}, Misconfigured, "554", "relay access denied"),
    smtp({TO: "504 5.5.2 <x>: Helo command rejected"}, Misconfigured, "504", "smtp.hello"),
    smtp({"DATA": "452 4.3.1 disk full"}, RetryLater, "452"),
    smtp({"DATA": "554 5.7.1 looks like spam"}, Permanent, "554"),
    smtp({"DATA": "553 Relaying disallowed as x"}, Misconfigured, "553", "sender"),
    smtp({"DATA": "554 no"}, Misconfigured, "554", "does not know"),
    smtp({}, Misconfigured, "535", "username or password", login=True, password="wrong-password"),
    smtp({}, Misconfigured, "starttls", 'set smtp.tls to "tls"', tls="starttls"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_each_answer_raises_its_kind_of_error_without_a_secret(case: Case) -> None:
    with MailServer(auth=case.more.get("login", False), replies=case.answer) as server:
        error = await delivery_error(builders.email(server.port, **case.more))
    assert_raised(error, case)


async def _continuation(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"250-MORE\r\n" * 1000)
        await writer.drain()


async def _line(writer: asyncio.StreamWriter) -> None:
    writer.write(b"250 ")
    while True:
        writer.write(b"a" * 65536)
        await writer.drain()


async def _drip(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"250-MORE\r\n")
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("reply", [_continuation, _line, _drip])
async def test_an_endless_reply_costs_neither_memory_nor_time(
    reply: Callable[[asyncio.StreamWriter], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "_ANSWER_TIMEOUT", 1.0)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        close_at_end(writer)
        writer.write(b"220 mail.example.com\r\n")
        with suppress(ConnectionError):
            await reader.readline()
            await reply(writer)
        writer.transport.abort()

    started = time.monotonic()
    server = Threaded(lambda: asyncio.start_server(talk, "127.0.0.1", 0))
    with server, MemoryGrowth() as growth:
        error = await delivery_error(builders.email(server.port))
    assert isinstance(error, RetryLater)
    assert growth.bytes < MAX_MEMORY
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(("greeting", "kind"), [
    ("554 5.3.2 not here", Misconfigured),
    ("421 4.3.2 too many connections", RetryLater),
    ("554 5.7.1 Client host [192.0.2.1] blocked using bl.example.org", Misconfigured),
])  # fmt: skip
async def test_a_mail_server_that_refuses_connections_is_retried(
    greeting: str, kind: type[DeliveryError]
) -> None:
    with raw(f"{greeting}\r\n".encode(), greets=True) as server:
        error = await delivery_error(builders.email(int(server.url.rpartition(":")[2]), login=True))
    assert (type(error), error.reason, error.give_up_after) == (kind, greeting[:3], None)
