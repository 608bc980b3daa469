"""A mail for the tests, and its parts as a mail program shows them."""

import email
import email.policy
from dataclasses import replace
from email.message import EmailMessage
from typing import Any

from relay.channels.base import ReplyTo
from relay.channels.email.message import compose, recipients
from relay.messages.message import Mention, Message, Picture
from tests.channels import builders

ADA = "28fbd360-8a3c-81b0-8004-6c1b90e4c571"
FILE, THREAD = "1d94b7a6-8a3c-81b0-8004-6c2077e8b3f5", "93b5c7d4-8a3c-81b0-8004-6c22a8d16e0f"
COMMENT = replace(
    builders.MESSAGE,
    subject="[Acme] Landing page #12: The button",
    notice="Ada Lovelace on Landing page: The button is *too* small",
    opens="comment",
    actor="Ada Lovelace",
    team_name="Acme",
    project="Website",
    file="Landing page",
    page="Home",
    number="#12",
    file_id=FILE,
    thread=THREAD,
)


def mention(mail: str, name: str = "Ada") -> Mention:
    return Mention(ADA, name, email=mail, addresses={"email": mail})


def sent(
    message: Message,
    thread: ReplyTo | None = None,
    picture: Picture | None = None,
    **settings: Any,
) -> bytes:
    """What the server gets from a channel with these settings."""
    channel = builders.email(25).model_copy(update=settings)
    return compose(message, "k", channel, recipients(message, channel), thread, picture).as_bytes()


def received(
    message: Message,
    thread: ReplyTo | None = None,
    picture: Picture | None = None,
    **settings: Any,
) -> EmailMessage:
    """As ``sent``, parsed."""
    content = sent(message, thread, picture, **settings)
    return email.message_from_bytes(content, policy=email.policy.default)


def html_of(mail: EmailMessage) -> str:
    part = mail.get_body(("html",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def text_of(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")
