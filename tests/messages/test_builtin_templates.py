import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from relay.channels import override_formats
from relay.delivery.notices import NOTICES
from relay.messages.document import Heading, Text, parse, to_text
from relay.messages.escape import clean
from relay.messages.templates import Templates
from relay.penpot.catalogue import CATALOGUE
from relay.penpot.events import Comment, Person, Subject, Thread
from tests.messages.samples import ID, known, subject, unknown
from tests.messages.texts import any_text

TEMPLATES = Templates(None, override_formats())
EVENTS = (*CATALOGUE, "publish-file-version")


def read(name: str, variables: dict[str, Any]) -> tuple[str, str, str]:
    """Title, body and footer as plain text with links."""
    rendered = TEMPLATES.render(name, variables, team="acme", channel_kind="stdout")
    assert rendered.problems == ()
    message, content = rendered.message, rendered.message.content
    body, footer = (to_text(parse(part), links=True) for part in (content.body, content.footer))
    return message.title, body, footer


def test_every_event_of_the_catalogue_has_its_own_template() -> None:
    assert {path.name for path in TEMPLATES.builtin.iterdir()} == {
        "README.md",
        "base.md.j2",
        "event.md.j2",
        "_words.md.j2",
        *(f"{name}.md.j2" for name in (*CATALOGUE, *NOTICES)),
    }


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("variables", [known, unknown])
def test_every_event_reads_as_a_sentence(name: str, variables: Any) -> None:
    title, body, footer = parts = read(name, variables(name))
    for text in parts:
        assert not re.search(r"  |\(\)|\*\*|None|Undefined|“”| ,|\[|· ·|^·|·$", text)
        assert ID not in text
        assert not re.search(r"\b(in|on|to|from|as|the|a|of|and|into|with)$", text)
    assert "\n" not in title
    if name in CATALOGUE and CATALOGUE[name].synthetic:  # Penpot does not say who did it
        assert title.startswith(("Thread #15 on", "A comment by Ada Lovelace on", "A "))
        assert "Someone" not in body
        assert body.startswith((title.split()[0], "✓", "↺"))
    else:
        assert title.startswith("Ada Lovelace" if variables is known else "Someone")
        assert body.startswith(title.split()[0])
    assert footer == "" if variables is unknown else footer.endswith("(https://p.example/place)")


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("variables", [known, unknown])
def test_every_entry_of_a_digest_reads_as_a_sentence(name: str, variables: Any) -> None:
    rendered = TEMPLATES.render(
        name, variables(name), team="acme", channel_kind="stdout", digest=True
    )
    entry = rendered.message.entry
    assert entry is not None
    first, *others = (to_text(parse(start + entry.end), links=False) for start in entry.starts)
    assert len(others) == 3
    for text in (first, *others):
        assert text
        assert not re.search(r"  |\(\)|\*\*|None|Undefined|“”| ,|\[|· ·|^[·:]|·$", text)
        assert not re.search(r"^ | (on|to) · | ?\b(in|on|to|from|as|the|a|of|and|into|with)$", text)
    if first.startswith("Ada Lovelace "):
        assert not others[0].startswith("Ada Lovelace")


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("variables", [known, unknown])
def test_a_base_template_can_put_the_title_into_a_heading(
    tmp_path: Path, name: str, variables: Any
) -> None:
    (tmp_path / "base.md.j2").write_text(
        "<!-- title -->\n{% block title %}{% endblock %}\n\n"
        "<!-- body -->\n### **{{ self.title() }}.**\n{% block body %}{% endblock %}"
        "{% block footer %}{% endblock %}"
    )
    templates = Templates(tmp_path, override_formats())
    rendered = templates.render(name, variables(name), team="acme", channel_kind="stdout")
    templates.close()
    heading = parse(rendered.message.content.body)[0]
    assert rendered.problems == ()
    assert isinstance(heading, Heading)
    assert to_text((heading,), links=False) == f"{rendered.message.title}."
    assert all(isinstance(part, Text) and part.bold for part in heading.inlines)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("create-file", "Ada Lovelace created the file Landing page"),
        ("rename-file", "Ada Lovelace renamed the file Old name to Landing page"),
        ("delete-file", "Ada Lovelace deleted the file Landing page"),
        ("update-file", "Ada Lovelace worked on Landing page"),
        ("set-file-shared", "Ada Lovelace stopped sharing the file Landing page as a library"),
        ("link-file-to-library", "Ada Lovelace connected the file Landing page to the library UI kit"),  # noqa: E501
        ("create-project", "Ada Lovelace created the project Website"),
        ("update-project-pin", "Ada Lovelace pinned the project Website"),
        ("move-project", "Ada Lovelace moved the project Website to Acme"),
        ("duplicate-file", "Ada Lovelace duplicated the file Old name as Landing page"),
        ("clone-template", "Ada Lovelace started adding the template Old name to the project Website"),  # noqa: E501
        ("import-binfile", "Ada Lovelace started importing 3 files into the project Website"),
        ("export-binfile", "Ada Lovelace started exporting the file Landing page"),
        ("create-font-variant", "Ada Lovelace uploaded the font Inter · 700 · italic"),
        ("delete-font-variant", "Ada Lovelace deleted a variant of the font Inter"),
        ("publish-file-version", "Ada Lovelace: publish file version · Landing page"),
        ("resolve-comment-thread", "Thread #15 on Landing page was resolved"),
        ("reopen-comment-thread", "Thread #15 on Landing page was reopened"),
        ("delete-comment-thread", "Thread #15 on Landing page was deleted"),
        ("update-comment", "A comment by Ada Lovelace on Landing page was edited"),
        ("delete-comment", "A comment by Ada Lovelace on Landing page was deleted"),
    ],
)  # fmt: skip
def test_title_with_everything_known(name: str, title: str) -> None:
    assert read(name, known(name))[0] == title


@pytest.mark.parametrize(
    ("name", "known_part", "title"),
    [
        ("rename-file", {"file": subject("New")}, "Someone renamed a file to New"),
        ("rename-file", {"previous": subject("Old")}, "Someone renamed the file Old"),
        ("duplicate-project", {"project": subject("Copy")}, "Someone duplicated a project as Copy"),
        ("move-project", {}, "Someone moved a project to this team"),
        ("move-files", {"files": (Subject(ID),) * 40}, "Someone moved 40 files to another project"),
        ("set-file-shared", {"library": subject("Kit")}, "Someone stopped sharing the file Kit as a library"),  # noqa: E501
        ("set-file-shared", {"props": {"isShared": True}}, "Someone shared a file as a library"),
        ("update-project-pin", {"props": {"isPinned": False}}, "Someone unpinned a project"),
        ("update-project-pin", {}, "Someone pinned or unpinned a project"),
        ("clone-template", {"props": {"templateId": 3}}, "Someone started adding the template 3 to a project"),  # noqa: E501
        ("clone-template", {"props": {"templateId": "a-kit"}}, "Someone started adding the template a kit to a project"),  # noqa: E501
        ("create-comment", {"actor": Person(ID, "Ada")}, "Ada replied on a file"),
        ("resolve-comment-thread", {}, "A thread on a file was resolved"),
        ("delete-comment", {}, "A comment on a file was deleted"),
        ("", {}, "Someone: something new"),
    ],
)  # fmt: skip
def test_title_with_unknown_names(name: str, known_part: dict[str, Any], title: str) -> None:
    assert read(name, unknown(name, **known_part))[0] == title


def test_a_new_comment_shows_place_and_text() -> None:
    assert read("create-comment-thread", known("create-comment-thread")) == (
        "Ada Lovelace commented on Landing page",
        "Ada Lovelace commented on Landing page (https://p.example/file) · Page 1"
        " · #15 (https://p.example/thread)\n\n"
        "> Please *lighten* it\n> by 10%.\n>\n> Thanks @Grace",
        "Website · Acme · Open in Penpot (https://p.example/place)",
    )


def test_a_reply_shows_the_first_comment() -> None:
    assert read("create-comment", known("create-comment")) == (
        "Ada Lovelace replied on Landing page",
        "Ada Lovelace replied to “Is the hero too dark?”"
        " on Landing page (https://p.example/file) · Page 1 · #15 (https://p.example/thread)\n\n"
        "> Please *lighten* it\n> by 10%.\n>\n> Thanks @Grace",
        "Website · Acme · Open in Penpot (https://p.example/place)",
    )


RESOLVED = Thread(ID, 15, "https://p.example/thread", "Is the hero too dark?", resolved=True)


def test_a_message_shows_resolved_threads_and_edited_comments() -> None:
    comment = Comment(ID, "Please lighten it", edited=True)
    for name, begins in (
        ("create-comment-thread", "Ada Lovelace commented on Landing page"),
        ("create-comment", "Ada Lovelace replied to “Is the hero too dark?” on Landing page"),
    ):
        _, body, _ = read(name, known(name, thread=RESOLVED, comment=comment))
        assert body == (
            f"{begins} (https://p.example/file) · Page 1 · #15 (https://p.example/thread)"
            " · edited · ✓ resolved\n\n> Please lighten it"
        )


@pytest.mark.parametrize("name", ["create-comment-thread", "create-comment"])
def test_a_missed_comment_shows_its_date(name: str) -> None:
    variables = known(name)
    variables["event"] |= {"missed": True}
    _, body, _ = read(name, variables)
    assert " · missed, from 25 Jul 2026, 08:17 UTC\n\n>" in body


@pytest.mark.parametrize(
    ("name", "by_itself", "in_its_thread"),
    [
        ("resolve-comment-thread", "✓ Resolved · “Is the hero too dark?” on {}", "✓ Resolved"),
        ("reopen-comment-thread", "↺ Reopened · “Is the hero too dark?” on {}", "↺ Reopened"),
        (
            "update-comment",
            "A comment by Ada Lovelace on {} was edited\n\n> Lighten it",
            "A comment by Ada Lovelace was edited\n\n> Lighten it",
        ),
        (
            "delete-comment",
            "A comment by Ada Lovelace on {} was deleted",
            "A comment by Ada Lovelace was deleted",
        ),
        (
            "delete-comment-thread",
            "Thread #15 (https://p.example/thread) on Landing page (https://p.example/file)"
            " · Page 1 was deleted",
            "Deleted",
        ),
    ],
)
def test_changes_of_a_comment_take_one_line(name: str, by_itself: str, in_its_thread: str) -> None:
    place = "Landing page (https://p.example/file) · Page 1 · #15 (https://p.example/thread)"
    comment = Comment(ID, "Lighten it", author=Person(ID, "Ada Lovelace"))
    for begun, words in ((False, by_itself.format(place)), (True, in_its_thread)):
        _, body, footer = read(
            name, known(name, comment=comment, thread=replace(RESOLVED, begun=begun))
        )
        assert body == words
        assert bool(footer) is not begun


def test_a_comment_without_text() -> None:
    _, body, _ = read("create-comment-thread", unknown("create-comment-thread"))
    assert body == "Someone commented on a file\n\nThe comment has no text"


def test_unlisted_files_are_counted() -> None:
    files = (subject("File"),) * 100
    title, body, _ = read("move-files", known("move-files", files=files, more_files=28_900))
    assert title == "Ada Lovelace moved 29000 files to Website"
    assert body.endswith("- and 28995 more")
    title, _, _ = read("import-binfile", known("import-binfile", files=files, more_files=28_900))
    assert title == "Ada Lovelace started importing 29000 files into the project Website"


def test_moved_files_are_listed_up_to_five() -> None:
    files = tuple(subject(f"File {number}") for number in range(8))
    _, body, footer = read("move-files", known("move-files", files=files))
    assert body == (
        "Ada Lovelace moved 8 files to Website (https://p.example/project)\n\n"
        "- File 0\n- File 1\n- File 2\n- File 3\n- File 4\n- and 3 more"
    )
    assert footer == "Acme · Open in Penpot (https://p.example/place)"


def test_a_message_has_the_fields_of_its_event() -> None:
    message = TEMPLATES.render(
        "create-comment", known("create-comment"), team="acme", channel_kind="slack"
    ).message
    assert (message.event, message.team, message.url) == (
        "create-comment",
        "acme",
        "https://p.example/place",
    )
    assert (message.at, message.thread) == ("2026-07-25T08:17:02.555Z", ID)
    assert message.content.override == ""


def shape(document: object) -> object:
    """The blocks and styles of a document, without its text."""
    if isinstance(document, tuple):
        return tuple(map(shape, document))
    if isinstance(document, str):
        return "text"
    fields = getattr(document, "__dataclass_fields__", None)
    if fields is None:
        return document
    return type(document).__name__, *(shape(getattr(document, field)) for field in fields)


@pytest.mark.parametrize("name", EVENTS)
@given(text=any_text)
def test_no_name_changes_the_structure_of_a_message(name: str, text: str) -> None:
    # normalize() cleans names; empty ones are not shown.
    text = clean(text).strip()
    if not text:
        return

    def documents(named: str) -> list[object]:
        subjects = {
            key: Subject(ID, named, f"https://p.example/{key}")
            for key in ("team", "project", "file", "page", "library", "previous")
        }
        variables = known(name, **subjects, actor=Person(ID, named))
        rendered = TEMPLATES.render(name, variables, team="acme", channel_kind="slack")
        assert rendered.problems == ()
        return [parse(rendered.message.content.body), parse(rendered.message.content.footer)]

    hostile = documents(text)
    assert shape(tuple(hostile)) == shape(tuple(documents("Ada")))
    assert clean(text) in to_text(hostile[0], links=False)
