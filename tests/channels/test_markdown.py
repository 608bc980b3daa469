"""Documents as the Markdown of chats: any text stays text, in each dialect."""

import re
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.channels.discord.content import DIALECT as DISCORD
from relay.channels.markdown import INVISIBLE, Dialect, bounded, line_of, to_markdown
from relay.channels.mattermost.content import DIALECT as MATTERMOST
from relay.channels.rocketchat.content import DIALECT as ROCKETCHAT
from relay.messages.document import length, parse, to_text
from relay.messages.escape import escape
from relay.messages.filters import quote
from tests.channels.marked import Shown, visible
from tests.channels.texts import HOSTILE, foreign
from tests.servers.rocketchat_parser import ShownInRocketChat

DIALECTS = {"discord": DISCORD, "mattermost": MATTERMOST, "rocketchat": ROCKETCHAT}
READERS = {"discord": Shown, "mattermost": Shown, "rocketchat": ShownInRocketChat}
KINDS = sorted(DIALECTS)
URL = "https://penpot.example/#/view"
ROOM_PING_PATTERN = re.compile(r"@(?:everyone|here|channel|all|room|ada)", re.IGNORECASE)
# U+00A0 and the like are white space for the parser, at the ends of lines.
BLANKS_PATTERN = re.compile(r"\s+")


def words(text: str) -> str:
    """Without white space. In an address "%40" is the same as "@"; in a link's text brackets become
    round ones where they are not in pairs, or what looks like them."""
    text = BLANKS_PATTERN.sub("", visible(text)).replace("%40", "@")
    return text.translate(str.maketrans("[]<>|", "()‹›¦"))


@pytest.mark.parametrize("kind", KINDS)
@given(text=foreign)
@example("1. a\\")
@example("[WIP] (a) [b")
@example("-# small\\\n> quote")
@example("a&lt;b &amp; &#64;here")
def test_foreign_text_shows_as_it_is(kind: str, text: str) -> None:
    markdown = (
        f"**{escape(text)}** on [{escape(text)}]({URL})\n\n{quote(text)}\n\n~~x{escape(text)}x~~"
    )
    document = parse(markdown)
    written = to_markdown(document, DIALECTS[kind])
    shown = READERS[kind](written)
    assert words(shown.text) == words(to_text(document, links=False, quoted=""))
    for label, target in shown.links:
        assert target == URL or words(unquote(label)) == words(unquote(target))
    assert set(shown.tags) <= {"p", "br", "blockquote", "a", "strong", "s"}
    assert not ROOM_PING_PATTERN.search(written)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_formats_nothing_in_any_place(kind: str, text: str) -> None:
    markdown = f"# {escape(text)}\n\n- {escape(text)}\n  1. {escape(text)}\n\n`{escape(text)}`"
    markdown += f"\n\n```\n{escape(text)}\n```"
    shown = READERS[kind](to_markdown(parse(markdown), DIALECTS[kind]))
    heading = "h1" if DIALECTS[kind].deepest_heading else "strong"
    assert set(shown.tags) <= {"p", heading, "ul", "ol", "li", "code", "pre", "a"}
    assert all(words(unquote(label)) == words(unquote(target)) for label, target in shown.links)


@pytest.mark.parametrize("kind", KINDS)
def test_structure_is_kept(kind: str) -> None:
    markdown = "\n".join([
        "**bold** *italic* ~~gone~~ ***both*** `code` ``a`b`` **x**y",
        "",
        f"[a [b] c]({URL}?a=(1))",
        "",
        "> quoted\\",
        "> twice",
        "> - item",
        "",
        "3. three",
        "4. four",
        "   - inner",
        "",
        "- top",
        "",
        "```",
        "code *here*",
        "```",
    ])  # fmt: skip
    shown = READERS[kind](to_markdown(parse(markdown), DIALECTS[kind]))
    assert shown.links == [("a [b] c", f"{URL}?a=%281%29")]
    text = words(to_text(parse(markdown), links=False, quoted=""))
    # Not every chat has lists in lists or in quotations.
    assert words(shown.text).replace("-", "") == re.sub(r"[34]\.|-", "", text)
    for tag in ("strong", "em", "s", "code", "blockquote", "ul", "ol", "pre"):
        assert tag in shown.tags


@pytest.mark.parametrize("kind", KINDS)
@given(st.lists(st.sampled_from(["**a**", "*b*", "~~c~~", "`d`", "e", " ", "(", "!"]), max_size=8))
@example(["**a**", "**a**", "*b*", "`d`", " ", "`d`", "*b*", "**a**"])  # bold code beside letters
@example(["**a**", "*b*", "*b*", "~~c~~", "**a**", "*b*", "`d`"])  # two styles beside letters
def test_styles_that_touch_are_not_mixed_up(kind: str, parts: list[str]) -> None:
    document = parse("x" + "".join(parts) + "x")
    shown = READERS[kind](to_markdown(document, DIALECTS[kind]))
    assert words(shown.text) == words(to_text(document, links=False))


def test_an_address_is_a_link_to_itself_and_no_other_is_one() -> None:
    text = "https://a.example/x_y*z and https://bank.example@evil.example, ftp://b.example"
    written = to_markdown(parse(escape(text)), DISCORD)
    assert written.startswith("<https://a.example/x_y*z> and https:")
    assert f"https:{INVISIBLE}//bank.example@{INVISIBLE}evil.example" in written
    assert f"ftp:{INVISIBLE}//b" in written


def test_an_address_in_a_links_text_opens_the_links_target() -> None:
    (link,) = Shown(to_markdown(parse(f"[{escape('https://good.example')}]({URL})"), DISCORD)).links
    assert link == ("https://good.example", URL)


def test_what_a_chat_does_not_link_to_is_text() -> None:
    written = to_markdown(parse("[Unsubscribe](mailto:it@example.com)"), DISCORD)
    assert written == "Unsubscribe"


@pytest.mark.parametrize("limit", [300, 1000, 4000])
@given(text=foreign, times=st.integers(1, 400))
def test_the_limit_holds_for_any_text(limit: int, text: str, times: int) -> None:
    document = parse(f"**{escape(text * times)}** [{escape(text)}]({URL})\n\n{quote(text * times)}")
    written = bounded(document, DISCORD, limit)
    assert len(written) <= limit
    if length(document) * 6 + len(URL) < limit:  # each character with at most two more
        assert "…" in text or "…" not in written


def test_too_much_structure_for_its_text_becomes_plain() -> None:
    document = parse("**a** *b* " * 1000)
    assert len(bounded(document, DISCORD, 200)) <= 200


def test_headings_beyond_the_chats_are_shown_as_its_deepest_or_bold() -> None:
    assert to_markdown(parse("##### Five"), DISCORD) == "### Five"
    flat = Dialect(formats=DISCORD.formats, pings=DISCORD.pings, mention=str, deepest_heading=0)
    assert to_markdown(parse("# One"), flat) == "**One**"


def test_a_line_of_inlines_has_no_line_breaks() -> None:
    (paragraph,) = parse("a\\\nb")
    assert line_of(paragraph.inlines, DISCORD) == "a b"
