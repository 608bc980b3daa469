"""The kinds of event: the 24 that Penpot's webhooks send, and Relay's synthetic ones.

Source: the RPC commands marked ``::webhooks/event?`` in Penpot's backend; the list is the same
from 1.17.0 to 2.18. Synthetic events are those for which Penpot has no webhook and that sync
detects with an access token. ``relay events`` prints this; a test compares it with what templates
get.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

GROUPS = ("comments", "files", "projects", "libraries", "fonts", "transfers")


@dataclass(frozen=True, slots=True)
class EventKind:
    name: str  # such as ``create-comment``, after Penpot's RPC method
    group: str  # one of ``GROUPS``
    when: str  # one sentence: when Penpot sends it, or what sync detected
    variables: tuple[str, ...]  # that can have a value, besides ``event``; all others are falsy
    note: str = ""  # for authors of templates
    synthetic: bool = False


_ALWAYS = ("actor", "team")
_PROJECT = (*_ALWAYS, "project")
_FILE = (*_PROJECT, "file")
_COMMENT = (*_FILE, "page", "thread", "comment")
_CHANGED = tuple(variable for variable in _COMMENT if variable != "actor")
_FONT = (*_ALWAYS, "font")

_EARLY = "Penpot sends it when the work begins, even if it fails later."
_NO_ACTOR = "Penpot does not say who did it: actor is falsy; comment.author wrote the text."
_NO_ID = "Penpot does not send the new id: a link needs an access token."
_IDS_ONLY = "Penpot sends ids only: names come from earlier events or need an access token."


def _kinds() -> Iterable[EventKind]:
    yield EventKind(
        "create-comment-thread",
        "comments",
        "Someone leaves a first comment at a place in a file.",
        _COMMENT,
        "The file's name comes from earlier events, or from Penpot with an access token. A page "
        "without a name is falsy.",
    )
    yield EventKind(
        "create-comment",
        "comments",
        "Someone replies in a comment thread.",
        _COMMENT,
        "The page and the thread's number and first comment (thread.first) come from the thread's "
        "own event, or from Penpot with an access token.",
    )
    yield EventKind("create-file", "files", "Someone creates a file.", _FILE, _NO_ID)
    yield EventKind(
        "rename-file",
        "files",
        "Someone renames a file.",
        (*_FILE, "previous"),
        "file has the new name, previous the old one if an earlier event had it.",
    )
    yield EventKind(
        "delete-file",
        "files",
        "Someone deletes a file.",
        _FILE,
        "file.url is empty; event.url leads to its project.",
    )
    yield EventKind(
        "update-file",
        "files",
        "Someone changed a file: sent two minutes after the last save.",
        _FILE,
        "Penpot does not send what was changed.",
    )
    yield EventKind("create-project", "projects", "Someone creates a project.", _PROJECT, _NO_ID)
    yield EventKind(
        "rename-project",
        "projects",
        "Someone renames a project.",
        (*_PROJECT, "previous"),
        "project has the new name, previous the old one.",
    )
    yield EventKind(
        "delete-project",
        "projects",
        "Someone deletes a project.",
        _PROJECT,
        "project.url is empty.",
    )
    yield EventKind(
        "update-project-pin",
        "projects",
        "Someone pins a project to their own dashboard, or unpins it.",
        _PROJECT,
        "Personal; event.props.isPinned says which. Not sent to a channel by default.",
    )
    yield EventKind(
        "set-file-shared",
        "libraries",
        "Someone stops sharing a file as a library.",
        (*_FILE, "library"),
        "event.props.isShared says which. Since 2.0 Penpot does not send it for publishing one.",
    )
    yield EventKind(
        "link-file-to-library",
        "libraries",
        "Someone connects a file to a shared library.",
        (*_FILE, "library"),
        _IDS_ONLY,
    )
    yield EventKind(
        "unlink-file-from-library",
        "libraries",
        "Someone disconnects a file from a shared library.",
        (*_FILE, "library"),
        _IDS_ONLY,
    )
    yield EventKind(
        "create-font-variant",
        "fonts",
        "Someone uploads one variant of a font.",
        _FONT,
        "font.style and font.weight say which. A family sends one event per variant. Not sent to a "
        "channel by default.",
    )
    yield EventKind(
        "update-font",
        "fonts",
        "Someone renames a font family.",
        (*_FONT, "previous"),
        "font has the new name, previous the old one if an earlier event had it.",
    )
    yield EventKind("delete-font", "fonts", "Someone deletes a font family.", _FONT)
    yield EventKind(
        "delete-font-variant",
        "fonts",
        "Someone deletes one variant of a font.",
        _FONT,
        "Penpot does not send the variant's style and weight.",
    )
    yield EventKind(
        "duplicate-file",
        "transfers",
        "Someone duplicates a file.",
        (*_FILE, "previous"),
        "file is the copy (with an id where an access token finds it), previous the original.",
    )
    yield EventKind(
        "duplicate-project",
        "transfers",
        "Someone duplicates a project with its files.",
        (*_PROJECT, "previous"),
        "project is the copy (with an id where an access token finds it), previous the original.",
    )
    yield EventKind(
        "move-files",
        "transfers",
        "Someone moves files to another project.",
        (*_FILE, "files"),
        "project is the destination; Penpot does not send the source. file is set for one file.",
    )
    yield EventKind(
        "move-project",
        "transfers",
        "Someone moves a project to this team.",
        _PROJECT,
        "team is the destination; Penpot does not send the source.",
    )
    yield EventKind(
        "clone-template",
        "transfers",
        "Someone adds one of Penpot's ready-made libraries or templates to a project.",
        (*_PROJECT, "previous"),
        "event.props.templateId is the template's short name; previous has its full name, with an "
        f"access token. {_EARLY}",
    )
    yield EventKind(
        "import-binfile",
        "transfers",
        "Someone imports files from a .penpot file.",
        (*_FILE, "files"),
        f"file is set if Penpot sends one name, files if several. {_EARLY}",
    )
    yield EventKind(
        "export-binfile",
        "transfers",
        "Someone exports a file as a .penpot file.",
        _FILE,
        f"Not sent to a channel by default. {_EARLY}",
    )
    first = "comment is the thread's first."
    yield _synthetic("resolve-comment-thread", "A comment thread was resolved.", first)
    yield _synthetic("reopen-comment-thread", "A resolved comment thread was reopened.", first)
    yield _synthetic("delete-comment-thread", "A comment thread was deleted.", first)
    yield _synthetic(
        "update-comment",
        "The text of a comment was edited.",
        "comment.text is the new text, comment.before the old one. A channel that can edit "
        "edits the comment's own message, by the template of create-comment(-thread).",
    )
    yield _synthetic("delete-comment", "A comment was deleted.")


def _synthetic(name: str, when: str, note: str = "") -> EventKind:
    note = f"{note} {_NO_ACTOR}".strip()
    return EventKind(name, "comments", when, _CHANGED, note, synthetic=True)


# By name, group by group, synthetic ones at the end.
CATALOGUE: Mapping[str, EventKind] = MappingProxyType({kind.name: kind for kind in _kinds()})
