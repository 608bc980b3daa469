"""Template files: which ones exist for an event, their content, and saving one."""

import hashlib
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from relay.channels import CHANNEL_TYPES, override_formats
from relay.errors import RelayError
from relay.messages.environments import BUILTIN, MARKDOWN_SUFFIX, MAX_TEMPLATE_SIZE
from relay.messages.templates import EVENT_NAME_PATTERN, GENERIC_TEMPLATE

SHARED = {f"base{MARKDOWN_SUFFIX}": "all messages", f"_words{MARKDOWN_SUFFIX}": "shared phrases"}
"""Files that every event's template includes, with their purpose."""


class NotSaved(RelayError):
    """A template was not saved, or not removed; the text says why."""


@dataclass(frozen=True, slots=True)
class TemplatePath:
    name: str  # of the file, such as ``rename-file.md.j2``
    team: str = ""  # the team's key in the config; empty for all teams

    @property
    def path(self) -> str:
        """Relative to the user's folder."""
        return f"{self.team}/{self.name}" if self.team else self.name

    @property
    def kind(self) -> str:
        """The only kind of channel that it is for; empty for all."""
        suffixes = _suffixes().items()
        return next((kind for kind, suffix in suffixes if self.name.endswith(suffix)), "")

    @property
    def label(self) -> str:
        purpose = f"{CHANNEL_TYPES[self.kind].label} only" if self.kind else "all channels"
        return f"{SHARED.get(self.name, purpose)}: {self.name}"


@dataclass(frozen=True, slots=True)
class TemplateFile:
    text: str
    origin: str
    """``own``: the file exists; ``all``: the file for all teams; ``builtin``; ``new``: none exists;
    ``unreadable``. The last two have an initial text."""
    digest: str = ""  # of the own file; empty if there is none


def file_names(event: str) -> tuple[str, ...]:
    """The files that can be edited for an event; none for an invalid event name."""
    if not EVENT_NAME_PATTERN.fullmatch(event):
        return ()
    suffixes = (MARKDOWN_SUFFIX, *_suffixes().values())
    return (*(event + suffix for suffix in suffixes), *SHARED)


def _suffixes() -> dict[str, str]:
    """Those of the templates for an event and one kind of channel, by the kind."""
    return {kind: form.suffix for kind, form in override_formats().items() if form.by_event}


def load_template(user: Path | None, builtin: Path, template: TemplatePath) -> TemplateFile:
    try:
        file = _file(user / template.path, "own") if user else None
        if file is None and user and template.team:
            file = _file(user / template.name, "all")
    except OSError:
        return replace(default_template(builtin, template), origin="unreadable")
    return file or default_template(builtin, template)


def default_template(builtin: Path, template: TemplatePath) -> TemplateFile:
    """The built-in template, or an initial text if there is none."""
    if template.kind:
        return TemplateFile(CHANNEL_TYPES[template.kind].starter, "new")
    generic = builtin / (GENERIC_TEMPLATE + MARKDOWN_SUFFIX)
    return _file(builtin / template.name, "builtin") or TemplateFile(generic.read_text(), "new")


def own_template(user: Path | None, event: str, team: str, kind: str) -> TemplatePath | None:
    """The user's template that a team's channels of that kind use; None for the built-in one."""
    suffixes = (*filter(None, (_suffixes().get(kind),)), MARKDOWN_SUFFIX)
    paths = (TemplatePath(event + suffix, owner) for suffix in suffixes for owner in (team, ""))
    return next((path for path in paths if user and os.path.isfile(user / path.path)), None)


def save(user: Path, template: TemplatePath, text: str, digest: str, *, fails: bool) -> None:
    """Write a template atomically. Raises ``NotSaved``, also for one that ``fails``.

    ``digest`` is that of the file that the text was made from, to detect concurrent changes. The
    same save again is none: a browser repeats a request whose connection ended.
    """
    if fails:
        raise NotSaved("the template fails, see below")
    if template.team == BUILTIN:
        raise NotSaved(f'the folder name "{BUILTIN}" is reserved')
    target = user / template.path
    content = text.encode()
    if len(content) > MAX_TEMPLATE_SIZE:
        raise NotSaved("the text is larger than 1 MB")
    try:
        current = _file(target, "own")
        if current and current.text == text:
            return
        if (current.digest if current else "") != digest:
            raise NotSaved(f"{target} has changed since you opened it: download yours, then reload")
        target.parent.mkdir(exist_ok=True)
        _replace(target, content)
    except OSError as error:
        raise NotSaved(f"cannot write {target}: {error.strerror}") from error


def next_template(user: Path, builtin: Path, template: TemplatePath) -> TemplateFile | None:
    """What applies without the template: that for all teams, or the built-in one; None if there is
    none, and the event has another message."""
    file = _file(user / template.name, "all") if template.team else None
    return file or _file(builtin / template.name, "builtin")


def remove(user: Path, template: TemplatePath, digest: str) -> None:
    """Delete the user's template. Raises ``NotSaved``, also if it is not the one with this digest;
    one that does not exist is removed."""
    target = user / template.path
    try:
        current = _file(target, "own")
        if current is None:
            return
        if current.digest != digest:
            raise NotSaved(f"{target} has changed since you opened it")
        target.unlink()
    except OSError as error:
        raise NotSaved(f"cannot remove {target}: {error.strerror}") from error


def _replace(target: Path, content: bytes) -> None:
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
    # Not a template's name, so that the incomplete file is never loaded.
    folder = target.parent
    with tempfile.NamedTemporaryFile(prefix=".", suffix=".new", dir=folder, delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
            os.replace(file.name, target)
        except BaseException:
            os.unlink(file.name)
            raise


def _file(path: Path, origin: str) -> TemplateFile | None:
    """None if there is none."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_TEMPLATE_SIZE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    digest = hashlib.sha256(content).hexdigest()[:32] if origin == "own" else ""
    return TemplateFile(content.decode("utf-8", "replace"), origin, digest)
