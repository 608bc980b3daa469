"""Actions of people that change the stand-in's world."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.penpot import rows
from tests.penpot.world import Comment, Thread, World, instant

Body = dict[str, Any]
_ROW = ("fileName", "projectId", "teamId", "countComments", "countUnreadComments")


@dataclass
class People:
    """Actions at the time ``now``. Those that have a webhook return the body of its event."""

    world: World
    file: str
    now: datetime
    who: str = ""
    _number: int = field(default=100)

    def __post_init__(self) -> None:
        self.who = self.who or self.world.by_name("profiles", "ada")
        self.page = self.world.by_name("pages", "p1")

    def begin(self, text: str) -> tuple[Thread, Body]:
        self._number += 1
        first = Comment(str(uuid.uuid4()), self.who, text, [], self.now, self.now)
        thread = Thread(
            str(uuid.uuid4()), self.file, self.page, "Page 1", self._number, [first],
            created=self.now, modified=self.now,
        )  # fmt: skip
        self.world.threads[thread.id] = thread
        row = {name: value for name, value in rows.thread(self.world, thread).items()
               if name not in _ROW}  # fmt: skip
        return thread, self._body("create-comment-thread", row | {"commentId": first.id})

    def reply(self, thread: Thread, text: str) -> Body:
        self._later_than(thread)
        comment = Comment(str(uuid.uuid4()), self.who, text, [], self.now, self.now)
        thread.comments.append(comment)
        thread.modified = self.now
        return self._body("create-comment", rows.comment(self.world, thread, comment))

    def edit(self, thread: Thread, number: int, text: str) -> None:
        self._later_than(thread)
        comment = thread.comments[number]
        comment.content, comment.modified, thread.modified = text, self.now, self.now

    def _later_than(self, thread: Thread) -> None:
        """A polled thread whose ``modifiedAt`` stays the same has no changed comment."""
        self.now = max(self.now, thread.modified + timedelta(milliseconds=1))

    def resolve(self, thread: Thread, *, resolved: bool = True) -> None:
        """Penpot does not change the thread's ``modifiedAt``."""
        thread.is_resolved = resolved

    def delete(self, thread: Thread, number: int | None = None) -> None:
        """Delete a comment, or the thread if ``number`` is None."""
        if number is None:
            del self.world.threads[thread.id]
        else:
            del thread.comments[number]

    def _body(self, name: str, props: Body) -> Body:
        at = instant(self.now)
        props = {key: value for key, value in props.items() if value is not None}
        return {
            "name": name,
            "props": props,
            "createdAt": at,
            "profileId": self.who,
            "trackedAt": at,
        }
