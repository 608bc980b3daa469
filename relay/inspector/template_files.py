"""The files that templates stand in: which there can be, what is in them, and how one is saved."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from relay.messages.environments import BUILTIN, MAX_SIZE
from relay.messages.sets import MARKDOWN, OVERRIDES
from relay.messages.templates import EVENT_NAME, GENERIC

SHARED: Mapping[str, str] = MappingProxyType(
    {f"base{MARKDOWN}": "all messages", f"_words{MARKDOWN}": "the phrases that all share"}
)
"""Files that all events build on, with what they are for."""

STARTERS: Mapping[str, str] = MappingProxyType(
    {
        "slack": """\
{"text": "{{ actor or "Someone" }}: {{ event.name }}",
 "blocks": [
   {"type": "section",
    "text": {"type": "mrkdwn", "text": "*{{ actor or "Someone" }}*: {{ event.name }}"}},
   {"type": "context",
    "elements": [{"type": "mrkdwn", "text": "{{ file or project or team }}"}]}
 ]}
""",
        "matrix": """\
<p><strong>{{ actor or "Someone" }}</strong>: {{ event.name }}</p>
<p><sub>{{ (file or project or team) | link }}</sub></p>
""",
        "email": """\
<!doctype html>
<html lang="en">
<body style="font: 16px/1.5 sans-serif">
<p><strong>{{ actor or "Someone" }}</strong>: {{ event.name }}</p>
<p>{{ (file or project or team) | link }}</p>
</body>
</html>
""",
    }
)
"""What a template for one kind of channel alone begins with: there is no built-in one."""


class NotSaved(Exception):
    """A template could not be saved; the text says why, for a person."""


@dataclass(frozen=True, slots=True)
class TemplatePath:
    """Where a template stands in the user's folder."""

    name: str
    """Of the file, such as ``rename-file.md.j2``."""
    team: str = ""
    """The team's key in the config; empty for all teams."""

    @property
    def path(self) -> str:
        """Within the folder."""
        return f"{self.team}/{self.name}" if self.team else self.name

    @property
    def kind(self) -> str:
        """The kind of channel that it is for alone; empty for all."""
        return next((kind for kind, end in OVERRIDES.items() if self.name.endswith(end)), "")


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """The text that counts for a place."""

    text: str
    origin: str
    """``own``: the file is there; ``all``: that for all teams; ``builtin``; ``new``: there is none,
    the text is for a beginning, as it is where one is ``unreadable``."""
    seen: str = ""
    """Digest of the place's own file; empty where there is none."""


def names(event: str) -> tuple[str, ...]:
    """The files that can be edited for an event, or none where that is no event's name."""
    if not EVENT_NAME.fullmatch(event):
        return ()
    return (event + MARKDOWN, *(event + end for end in OVERRIDES.values()), *SHARED)


def found(user: Path | None, builtin: Path, place: TemplatePath) -> TemplateFile:
    """What stands at a place, or counts there."""
    try:
        own = _content(user / place.path) if user else None
        shared = _content(user / place.name) if user and place.team and own is None else None
    except OSError:
        return replace(beginning(builtin, place), origin="unreadable")
    if own is not None:
        return TemplateFile(_text(own), "own", _digest(own))
    if shared is not None:
        return TemplateFile(_text(shared), "all")
    return beginning(builtin, place)


def beginning(builtin: Path, place: TemplatePath) -> TemplateFile:
    """What one starts from who has no template yet: the built-in one, where there is one."""
    if place.kind:
        return TemplateFile(STARTERS[place.kind], "new")
    own = _content(builtin / place.name)
    if own is not None:
        return TemplateFile(_text(own), "builtin")
    return TemplateFile(_text(_content(builtin / (GENERIC + MARKDOWN)) or b""), "new")


def counting(user: Path | None, event: str, team: str, kind: str) -> TemplatePath | None:
    """The user's own template that a team's channels of that kind get for an event; None where it
    is the built-in one."""
    ends = (OVERRIDES[kind], MARKDOWN) if kind in OVERRIDES else (MARKDOWN,)
    places = (TemplatePath(event + end, owner) for end in ends for owner in (team, ""))
    return next((one for one in places if user and os.path.isfile(user / one.path)), None)


def save(user: Path, place: TemplatePath, text: str, seen: str, *, fails: bool) -> None:
    """Write a template to its place, whole or not at all. Raises ``NotSaved``.

    ``seen`` is the digest of the file that the text was made from: what somebody else has written
    there meanwhile is not lost. One that ``fails`` is not saved.
    """
    if fails:
        raise NotSaved("the template fails, for the reason below")
    if place.team == BUILTIN:
        raise NotSaved(f'a folder "{BUILTIN}" counts for no team: the name is taken')
    target = user / place.path
    content = text.encode()
    if len(content) > MAX_SIZE:
        raise NotSaved("it is larger than 1 MB")
    try:
        there = _content(target)
        if (_digest(there) if there is not None else "") != seen:
            raise NotSaved(
                f"{target} has been changed since you opened it: download yours, then reload"
            )
        target.parent.mkdir(exist_ok=True)
        _replace(target, content)
    except OSError as error:
        raise NotSaved(f"{target} can't be written: {error.strerror}") from error


def _replace(target: Path, content: bytes) -> None:
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
    # No template by its name, so that nobody takes it for one before it is whole.
    handle, name = tempfile.mkstemp(prefix=".", suffix=".new", dir=target.parent)
    try:
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def _content(path: Path) -> bytes | None:
    """None where there is no file."""
    try:
        with open(path, "rb") as file:
            return file.read(MAX_SIZE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
