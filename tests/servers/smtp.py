"""A mail server on loopback: aiosmtpd with STARTTLS, TLS or neither, and configurable refusals."""

import email
import email.policy
import socket
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from types import TracebackType
from typing import Any, Literal, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

USERNAME = "relay"
PASSWORD = "SecretPasswordOfTheTests"


@dataclass
class Mail:
    """A received mail."""

    sender: str
    recipients: list[str]
    content: bytes

    def parsed(self) -> EmailMessage:
        return email.message_from_bytes(self.content, policy=email.policy.default)


@dataclass
class MailServer:
    """A running mail server; a context manager."""

    tls: Literal["starttls", "tls", "none"] = "none"
    certificate: ssl.SSLContext | None = None
    auth: bool = False
    replies: dict[str, str] = field(default_factory=dict)
    """Replies other than 250, by command (``EHLO``, ``MAIL``, ``DATA``) or by recipient."""
    drops: set[str] = field(default_factory=set)
    """The recipients at which the server closes the connection."""
    mails: list[Mail] = field(default_factory=list)
    hellos: list[str] = field(default_factory=list)
    """The names in EHLO."""
    port: int = 0

    def __enter__(self) -> Self:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        options: dict[str, Any] = {"enable_SMTPUTF8": True, "ident": "relay.test"}
        if self.tls == "starttls":
            options |= {"tls_context": self.certificate, "require_starttls": True}
        elif self.tls == "tls":
            options["ssl_context"] = self.certificate
        if self.auth:
            options |= {"authenticator": self._authenticate, "auth_require_tls": False}
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **options)
        self._controller.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._controller.stop()

    @staticmethod
    def _authenticate(
        server: Any, session: Any, envelope: Any, mechanism: str, data: Any
    ) -> AuthResult:
        good = data == LoginPassword(USERNAME.encode(), PASSWORD.encode())
        return AuthResult(success=good, handled=good)

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self.hellos.append(hostname)
        return [self.replies["EHLO"]] if "EHLO" in self.replies else responses

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if reply := self.replies.get("MAIL"):
            return reply
        if self.auth and not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address in self.drops:
            server.transport.close()
        if reply := self.replies.get(address):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Any
    ) -> str:
        if reply := self.replies.get("DATA"):
            return reply
        self.mails.append(Mail(envelope.mail_from, list(envelope.rcpt_tos), envelope.content))
        return "250 2.0.0 OK"
