"""Reads a chat's Markdown back with a CommonMark parser, as far as chats agree with it."""

from html.parser import HTMLParser

from markdown_it import MarkdownIt

from relay.channels.markdown import INVISIBLE

_THIN = "\u200a"


def parser() -> MarkdownIt:
    """With what chats add to CommonMark: ``~~``, tables, and a line end that is one."""
    options = {"html": True, "breaks": True, "linkify": False}
    return MarkdownIt("commonmark", options).enable(["strikethrough", "table"])


class Shown(HTMLParser):
    """``text``: what is shown; ``links``: text and target of each; ``tags``: all elements."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.text = ""
        self.links: list[tuple[str, str]] = []
        self.tags: list[str] = []
        self._target: str | None = None
        self._words = ""
        self.feed(parser().render(markdown))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "a":
            self._target, self._words = dict(attrs)["href"], ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self.links.append((self._words, self._target or ""))
            self._target = None

    def handle_data(self, data: str) -> None:
        data = visible(data)
        self.text += data
        self._words += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)


def visible(text: str) -> str:
    return text.replace(INVISIBLE, "").replace(_THIN, "")
