"""Hostile texts as hypothesis strategies, and messages that contain them."""

from hypothesis import strategies as st

from relay.messages.escape import escape
from relay.messages.filters import quote
from relay.messages.message import Content, Message

HOSTILE = [
    "<!channel>",
    "<!here|x>",
    "<@U0ADA0000>",
    "<#C0DESIGN0>",
    "<https://evil.example|click>",
    "&lt;!channel&gt;",
    "@room",
    "@ada:relay.test",
    "[x](javascript:alert(1))",
    "[now](<relay-time:1785000000>)",
    "<!date^1785000000^{time}|now>",
    "![x](https://evil.example/x.png)",
    "<img src=x onerror=alert(1)>",
    "</blockquote></p><script>alert(1)</script>",
    "<a href='https://matrix.to/#/@ada:relay.test'>Ada</a>",
    "**bold** _it_ ~~no~~ `code`",
    "```\ncode",
    "x\r\nBcc: evil@example.com\r\n\r\nbody",
    "\r\n.\r\nMAIL FROM:<evil@example.com>",
    "=?utf-8?q?x=0D=0ABcc:_evil@example.com?=",
    "=?=?utf-8?q??=?q?=0D=0A?=",
    "=??Q?=0D=0A",
    "> - 1. # quote",
    ":tada: *b*",
    "a\x00b\x1b[31mc\x85d\u2028e",
    "\u202eevil",
    "👩‍👩‍👧‍👦🇩🇪" * 3,
]

foreign = st.one_of(
    st.text(),
    st.sampled_from(HOSTILE),
    st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20)), max_size=4).map("".join),
)
long_foreign = st.builds(lambda text, times: text * times, foreign, st.integers(1, 3000))


def carrying(name: str, comment: str, title: str = "") -> Message:
    """A message as the templates render it, with these texts."""
    return Message(
        title=title or f"{name} commented",
        full=Content(
            f"**{escape(name)}** commented on [{escape(name)}](https://penpot.example/#/view)\n\n"
            f"{quote(comment)}",
            f"{escape(name)} · [Open in Penpot](https://penpot.example/#/view)",
        ),
        url="https://penpot.example/#/view",
        event=name,
        team="acme",
        at="2026-07-25T08:17:02.555Z",
    )


messages = st.builds(carrying, foreign, st.one_of(foreign, long_foreign), foreign)
