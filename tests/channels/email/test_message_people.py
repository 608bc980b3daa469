"""Copies to mentioned people, and inline pictures."""

import re
from collections.abc import Callable
from email.headerregistry import Address
from email.policy import SMTP
from pathlib import Path

import pytest

from relay.channels.base import DeliveryError, RetryLater
from relay.channels.email.message import compose, mailbox
from relay.messages.message import Mention, Message, Picture
from tests.channels import builders
from tests.channels.builders import opened
from tests.penpot.paint import board
from tests.servers.smtp import MailServer

pytestmark = pytest.mark.anyio

Start = Callable[..., MailServer]

ADA = "28fbd360-8a3c-81b0-8004-6c1b90e4c571"
SENDER = Address("Penpot", "penpot", "example.com")
PICTURE = Picture(board(), "image/png", 400, 300)


def mention(mail: str, name: str = "Ada") -> Mention:
    return Mention(ADA, name, email=mail, addresses={"email": mail})


async def test_mentioned_people_get_a_copy_if_configured(mail_server: Start) -> None:
    server = mail_server()
    people = (mention("ada@example.com"), mention("ADA@example.com"), mention("Design@Example.com"))
    settings = builders.email(server.port)
    for wanted in (True, False):
        async with opened(settings.model_copy(update={"mention_by_mail": wanted})) as channel:
            await channel.send(Message("T", "Body", mentions=people), "key")

    with_copies, without = server.mails
    assert with_copies.recipients == ["design@example.com", "ada@example.com"]
    assert with_copies.parsed()["Cc"] == "Ada <ada@example.com>"
    assert without.recipients == ["design@example.com"]
    assert without.parsed()["Cc"] is None
    assert b"ada@example.com" not in without.content


async def test_a_refused_copy_does_not_delay_the_mail(mail_server: Start) -> None:
    server = mail_server(replies={"ada@example.com": "450 4.7.1 later"})
    settings = builders.email(server.port).model_copy(update={"mention_by_mail": True})
    async with opened(settings) as channel:
        await channel.send(Message("T", "Body", mentions=(mention("ada@example.com"),)), "key")

    assert server.mails[0].recipients == ["design@example.com"]


async def test_a_session_that_fails_at_a_copy_is_retried_without_copies(
    mail_server: Start,
) -> None:
    server = mail_server(replies={"ada@example.com": "421 4.7.0 too many errors"})
    settings = builders.email(server.port).model_copy(update={"mention_by_mail": True})
    message = Message("T", "Body", mentions=(mention("ada@example.com"),))
    async with opened(settings) as channel:
        with pytest.raises(RetryLater):
            await channel.send(message, "key")
        await channel.send(message, "key")
        assert server.mails[0].recipients == ["design@example.com"]
        with pytest.raises(DeliveryError):
            await channel.send(message, "another")


@pytest.mark.parametrize("address", [
    "",
    "ada",
    "@example.com",
    "ada@",
    "ada@exämple.com",
    "äda@example.com",
    "ada@example.com\r\nBcc: all@example.com",
    "ada@example.com, all@example.com",
    "Ada <ada@example.com>",
    '"ada lovelace"@example.com',
    "ada@example.com>",
    "a@b@example.com",
    ".ada@example.com",
    "ada@-example.com",
])  # fmt: skip
def test_an_invalid_address_gets_no_mail(address: str) -> None:
    assert mailbox(mention(address)) is None


@pytest.mark.parametrize("name", [
    "Ada\r\nBcc: all@example.com",
    '"Ada" <all@example.com>, Bob',
    "=?utf-8?q?=0D=0ABcc:all@example.com?=",
    "Zoë 😀",
    "",
])  # fmt: skip
def test_a_name_adds_no_header_and_no_recipient(name: str) -> None:
    address = mailbox(mention("ada@example.com", name))
    assert address is not None
    mail = compose(Message("T", "B"), "k", SENDER, [SENDER], copies=[address])
    read = builders_parse(mail.as_bytes())

    assert [address.addr_spec for address in read["Cc"].addresses] == ["ada@example.com"]
    assert read["Bcc"] is None


def builders_parse(content: bytes):  # type: ignore[no-untyped-def]
    import email

    return email.message_from_bytes(content, policy=SMTP)


def test_a_picture_is_inline_and_other_parts_are_unchanged(tmp_path: Path) -> None:
    message = Message("T", "Body", footer="Acme", file='"Landing" <page>')
    plain = compose(message, "k", SENDER, [SENDER])
    mail = compose(message, "k", SENDER, [SENDER], picture=PICTURE)
    read = builders_parse(mail.as_bytes())

    text, related = read.iter_parts()
    html, image = related.iter_parts()
    assert read.get_content_type() == "multipart/alternative"
    assert (text.get_content_type(), related.get_content_type()) == (
        "text/plain",
        "multipart/related",
    )
    assert text.get_content() == "Body\r\n\r\n-- \r\nAcme\r\n"
    shown = re.search(r'<img src="cid:([^"]+)" alt="([^"]*)" width="400"', html.get_content())
    assert shown is not None
    assert image["Content-ID"] == f"<{shown[1]}>"
    assert shown[2] == "&quot;Landing&quot; &lt;page&gt;"
    assert image.get_content() == PICTURE.content
    assert image.get_content_disposition() == "inline"
    assert image.get_filename() == "thumbnail.png"
    assert max(map(len, mail.as_bytes().splitlines())) <= 998
    assert "<img" not in plain.as_string()


def test_an_override_gets_no_picture() -> None:
    mail = compose(Message("T", "B", override="<p>x</p>"), "k", SENDER, [SENDER], picture=PICTURE)

    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]


def test_mentioned_people_are_bold() -> None:
    body = rf"[\@Ada](<penpot-profile:{ADA}>) and [\@Bob](<penpot-profile:{ADA[:-1]}0>)"
    mail = compose(Message("T", body, mentions=(mention("a@b.c"),)), "k", SENDER, [SENDER])

    html = mail.get_body(("html",))
    assert html is not None
    assert "<strong>@Ada</strong> and @Bob" in html.get_content()
    assert "penpot-profile" not in mail.as_string()
