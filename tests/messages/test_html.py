from html.parser import HTMLParser

import pytest
from hypothesis import given

from relay.messages.document import parse
from relay.messages.escape import clean, escape
from relay.messages.filters import link, quote
from relay.messages.html import to_html
from tests.messages.texts import any_text, lines

ALLOWED = {
    **dict.fromkeys(("p", "br", "strong", "em", "del", "code", "pre", "blockquote"), ()),
    **dict.fromkeys(("ul", "li", "hr", "h1", "h2", "h3", "h4", "h5", "h6"), ()),
    "ol": ("start",),
    "a": ("href",),
}


class Reader(HTMLParser):
    """Parses HTML and checks it against the allow-list."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert all(name in ALLOWED[tag] for name, _ in attrs)
        assert all(
            value.startswith("https://p.example/") for name, value in attrs if name == "href"
        )
        if tag not in ("br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


@given(any_text, any_text)
def test_html_has_only_allowed_elements_and_the_unchanged_text(one: str, other: str) -> None:
    markdown = f"- **x{escape(one)}** {link(one, 'https://p.example/' + other)}\n\n{quote(other)}"
    html = to_html(parse(markdown))
    text = Reader(html).text
    assert clean(one).strip() in text
    assert all(clean(line) in text for line in lines(other))


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        (
            "a **b** *c* ~~d~~ `<e>`",
            "<p>a <strong>b</strong> <em>c</em> <del>d</del> <code>&lt;e&gt;</code></p>",
        ),
        (
            '[a **b**](https://x/?a=1&b=\\")',
            '<p><a href="https://x/?a=1&amp;b=%22">a <strong>b</strong></a></p>',
        ),
        ("## a\n\nb\\\nc\n***", "<h2>a</h2><p>b<br>c</p><hr>"),
        ("> a\n>\n> b", "<blockquote><p>a</p><p>b</p></blockquote>"),
        ("- a\n- b\n  1. c", "<ul><li>a</li><li>b<ol><li>c</li></ol></li></ul>"),
        ("3. a\n\n   b", '<ol start="3"><li>a<p>b</p></li></ol>'),
        ("```\n<a>\n```", "<pre><code>&lt;a&gt;</code></pre>"),
    ],
)
def test_to_html(markdown: str, html: str) -> None:
    assert to_html(parse(markdown)) == html
