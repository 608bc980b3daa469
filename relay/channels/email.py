"""Mail, through an SMTP server."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from email.headerregistry import Address
from email.utils import getaddresses
from typing import Any, ClassVar

from aiosmtplib import SMTP, SMTPException, SMTPResponseException

from relay.channels import tls
from relay.channels.base import Failure, Finding, Receipt, Thread
from relay.channels.email_errors import failure
from relay.channels.email_message import compose
from relay.channels.failures import words
from relay.config import EmailSettings
from relay.messages.message import Message

_STEP = 30.0  # seconds for one answer; a server that looks for spam takes its time
_WHOLE = 90.0

_log = logging.getLogger(__name__)


class EmailChannel:
    """One or more mailboxes.

    Each mail has a connection of its own: none is kept that the server may have closed.
    """

    kind: ClassVar[str] = "email"
    pace: ClassVar[float | None] = None

    def __init__(self, settings: EmailSettings) -> None:
        self._smtp = settings.smtp
        self._sender = _address(settings.sender)
        self._to = tuple(map(_address, settings.to))
        self._tls = None if settings.smtp.tls == "none" else tls.context(settings.ca_file)
        password = settings.smtp.password
        self._secret = password.reveal() if password else ""

    async def send(self, message: Message, key: str, thread: Thread | None = None) -> Receipt:
        """Send the mail, with a ``Message-ID`` made of ``key``: a mail that is sent again
        has the same one, by which mailboxes know it.

        Some recipients that are refused are a warning in the log; all are a ``Failure``.
        """
        mail = compose(message, key, self._sender, self._to, thread)
        async with self._session() as smtp:
            refused, _ = await smtp.sendmail(
                self._sender.addr_spec,
                [to.addr_spec for to in self._to],
                mail.as_bytes(),
            )
        for recipient, (code, told) in refused.items():
            told = words(str(told), self._secret)
            _log.warning("the mail server refuses %s: %s %s", recipient, code, told)
        return Receipt(str(mail["Message-ID"]))

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
                yield smtp
                with suppress(SMTPException):  # the mail is taken, whatever comes of this
                    await smtp.quit(timeout=2)
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


def _address(text: str) -> Address:
    name, address = getaddresses([text])[0]
    return Address(display_name=name, addr_spec=address)
