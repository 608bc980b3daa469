"""What the looks have in common: links, and who said it when."""

from datetime import datetime

from markupsafe import Markup

from relay.messages.escape import web_address

_SCHEMES = ("http://", "https://", "mailto:")


def link(url: object, inner: str) -> Markup:
    """A link that opens beside the inspector; without one of the schemes that channels follow it is
    its words alone."""
    address = web_address(url, _SCHEMES) if isinstance(url, str) else ""
    if not address:
        return Markup("{}").format(inner)
    return Markup('<a href="{}" target="_blank" rel="noopener noreferrer nofollow">{}</a>').format(
        address, inner
    )


def wrapped(tag: str, inner: str) -> Markup:
    """``inner`` in an element of that name, which is the drawing's own and nobody's text."""
    return Markup(f"<{tag}>{{}}</{tag}>").format(inner)  # noqa: S704 - see above


def image(words: object) -> Markup:
    """The place of a picture, which the inspector does not fetch."""
    text = words if isinstance(words, str) and words else "Picture"
    return Markup('<span class="look-image" role="img" aria-label="{0}">{0}</span>').format(text)


def clock(at: str) -> str:
    """The time of day, in UTC, of a moment in ISO 8601; empty where it is none."""
    try:
        return f"{datetime.fromisoformat(at):%H:%M}"
    except ValueError:
        return ""
