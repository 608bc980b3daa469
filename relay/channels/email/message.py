"""A message as a mail: addresses, headers and parts."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import getaddresses

from relay.channels.base import ReplyTo
from relay.channels.email.content import MAX_TEXT_LENGTH, MailContent
from relay.channels.email.headers import address_header, fold, sender_name, text_header
from relay.channels.email.settings import EmailSettings, mail_address
from relay.channels.errors import one_line
from relay.messages.document import length, parse
from relay.messages.message import Mention, Message, Picture
from relay.messages.shorten import shorten

_MAX_SUBJECT_LENGTH = 200  # characters; mail programs show less
_MAX_NAME_LENGTH = 100

_CONTROLS_PATTERN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
# The ASCII forms that every server accepts (RFC 5321, 4.1.2: Dot-string and Domain).
_LOCAL_PART_PATTERN = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
)
_DOMAIN_PATTERN = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
_NOT_TOKEN_PATTERN = re.compile(r"[^A-Za-z0-9._-]+")
_NOT_LABEL_PATTERN = re.compile(r"[^a-z0-9-]+")

# 7bit: text other than short ASCII lines is sent as quoted-printable or base64, so that no server
# needs 8BITMIME and no line exceeds 998 octets (RFC 5322 2.1.1).
# The headers are folded already.
_POLICY = SMTP.clone(cte_type="7bit", refold_source="none")


def compose(
    message: Message,
    key: str,
    settings: EmailSettings,
    to: Sequence[Address],
    thread: ReplyTo | None = None,
    picture: Picture | None = None,
) -> EmailMessage:
    """The mail, ready for ``as_bytes``. Its ``Message-ID`` depends on ``key`` and the sender's
    domain only.

    A mail in a ``thread`` has the subject of the thread's first mail with a comment's words, since
    some mail programs group mails by subject.
    """
    mail = EmailMessage(_POLICY)
    sender = address(settings.sender)
    for name, addresses in (("From", [_author(message, settings, sender)]), ("To", to)):
        if addresses:
            mail.set_raw(name, address_header(name, addresses))
    if settings.reply_to:
        mail.set_raw("Reply-To", address_header("Reply-To", [address(settings.reply_to)]))
    subject = _subject(message, thread)
    mail.set_raw("Subject", text_header("Subject", subject))
    mail["Date"] = _date(message.at)
    mail.set_raw("Message-ID", f"<{_hash(key)}@{sender.domain}>")
    for name, words in _grouping(message, settings, sender.domain, thread):
        mail.set_raw(name, fold(name, words))
    # RFC 3834, and the same for Exchange: no out-of-office replies.
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    # Without List-Unsubscribe-Post (RFC 8058): the address is not made for one reader, and whether
    # it takes a POST is not known.
    if settings.unsubscribe:
        mail.set_raw("List-Unsubscribe", fold("List-Unsubscribe", [f"<{settings.unsubscribe}>"]))
    for name, value in (
        ("X-Penpot-Event", message.event),
        ("X-Penpot-Team", message.team),
        ("X-Penpot-File", message.file_id),
        ("X-Penpot-Thread", message.thread),
    ):
        if token := _NOT_TOKEN_PATTERN.sub("-", value).strip("-")[:60]:
            mail[name] = token
    picture_id = f"{_hash(key)}@thumbnail"
    content = MailContent(message, settings)
    mail.set_content(_clean(content.text()))
    picture = None if message.content.override else picture
    html = message.content.override or content.html(picture, picture_id)
    mail.add_alternative(_clean(html), subtype="html")
    if picture is not None:
        _, part = mail.iter_parts()
        part.add_related(
            picture.content,
            "image",
            picture.extension,
            cid=f"<{picture_id}>",
            disposition="inline",
            filename=f"thumbnail.{picture.extension}",
        )
    return mail


def fits(message: Message) -> bool:
    """Whether the mail has all text."""
    return length(parse(message.content.body)) <= MAX_TEXT_LENGTH


def recipients(message: Message, settings: EmailSettings) -> list[Address]:
    """The person whom the message is for, else those of the channel; empty if the person has no
    valid address."""
    if message.to is None:
        return list(map(address, settings.to))
    person = mailbox(message.to)
    return [person] if person else []


def address(text: str) -> Address:
    """Parse an address of the config, with or without a display name."""
    name, bare = getaddresses([text])[0]
    return Address(display_name=name, addr_spec=bare)


def mailbox(person: Mention) -> Address | None:
    """None where the person has no address that every server accepts."""
    local, _, domain = mail_address(person).rpartition("@")
    if not _LOCAL_PART_PATTERN.fullmatch(local) or not _DOMAIN_PATTERN.fullmatch(domain):
        return None
    return Address(shorten(_line(person.name), _MAX_NAME_LENGTH), local, domain)


def _author(message: Message, settings: EmailSettings, sender: Address) -> Address:
    """The sender's address, under the name of the person who did it, if that is known."""
    if settings.sender_name == "fixed" or not message.actor:
        return sender
    name = sender_name(message.actor, sender.display_name or "Penpot")
    return Address(name, addr_spec=sender.addr_spec)


def _subject(message: Message, thread: ReplyTo | None) -> str:
    """A mail to a person about a thread's first comment shows what the thread's first mail does,
    and is no reply to it."""
    subject = (thread.subject if thread else "") or message.subject
    is_first = message.to is not None and message.event == "create-comment-thread"
    prefix = "" if thread is None or is_first else "Re: "
    return shorten(prefix + (_line(subject) or "Penpot"), _MAX_SUBJECT_LENGTH)


def _grouping(
    message: Message, settings: EmailSettings, domain: str, thread: ReplyTo | None
) -> Iterator[tuple[str, list[str]]]:
    """The headers by which mail programs group and sort mails.

    References begin with an id of the thread itself, which no mail has (RFC 5322, section 3.6.4):
    so the mails form one thread also where its first one is lost, and for a reader who was
    mentioned later.
    """
    ids = []
    if message.thread and settings.in_threads:
        ids.append(f"<{_hash(f'thread {message.thread}')}@{domain}>")
    if thread is not None:
        yield "In-Reply-To", [thread.last]
        ids += [thread.root, thread.last]
    if ids:
        yield "References", list(dict.fromkeys(ids))
    labels = (_label(settings.name), _label(message.team), domain)
    # RFC 2919
    yield "List-Id", [f'"Penpot {settings.name}"', f"<{'.'.join(filter(None, labels))}>"]


def _label(name: str) -> str:
    """A key of the config as a part of a domain's name."""
    return _NOT_LABEL_PATTERN.sub("-", name.lower()).strip("-")


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _line(text: str) -> str:
    """Text for a header."""
    return one_line(_clean(text))


def _clean(text: str) -> str:
    return _CONTROLS_PATTERN.sub(" ", text)


def _date(at: str) -> datetime:
    try:
        date = datetime.fromisoformat(at)
    except ValueError:
        return datetime.now(UTC)
    return date if date.tzinfo else date.replace(tzinfo=UTC)
