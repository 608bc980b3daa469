"""A message as title and plain text, in which no service finds anything to format or ping."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given

from relay.channels.addresses import addresses
from relay.channels.apprise.content import fits, literal, render
from relay.channels.apprise.process import ANY_SERVICE, AppriseService
from relay.messages.escape import escape
from relay.messages.message import Content, Message
from tests.channels.apprise.place import NTFY, PHONE
from tests.channels.builders import MESSAGE
from tests.channels.marked import Shown, visible
from tests.channels.texts import carrying, messages
from tests.servers.discord import pings as discord_pings
from tests.servers.mattermost import _slack_text
from tests.servers.mattermost import pings as mattermost_pings

# What chats format: a character that opens, with the same one at the other end of the text. Zulip,
# Google Chat, Slack, WhatsApp and Telegram need fewer characters than CommonMark.
PAIRS_PATTERN = re.compile(r"(?<!\w)([*_~`]|\|\||==|\$\$)(?=\S).*?(?<=\S)\1(?!\w)", re.DOTALL)


def without_addresses(text: str) -> str:
    for start, end, _ in reversed(list(addresses(text))):
        text = text[:start] + text[end:]
    return text


@given(messages)
def test_no_text_pings_formats_or_breaks_a_limit(message: Message) -> None:
    for service in (NTFY, PHONE, ANY_SERVICE):
        title, body = render(message, service)
        assert len(title) <= (service.title_limit or service.body_limit // 3)
        whole = len(body) + (len(title) + 2 if service.title_limit == 0 else 0)
        assert whole <= service.body_limit
        assert len(body.encode()) <= 4096
        for text in (title, body):
            assert not set(without_addresses(text)) & set("*`~<[]")
            assert not PAIRS_PATTERN.search(without_addresses(text))
            assert "@" not in text.replace("@\u200b", "")
            assert mattermost_pings(text) == []
            assert (
                list(discord_pings({"content": text, "embeds": [], "allowed_mentions": {}})) == []
            )
            assert _slack_text(text) == text
            shown = Shown(text)
            assert set(shown.tags) <= {"p", "br", "blockquote"}
            words = re.sub("^> ?", "", visible(text), flags=re.MULTILINE).split()
            assert words == shown.text.split()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("@everyone @all @here @channel", "@.everyone @.all @.here @.channel"),
        ("<!channel> <@U1> <users/all>", "‹!channel› ‹@.U1› ‹users/all›"),
        ("@**all** #**design**", "@.∗∗all∗∗ #.∗∗design∗∗"),
        ("(met)all(met) (copy)", "(.met)all(.met) (copy)"),
        ("**b** _i_ ~~s~~ `c`", "∗∗b∗∗ ＿i＿ ∼∼s∼∼ ˋcˋ"),
        ("file_name_v2 __init__", "file_name_v2 ＿＿init＿＿"),
        ("||spoiler|| $$x$$ 5 $", "|.|.spoiler|.|. $.$x$.$ 5 $"),
        ("[x](https://evil.example)", "［x］(https://evil.example)"),
        ("javascript://x tg://y", "javascript:.//x tg:.//y"),
        (":tada: 12:30 &lt; a\\*", ":.tada: 12:30 &.lt; a\\.∗"),
        ("/start /me a/b u/ada", "/.start /.me a/b u/.ada"),
        ("!avatar(a@b.c)!", "!.avatar(a@.b.c)!"),
        ("https://a.example/_x_?y=@b*~c", "https://a.example/%5Fx%5F?y=%40b%2A%7Ec"),
        ("https://bank.example@evil.example", "https:.//bank.example@.evil.example"),
        ("a\x00b\x1b[31mc", "a b ［31mc"),
    ],
)  # fmt: skip
def test_each_services_grammar_stays_text(text: str, shown: str) -> None:
    assert literal(text).replace("\u200b", ".") == shown


@pytest.mark.parametrize(
    "text", ["# x", "- x", "+ x", "1. x", "2) x", "> x", "---", "=== ", "/me x", "| a"]
)
def test_nothing_begins_a_block(text: str) -> None:
    (shown,) = Shown(
        render(Message("T", Content(escape(text) + "\\\n" + escape(text))), NTFY).body
    ).tags[:1]
    assert shown == "p"
    code = Message("T", Content(f"```\n    {text}\n{text}\n```"))
    assert set(Shown(render(code, NTFY).body).tags) <= {"p", "br"}


def test_a_first_line_that_the_title_says_is_left_out() -> None:
    message = replace(MESSAGE, title="Ada Lovelace commented on Landing page")
    assert render(message, NTFY) == (
        "Ada Lovelace commented on Landing page",
        "> The button is too small.\n> ‹!channel› please\n\nWebsite · Acme\n\n"
        "https://penpot.example/#/view?a=1&b=2",
    )
    assert "Ada Lovelace commented" in render(MESSAGE, NTFY).body  # the title has no surname


def test_a_first_line_without_words_is_kept() -> None:
    assert render(Message("Ada did it", Content("👍")), NTFY) == ("Ada did it", "👍")


def test_the_place_is_shown_where_the_title_does_not_say_it() -> None:
    message = replace(
        MESSAGE, title="Ada Lovelace commented on it", project="Site", file="Landing page"
    )
    assert "please\n\nSite › Landing page\n\nWebsite · Acme\n\nhttps" in render(message, NTFY).body


def test_a_message_with_only_a_title_has_it_as_its_body() -> None:
    assert render(Message("Ada did it"), NTFY) == ("", "Ada did it")
    assert render(Message("Ada did it", Content("**Ada** did it")), NTFY) == ("", "Ada did it")


def test_only_a_message_without_an_address_shows_those_of_its_links() -> None:
    links = Content("[A](https://a.example/@x) [m](mailto:it@x.example)\n\n> b")
    assert render(Message("T", links), NTFY).body == "A (https://a.example/%40x) m\n\n> b"
    with_url = Message("T", links, url="https://penpot.example/")
    assert render(with_url, NTFY).body == "A m\n\n> b\n\nhttps://penpot.example/"


def test_long_texts_do_not_fit() -> None:
    assert fits(MESSAGE, NTFY)
    assert not fits(MESSAGE, PHONE)
    for body in ("x" * 5000, "ü" * 2500, r"\@" * 1200 + "x" * 800, "👍" * 1100):
        long = replace(MESSAGE, full=Content(body))
        assert not fits(long, ANY_SERVICE)
        text = render(long, ANY_SERVICE).body
        assert text.endswith("…\n\n" + MESSAGE.url)
        assert max(len(text.encode()) / 4000, len(json.dumps(text)) / 7600) > 0.97


def test_a_service_without_titles_and_with_short_messages_gets_no_address() -> None:
    title, body = render(replace(MESSAGE, url=MESSAGE.url + "x" * 100), PHONE)
    assert (len(title), "https" in body) == (29, False)
    assert len(title) + 2 + len(body) <= 160


@given(messages)
def test_what_fits_is_not_cut(message: Message) -> None:
    service = AppriseService("x", 1000, 250)
    if fits(message, service):
        whole = message.full.body + message.full.footer
        assert render(message, service).body.count("…") <= whole.count("…")


def test_hostile_names_stay_in_their_line() -> None:
    title, body = render(carrying("a\r\nb\u2028c", "x\n\n# y"), NTFY)
    assert "\n" not in title
    assert body.splitlines()[2:5] == ["> x", ">", "> \u200b#\u200b y"]
