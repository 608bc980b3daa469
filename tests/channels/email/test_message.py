"""A message as a mail, parsed as a mail program does."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.headerregistry import Address
from html.parser import HTMLParser

import pytest
from hypothesis import given

from relay.channels.base import ReplyTo
from relay.channels.email.headers import sender_name
from relay.channels.email.message import mailbox
from relay.messages.message import Content, Message, Picture
from tests.channels.builders import MESSAGE
from tests.channels.email.parts import (
    ADA,
    COMMENT,
    FILE,
    THREAD,
    html_of,
    mention,
    received,
    sent,
    text_of,
)
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
    "List-Id",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
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
    content = sent(message)
    assert content.isascii()
    assert b"\0" not in content
    assert b"\r" not in content.replace(b"\r\n", b"")
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert max(map(len, content.split(b"\r\n"))) <= 998
    mail = received(message)
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
        "html head meta title style body div p strong em a blockquote br".split()  # noqa: SIM905
    )


def test_a_subject_with_line_ends_and_headers_is_one_line() -> None:
    message = replace(MESSAGE, subject="Hi\r\nBcc: evil@example.com\r\n\r\n<b>\x85\u2028x")
    parsed = received(message)
    assert parsed["Subject"] == "Hi Bcc: evil@example.com <b> x"
    assert parsed["Bcc"] is None


def test_an_encoded_word_in_a_subject_is_not_decoded() -> None:
    message = replace(MESSAGE, subject="=?utf-8?q?x=0D=0ABcc:_evil@example.com?=")
    parsed = received(message)
    assert parsed["Bcc"] is None
    assert parsed["Subject"] == message.subject


def test_a_long_subject_is_cut_and_survives_folding() -> None:
    message = replace(MESSAGE, subject="Größe👩‍👩‍👧‍👦" * 100)
    parsed = received(message)
    assert len(parsed["Subject"]) <= 200
    assert parsed["Subject"].endswith("…")
    assert message.subject.startswith(parsed["Subject"][:-1])


def test_a_comment_arrives_letter_by_letter_in_both_parts() -> None:
    comment = "Zu groß – 見て 👍 <b>&amp;</b>\n.\nFrom here\nx" + "y" * 2000
    parsed = received(carrying("Ada", comment))
    assert "\n".join(f"> {line}" for line in comment.split("\n")) in text_of(parsed)
    assert "Zu groß – 見て 👍 &lt;b&gt;&amp;amp;&lt;/b&gt;<br>.<br>From here" in html_of(parsed)


def test_a_mail_without_a_valid_time_has_the_current_one() -> None:
    for at in ("", "yesterday"):
        mail = received(replace(MESSAGE, at=at))
        assert abs(datetime.now(UTC) - mail["Date"].datetime) < timedelta(minutes=1)


def test_an_override_is_the_html_part() -> None:
    mail = received(replace(MESSAGE, full=replace(MESSAGE.full, override="<p>Ours</p>")))
    assert html_of(mail).strip() == "<p>Ours</p>"
    assert text_of(mail).startswith("Ada Lovelace commented on")


def test_there_is_no_button_without_a_web_address() -> None:
    for url in ("", "javascript:alert(1)"):
        message = replace(MESSAGE, full=replace(MESSAGE.full, footer=""), url=url)
        assert "Open" not in html_of(received(message))


# Mentioned people and pictures


PICTURE = Picture(board(), "image/png", 400, 300)


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
    message = replace(MESSAGE, to=mention("ada@example.com", name), actor=name)
    for mail in (received(message), received(message, sender="Pénpot <penpot@example.com>")):
        assert [address.addr_spec for address in mail["To"].addresses] == ["ada@example.com"]
        assert [one.addr_spec for one in mail["From"].addresses] == ["penpot@example.com"]
        assert mail["Bcc"] is None


def test_a_picture_is_inline_and_other_parts_are_unchanged() -> None:
    message = Message("T", full=Content("Body", footer="Acme"), file='"Landing" <page>')
    plain, mail = sent(message), received(message, picture=PICTURE)
    text, related = mail.iter_parts()
    html, image = related.iter_parts()
    assert mail.get_content_type() == "multipart/alternative"
    assert (text.get_content_type(), related.get_content_type()) == (
        "text/plain",
        "multipart/related",
    )
    assert text_of(mail).startswith('Body\n\n"Landing" <page>\n\n-- \nAcme\nYou get this')
    shown = re.search(
        r'<img src="cid:([^"]+)" alt="([^"]*)" width="320" height="240"', html.get_content()
    )
    assert shown is not None
    assert image["Content-ID"] == f"<{shown[1]}>"
    assert shown[2] == "Thumbnail of &#34;Landing&#34; &lt;page&gt;"
    assert image.get_content() == PICTURE.content
    assert image.get_content_disposition() == "inline"
    assert image.get_filename() == "thumbnail.png"
    assert max(map(len, sent(message, picture=PICTURE).splitlines())) <= 998
    assert b"<img" not in plain


@pytest.mark.parametrize(
    ("size", "shown"), [((100, 80), (100, 80)), ((400, 1600), (80, 320)), ((9000, 1), (320, 1))]
)
def test_a_picture_is_shown_at_320_pixels_at_most(
    size: tuple[int, int], shown: tuple[int, int]
) -> None:
    picture = Picture(PICTURE.content, "image/png", *size)
    width, height = shown
    assert f'width="{width}" height="{height}"' in html_of(received(MESSAGE, picture=picture))


def test_an_override_gets_no_picture() -> None:
    message = Message("T", full=Content("B", override="<p>x</p>"))
    assert [part.get_content_type() for part in received(message, picture=PICTURE).walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]


def test_mentioned_people_are_bold() -> None:
    body = rf"[\@Ada](<penpot-profile:{ADA}>) and [\@Bob](<penpot-profile:{ADA[:-1]}0>)"
    person = mention("ada@example.com")
    for people in ({"mentions": (person,)}, {"to": person}):
        mail = received(Message("T", full=Content(body), **people))  # type: ignore[arg-type]
        assert "<strong>@Ada</strong> and @Bob" in html_of(mail)
        assert "penpot-profile" not in mail.as_string()


# Conventions of mails that a program sends


def references(mail: object) -> list[str]:
    return str(mail["References"] or "").split()  # type: ignore[index]


def test_a_thread_has_an_id_from_its_first_mail_on() -> None:
    first = received(COMMENT)
    own_id, *others = references(first)
    assert re.fullmatch(r"<[0-9a-f]{32}@example\.com>", own_id)
    assert others == []
    assert first["In-Reply-To"] is None
    reply = received(COMMENT, ReplyTo("<1@x>", "<2@x>", COMMENT.subject))
    assert references(reply) == [own_id, "<1@x>", "<2@x>"]
    assert reply["In-Reply-To"] == "<2@x>"
    # Also where Relay does not know the first mail, and in another channel of the same sender.
    assert references(received(COMMENT, name="other")) == [own_id]
    assert references(received(replace(COMMENT, thread=FILE))) != [own_id]
    assert references(received(COMMENT, threads=False)) == []
    assert references(received(MESSAGE)) == []


def test_a_reply_has_the_subject_of_the_threads_first_mail() -> None:
    reply = replace(COMMENT, subject="[Acme] Landing page #12: another")
    mail = received(reply, ReplyTo("<1@x>", "<2@x>", COMMENT.subject))
    assert mail["Subject"] == "Re: [Acme] Landing page #12: The button"
    mail = received(reply, ReplyTo("<1@x>", "<2@x>", ""))
    assert mail["Subject"] == "Re: [Acme] Landing page #12: another"


def test_a_mail_can_be_filtered_and_is_not_answered_by_programs() -> None:
    mail = received(COMMENT, name="Mails_of.all")
    assert mail["List-Id"] == '"Penpot Mails_of.all" <mails-of-all.acme.example.com>'
    assert (mail["Auto-Submitted"], mail["X-Auto-Response-Suppress"]) == ("auto-generated", "All")
    assert (mail["X-Penpot-File"], mail["X-Penpot-Thread"]) == (FILE, THREAD)
    assert (mail["Reply-To"], mail["List-Unsubscribe"]) == (None, None)


@pytest.mark.parametrize(
    "address", ["mailto:leave@example.com?subject=no", "https://x.org/" + "a" * 900]
)
def test_answers_and_unsubscriptions_go_to_the_configs_addresses(address: str) -> None:
    mail = received(COMMENT, reply_to="Design <design@example.com>", unsubscribe=address)
    assert mail["Reply-To"] == "Design <design@example.com>"
    assert mail["List-Unsubscribe"] == f"<{address}>"
    # RFC 8058: only for an address that names the reader, and takes a POST
    assert mail["List-Unsubscribe-Post"] is None
    assert f'href="{address}"' in html_of(mail)
    assert f"\nUnsubscribe: {address}\n" in text_of(mail)


@pytest.mark.parametrize(
    ("actor", "sender", "expected"),
    [
        ("Ada Lovelace", "Penpot <penpot@example.com>", "Ada Lovelace (Penpot)"),
        ("Ada Lovelace", "penpot@example.com", "Ada Lovelace (Penpot)"),
        ("Zoë", "Design news <penpot@example.com>", "Zoë (Design news)"),
        ("O'Neil, Shaquille", "penpot@example.com", "O'Neil Shaquille (Penpot)"),
        ("山田 太郎", "penpot@example.com", "山田 太郎 (Penpot)"),
        ("ceo@bank.example", "penpot@example.com", "ceo bank.example (Penpot)"),
        ("ceo＠bank.example ＜x＞", "penpot@example.com", "ceo bank.example x (Penpot)"),
        ("Ada <a@b.c>, Bob;\r\nBcc: x", "penpot@example.com", "Ada a b.c Bob Bcc x (Penpot)"),
        ('Ada "x\\" y (IT support)', "penpot@example.com", "Ada x y IT support (Penpot)"),
        ("\u202eecalevoL\u2066 a\u200bd\u00ada", "penpot@example.com", "ecalevoL ada (Penpot)"),
        ("\u200b\u3164 \u2800", "penpot@example.com", "Penpot"),
        ("@", "penpot@example.com", "Penpot"),
        ("", "Penpot <penpot@example.com>", "Penpot"),
    ],
)
def test_the_sender_has_the_name_of_the_person_who_did_it(
    actor: str, sender: str, expected: str
) -> None:
    address = received(replace(COMMENT, actor=actor), sender=sender)["From"].addresses[0]
    assert address.addr_spec == "penpot@example.com"
    assert address.display_name == expected
    fixed = received(replace(COMMENT, actor=actor), sender=sender, sender_name="fixed")
    assert fixed["From"] == sender


def test_a_long_name_is_cut() -> None:
    assert sender_name("é" * 200, "Penpot") == f"{'é' * 59}… (Penpot)"
