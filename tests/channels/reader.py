"""Parses a preview and checks it against the elements and attributes that previews may contain."""

from html.parser import HTMLParser

VOID = {"br", "hr"}
TAGS = {
    *("article", "div", "span", "p", "b", "i", "s", "u", "a", "code", "pre", "br", "hr", "ul"),
    *("ol", "li", "dl", "dt", "dd", "strong", "em", "del", "blockquote", "sub", "sup", "font"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td", "caption"),
    *("details", "summary", "time"),
}
ATTRIBUTES = {
    *("class", "href", "target", "rel", "start", "title", "role", "aria-label", "aria-hidden"),
    *("tabindex", "color", "datetime", "data-form"),
}


class Reader(HTMLParser):
    """``text``: visible text; ``links``: link targets; ``classes``: all CSS classes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.links: list[str] = []
        self.classes: set[str] = set()
        self.tags: list[str] = []
        self._open: list[str] = []
        self.feed(str(html))
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        assert {name for name, _ in attrs} <= ATTRIBUTES
        attributes = dict(attrs)
        self.tags.append(tag)
        self.classes.update((attributes.get("class") or "").split())
        assert all(name.startswith("preview") for name in self.classes)
        if "href" in attributes:
            self.links.append(attributes["href"] or "")
            assert self.links[-1].lower().startswith(("https://", "http://", "mailto:"))
            assert attributes["rel"] == "noopener noreferrer nofollow"
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    handle_decl = handle_pi = unknown_decl = handle_comment
