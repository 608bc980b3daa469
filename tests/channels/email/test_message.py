"""A message as a mail, parsed as a mail program does."""

import email
import email.policy
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.headerregistry import Address
from email.policy import SMTP
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given

from relay.channels.email.message import compose, mailbox
from relay.messages.message import Content, Mention, Message, Picture
from tests.channels.builders import MESSAGE
from tests.channels.email.parts import html_of, text_of
from tests.channels.texts import carrying, messages
from tests.penpot.paint import board

SENDER = Address("Penpot", addr_spec="penpot@example.com")
TO = [Address(addr_spec="design@example.com")]
HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Penpot-Event",
    "X-Penpot-Team",
    "MIME-Version",
    "Content-Type",
]


class Links(HTMLParser):
    """Collects tags and URLs of an HTML part."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.urls: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.urls |= {str(value) for name, value in attrs if name in ("href", "src", "srcset")}
        assert not any(name.startswith("on") for name, _ in attrs)


@given(messages)
def test_no_text_adds_headers_breaks_lines_or_becomes_markup(message: Message) -> None:
    sent = compose(message, "delivery-1", SENDER, TO).as_bytes()
    assert sent.isascii()
    assert b"\0" not in sent
    assert b"\r" not in sent.replace(b"\r\n", b"")
    assert b"\n" not in sent.replace(b"\r\n", b"")
    assert max(map(len, sent.split(b"\r\n"))) <= 998
    mail = email.message_from_bytes(sent, policy=email.policy.default)
    assert [name for name in mail if name != "X-Penpot-Event"] == [
        name for name in HEADERS if name != "X-Penpot-Event"
    ]
    assert mail["To"].addresses == tuple(TO)
    assert mail["From"].addresses == (SENDER,)
    assert 1 <= len(mail["Subject"]) <= 200
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", mail["Subject"])
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    links = Links()
    links.feed(html_of(mail))
    assert links.urls == {message.url}
    assert links.tags <= set(
        "html head meta style body div p strong em a blockquote br".split()  # noqa: SIM905
    )


def test_a_subject_with_line_ends_and_headers_is_one_line() -> None:
    message = replace(MESSAGE, subject="Hi\r\nBcc: evil@example.com\r\n\r\n<b>\x85\u2028x")
    mail = compose(message, "k", SENDER, TO)
    parsed = email.message_from_bytes(mail.as_bytes(), policy=email.policy.default)
    assert parsed["Subject"] == "Hi Bcc: evil@example.com <b> x"
    assert parsed["Bcc"] is None


def test_an_encoded_word_in_a_title_is_not_decoded() -> None:
    message = replace(MESSAGE, subject="=?utf-8?q?x=0D=0ABcc:_evil@example.com?=")
    mail = compose(message, "k", SENDER, TO)
    parsed = email.message_from_bytes(mail.as_bytes(), policy=email.policy.default)
    assert parsed["Bcc"] is None
    assert parsed["Subject"] == message.subject


def test_a_long_subject_is_cut_and_survives_folding() -> None:
    message = replace(MESSAGE, subject="Größe👩‍👩‍👧‍👦" * 100)
    mail = compose(message, "k", SENDER, TO)
    parsed = email.message_from_bytes(mail.as_bytes(), policy=email.policy.default)
    assert len(parsed["Subject"]) <= 200
    assert parsed["Subject"].endswith("…")
    assert message.subject.startswith(parsed["Subject"][:-1])


def test_a_comment_arrives_letter_by_letter_in_both_parts() -> None:
    comment = "Zu groß – 見て 👍 <b>&amp;</b>\n.\nFrom here\nx" + "y" * 2000
    mail = compose(carrying("Ada", comment), "k", SENDER, TO)
    parsed = email.message_from_bytes(mail.as_bytes(), policy=email.policy.default)
    assert "\n".join(f"> {line}" for line in comment.split("\n")) in text_of(parsed)
    assert "Zu groß – 見て 👍 &lt;b&gt;&amp;amp;&lt;/b&gt;<br>.<br>From here" in html_of(parsed)


def test_a_mail_without_a_valid_time_has_the_current_one() -> None:
    for at in ("", "yesterday"):
        mail = compose(replace(MESSAGE, at=at), "k", SENDER, TO)
        assert abs(datetime.now(UTC) - mail["Date"].datetime) < timedelta(minutes=1)


def test_an_override_is_the_html_part() -> None:
    mail = compose(
        replace(MESSAGE, full=replace(MESSAGE.full, override="<p>Ours</p>")), "k", SENDER, TO
    )
    assert html_of(mail).strip() == "<p>Ours</p>"
    assert text_of(mail).startswith("Ada Lovelace commented on")


def test_there_is_no_button_without_a_web_address() -> None:
    for url in ("", "javascript:alert(1)"):
        html = html_of(
            compose(
                replace(MESSAGE, full=replace(MESSAGE.full, footer=""), url=url), "k", SENDER, TO
            )
        )
        assert "Open in Penpot" not in html


# Mentioned people and pictures


ADA = "28fbd360-8a3c-81b0-8004-6c1b90e4c571"
PENPOT = Address("Penpot", "penpot", "example.com")
PICTURE = Picture(board(), "image/png", 400, 300)


def mention(mail: str, name: str = "Ada") -> Mention:
    return Mention(ADA, name, email=mail, addresses={"email": mail})


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
    mail = compose(Message("T", Content("B")), "k", PENPOT, [PENPOT], copies=[address])
    read = builders_parse(mail.as_bytes())

    assert [address.addr_spec for address in read["Cc"].addresses] == ["ada@example.com"]
    assert read["Bcc"] is None


def builders_parse(content: bytes):  # type: ignore[no-untyped-def]
    import email

    return email.message_from_bytes(content, policy=SMTP)


def test_a_picture_is_inline_and_other_parts_are_unchanged(tmp_path: Path) -> None:
    message = Message("T", Content("Body", footer="Acme"), file='"Landing" <page>')
    plain = compose(message, "k", PENPOT, [PENPOT])
    mail = compose(message, "k", PENPOT, [PENPOT], picture=PICTURE)
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
    mail = compose(
        Message("T", Content("B", override="<p>x</p>")), "k", PENPOT, [PENPOT], picture=PICTURE
    )

    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]


def test_mentioned_people_are_bold() -> None:
    body = rf"[\@Ada](<penpot-profile:{ADA}>) and [\@Bob](<penpot-profile:{ADA[:-1]}0>)"
    mail = compose(Message("T", Content(body), mentions=(mention("a@b.c"),)), "k", PENPOT, [PENPOT])

    html = mail.get_body(("html",))
    assert html is not None
    assert "<strong>@Ada</strong> and @Bob" in html.get_content()
    assert "penpot-profile" not in mail.as_string()
