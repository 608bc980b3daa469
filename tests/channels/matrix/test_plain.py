"""The plain text of a message: first what a notification shows, the only address last."""

from dataclasses import replace

from hypothesis import given

from relay.channels.matrix.content import render
from relay.messages.message import Content, Message
from tests.channels.texts import messages

URL = "https://penpot.example/#/workspace?team-id=1&file-id=2&page-id=3&comment-id=4"
COMMENT = Message(
    title="Ada Lovelace commented on Landing page",
    full=Content(
        f"**Ada Lovelace** commented on [Landing page]({URL}) · Home · [\\#29]({URL})\n\n"
        "> Could you check\\\n> the 24px padding?",
        f"Website · [Open comment]({URL})",
    ),
    url=URL,
    notice="Ada Lovelace on Landing page: Could you check the 24px padding?",
    project="Website",
    file="Landing page",
    page="Home",
    number="#29",
)


def plain(message: Message) -> str:
    return str(render(message)["body"])


def with_body(message: Message, body: str) -> Message:
    return replace(message, full=replace(message.full, body=body))


def test_a_comment_is_said_once() -> None:
    assert plain(COMMENT) == (
        "Ada Lovelace on Landing page: Could you check the 24px padding?\n\n"
        f"Website › Landing page › Home › #29\n{URL}"
    )


def test_a_comment_that_the_notice_cuts_is_complete() -> None:
    long = " ".join(f"word{number}" for number in range(200))
    message = with_body(COMMENT, f"**Ada Lovelace** commented\n\n> {long}")
    message = replace(message, notice=f"Ada Lovelace on Landing page: {long[:190]}…")
    assert plain(message) == (
        f"{message.notice}\n\n> {long}\n\nWebsite › Landing page › Home › #29\n{URL}"
    )


def test_what_only_the_body_says_is_kept() -> None:
    edited = with_body(COMMENT, COMMENT.full.body.replace("\n\n", " · edited\n\n", 1))
    assert plain(edited).splitlines()[1:3] == [
        "",
        "Ada Lovelace commented on Landing page · Home · #29 · edited",
    ]
    alert = Message(
        "Messages to design have stopped",
        Content("Messages to **design** have stopped: the bot is not in \\#design\\. They wait\\."),
    )
    assert plain(alert) == (
        "Messages to design have stopped: the bot is not in #design. They wait."
    )
    announced = replace(alert, notice="design has stopped: the bot is not in #design")
    assert plain(announced) == f"{announced.notice}\n\n{plain(alert)}"
    small = replace(COMMENT, full=replace(COMMENT.full, footer="Website · Sent late\\."))
    assert "\n\nSent late.\n\nWebsite › " in plain(small)


def test_a_first_line_may_begin_with_an_emoji() -> None:
    body = "⚠️ Messages to **design** have stopped: the bot is not in \\#design\\."
    message = Message("Messages to design have stopped", Content(body))
    assert plain(message) == "⚠️ Messages to design have stopped: the bot is not in #design."
    renamed = Message("Ada renamed One to Two", Content("✏️ **Ada** renamed One to Two"))
    assert plain(renamed) == "Ada renamed One to Two"


def test_a_quote_with_its_author_is_said_once() -> None:
    body = "**Resolved** · Landing page\n\n> Ada Lovelace: Could you check the 24px padding?"
    message = replace(with_body(COMMENT, body), notice=f"Resolved: {COMMENT.notice}")
    assert plain(message) == f"Resolved: {plain(COMMENT)}"
    other = replace(message, notice=message.notice.replace("Ada Lovelace", "Someone"))
    assert "\n\n> Ada Lovelace: Could you" in plain(other)


def test_a_list_keeps_its_form() -> None:
    message = with_body(COMMENT, f"2 files\n\n- [One]({URL})\n- [Two]({URL})")
    assert "\n\n2 files\n\n- One\n- Two\n\nWebsite › " in plain(message)


def test_without_a_notice_the_body_says_the_same() -> None:
    message = replace(COMMENT, notice="")
    assert plain(message) == (
        "Ada Lovelace commented on Landing page\n\n"
        f"> Could you check\n> the 24px padding?\n\nWebsite › Landing page › Home › #29\n{URL}"
    )
    brief = with_body(message, "**Ada Lovelace** commented\n\n> Words")
    assert plain(brief).startswith("Ada Lovelace commented on Landing page\n\n> Words\n\n")


def test_the_team_is_in_the_place_where_the_footer_names_it() -> None:
    message = replace(COMMENT, team_name="Acme")
    assert "Acme" not in plain(message)
    footer = f"Website · Acme · [Open comment]({URL})"
    named = plain(replace(message, full=replace(message.full, footer=footer)))
    assert named.count("Acme") == 1
    assert "\n\nAcme › Website › Landing page › Home › #29\n" in named


def test_a_comment_with_the_words_of_the_title_is_not_left_out() -> None:
    message = replace(with_body(COMMENT, "**Ada** commented\n\n> Landing page"), notice="")
    assert "\n\n> Landing page\n\n" in plain(message)

    assert "\n\n👍\n\n" in plain(with_body(COMMENT, "👍"))


@given(messages)
def test_the_first_line_has_no_address_and_the_last_is_the_only_one(message: Message) -> None:
    message = replace(message, url=URL, notice=message.title)
    text = plain(message)
    assert text.endswith(f"\n{URL}")
    assert text.count(URL) == 1
    assert text.splitlines()[0].strip()
