"""Picture: the thumbnail of a file or a board, as bytes that a channel can show."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

PictureType: TypeAlias = Literal["image/png", "image/jpeg", "image/gif", "image/webp"]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture whose bytes were looked at: they are of this type and size."""

    content: bytes
    type: PictureType
    width: int
    """In pixels."""
    height: int
    """In pixels."""

    @property
    def extension(self) -> str:
        """The end of a file name, such as ``png``."""
        return self.type.removeprefix("image/")
