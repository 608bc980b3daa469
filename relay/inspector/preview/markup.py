"""HTML shared by the previews: links, pictures, times."""

from datetime import datetime

from markupsafe import Markup

from relay.messages.escape import safe_url

_SCHEMES = ("http://", "https://", "mailto:")


def link(url: object, inner: str) -> Markup:
    """A link to a new window; only its text if channels would not follow the URL's scheme."""
    address = safe_url(url, _SCHEMES) if isinstance(url, str) else ""
    if not address:
        return Markup("{}").format(inner)
    return Markup('<a href="{}" target="_blank" rel="noopener noreferrer nofollow">{}</a>').format(
        address, inner
    )


def wrapped(tag: str, inner: str) -> Markup:
    """``tag`` must not come from a message."""
    return Markup(f"<{tag}>{{}}</{tag}>").format(inner)  # noqa: S704 - see above


def image(alt_text: object) -> Markup:
    """A box in place of a picture, which the inspector does not load."""
    text = alt_text if isinstance(alt_text, str) and alt_text else "Picture"
    return Markup('<span class="preview-image" role="img" aria-label="{0}">{0}</span>').format(text)


def clock(at: str) -> str:
    """The time of day of an ISO 8601 time, in its zone; empty if it is invalid."""
    try:
        return f"{datetime.fromisoformat(at):%H:%M}"
    except ValueError:
        return ""
