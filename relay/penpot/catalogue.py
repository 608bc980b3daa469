"""The catalogue: the 24 kinds of event that Penpot's webhooks send, and Relay's own.

Source: the RPC commands marked ``::webhooks/event?`` in Penpot's backend; the list is the same
from 1.17.0 to 2.18. Relay's own kinds are what Penpot sends no webhook for; Relay finds it out with
an access token. ``relay events`` prints this, and a test holds it against what templates get.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

GROUPS = ("comments", "files", "projects", "libraries", "fonts", "transfers")
"""The groups that a channel's ``events`` list can name; every kind stands in exactly one."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of event."""

    name: str
    """Its name, such as ``create-comment``: Penpot's for what does it."""
    group: str
    """One of ``GROUPS``."""
    when: str
    """One sentence: when Penpot sends it, or what Relay has found out."""
    variables: tuple[str, ...]
    """The template variables that can be known for it, besides ``event``. All others are falsy."""
    note: str = ""
    """What a person who writes its template should know; may be empty."""
    own: bool = False
    """Whether it is of Relay's own making: Penpot does not send it."""


_ALWAYS = ("actor", "team")
_PROJECT = (*_ALWAYS, "project")
_FILE = (*_PROJECT, "file")
_COMMENT = (*_FILE, "page", "thread", "comment")
_CHANGED = tuple(variable for variable in _COMMENT if variable != "actor")
_FONT = (*_ALWAYS, "font")

_EARLY = "Penpot sends it when the work begins, also if it fails later."
_NOBODY = "Penpot does not tell who did it: actor is falsy, and comment.author who wrote the text."


def _kinds() -> Iterable[Kind]:
    yield Kind(
        "create-comment-thread",
        "comments",
        "Someone leaves a first comment at a place in a file.",
        _COMMENT,
        "The file's name is known once another event has told it, or from Penpot with an access "
        "token. A page without a name is falsy.",
    )
    yield Kind(
        "create-comment",
        "comments",
        "Someone replies in a comment thread.",
        _COMMENT,
        "The page and the thread's number and first comment (thread.first) are remembered from the "
        "thread's own event, or asked of Penpot with an access token.",
    )
    yield Kind(
        "create-file",
        "files",
        "Someone creates a file.",
        _FILE,
        "Penpot does not tell the new file's id: a link needs an access token to find it with.",
    )
    yield Kind(
        "rename-file",
        "files",
        "Someone renames a file.",
        (*_FILE, "previous"),
        "file has the new name. previous has the old one if an earlier event told it.",
    )
    yield Kind(
        "delete-file",
        "files",
        "Someone deletes a file.",
        _FILE,
        "The file can't be opened any more: file.url is empty and event.url leads to its project.",
    )
    yield Kind(
        "update-file",
        "files",
        "Someone changed a file, two minutes after their last save.",
        _FILE,
        "Penpot never tells what was changed.",
    )
    yield Kind(
        "create-project",
        "projects",
        "Someone creates a project.",
        _PROJECT,
        "Penpot does not tell the new project's id: a link needs an access token to find it with.",
    )
    yield Kind(
        "rename-project",
        "projects",
        "Someone renames a project.",
        (*_PROJECT, "previous"),
        "project has the new name, previous the old one.",
    )
    yield Kind(
        "delete-project",
        "projects",
        "Someone deletes a project.",
        _PROJECT,
        "The project can't be opened any more: project.url is empty.",
    )
    yield Kind(
        "update-project-pin",
        "projects",
        "Someone pins a project to their own dashboard, or takes the pin away.",
        _PROJECT,
        "Personal; event.props.isPinned tells which. Not sent to a channel by default.",
    )
    yield Kind(
        "set-file-shared",
        "libraries",
        "Someone stops sharing a file as a library.",
        (*_FILE, "library"),
        "event.props.isShared tells which. Penpot since 2.0 never sends the publishing of one.",
    )
    yield Kind(
        "link-file-to-library",
        "libraries",
        "Someone connects a file to a shared library.",
        (*_FILE, "library"),
        "Penpot tells ids only: the names are known once other events have told them, or from "
        "Penpot with an access token.",
    )
    yield Kind(
        "unlink-file-from-library",
        "libraries",
        "Someone disconnects a file from a shared library.",
        (*_FILE, "library"),
        "Penpot tells ids only: the names are known once other events have told them, or from "
        "Penpot with an access token.",
    )
    yield Kind(
        "create-font-variant",
        "fonts",
        "Someone uploads one variant of a font.",
        _FONT,
        "font.style and font.weight tell the variant. A family of many variants gives as many "
        "events. Not sent to a channel by default.",
    )
    yield Kind(
        "update-font",
        "fonts",
        "Someone renames a font family.",
        (*_FONT, "previous"),
        "font has the new name. previous has the old one if an earlier event told it.",
    )
    yield Kind("delete-font", "fonts", "Someone deletes a font family.", _FONT)
    yield Kind(
        "delete-font-variant",
        "fonts",
        "Someone deletes one variant of a font.",
        _FONT,
        "Penpot does not tell the variant's style and weight.",
    )
    yield Kind(
        "duplicate-file",
        "transfers",
        "Someone duplicates a file.",
        (*_FILE, "previous"),
        "file is the copy (with an id where an access token finds it), previous the original.",
    )
    yield Kind(
        "duplicate-project",
        "transfers",
        "Someone duplicates a project with its files.",
        (*_PROJECT, "previous"),
        "project is the copy (with an id where an access token finds it), previous the original.",
    )
    yield Kind(
        "move-files",
        "transfers",
        "Someone moves files to another project.",
        (*_FILE, "files"),
        "project is the destination; where the files were is not told. file is set where it is "
        "one file only.",
    )
    yield Kind(
        "move-project",
        "transfers",
        "Someone moves a project to this team.",
        _PROJECT,
        "team is the destination; where the project was is not told.",
    )
    yield Kind(
        "clone-template",
        "transfers",
        "Someone adds one of Penpot's ready-made libraries or templates to a project.",
        (*_PROJECT, "previous"),
        "event.props.templateId is the template's short name, previous the template with its full "
        f"name where an access token lets Relay ask for it. {_EARLY}",
    )
    yield Kind(
        "import-binfile",
        "transfers",
        "Someone imports files from a .penpot file.",
        (*_FILE, "files"),
        f"file is set where one name is told, files where several are. {_EARLY}",
    )
    yield Kind(
        "export-binfile",
        "transfers",
        "Someone exports a file as a .penpot file.",
        _FILE,
        f"Not sent to a channel by default. {_EARLY}",
    )
    yield from _own_kinds()


def _own_kinds() -> Iterable[Kind]:
    """What Penpot does not tell, and never who did it."""
    first = "comment is the thread's first."
    yield _own("resolve-comment-thread", "A comment thread was resolved.", first)
    yield _own("reopen-comment-thread", "A comment thread that was resolved is open again.", first)
    yield _own("delete-comment-thread", "A comment thread was deleted.", first)
    yield _own(
        "update-comment",
        "The text of a comment was edited.",
        "comment.text is the new text, comment.before the old one. A channel that can change the "
        "comment's own message shows it by the template of create-comment or "
        "create-comment-thread.",
    )
    yield _own("delete-comment", "A comment was deleted.")


def _own(name: str, when: str, note: str = "") -> Kind:
    return Kind(name, "comments", when, _CHANGED, f"{note} {_NOBODY}".strip(), own=True)


CATALOGUE: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in _kinds()})
"""The kinds by their name, group by group, Relay's own at the end."""
