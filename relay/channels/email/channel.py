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
from relay.channels.base import (
    Finding,
    KeyValueStore,
    Misconfigured,
    NoAddress,
    Permanent,
    Receipt,
    ReplyTo,
    RetryLater,
    collect,
    failed,
    passed,
)
from relay.channels.email.errors import error_from_smtp
from relay.channels.email.message import address, compose, recipients
from relay.channels.email.settings import EmailSettings
from relay.channels.errors import redact
from relay.messages.message import Message, Picture
from relay.messages.turns import convert

_ANSWER_TIMEOUT = 30.0  # seconds; a server that scans for spam is slow
_SESSION_TIMEOUT = 90.0  # seconds
# Seconds that one recipient may delay the others: greylisting takes minutes, seldom more than an
# hour (RFC 6647).
_MAX_RECIPIENT_DELAY = 2 * 3600.0
_MAX_PERSON_DELAY = 3600.0  # seconds for one mentioned person; greylisting takes minutes

_log = logging.getLogger(__name__)


class EmailChannel:
    """Sends to one or more mailboxes, each mail over a new connection: the server may close one
    that is kept open."""

    pace: ClassVar[float | None] = None

    def __init__(self, settings: EmailSettings, kv: KeyValueStore) -> None:
        self._settings = settings
        self._smtp = settings.smtp
        self._sender = address(settings.sender)
        self._to = tuple(map(address, settings.to))
        self._tls = None if settings.smtp.tls == "none" else tls.context(settings.ca_file)
        password = settings.smtp.password
        self._secret = password.reveal() if password else ""
        self._refused_since: dict[str, float] = {}

    async def send(
        self,
        message: Message,
        key: str,
        thread: ReplyTo | None = None,
        picture: Picture | None = None,
    ) -> Receipt:
        """Send the mail. Its ``Message-ID`` is derived from ``key``, so that mailboxes can
        recognise a mail that is sent twice.

        A permanently refused recipient is logged, and the others get the mail. A temporarily
        refused one (greylisting) raises ``DeliveryError`` before anybody gets the mail, so that all
        get it in order, and nobody twice; after two hours without a break it is skipped with a
        warning, so that a full mailbox does not delay the others. One that a person can fix is
        never skipped. If the server refuses all recipients, ``DeliveryError`` is always raised.

        A message to one person delays the channel's mails for ten minutes at most: then, and for a
        final refusal, ``NoAddress`` is raised.
        """
        to = recipients(message, self._settings)
        if not to:
            person = message.to.name if message.to else ""
            raise NoAddress("no_address", f"no valid mail address of {person or 'them'} is known")
        mail = await convert(
            message, lambda: compose(message, key, self._settings, to, thread, picture)
        )
        content = await convert(message, mail.as_bytes)
        async with self._session() as smtp:
            size = [f"size={len(content)}"] if smtp.supports_extension("size") else []
            await smtp.mail(self._sender.addr_spec, options=size)
            if message.to is None:
                refusals = await self._add_recipients(smtp, to)
            else:
                refusals = []
                await self._add_person(smtp, to[0])
            await smtp.data(content)
        for refusal in refusals:
            text = "the mail server refuses %s: %s"
            _log.warning(text, refusal.recipient, self._reply(refusal))
        return Receipt(str(mail["Message-ID"]))

    async def _add_person(self, smtp: SMTP, person: Address) -> None:
        """Raises ``RetryLater`` or ``NoAddress`` for a refusal of any kind, also with 421, which
        ends the session: one person's address must not stop the channel. An error without a reply
        is an outage of the server."""
        try:
            await smtp.rcpt(person.addr_spec)
        except SMTPResponseException as error:
            cause = error_from_smtp(error, secret=self._secret)
            now = time.monotonic()
            since = self._refused_since.setdefault(person.addr_spec, now)
            if isinstance(cause, RetryLater) and now - since < _MAX_PERSON_DELAY:
                raise
            _log.warning("%s gets no mail: %s", person.addr_spec, cause.detail)
            raise NoAddress(cause.reason, cause.detail) from None
        self._refused_since.pop(person.addr_spec, None)

    async def check(self) -> list[Finding]:
        server = f"{self._smtp.host}, port {self._smtp.server_port}"
        return await collect(self._check(), f"Mail through {server}")

    async def _check(self) -> AsyncIterator[Finding]:
        """Start a mail up to its recipients, then reset the session."""
        async with self._session() as smtp:
            yield passed(self._server_summary())
            await smtp.mail(self._sender.addr_spec)
            for to in self._to:
                try:
                    await smtp.rcpt(to.addr_spec)
                except SMTPResponseException as error:
                    yield failed(f"The mail server refuses {to.addr_spec}: {self._reply(error)}.")
                else:
                    yield passed(f"The mail server accepts mail for {to.addr_spec}.")
            await smtp.rset()

    async def close(self) -> None:
        pass  # each session closes its connection

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[SMTP]:
        """A connection, encrypted and logged in as configured. Raises ``DeliveryError``, also for
        errors inside of the block."""
        smtp = SMTP(
            hostname=self._smtp.host,
            port=self._smtp.server_port,
            # aiosmtplib's default is this host's name, which others can't resolve; its lookup may
            # block.
            local_hostname=self._smtp.hello or self._sender.domain,
            timeout=_ANSWER_TIMEOUT,
            use_tls=self._smtp.tls == "tls",
            start_tls=False,
            tls_context=self._tls,
        )
        transport: Any = None
        try:
            async with asyncio.timeout(_SESSION_TIMEOUT):
                await smtp.connect()
                transport = smtp.transport
                await self._secure(smtp)
                transport = smtp.transport
                try:
                    yield smtp
                except (SMTPResponseException, SMTPRecipientsRefused, NoAddress):
                    await _quit(smtp)
                    raise
                await _quit(smtp)
        except (SMTPException, OSError, TimeoutError) as error:
            server = self._smtp.server
            raise error_from_smtp(error, secret=self._secret, server=server) from None
        finally:
            smtp.close()
            if transport is not None:
                transport.abort()  # a close would wait for the server's TLS close_notify

    async def _secure(self, smtp: SMTP) -> None:
        await smtp.ehlo()
        if self._smtp.tls == "starttls":
            if not smtp.supports_extension("starttls"):
                text = (
                    'the mail server does not offer STARTTLS: set smtp.tls to "tls" (port 465), or '
                    '"none" if the network itself is safe'
                )
                raise Misconfigured("starttls", text)
            await smtp.starttls()
            await smtp.ehlo()
        if self._smtp.username:
            if not smtp.supported_auth_methods:
                raise Misconfigured("auth", self._no_login(smtp))
            await smtp.login(self._smtp.username, self._secret)

    def _no_login(self, smtp: SMTP) -> str:
        """Why there is no method to log in, and what to do."""
        if smtp.server_auth_methods:
            offered = redact(" ".join(smtp.server_auth_methods), self._secret)
            return (
                f"the mail server offers only logins that Relay does not have ({offered}): enable "
                "SMTP AUTH with a password there, or send through another server"
            )
        hint = "" if self._tls else ", or use TLS"
        return f"the mail server does not offer a login: remove smtp.username{hint}"

    async def _add_recipients(
        self, smtp: SMTP, recipients: Sequence[Address]
    ) -> list[SMTPRecipientRefused]:
        """Return the refusals that the mail does not wait for. Raises one that it waits for, or
        ``SMTPRecipientsRefused``."""
        refusals = []
        for to in recipients:
            try:
                await smtp.rcpt(to.addr_spec)
            except SMTPRecipientRefused as error:
                refusals.append(error)
        if len(refusals) == len(recipients):  # no recipient delays another
            raise SMTPRecipientsRefused(refusals)
        now = time.monotonic()
        causes = {refusal: error_from_smtp(refusal, secret=self._secret) for refusal in refusals}
        known = self._refused_since
        since = {
            refusal.recipient: known.get(refusal.recipient, now)
            for refusal, cause in causes.items()
            if not isinstance(cause, Permanent)
        }
        others = known.keys() - {to.addr_spec for to in recipients}
        self._refused_since = since | {address: known[address] for address in others}
        for refusal, cause in causes.items():
            delay = inf if isinstance(cause, Misconfigured) else _MAX_RECIPIENT_DELAY
            limit = cause.give_up_after or delay
            if now - since.get(refusal.recipient, -inf) < limit:
                raise refusal
        return refusals

    def _server_summary(self) -> str:
        server = f"{self._smtp.host}:{self._smtp.server_port}"
        modes = {"starttls": "with STARTTLS", "tls": "with TLS", "none": "without encryption"}
        login = f" as {self._smtp.username}" if self._smtp.username else ""
        return f"The mail server {server} answers {modes[self._smtp.tls]} and accepts mail{login}."

    def _reply(self, error: SMTPResponseException) -> str:
        return redact(f"{error.code} {error.message}", self._secret)


async def _quit(smtp: SMTP) -> None:
    with suppress(SMTPException):  # the mail was already accepted or refused
        await smtp.quit(timeout=2)
