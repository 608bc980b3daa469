"""What a mail says, in plain text and in HTML."""

import re
from dataclasses import replace

import pytest

from relay.messages.filters import when
from relay.messages.message import Content, Message
from tests.channels.email.parts import COMMENT, html_of, mention, received, text_of
from tests.messages.clock import clock_at


def test_the_notice_is_the_hidden_beginning_and_the_title() -> None:
    html = html_of(received(replace(COMMENT, notice="Ada: <b> & “x”")))
    assert "<title>Ada: &lt;b&gt; &amp; “x”</title>" in html
    hidden = re.search(r'<body[^>]*>\s*<div style="display: none;[^"]*">([^<]*)</div>', html)
    assert hidden is not None
    assert hidden[1].startswith("Ada: &lt;b&gt; &amp; “x”&#847;&zwnj;&nbsp;")


def test_a_notice_that_the_subject_has_is_not_repeated() -> None:
    html = html_of(received(replace(COMMENT, notice="Ada made it", subject="[Acme] Ada made it")))
    assert "<title>Ada made it</title>" in html
    assert html.count("Ada made it") == 1


def test_a_time_has_its_date_since_a_mail_is_read_later() -> None:
    with clock_at("2026-07-25T12:00Z"):
        time = when("2026-07-25T08:17Z")
        content = replace(COMMENT.full, body=f"*from {time}*", footer=f"at {time}")
        mail = received(replace(COMMENT, full=content, zone="Europe/Madrid"))
    for text in (text_of(mail), html_of(mail)):
        assert text.count("25 Jul, 08:17 UTC") == 2
        assert "relay-time" not in text
        assert "today" not in text


def test_plain_text_says_who_what_where_and_why_with_one_url() -> None:
    assert text_of(received(COMMENT)) == (
        "Ada Lovelace commented on Landing page\n\n"
        "> The button is too small.\n> <!channel> please\n\n"
        "Acme › Website › Landing page › Home\n"
        "https://penpot.example/#/view?a=1&b=2\n\n"
        "-- \n"
        "You get this because channel “mail” of team Acme sends messages to design@example.com.\n"
    )


def test_links_that_lead_elsewhere_stay_in_plain_text_and_so_do_those_of_a_digest() -> None:
    body = "[File](https://penpot.example/#/a) and [ticket](https://jira.example/1)"
    message = replace(COMMENT, full=Content(body))
    assert "File and ticket (https://jira.example/1)\n" in text_of(received(message))
    digest = text_of(received(replace(message, event="digest")))
    assert "File (https://penpot.example/#/a) and ticket (https://jira.example/1)\n" in digest


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (COMMENT, "channel “mail” of team Acme sends messages to a@x.org, b@x.org and c@x.org."),
        (replace(COMMENT, thread="", team_name=""), "channel “mail” sends messages to a@x.org"),
        (
            replace(COMMENT, to=mention("ada@x.org")),
            "Ada Lovelace mentioned you. It is sent by channel “mail” of team Acme.",
        ),
        (replace(COMMENT, actor="", to=mention("ada@x.org")), "you were mentioned. It is"),
    ],
)
def test_the_footer_says_why_the_reader_gets_the_mail(message: Message, text: str) -> None:
    mail = received(message, to=("A <a@x.org>", "b@x.org", "c@x.org"))
    assert f"You get this because {text}" in text_of(mail)
    assert f"You get this because {text}" in html_of(mail)


def test_the_footer_names_three_recipients() -> None:
    text = text_of(received(COMMENT, to=("a@x.org", "b@x.org", "c@x.org", "d@x.org", "e@x.org")))
    assert "sends messages to a@x.org, b@x.org, c@x.org and 2 more." in text


@pytest.mark.parametrize(
    ("footer", "html"),
    [
        ("Website · Acme · [Open comment](<URL>)", ""),
        ("Website", ""),
        ("", ""),
        ("Website · Team news · [Open comment](<URL>)", "<p>Team news</p>"),
        ("By **bot** · _us_ · Acme", "<p>By <strong>bot</strong> · <em>us</em></p>"),
        ("> Website", "Website</p></blockquote>"),
        ("One\\\ntwo · Website", "<p>One<br>two</p>"),
    ],
)  # fmt: skip
def test_the_footer_repeats_neither_the_place_nor_the_button(footer: str, html: str) -> None:
    content = replace(COMMENT.full, footer=footer.replace("URL", COMMENT.url))
    found = html_of(received(replace(COMMENT, full=content)))
    assert found.count(f'href="{COMMENT.url.replace("&", "&amp;")}"') == 2  # in the body
    rest = found.partition('<div class="footer"')[2].partition(">")[2]
    assert rest.partition('<p style="margin: 0;">')[0].strip().endswith(html)
    assert html or not rest.partition('<p style="margin: 0;">')[0].strip()


@pytest.mark.parametrize(
    ("footer", "opens", "label"),
    [
        ("[Kommentar öffnen](<URL>)", "comment", "Kommentar öffnen"),
        ("", "library", "Open library"),
        ("[Help](https://x.org)", "", "Open Penpot"),
    ],
)
def test_the_button_names_its_target(footer: str, opens: str, label: str) -> None:
    content = replace(COMMENT.full, footer=footer.replace("URL", COMMENT.url))
    html = html_of(received(replace(COMMENT, full=content, opens=opens)))
    assert re.findall(r'class="button"[^>]*>([^<]*)</a>', html) == [label]


# Each text of the layout: how its color is written in light and in dark, and on which background.
PAGE = (r'<body style="[^"]*background: (#\w{6})', r"body \{ background: (#\w{6})")
TEXTS = {
    "text": (r'<body style="[^"]*; color: (#\w{6})', r"body \{ [^}]*; color: (#\w{6})", PAGE),
    "link": (r'<a style="color: (#\w{6})', r"\n  a \{ color: (#\w{6})", PAGE),
    "quote": (r'class="quote"[^>]* color: (#\w{6})', r"\.quote \{ color: (#\w{6})", PAGE),
    "place": (r'class="place"[^>]* color: (#\w{6})', r"\.place[^{]*\{ color: (#\w{6})", PAGE),
    "footer": (r'class="footer"[^>]* color: (#\w{6})', r"\.footer a \{ color: (#\w{6})", PAGE),
    "button": (
        r'class="button"[^>]*; color: (#\w{6})',
        r"\.button \{ [^}]*; color: (#\w{6})",
        (r'class="button"[^>]*background: (#\w{6})', r"\.button \{ background: (#\w{6})"),
    ),
}


def luminance(color: str) -> float:
    """https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_each_text_has_a_contrast_of_4_5_at_least(name: str, scheme: int) -> None:
    html = html_of(received(COMMENT))
    *colors, background = TEXTS[name]
    found = [re.search(pattern, html) for pattern in (colors[scheme], background[scheme])]
    dark, light = sorted(luminance(match[1]) for match in found if match)
    assert (light + 0.05) / (dark + 0.05) >= 4.5
