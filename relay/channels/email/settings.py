"""The settings of a channel that sends mail."""

import re
from collections.abc import Iterator, Mapping, Sequence
from email.policy import default as policy
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from relay.channels.base import ChannelSettings
from relay.config.secret import copying_error
from relay.config.types import (
    Ask,
    AsTuple,
    Host,
    Password,
    Port,
    Rule,
    SettingsModel,
    matching,
    web_address,
)
from relay.messages.message import Mention

_TLS_PORT = 465  # there a server waits for the client's first byte, as the client for its greeting


# The characters of a URI (RFC 3986), at a length that fits into a header.
_URI_PATTERN = re.compile(r"[\w.~:/?#\[\]@!$&'()*+,;=%-]{1,900}", re.ASCII)


def _address(value: str) -> str:
    header: Any = None if re.search(r"[\r\n]", value) else policy.header_factory("to", value)
    addresses: Any = () if header is None else header.addresses
    parts = [part for found in addresses for part in (found.username, found.domain)]
    if not "".join(parts).isascii():  # needs SMTPUTF8 (RFC 6531)
        raise ValueError(
            'must be in ASCII: write a domain such as "exämple.com" as xn--…; the part before '
            "the @ has no such form"
        )
    if len(parts) != 2 or not all(parts) or header.defects:
        raise ValueError(
            'must be one mail address such as "design@example.com" or "Penpot <penpot@example.com>"'
        )
    return value


def person_address(value: str) -> str:
    if value != _address(value) or "<" in value:
        raise ValueError('must be one bare mail address such as "ada@example.com"')
    return value


def mail_address(person: Mention) -> str:
    """The one in the config, else the one in Penpot; empty if neither is known."""
    return person.address("email") or person.email


def _unsubscribe(value: str) -> str:
    """For ``List-Unsubscribe``: https://www.rfc-editor.org/rfc/rfc2369#section-3.2"""
    kind, _, rest = value.partition(":")
    try:
        if kind == "mailto":
            person_address(rest.partition("?")[0])
        is_valid = kind == "mailto" or (kind == "https" and web_address(value) is not None)
    except ValueError:
        is_valid = False
    if not is_valid or not _URI_PATTERN.fullmatch(value):
        raise ValueError(
            'must be an address such as "https://example.com/unsubscribe" or '
            '"mailto:design-leave@example.com"'
        )
    if copied := copying_error(value):
        raise ValueError(copied)
    return value


HelloName = Annotated[
    str,
    matching(
        r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Za-z.:]+\]",
        'must be a host\'s full name such as "relay.example.com", or its address as "[192.0.2.1]"',
    ),
]
MailAddress = Annotated[str, AfterValidator(_address)]


class SmtpSettings(SettingsModel):
    host: Annotated[Host, Ask("Mail server", "smtp.example.com")]
    """Name or IP address of the server."""
    port: Annotated[
        Port | None,
        Ask("Port", "Enter: 587 for starttls, 465 for tls, 25 for none", is_optional=True),
    ] = None
    """Port of the server."""
    username: Annotated[str, Ask("User name for the login", "Enter for none", is_optional=True)] = (
        ""
    )
    """For a login, with a password."""
    password: Annotated[Password | None, Ask("Password", after="username")] = None
    """Goes together with username."""
    tls: Annotated[Literal["starttls", "tls", "none"], Ask("Encryption")] = "starttls"
    """Encryption: "starttls", "tls" or "none"."""
    hello: HelloName | None = None
    """Name of this host in EHLO."""

    @classmethod
    def rules(cls, raw: Mapping[str, Any]) -> Iterator[Rule]:
        if ("username" in raw) != ("password" in raw):
            absent = "password" if "username" in raw else "username"
            yield (absent,), None, "goes together with the other one"

    @property
    def server_port(self) -> int:
        return self.port or {"starttls": 587, "tls": _TLS_PORT, "none": 25}[self.tls]

    @property
    def server(self) -> str:
        """Host and port."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.server_port}"


class EmailSettings(ChannelSettings):
    to: Annotated[
        tuple[MailAddress, ...],
        AsTuple,
        Field(min_length=1),
        Ask("Who gets the mails", "addresses with commas between them"),
    ]
    """Who gets the mails."""
    sender: Annotated[MailAddress, Ask("Sender", "Penpot <penpot@example.com>")]
    """From whom the mails are."""
    smtp: SmtpSettings
    threads: bool = True
    """Mails of a thread refer to each other and share a subject."""
    mention_by_mail: bool = False
    """Whether mentioned people get a mail of their own."""
    sender_name: Literal["actor", "fixed"] = "actor"
    """The name in From: "actor" (who did it) or "fixed" (that of sender)."""
    reply_to: MailAddress | None = None
    """Where answers to the mails go."""
    unsubscribe: Annotated[str, AfterValidator(_unsubscribe)] | None = None
    """Where readers ask for no further mails: a mailto: or https: address."""
    thumbnails: bool = False
    """Whether messages show the board or file; needs penpot.access_token."""

    @property
    def server(self) -> str:
        return self.smtp.server

    @property
    def server_keys(self) -> str:
        return "smtp.host and smtp.port"

    @property
    def places(self) -> frozenset[str]:
        return frozenset(address.rpartition("<")[2].strip("> ").lower() for address in self.to)

    def shared_recipients(self, people: Sequence[Mention]) -> tuple[Mention, ...]:
        return tuple(person for person in people if mail_address(person).lower() in self.places)

    def direct_recipients(self, people: Sequence[Mention]) -> tuple[Mention, ...]:
        """With ``mention_by_mail``, those who do not get the channel's mail. One without an address
        is among them, so that the skipped message says why."""
        if not self.mention_by_mail:
            return ()
        by_address = {mail_address(person).lower() or person.id: person for person in people}
        return tuple(person for key, person in by_address.items() if key not in self.places)

    @property
    def advice(self) -> str:
        if self.smtp.port == _TLS_PORT and self.smtp.tls != "tls":
            return f'servers speak TLS at once at port {_TLS_PORT}: set smtp.tls to "tls"'
        return ""
