"""Mail, through an SMTP server."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from email.headerregistry import Address
from math import inf
from typing import Any, ClassVar

from aiosmtplib import (
    SMTP,
    SMTPException,
    SMTPRecipientRefused,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from relay.channels import tls
from relay.channels.base import Failure, Finding, KeyValueStore, Receipt, ReplyTo
from relay.channels.email_errors import failure, verdict
from relay.channels.email_message import address, compose, mailbox
from relay.channels.failures import words
from relay.config import EmailSettings
from relay.messages.message import Message
from relay.picture import Picture

_STEP = 30.0  # seconds for one answer; a server that looks for spam takes its time
_WHOLE = 90.0

_COPIES = 30.0  # seconds for all of the mentioned
_CLOSING = 421

_PATIENCE = 2 * 3600.0
"""Seconds that one recipient may hold up the others: greylisting takes minutes, seldom more than
an hour (RFC 6647)."""

_log = logging.getLogger(__name__)


class EmailChannel:
    """One or more mailboxes.

    Each mail has a connection of its own: none is kept that the server may have closed.
    """

    kind: ClassVar[str] = "email"
    pace: ClassVar[float | None] = None

    def __init__(self, settings: EmailSettings, notes: KeyValueStore) -> None:
        self._smtp = settings.smtp
        self._sender = address(settings.sender)
        self._to = tuple(map(address, settings.to))
        self._mention_by_mail = settings.mention_by_mail
        self._tls = None if settings.smtp.tls == "none" else tls.context(settings.ca_file)
        password = settings.smtp.password
        self._secret = password.reveal() if password else ""
        self._refused_since: dict[str, float] = {}
        self._alone = ""
        """Key of the mail that goes without the mentioned."""

    async def send(
        self,
        message: Message,
        key: str,
        thread: ReplyTo | None = None,
        picture: Picture | None = None,
    ) -> Receipt:
        """Send the mail, with a ``Message-ID`` made of ``key``: a mail that is sent again
        has the same one, by which mailboxes know it.

        A recipient that is refused for good is a warning in the log, and the others get the
        mail. One that is refused for now (greylisting), or for what can be mended, is a
        ``Failure`` before anybody has the mail: so all get it in order, and none twice. Who has
        been refused like that for two hours without a break is passed over, with a warning,
        until the server takes mail for them again: a mailbox that is full must not keep the
        mail from the others. After a restart the two hours begin anew. When the server takes no
        recipient at all it is a ``Failure``, however long that lasts.
        """
        copies = self._copies(message)
        mail = compose(message, key, self._sender, self._to, thread, copies=copies, picture=picture)
        content = mail.as_bytes()
        async with self._session() as smtp:
            size = [f"size={len(content)}"] if smtp.supports_extension("size") else []
            await smtp.mail(self._sender.addr_spec, options=size)
            passed_over = await self._recipients(smtp)
            await self._name(copies, smtp, key)
            await smtp.data(content)
        for refusal in passed_over:
            told = words(f"{refusal.code} {refusal.message}", self._secret)
            _log.warning("the mail server refuses %s: %s", refusal.recipient, told)
        return Receipt(str(mail["Message-ID"]))

    async def _name(self, copies: Sequence[Address], smtp: SMTP, key: str) -> None:
        """Name the mentioned. They hold up nobody: whom the server refuses gets no mail, and where
        it gives up at them the next try is without them."""
        if self._alone == key:
            return
        try:
            async with asyncio.timeout(_COPIES):
                for copy in copies:
                    try:
                        await smtp.rcpt(copy.addr_spec)
                    except SMTPRecipientRefused as refused:
                        if refused.code == _CLOSING:
                            raise
        except (SMTPException, OSError, TimeoutError):
            self._alone = key
            raise

    def _copies(self, message: Message) -> list[Address]:
        """Where the mentioned get the mail, other than those who get it anyway."""
        if not self._mention_by_mail:
            return []
        told = {to.addr_spec.lower() for to in self._to}
        found = []
        for person in message.mentions:
            address = mailbox(person)
            if address is None and person.mail:
                _log.warning("%s has an address that no mail is sent to", person.name)
            elif address is not None and address.addr_spec.lower() not in told:
                told.add(address.addr_spec.lower())
                found.append(address)
        return found

    async def check(self) -> list[Finding]:
        """Talk to the server as far as the recipients, then take everything back."""
        findings: list[Finding] = []
        try:
            async with self._session() as smtp:
                findings.append(Finding(ok=True, text=self._connected()))
                await smtp.mail(self._sender.addr_spec)
                for to in self._to:
                    findings.append(await self._check_recipient(smtp, to.addr_spec))
                await smtp.rset()
        except Failure as error:
            text = f"Mail through {self._smtp.host}: {error.detail} ({error.reason})."
            findings.append(Finding(ok=False, text=text))
        return findings

    async def close(self) -> None:
        """Nothing is kept open."""

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[SMTP]:
        """A connection, encrypted and logged in as the settings want it. What goes wrong in
        it leaves as ``Failure``."""
        smtp = SMTP(
            hostname=self._smtp.host,
            port=self._smtp.server_port,
            # The name of this host is unknown to others, and asking for it may block.
            local_hostname=self._sender.domain,
            timeout=_STEP,
            use_tls=self._smtp.tls == "tls",
            start_tls=False,
            tls_context=self._tls,
        )
        transport: Any = None
        try:
            async with asyncio.timeout(_WHOLE):
                await smtp.connect()
                transport = smtp.transport
                await self._secure(smtp)
                transport = smtp.transport
                try:
                    yield smtp
                except (SMTPResponseException, SMTPRecipientsRefused):
                    await _quit(smtp)
                    raise
                await _quit(smtp)
        except (SMTPException, OSError, TimeoutError) as error:
            raise failure(error, secret=self._secret) from None
        finally:
            smtp.close()
            if transport is not None:
                transport.abort()  # else it waits for the server's part of the end of TLS

    async def _secure(self, smtp: SMTP) -> None:
        await smtp.ehlo()
        if self._smtp.tls == "starttls":
            if not smtp.supports_extension("starttls"):
                text = (
                    'the mail server does not offer STARTTLS: set tls = "tls" (port 465), or '
                    '"none" where the network itself is safe'
                )
                raise Failure("retry", "starttls", text)
            await smtp.starttls()
            await smtp.ehlo()
        if self._smtp.username:
            if not smtp.supported_auth_methods:
                text = "the mail server offers no login here: leave username out, or use TLS"
                raise Failure("retry", "auth", text)
            await smtp.login(self._smtp.username, self._secret)

    async def _recipients(self, smtp: SMTP) -> list[SMTPRecipientRefused]:
        """Name the recipients to the server: those that it refuses and the mail goes without.
        Raises a refusal that the mail waits for, or all when all are refused."""
        refused = []
        for to in self._to:
            try:
                await smtp.rcpt(to.addr_spec)
            except SMTPRecipientRefused as error:
                refused.append(error)
        if len(refused) == len(self._to):  # nobody holds up anybody
            raise SMTPRecipientsRefused(refused)
        now = time.monotonic()
        since = {
            refusal.recipient: self._refused_since.get(refusal.recipient, now)
            for refusal in refused
            if verdict(refusal) == "retry"
        }
        self._refused_since = since
        for refusal in refused:
            if now - since.get(refusal.recipient, -inf) < _PATIENCE:
                raise refusal
        return refused

    def _connected(self) -> str:
        server = f"{self._smtp.host}:{self._smtp.server_port}"
        secured = {"starttls": "with STARTTLS", "tls": "with TLS", "none": "without encryption"}
        who = f" as {self._smtp.username}" if self._smtp.username else ""
        return f"The mail server {server} answers {secured[self._smtp.tls]} and takes mail{who}."

    async def _check_recipient(self, smtp: SMTP, address: str) -> Finding:
        try:
            await smtp.rcpt(address)
        except SMTPResponseException as error:
            told = words(f"{error.code} {error.message}", self._secret)
            return Finding(ok=False, text=f"The mail server refuses {address}: {told}.")
        return Finding(ok=True, text=f"The mail server takes mail for {address}.")


async def _quit(smtp: SMTP) -> None:
    with suppress(SMTPException):  # the mail is taken or refused, whatever comes of this
        await smtp.quit(timeout=2)
