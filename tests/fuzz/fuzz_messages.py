"""Coverage-guided fuzzing of Markdown to each channel's form.

    PYTHONPATH=. python tests/fuzz/fuzz_messages.py -max_total_time=60 -rss_limit_mb=512 -timeout=5

An input is a template's output, of which a user's template decides every character: its parts are
separated by NUL. The first byte chooses whether the text is such output, or a name and a comment
from Penpot in it. See ``forms`` for what each form has to be, and ``fuzz_wire`` for ``atheris``.
"""

import asyncio
from collections.abc import Iterator

import atheris

with atheris.instrument_imports(include=["relay", "markdown_it"]):
    from relay.channels import CHANNEL_TYPES, override_formats
    from relay.messages.document import Text, parse, parse_fully
    from relay.messages.escape import clean, escape
    from relay.messages.filters import quote
    from relay.messages.message import Content, Mention, Message
    from relay.messages.templates import Templates
    from tests.fuzz.forms import check_forms

from relay.delivery.pipeline import EventSource, examples
from relay.penpot.samples import SAMPLE_NAMES
from tests.fuzz.fuzzing import fuzz

PROFILE = "6eaf5050-5d0e-81a4-8006-9a5f00000001"
ADA = Mention(PROFILE, "Ada", "ada@example.com", {"matrix": "@ada:relay.test"})
URL = "https://penpot.example/#/view?a=1&b=2"
STRUCTURES = (
    "# A\n\n> - 1. **b** _i_ ~~s~~ `c`\n>   > q\n\n```\ncode\n```\n\n---\n\n7. x\n8. y",
    "[a](https://x.example) ![b](http://y.example/p.png) <mailto:a@b.c> [c](javascript:alert)",
    "*from [today 10:17](<relay-time:1785000000>)* · [10:17](<relay-time:1785000000:time>)",
    f"[@Ada](<penpot-profile:{PROFILE}>) a\\\nb &lt;!channel&gt; <!channel> <@U1> <b>x</b>",
)


def message_of(data: bytes) -> Message:
    title, body, footer, file, *_ = [*data[1:].decode("utf-8", "replace").split("\0"), "", "", ""]
    if data[:1] < b"\x80":
        content = Content(body, footer)
    else:
        content = Content(f"**{escape(title)}** in {escape(file)}\n\n{quote(body)}", escape(footer))
    mentions = (ADA,) if data[:1] and data[0] % 2 else ()
    url = URL if data[:1] and data[0] % 4 > 1 else ""
    return Message(
        title, content, event=title[:40], team="acme", file=file, url=url, mentions=mentions
    )


def one_input(data: bytes) -> None:
    message = message_of(data)
    check_forms(message)
    for markdown in (message.content.body, message.content.footer):
        assert parse(markdown) == parse_fully(markdown)
    literal = escape(message.title)
    if literal.strip():
        (paragraph,) = parse(f"x{literal}x")
        assert paragraph.inlines == (Text(f"x{clean(message.title)}x"),)  # type: ignore[union-attr]


def seeds() -> Iterator[bytes]:
    """The built-in templates' output for each sample, and other structures."""
    templates = Templates(None, override_formats())
    events = asyncio.run(examples(SAMPLE_NAMES, EventSource("acme", "acme", penpot_url=URL)))
    for kind in CHANNEL_TYPES:
        for event in events:
            result = templates.render(event.name, event.variables(), team="acme", channel_kind=kind)
            full = result.message.full
            yield "\0".join(("\3" + result.message.title, full.body, full.footer, "Home")).encode()
    for text in STRUCTURES:
        yield f"\1title\0{text}\0{text}".encode()
        yield b"\x81" + f"{text}\0{text}\0{text}\0{text}".encode()


if __name__ == "__main__":
    fuzz(one_input, seeds(), "-max_len=6000")
