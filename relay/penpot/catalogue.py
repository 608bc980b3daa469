"""The kinds of event: the 24 that Penpot's webhooks send, and Relay's synthetic ones.

Source: the RPC commands marked ``::webhooks/event?`` in Penpot's backend; the list is the same
from 1.17.0 to 2.18. Synthetic events are those for which Penpot has no webhook and that sync
detects with an access token. ``relay events`` prints this; a test compares it with what templates
get.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

GROUPS = ("comments", "files", "projects", "libraries", "fonts", "transfers")


@dataclass(frozen=True, slots=True)
class EventKind:
    name: str  # such as ``create-comment``, after Penpot's RPC method
    group: str  # one of ``GROUPS``
    when: str  # one sentence: when Penpot sends it, or what sync detected
    variables: tuple[str, ...]  # that can have a value, besides ``event``; all others are falsy
    note: str  # for authors of templates
    synthetic: bool
    emoji: str = ""  # empty for comments
    is_default: bool = False
    """Whether a channel without ``events`` of its own gets it; activity only in daily lines."""
    is_activity: bool = False  # what happens often: a channel may sum it up in daily lines


_EARLY = "Penpot sends it when the work begins, even if it fails later."
_NO_ACTOR = (
    "Penpot does not say who did it: actor is falsy. comment.author wrote the text, and alone can "
    "edit or delete it."
)
_NO_ID = "Penpot does not send the new id: a link needs an access token."
_IDS_ONLY = "Penpot sends ids only: names come from earlier events or need an access token."
_COPY = "the copy (with an id where an access token finds it), previous the original."

# By group and name: the sentence that is ``when``, then the note.
_TEXTS: dict[str, dict[str, str]] = {
    "comments": {
        "create-comment-thread": "Someone leaves a first comment at a place in a file. The file's "
        "name comes from earlier events, or from Penpot with an access token. A page without a "
        "name is falsy.",
        "create-comment": "Someone replies in a comment thread. The page and the thread's number "
        "and first comment (thread.first) come from the thread's own event, or from Penpot with "
        "an access token.",
    },
    "files": {
        "create-file": f"Someone creates a file. {_NO_ID}",
        "rename-file": "Someone renames a file. file has the new name, previous the old one if an "
        "earlier event had it.",
        "delete-file": "Someone deletes a file. file.url is empty; event.url leads to its project.",
        "update-file": "Someone changed a file: sent two minutes after the last save. Penpot does "
        "not send what was changed.",
    },
    "projects": {
        "create-project": f"Someone creates a project. {_NO_ID}",
        "rename-project": "Someone renames a project. project has the new name, previous the old "
        "one.",
        "delete-project": "Someone deletes a project. project.url is empty.",
        "update-project-pin": "Someone pins a project to their own dashboard, or unpins it. "
        "Personal; event.props.isPinned says which.",
    },
    "libraries": {
        "set-file-shared": "Someone stops sharing a file as a library. event.props.isShared says "
        "which. Since 2.0 Penpot does not send it for publishing one.",
        "link-file-to-library": f"Someone connects a file to a shared library. {_IDS_ONLY}",
        "unlink-file-from-library": "Someone disconnects a file from a shared library. "
        f"{_IDS_ONLY}",
    },
    "fonts": {
        "create-font-variant": "Someone uploads one variant of a font. font.style and font.weight "
        "say which. A family sends one event per variant.",
        "update-font": "Someone renames a font family. font has the new name, previous the old one "
        "if an earlier event had it.",
        "delete-font": "Someone deletes a font family.",
        "delete-font-variant": "Someone deletes one variant of a font. Penpot does not send the "
        "variant's style and weight.",
    },
    "transfers": {
        "duplicate-file": f"Someone duplicates a file. file is {_COPY}",
        "duplicate-project": f"Someone duplicates a project with its files. project is {_COPY}",
        "move-files": "Someone moves files to another project. project is the destination; Penpot "
        "does not send the source. file is set for one file.",
        "move-project": "Someone moves a project to this team. team is the destination; Penpot "
        "does not send the source.",
        "clone-template": "Someone adds one of Penpot's ready-made libraries or templates to a "
        "project. event.props.templateId is the template's short name; previous has its full "
        f"name, with an access token. {_EARLY}",
        "import-binfile": "Someone imports files from a .penpot file. file is set if Penpot sends "
        f"one name, files if several. {_EARLY}",
        "export-binfile": f"Someone exports a file as a .penpot file. {_EARLY}",
    },
}
_SYNTHETIC_TEXTS = {
    "resolve-comment-thread": "A comment thread was resolved. comment is the thread's first.",
    "reopen-comment-thread": "A resolved comment thread was reopened. comment is the thread's "
    "first.",
    "delete-comment-thread": "A comment thread was deleted. comment is the thread's first.",
    "update-comment": "The text of a comment was edited. comment.text is the new text, "
    "comment.before the old one. A channel that can edit edits the comment's own message, by the "
    "template of create-comment(-thread).",
    "delete-comment": "A comment was deleted.",
}

_PROJECT = ("actor", "team", "project")
_FILE = (*_PROJECT, "file")
_COMMENT = (*_FILE, "page", "thread", "comment")
_GROUP_VARIABLES = {
    "comments": _COMMENT,
    "files": _FILE,
    "projects": _PROJECT,
    "libraries": (*_FILE, "library"),
    "fonts": ("actor", "team", "font"),
    "transfers": _PROJECT,
}
_MORE_VARIABLES = {
    "rename-file": ("previous",),
    "rename-project": ("previous",),
    "update-font": ("previous",),
    "duplicate-file": ("file", "previous"),
    "duplicate-project": ("previous",),
    "move-files": ("file", "files"),
    "clone-template": ("previous",),
    "import-binfile": ("file", "files"),
    "export-binfile": ("file",),
}
_EMOJI = {
    "resolve-comment-thread": "✅",
    "reopen-comment-thread": "🔄",
    "create-file": "📄",
    "rename-file": "🏷️",
    "delete-file": "🗑️",
    "update-file": "✏️",
    "create-project": "📁",
    "rename-project": "🏷️",
    "delete-project": "🗑️",
    "update-project-pin": "📌",
    "set-file-shared": "📚",
    "link-file-to-library": "🔗",
    "unlink-file-from-library": "✂️",
    "create-font-variant": "🔤",
    "update-font": "🏷️",
    "delete-font": "🗑️",
    "delete-font-variant": "🗑️",
    "duplicate-file": "📑",
    "duplicate-project": "📑",
    "move-files": "📦",
    "move-project": "📦",
    "clone-template": "🧩",
    "import-binfile": "📥",
    "export-binfile": "📤",
}


# Besides comments: what happens seldom, and concerns the whole team.
_DEFAULT = frozenset({
    "create-file",
    "delete-file",
    "create-project",
    "delete-project",
    "set-file-shared",
    "move-project",
    "update-file",
})  # fmt: skip
_ACTIVITY = frozenset({
    "update-file",
    "rename-file",
    "rename-project",
    "update-project-pin",
    "link-file-to-library",
    "unlink-file-from-library",
    "create-font-variant",
    "update-font",
    "delete-font",
    "delete-font-variant",
    "duplicate-file",
    "duplicate-project",
})  # fmt: skip


def _kinds() -> Iterator[EventKind]:
    for group, texts in _TEXTS.items():
        for name, text in texts.items():
            when, _, note = text.partition(". ")
            variables = (*_GROUP_VARIABLES[group], *_MORE_VARIABLES.get(name, ()))
            when = f"{when.removesuffix('.')}."
            emoji, is_default = _EMOJI.get(name, ""), group == "comments" or name in _DEFAULT
            is_activity = name in _ACTIVITY
            yield EventKind(
                name, group, when, variables, note, False, emoji, is_default, is_activity
            )
    for name, text in _SYNTHETIC_TEXTS.items():
        when, _, note = f"{text} {_NO_ACTOR}".partition(". ")
        emoji = _EMOJI.get(name, "")
        yield EventKind(name, "comments", f"{when}.", _COMMENT[1:], note, True, emoji, True)


# By name, group by group, synthetic ones at the end.
CATALOGUE: Mapping[str, EventKind] = MappingProxyType({kind.name: kind for kind in _kinds()})
SYNTHETIC = frozenset(kind.name for kind in CATALOGUE.values() if kind.synthetic)
ACTIVITY = frozenset(kind.name for kind in CATALOGUE.values() if kind.is_activity)
