"""What events are about: people, files, threads and so on, as templates get them."""

from dataclasses import dataclass, field
from typing import Final

MOST_FILES: Final = 100
"""So many files of one event are told, looked up and learned; Penpot moves any number at once."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that an event is about. Truthy when its name is known."""

    id: str = ""
    """A UUID in lower case; empty where it is not known."""
    name: str = ""
    """One line without control characters; empty where it is not known."""
    url: str = ""
    """The place in Penpot; empty where there is none. See ``links.py``."""

    def __bool__(self) -> bool:
        return bool(self.name)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class File(Subject):
    """A file."""

    thumbnail: str = ""
    """Where Penpot has a picture of it, or of the board that a comment stands on; empty where there
    is none, or none was asked for."""


@dataclass(frozen=True, slots=True)
class Person(Subject):
    """Who did it."""

    email: str = ""


@dataclass(frozen=True, slots=True)
class Font(Subject):
    """A font family, or one variant of it."""

    style: str = ""
    """``normal`` or ``italic``; empty where it is not told."""
    weight: int | None = None
    """100 to 950; None where it is not told."""


@dataclass(frozen=True, slots=True)
class Thread:
    """A comment thread. Truthy when its number is known."""

    id: str = ""
    number: int | None = None
    """What Penpot shows at the thread's place in the file; counted per file."""
    url: str = ""
    first: str = ""
    """The first comment's text, plain; empty where it is not known."""
    resolved: bool | None = None
    board: str = ""
    """Id of the board that it stands on; empty where it stands on none, or that is not known."""
    begun: bool = False
    """Whether the message stands under the thread's first in the channel, so that file, page and
    first comment need not be told again."""

    @property
    def name(self) -> str:
        """The number as Penpot's own mails write it, such as ``#15``; empty if not known."""
        return "" if self.number is None else f"#{self.number}"

    def __bool__(self) -> bool:
        return self.number is not None

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment. Truthy when it has text."""

    id: str = ""
    text: str = ""
    """Plain text; mentions stand in it as ``@Name``. As Penpot sent it these are ``Words``."""
    url: str = ""
    mentions: tuple[Person, ...] = ()
    """The mentioned people, as Penpot tells them beside the text; sorted by their ids."""
    author: Person = field(default_factory=Person)
    """Who wrote it."""
    is_first: bool = False
    """Whether it is the first of its thread."""
    before: str = ""
    """Its text before it was edited, as ``text``; empty where it was not, or that is not known."""
    edited: bool = False
    """Whether a message that shows it has to say that its text is not what it was at first."""

    def __bool__(self) -> bool:
        return bool(self.text.strip())

    def __str__(self) -> str:
        return self.text
