"""Picture: the thumbnail of a file or a board."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

PictureType: TypeAlias = Literal["image/png", "image/jpeg", "image/gif", "image/webp"]


@dataclass(frozen=True, slots=True)
class Picture:
    """``type`` and size are read from the bytes."""

    content: bytes
    type: PictureType
    width: int  # pixels
    height: int  # pixels

    @property
    def extension(self) -> str:
        """Of a file name, such as ``png``."""
        return self.type.removeprefix("image/")
