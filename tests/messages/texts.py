"""Difficult and hostile texts for names and comments."""

from hypothesis import strategies as st

from relay.messages import filters
from relay.messages.escape import runs

NASTY = (
    "<!channel> <!here|x> <@U123> @here @room",
    "[x](javascript:alert(1)) ![y](http://evil.example/p.png) <http://evil.example>",
    "**b** _i_ ~~s~~ `c` \\ \\\\ \\* &amp; &lt;b&gt; &#42;",
    "# heading",
    "> quote",
    "- list",
    "1. list",
    "---",
    "===",
    "```\ncode",
    "    indented",
    "[ref]: http://evil.example",
    "<!-- body -->",
    "</p><script>alert(1)</script>",
    "{{ actor }} {% raw %}",
    "line\r\nline\u2028line\u0085line\x0bline",
    "\x00\x07\x1b[31mred",
    "\u202egpj.exe\u202c",
    "שלום עולם",
    "مرحبا (x) *y*",
    "👩🏽‍🚀👨‍👩‍👧‍👦🇩🇪🏴󠁧󠁢󠁥󠁮󠁧󠁿 e\u0301",
    "\ud800 lone",
    "[now](<relay-time:1785000000>) <relay-time:1> ](<relay-time:1>)",
    "trailing \\",
    "a  b\tc",
    "| a | b |\n|---|---|",
    "http://evil.example www.evil.example a@evil.example",
    "\u00a0nbsp\u00a0",
    "*",
)

any_text = st.one_of(
    st.sampled_from(NASTY),
    st.lists(st.sampled_from([*NASTY, "\n", " ", "\\", "*", "Ada"]), max_size=6).map("".join),
    st.text(max_size=60),
)


def lines(text: str) -> list[str]:
    """The lines of a quotation of ``text``, without empty ones at the start and the end."""
    rows = ["".join(part for part, _ in line) for line in filters.lines(runs(text))]
    filled = [number for number, row in enumerate(rows) if row]
    return rows[filled[0] : filled[-1] + 1] if filled else []
