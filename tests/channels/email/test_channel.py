"""Mail through a real SMTP server."""

import logging
import re
import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from relay.channels.base import DeliveryError, Misconfigured, NoAddress, ReplyTo, RetryLater
from relay.channels.email import channel as module
from relay.messages.message import Content, Message
from tests.channels import builders
from tests.channels.builders import MESSAGE, delivery_error, findings, opened
from tests.channels.email.parts import html_of, mention, text_of
from tests.servers.fixtures import Authority
from tests.servers.smtp import MailServer

pytestmark = pytest.mark.anyio

Start = Callable[..., MailServer]


async def test_mails_of_a_thread_have_reply_headers_and_the_same_subject(
    mail_server: Start,
) -> None:
    server = mail_server()
    async with opened(builders.email(server.port)) as channel:
        first = await channel.send(MESSAGE, "delivery-1")
        reply = replace(MESSAGE, title="Bob replied on Landing page")
        place = ReplyTo(first.id, first.id, MESSAGE.subject)
        second = await channel.send(reply, "delivery-2", place)
        await channel.send(reply, "delivery-3", replace(place, last=second.id))
    first_mail, second_mail, third_mail = (mail.parsed() for mail in server.mails)
    assert "In-Reply-To" not in first_mail
    assert (second_mail["In-Reply-To"], second_mail["References"]) == (first.id, first.id)
    assert (third_mail["In-Reply-To"], third_mail["References"]) == (
        second.id,
        f"{first.id} {second.id}",
    )
    assert second_mail["Subject"] == third_mail["Subject"] == f"Re: {first_mail['Subject']}"


async def test_a_mail_has_headers_plain_text_and_html(mail_server: Start) -> None:
    server = mail_server()
    async with opened(builders.email(server.port)) as channel:
        receipt = await channel.send(MESSAGE, "delivery-1")
    [got] = server.mails
    assert (got.sender, got.recipients) == ("penpot@example.com", ["design@example.com"])
    mail = got.parsed()
    assert mail["From"] == "Penpot <penpot@example.com>"
    assert mail["To"] == "design@example.com"
    assert mail["Subject"] == "Ada commented on Landing page"
    assert mail["Date"].datetime == datetime(2026, 7, 25, 8, 17, 2, tzinfo=UTC)
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Penpot-Event"] == "create-comment-thread"
    assert mail["X-Penpot-Team"] == "acme"
    assert mail["Message-ID"] == receipt.id
    assert mail.get_content_type() == "multipart/alternative"
    assert text_of(mail) == (
        "Ada Lovelace commented on Landing page\n\n"
        "> The button is too small.\n> <!channel> please\n\n"
        "https://penpot.example/#/view?a=1&b=2\n\n"
        "-- \nWebsite · Acme\n"
        "You get this because channel “mail” sends messages to design@example.com.\n"
    )
    html = html_of(mail)
    assert "<strong>Ada Lovelace</strong> commented on" in html
    assert "<br>&lt;!channel&gt; please</p></blockquote>" in html
    assert html.count(">Open in Penpot</a>") == 1
    assert "<p>Website · Acme</p>" in html


async def test_the_same_delivery_has_the_same_message_id(mail_server: Start) -> None:
    server = mail_server()
    settings = builders.email(server.port)
    ids = []
    for key in ("delivery-1", "delivery-1", "delivery-2"):
        async with opened(settings) as channel:
            ids.append((await channel.send(MESSAGE, key)).id)
    assert ids[0] == ids[1] != ids[2]
    assert re.fullmatch(r"<[0-9a-f]{32}@example\.com>", ids[0])


async def test_a_server_that_closes_each_connection_gets_every_mail(mail_server: Start) -> None:
    server = mail_server()
    async with opened(builders.email(server.port)) as channel:
        for number in range(3):
            await channel.send(MESSAGE, f"delivery-{number}")
    assert len(server.mails) == 3


# TLS and login


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_mail_is_sent_over_tls_with_a_login(
    tls: str, mail_server: Start, authority: Authority
) -> None:
    server = mail_server(tls=tls, auth=True)
    settings = builders.email(server.port, tls, login=True, ca_file=authority.ca_file)
    async with opened(settings) as channel:
        await channel.send(MESSAGE, "delivery-1")
    assert len(server.mails) == 1
    assert "and accepts mail as relay." in await findings(settings)


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_an_unknown_authority_is_refused(tls: str, mail_server: Start) -> None:
    server = mail_server(tls=tls)
    settings = builders.email(server.port, tls)
    error = await delivery_error(settings)
    assert (type(error), error.reason) == (RetryLater, "tls")
    assert "ca_file" in error.detail
    assert "is not trusted" in await findings(settings)
    assert server.mails == []


@pytest.mark.parametrize(
    ("host", "begins_in", "ends_in", "hint"),
    [
        ("other.example", -1, 1, "write the host as the certificate does"),
        ("127.0.0.1", -2, -1, "its server needs a new one"),
        ("127.0.0.1", 1, 2, "it is not valid yet: check this machine's clock"),
    ],
)
async def test_what_is_wrong_with_a_certificate_is_named(
    host: str, begins_in: int, ends_in: int, hint: str, authority: Authority
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    now = datetime.now(UTC)
    dates = [now + timedelta(days=days) for days in (begins_in, ends_in)]
    issued = authority.ca.issue_cert(host, not_before=dates[0], not_after=dates[1])
    issued.configure_cert(context)
    with MailServer(tls="tls", certificate=context) as server:
        error = await delivery_error(builders.email(server.port, "tls", ca_file=authority.ca_file))
    assert error.reason == "tls"
    assert error.detail.endswith(f"): {hint}")


async def test_no_password_is_sent_without_starttls(mail_server: Start) -> None:
    server = mail_server(auth=True)
    error = await delivery_error(builders.email(server.port, "starttls", login=True))
    assert (type(error), error.reason) == (Misconfigured, "starttls")


async def test_a_server_without_login_is_an_error(mail_server: Start) -> None:
    server = mail_server()
    error = await delivery_error(builders.email(server.port, login=True))
    assert (type(error), error.reason) == (Misconfigured, "auth")
    assert "remove smtp.username" in error.detail


# Recipients

TWO = ("ada@example.com", "gone@example.com")


async def test_a_permanently_refused_recipient_is_a_warning(
    mail_server: Start, caplog: pytest.LogCaptureFixture
) -> None:
    server = mail_server(replies={"gone@example.com": "550 5.1.1 no such user"})
    with caplog.at_level(logging.WARNING):
        async with opened(builders.email(server.port, to=TWO)) as channel:
            await channel.send(MESSAGE, "delivery-1")
    assert server.mails[0].recipients == ["ada@example.com"]
    assert server.mails[0].parsed()["To"] == "ada@example.com, gone@example.com"
    assert "refuses gone@example.com: 550 5.1.1 no such user" in caplog.text


GREYLISTED = "450 4.7.1 greylisted"


async def test_a_temporarily_refused_recipient_delays_the_mail_of_all(
    mail_server: Start,
) -> None:
    server = mail_server(replies={"gone@example.com": GREYLISTED})
    async with opened(builders.email(server.port, to=TWO)) as channel:
        with pytest.raises(RetryLater) as caught:
            await channel.send(MESSAGE, "delivery-1")
        assert caught.value.reason == "450"
        assert "nobody has the mail yet (gone@example.com: 4.7.1" in caught.value.detail
        assert server.mails == []
        del server.replies["gone@example.com"]
        await channel.send(MESSAGE, "delivery-1")
    assert [mail.recipients for mail in server.mails] == [list(TWO)]


async def test_a_recipient_that_is_refused_for_hours_is_skipped(
    mail_server: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    server = mail_server(replies={"gone@example.com": "452 4.2.2 mailbox full"})
    async with opened(builders.email(server.port, to=TWO)) as channel:

        async def sends(key: str) -> bool:
            try:
                await channel.send(MESSAGE, key)
            except DeliveryError:
                return False
            return True

        assert not await sends("delivery-1")
        now += module._MAX_RECIPIENT_DELAY - 1
        assert not await sends("delivery-1")
        now += 1
        assert await sends("delivery-1")
        assert await sends("delivery-2")
        assert "refuses gone@example.com: 452 4.2.2 mailbox full" in caplog.text
        full = server.replies.pop("gone@example.com")
        assert await sends("delivery-3")
        server.replies["gone@example.com"] = full
        assert not await sends("delivery-4")
    assert [len(mail.recipients) for mail in server.mails] == [1, 1, 2]


async def test_a_server_that_refuses_all_recipients_is_retried(
    mail_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_RECIPIENT_DELAY", 0.0)
    server = mail_server(
        replies={"ada@example.com": GREYLISTED, "gone@example.com": "550 5.1.1 no"}
    )
    error = await delivery_error(builders.email(server.port, to=TWO))
    assert (type(error), error.reason) == (RetryLater, "450")
    assert "ada@example.com: 4.7.1 greylisted" in error.detail


async def test_a_recipient_that_a_person_can_fix_is_never_skipped(
    mail_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    server = mail_server(replies={"gone@example.com": "554 5.7.1 Relay access denied"})
    async with opened(builders.email(server.port, to=TWO)) as channel:
        for _ in range(3):
            with pytest.raises(Misconfigured, match="nobody has the mail yet"):
                await channel.send(MESSAGE, "delivery-1")
            now += 10 * module._MAX_RECIPIENT_DELAY
        server.replies.clear()
        await channel.send(MESSAGE, "delivery-1")
    assert [mail.recipients for mail in server.mails] == [list(TWO)]


async def test_a_recipient_whose_refusal_is_not_understood_is_skipped_after_an_hour(
    mail_server: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    server = mail_server(replies={"gone@example.com": "550 not today"})
    async with opened(builders.email(server.port, to=TWO)) as channel:
        for _ in range(2):
            with pytest.raises(Misconfigured):
                await channel.send(MESSAGE, "delivery-1")
            now += 1800
        await channel.send(MESSAGE, "delivery-1")
    assert server.mails[0].recipients == ["ada@example.com"]
    assert "refuses gone@example.com: 550 not today" in caplog.text


@pytest.mark.parametrize("hello", ["relay.example.net", "[192.0.2.1]", None])
async def test_the_name_in_ehlo_is_the_config_s_or_the_sender_s_domain(
    hello: str | None, mail_server: Start
) -> None:
    server = mail_server()
    async with opened(builders.email(server.port, hello=hello)) as channel:
        await channel.send(MESSAGE, "delivery-1")
    assert server.hellos == [hello or "example.com"]


# The doctor's checks


async def test_check_tests_the_recipients_and_sends_nothing(mail_server: Start) -> None:
    server = mail_server(replies={"gone@example.com": "550 5.1.1 no such user"})
    assert await findings(builders.email(server.port, to=TWO)) == (
        f"ok The mail server 127.0.0.1:{server.port} answers without encryption and accepts mail.\n"
        "ok The mail server accepts mail for ada@example.com.\n"
        "no The mail server refuses gone@example.com: 550 5.1.1 no such user."
    )
    assert server.mails == []


async def test_check_reports_a_wrong_password_and_a_refused_sender(mail_server: Start) -> None:
    server = mail_server(auth=True)
    wrong = builders.email(server.port, login=True, password="not-the-password")
    assert "refuses username or password" in await findings(wrong)
    picky = mail_server(replies={"MAIL": "553 5.7.1 not your address"})
    assert "check sender in the config" in await findings(builders.email(picky.port))


async def test_a_server_without_a_login_that_relay_has_is_named(mail_server: Start) -> None:
    modern = mail_server(replies={"EHLO": "250-relay.test\r\n250 AUTH XOAUTH2 OAUTHBEARER"})
    found = await findings(builders.email(modern.port, login=True))
    assert "only logins that Relay does not have (xoauth2 oauthbearer): enable" in found
    without = await findings(builders.email(mail_server().port, login=True))
    assert "does not offer a login: remove smtp.username, or use TLS" in without


async def test_a_mail_that_holds_smtp_commands_is_one_mail(mail_server: Start) -> None:
    server = mail_server()
    body = "\r\n.\r\nMAIL FROM:<evil@example.com>\r\n.\n.\r.\n"
    async with opened(builders.email(server.port)) as channel:
        await channel.send(Message("t", full=Content(body, override=body)), "delivery-1")
        await channel.send(MESSAGE, "delivery-2")
    assert [got.sender for got in server.mails] == ["penpot@example.com"] * 2
    assert "MAIL FROM" in html_of(server.mails[0].parsed())


def to_ada(mail: str = "ada@example.com") -> Message:
    return Message("T", full=Content("Body"), to=mention(mail))


async def test_a_mail_to_a_person_goes_to_nobody_else(mail_server: Start) -> None:
    server = mail_server()
    async with opened(builders.email(server.port)) as channel:
        await channel.send(to_ada(), "key")
    [mail] = server.mails
    assert mail.recipients == ["ada@example.com"]
    assert (mail.parsed()["To"], mail.parsed()["Cc"]) == ("Ada <ada@example.com>", None)
    assert b"design@example.com" not in mail.content


@pytest.mark.parametrize("address", ["", "ada", "äda@example.com", "a@x.org, b@x.org"])
async def test_a_person_without_a_valid_address_gets_no_mail(
    address: str, mail_server: Start
) -> None:
    server = mail_server()
    async with opened(builders.email(server.port)) as channel:
        with pytest.raises(NoAddress, match="no valid mail address of Ada is known"):
            await channel.send(to_ada(address), "key")
    assert server.mails == []


@pytest.mark.parametrize(
    "reply", ["550 5.1.1 no such user", "554 5.7.1 Relay access denied", "550 not today"]
)
async def test_a_person_whom_the_server_refuses_delays_nobody(
    reply: str, mail_server: Start, caplog: pytest.LogCaptureFixture
) -> None:
    server = mail_server(replies={"ada@example.com": reply})
    async with opened(builders.email(server.port)) as channel:
        with pytest.raises(NoAddress, match=reply[4:]):
            await channel.send(to_ada(), "key")
        await channel.send(MESSAGE, "key-2")
    assert "ada@example.com gets no mail: the mail server" in caplog.text
    assert [mail.recipients for mail in server.mails] == [["design@example.com"]]


async def test_an_outage_at_a_person_loses_no_mail(
    mail_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    server = mail_server()
    server.drops.add("ada@example.com")
    async with opened(builders.email(server.port)) as channel:
        for _ in range(2):
            with pytest.raises(RetryLater):
                await channel.send(to_ada(), "key")
            now += 2 * module._MAX_PERSON_DELAY
        server.drops.clear()
        await channel.send(to_ada(), "key")
    assert [mail.recipients for mail in server.mails] == [["ada@example.com"]]


@pytest.mark.parametrize("reply", ["450 4.7.1 greylisted", "421 4.7.0 too many errors"])
async def test_a_person_delays_the_channel_for_an_hour_once(
    reply: str, mail_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    server = mail_server(replies={"ada@example.com": reply, "gone@example.com": "452 full"})
    async with opened(builders.email(server.port, to=TWO[1:])) as channel:
        for _ in range(2):
            with pytest.raises(RetryLater):
                await channel.send(to_ada(), "key")
            with pytest.raises(RetryLater):  # the channel's own recipients are counted apart
                await channel.send(MESSAGE, "key-2")
            now += module._MAX_PERSON_DELAY / 2
        for key in ("key", "another"):
            with pytest.raises(NoAddress):
                await channel.send(to_ada(), key)
        server.replies.clear()
        await channel.send(to_ada(), "later")
        server.replies["ada@example.com"] = reply
        with pytest.raises(RetryLater):
            await channel.send(to_ada(), "again")
    assert [mail.recipients for mail in server.mails] == [["ada@example.com"]]
