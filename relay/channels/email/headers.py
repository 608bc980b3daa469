"""Headers with text of people, encoded (RFC 2047) and folded (RFC 5322, section 2.2.3).

Python's ``email`` loses and adds spaces where it folds headers with encoded words, so it gets each
header in its final form, through ``set_raw``.
"""

from collections.abc import Iterable, Sequence
from email.charset import Charset
from email.headerregistry import Address
from email.utils import formataddr
from functools import partial
from itertools import chain, repeat
from unicodedata import category, normalize

from relay.messages.shorten import shorten

_MAX_LINE_LENGTH = 78  # octets without the line end
_MAX_ENCODED_LINE_LENGTH = 76  # of a line with an encoded word
_MAX_WORD_LENGTH = 75  # of an encoded word

_MAX_SENDER_NAME_LENGTH = 60  # characters of a person's name
# What could end the name, or show another address than the sender's. Most of their look-alikes are
# these signs in the form NFKC, the others are angles.
_ADDRESS_SIGNS = frozenset(
    '@<>"\\()[]{},;:\u02c2\u02c3\u2039\u203a\u276c\u276d\u276e\u276f\u27e8\u27e9\u29fc\u29fd\u3008\u3009'
)
_INVISIBLE_CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
_BLANKS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"  # letters and marks without a shape

_nfkc = partial(normalize, "NFKC")

_CHARSET = Charset("utf-8")  # quoted-printable or base64, whichever is shorter


def text_header(name: str, text: str) -> str:
    """The value of an unstructured header such as ``Subject``. ``text`` is one line."""
    return fold(name, text.split() if _is_plain(text, name) else _encode(text, name))


def address_header(name: str, addresses: Sequence[Address]) -> str:
    """The value of a header such as ``To``. A line is longer where an address is."""
    words: list[str] = []
    for address in addresses:
        display_name = " ".join(address.display_name.split())
        if _is_plain(display_name, name):
            words += formataddr((display_name, address.addr_spec)).split()
        else:
            words += [*_encode(display_name, name), f"<{address.addr_spec}>"]
        words[-1] += ","
    return fold(name, words)[:-1]


def sender_name(person: str, sender: str) -> str:
    """``Ada Lovelace (Penpot)``, where ``sender`` is the name of the channel's sender; that alone
    for a name without a visible letter. Nothing in it reads as an address or changes the order of
    the text around it."""
    letters = (" " if _is_sign(letter) else letter for letter in person if not _is_hidden(letter))
    name = shorten(" ".join("".join(letters).split()), _MAX_SENDER_NAME_LENGTH)
    return f"{name} ({sender})" if any(map(str.isalnum, name)) else sender


def _is_sign(letter: str) -> bool:
    return letter.isspace() or not _ADDRESS_SIGNS.isdisjoint(_nfkc(letter))


def _is_hidden(letter: str) -> bool:
    hidden = category(letter) in _INVISIBLE_CATEGORIES or letter in _BLANKS
    return hidden and not letter.isspace()


def fold(name: str, words: Iterable[str]) -> str:
    """The words, with a space or a line end and a space between them."""
    lines, line = [], f"{name}:"
    for word in words:
        extended = f"{line} {word}"
        limit = _MAX_ENCODED_LINE_LENGTH if "=?" in extended else _MAX_LINE_LENGTH
        if len(extended) > limit and line != f"{name}:":
            lines.append(line)
            extended = f" {word}"
        line = extended
    return "\r\n".join([*lines, line]).removeprefix(f"{name}: ")


def _is_plain(text: str, name: str) -> bool:
    """Whether the text needs no encoding: it is ASCII, has no encoded word, and can be folded."""
    longest = _MAX_LINE_LENGTH - len(f"{name}: ") - len('"",')
    is_readable = text.isascii() and (text.isprintable() or not text) and "=?" not in text
    return is_readable and all(len(word) <= longest for word in text.split())


def _encode(text: str, name: str) -> list[str]:
    """Encoded words, of which the first fits into the first line. None splits a character; the
    space between two of them is not part of the text."""
    first = _MAX_ENCODED_LINE_LENGTH - len(f"{name}: ")
    lengths = chain([first], repeat(_MAX_WORD_LENGTH))
    return [word for word in _CHARSET.header_encode_lines(text, lengths) if word is not None]
