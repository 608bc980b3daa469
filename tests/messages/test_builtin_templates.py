import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from relay.channels import override_formats
from relay.delivery.notices import NOTICES, notice_samples
from relay.messages.document import Heading, Text, parse, to_text
from relay.messages.escape import clean
from relay.messages.locale import CATALOG_FOLDER, LANGUAGES, Locale
from relay.messages.message import Message
from relay.messages.templates import Templates
from relay.penpot.catalogue import CATALOGUE
from relay.penpot.events import Comment, Person, Subject, Thread
from tests.messages.clock import clock_at
from tests.messages.samples import ID, known, subject, unknown
from tests.messages.sentences import SENTENCES
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
        CATALOG_FOLDER,
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
        assert title.startswith(("Thread #15 on", "Ada Lovelace ", "A "))
        assert "Someone" not in body
        assert body.startswith((title.split()[0], "✓", "↺"))
    else:
        assert title.startswith("Ada Lovelace" if variables is known else "Someone")
        assert body.startswith(title.split()[0])
    # What the event is about is a link in the body, so that only a comment needs one below it.
    is_comment = name in CATALOGUE and CATALOGUE[name].group == "comments"
    has_footer = variables is known and is_comment
    target = "thread" if name == "delete-comment" else "comment"
    link = f"Website · Open {target} (https://p.example/thread)"
    assert footer == (link if has_footer else "")


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("variables", [known, unknown])
def test_notice_and_subject_read_as_a_sentence(name: str, variables: Any) -> None:
    rendered = TEMPLATES.render(name, variables(name), team="acme", channel_kind="stdout").message
    for text in (rendered.notice, rendered.subject):
        assert text
        assert not re.search(r"  |\(\)|\*\*|None|Undefined|“”| ,|\\|: :|^[·:]|[·:]$", text)
        assert ID not in text
    assert rendered.subject.startswith("[Acme] ") is (variables is known)


@pytest.mark.parametrize(
    ("name", "notice", "subject"),
    [
        (
            "create-comment-thread",
            "Ada Lovelace on Landing page: Please *lighten* it by 10%. Thanks @Grace",
            "[Acme] Landing page #15: Please *lighten* it by 10%. Thanks @Grace",
        ),
        (
            "create-comment",
            "Ada Lovelace on Landing page #15: Please *lighten* it by 10%. Thanks @Grace",
            "[Acme] Landing page #15: Is the hero too dark?",
        ),
        (
            "resolve-comment-thread",
            "Resolved on Landing page #15",
            "[Acme] Resolved on Landing page #15",
        ),
        (
            "update-comment",
            "Ada Lovelace edited a comment on Landing page #15: Please *lighten* it by 10%. Thanks @Grace",  # noqa: E501
            "[Acme] Landing page #15: Is the hero too dark?",
        ),
        (
            "create-file",
            "Ada Lovelace created the file Landing page in Website",
            "[Acme] Ada Lovelace created the file Landing page in Website",
        ),
    ],
)
def test_the_notice_has_the_words_and_the_subject_those_of_the_first_comment(
    name: str, notice: str, subject: str
) -> None:
    message = TEMPLATES.render(name, known(name), team="acme", channel_kind="email").message
    assert (message.notice, message.subject) == (notice, subject)


def test_a_notice_is_cut_between_visible_characters() -> None:
    family = "👩‍👩‍👧‍👦"
    variables = known(
        "create-comment-thread",
        file=subject(family * 50, "file"),
        comment=Comment(ID, family * 300, author=Person(ID, "Ada")),
    )
    message = TEMPLATES.render(
        "create-comment-thread", variables, team="acme", channel_kind="slack"
    ).message
    start, file, words = re.split(r" on |: ", message.notice)
    assert start == "Ada Lovelace"
    assert file == family * (39 // len(family)) + "…"
    assert words == family * (199 // len(family)) + "…"
    assert message.file == message.place[1] == family * (59 // len(family)) + "…"


@pytest.mark.parametrize("name", ["create-comment-thread", "create-comment", "update-comment"])
def test_a_direct_message_says_who_mentioned_you(name: str) -> None:
    variables = known(name) | {"direct": True}
    message = TEMPLATES.render(name, variables, team="acme", channel_kind="slack").message
    begin = "Ada Lovelace mentioned you on Landing page"
    assert message.title == begin
    assert re.match(rf"{begin}( #15)?: Please", message.notice)
    assert to_text(parse(message.content.body), links=False).startswith(f"{begin} · Page 1 · #15\n")


def test_emoji_and_the_teams_name_depend_on_the_channel() -> None:
    def text(**options: Any) -> str:
        variables = known("create-file") | options
        message = TEMPLATES.render("create-file", variables, team="acme", channel_kind="slack")
        content = message.message.content
        return " | ".join(
            to_text(parse(part), links=False) for part in (content.body, content.footer)
        )

    words = "Ada Lovelace created the file Landing page in Website"
    assert text() == f"{words} | "
    assert text(emoji="📄", several_teams=True) == f"📄 {words} | Acme"


def test_every_kind_but_a_comment_has_an_emoji() -> None:
    assert {name for name, kind in CATALOGUE.items() if not kind.emoji} == {
        "create-comment-thread",
        "create-comment",
        "update-comment",
        "delete-comment",
        "delete-comment-thread",
    }


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("variables", [known, unknown])
def test_every_entry_of_a_digest_reads_as_a_sentence(name: str, variables: Any) -> None:
    rendered = TEMPLATES.render(
        name, variables(name), team="acme", channel_kind="stdout", digest=True
    )
    entry = rendered.message.entry
    text = to_text(parse(entry), links=False)
    assert text
    assert "\n" not in text
    assert not re.search(r"  |\(\)|\*\*|None|Undefined|“”| ,|\[|· ·|^[·:]|·$", text)
    assert not re.search(r"^ | (on|to) · | ?\b(in|on|to|from|as|the|a|of|and|into|with)$", text)


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
        ("create-file", "Ada Lovelace created the file Landing page in Website"),
        ("rename-file", "Ada Lovelace renamed the file Old name to Landing page in Website"),
        ("delete-file", "Ada Lovelace deleted the file Landing page in Website"),
        ("update-file", "Ada Lovelace worked on Landing page in Website"),
        ("set-file-shared", "Ada Lovelace stopped sharing the file Landing page as a library"),
        ("link-file-to-library", "Ada Lovelace connected the file Landing page to the library UI kit"),  # noqa: E501
        ("create-project", "Ada Lovelace created the project Website"),
        ("update-project-pin", "Ada Lovelace pinned the project Website"),
        ("move-project", "Ada Lovelace moved the project Website to Acme"),
        ("duplicate-file", "Ada Lovelace duplicated the file Old name as Landing page in Website"),
        ("clone-template", "Ada Lovelace is adding the template Old name to Website"),
        ("import-binfile", "Ada Lovelace is importing 3 files into Website"),
        ("export-binfile", "Ada Lovelace is exporting the file Landing page in Website"),
        ("create-font-variant", "Ada Lovelace uploaded the font Inter Bold Italic"),
        ("delete-font-variant", "Ada Lovelace deleted a variant of the font Inter"),
        ("publish-file-version", "Ada Lovelace: publish file version · Landing page"),
        ("resolve-comment-thread", "Thread #15 on Landing page was resolved"),
        ("reopen-comment-thread", "Thread #15 on Landing page was reopened"),
        ("delete-comment-thread", "Ada Lovelace deleted the thread #15 on Landing page"),
        ("update-comment", "Ada Lovelace edited a comment on Landing page"),
        ("delete-comment", "Ada Lovelace deleted a comment on Landing page"),
    ],
)  # fmt: skip
def test_title_with_everything_known(name: str, title: str) -> None:
    assert read(name, known(name))[0] == title


@pytest.mark.parametrize(
    ("name", "known_part", "title"),
    [
        ("rename-file", {"file": subject("New")}, "Someone renamed a file to New"),
        ("rename-project", {"previous": subject("Old")}, "Someone renamed the project Old"),
        ("duplicate-project", {"project": subject("Copy")}, "Someone duplicated a project as Copy"),
        ("move-project", {}, "Someone moved a project to this team"),
        ("move-files", {"files": (Subject(ID),) * 40}, "Someone moved 40 files to another project"),
        ("set-file-shared", {"library": subject("Kit")}, "Someone stopped sharing the file Kit as a library"),  # noqa: E501
        ("set-file-shared", {"props": {"isShared": True}}, "Someone shared a file as a library"),
        ("update-project-pin", {"props": {"isPinned": False}}, "Someone unpinned a project"),
        ("update-project-pin", {}, "Someone pinned or unpinned a project"),
        ("clone-template", {"props": {"templateId": 3}}, "Someone is adding the template 3 to a project"),  # noqa: E501
        ("clone-template", {"props": {"templateId": "a-kit"}}, "Someone is adding the template a kit to a project"),  # noqa: E501
        ("create-comment", {"actor": Person(ID, "Ada")}, "Ada replied"),
        ("resolve-comment-thread", {}, "A thread was resolved"),
        ("delete-comment", {}, "A comment was deleted"),
        ("delete-comment-thread", {}, "A thread was deleted"),
        ("", {}, "Someone: something new"),
    ],
)  # fmt: skip
def test_title_with_unknown_names(name: str, known_part: dict[str, Any], title: str) -> None:
    assert read(name, unknown(name, **known_part))[0] == title


def in_language(language: str, name: str, variables: dict[str, Any], **options: Any) -> Message:
    rendered = TEMPLATES.render(
        name,
        variables | options,
        team="acme",
        channel_kind="stdout",
        digest=name in EVENTS,
        locale=Locale(language),
    )
    assert rendered.problems == ()
    return rendered.message


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", [*CATALOGUE, *NOTICES])
def test_the_first_line_in_each_language(name: str, language: str) -> None:
    notices = {sample["event"]["name"]: sample for sample in notice_samples()}
    variables = notices[name] if name in notices else known(name)
    body = in_language(language, name, dict(variables)).full.body
    first_line = to_text(parse(body), links=False).split("\n\n")[0]
    assert first_line == SENTENCES[name][language]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("variables", [known, unknown])
@pytest.mark.parametrize("options", [{}, {"direct": True}, {"as_sender": True}])
def test_a_message_has_no_gaps_in_any_language(
    name: str, variables: Any, options: dict[str, bool], language: str
) -> None:
    message = in_language(language, name, variables(name), **options)
    content = message.full
    shown = [to_text(parse(part), links=False) for part in (content.body, message.entry)]
    for text in (message.title, message.notice, message.subject, *shown):
        assert text
        assert not re.search(r"  |\(\)|\*\*|None|Undefined|%\(|“”|«\s*»|„“| ,|· ·|^·|·$", text)
    if language != "en" and name in CATALOGUE:
        assert message.title != in_language("en", name, variables(name), **options).title


@pytest.mark.parametrize(
    ("language", "one", "several"),
    [
        ("en", "and 1 more", "and 2 more"),
        ("es", "y 1 más", "y 2 más"),
        ("de", "und 1 weitere", "und 2 weitere"),
        ("fr", "et 1 autre", "et 2 autres"),
    ],
)
def test_the_files_that_are_not_listed_in_each_language(
    language: str, one: str, several: str
) -> None:
    for count, words in ((6, one), (7, several)):
        files = tuple(subject(f"File {number}") for number in range(count))
        message = in_language(language, "move-files", known("move-files", files=files))
        assert to_text(parse(message.full.body), links=False).endswith(f"- File 4\n- {words}")


def test_a_new_comment_shows_place_and_text() -> None:
    assert read("create-comment-thread", known("create-comment-thread")) == (
        "Ada Lovelace commented on Landing page",
        "Ada Lovelace commented on Landing page (https://p.example/file) · Page 1 · #15\n\n"
        "> Please *lighten* it\n> by 10%.\n>\n> Thanks @Grace",
        "Website · Open comment (https://p.example/thread)",
    )


def test_a_reply_shows_the_first_comment() -> None:
    assert read("create-comment", known("create-comment")) == (
        "Ada Lovelace replied on Landing page",
        "Ada Lovelace replied to “Is the hero too dark?”"
        " on Landing page (https://p.example/file) · Page 1 · #15\n\n"
        "> Please *lighten* it\n> by 10%.\n>\n> Thanks @Grace",
        "Website · Open comment (https://p.example/thread)",
    )


RESOLVED = Thread(ID, 15, "https://p.example/thread", "Is the hero too dark?", resolved=True)


def test_a_resolved_thread_shows_its_state_first_and_its_words_in_one_line() -> None:
    name, text = "create-comment-thread", "Please\n\nlighten it " + "very " * 50
    variables = known(name, thread=RESOLVED, comment=Comment(ID, text))
    _, body, _ = read(name, variables)
    state, quote = body.split("\n\n")
    assert state == "✓ Resolved · Landing page (https://p.example/file) · Page 1 · #15"
    assert quote.startswith("> Ada Lovelace: Please lighten it very")
    assert quote.endswith("…")
    assert len(quote) <= len("> Ada Lovelace: ") + 200
    _, body, _ = read(name, variables | {"emoji": "✅"})
    assert body.startswith("✅ Resolved · ")


def test_a_reply_shows_that_it_was_edited_and_its_thread_resolved() -> None:
    comment = Comment(ID, "Please lighten it", edited=True)
    _, body, _ = read("create-comment", known("create-comment", thread=RESOLVED, comment=comment))
    assert body == (
        "Ada Lovelace replied to “Is the hero too dark?” on Landing page (https://p.example/file)"
        " · Page 1 · #15 · edited · ✓ resolved\n\n> Please lighten it"
    )


@pytest.mark.parametrize("name", ["create-comment-thread", "create-comment"])
def test_a_missed_comment_shows_its_date(name: str) -> None:
    variables = known(name)
    variables["event"] |= {"missed": True}
    with clock_at("2026-07-26T09:00Z"):
        _, body, _ = read(name, variables)
    assert " · missed, from yesterday 08:17 UTC\n\n>" in body


@pytest.mark.parametrize(
    ("name", "by_itself", "in_its_thread"),
    [
        (
            "resolve-comment-thread",
            "✓ Resolved · {}\n\n> Ada Lovelace: Is the hero too dark?",
            "✓ Resolved",
        ),
        (
            "reopen-comment-thread",
            "↺ Reopened · {}\n\n> Ada Lovelace: Is the hero too dark?",
            "↺ Reopened",
        ),
        (
            "update-comment",
            "Ada Lovelace edited a comment on {}\n\n> Lighten it",
            "Ada Lovelace edited a comment\n\n> Lighten it",
        ),
        (
            "delete-comment",
            "Ada Lovelace deleted a comment on {}",
            "Ada Lovelace deleted this comment",
        ),
        (
            "delete-comment-thread",
            "Ada Lovelace deleted the thread #15 on Landing page (https://p.example/file) · Page 1",
            "Ada Lovelace deleted this thread",
        ),
    ],
)
def test_changes_of_a_comment_take_few_lines(name: str, by_itself: str, in_its_thread: str) -> None:
    place = "Landing page (https://p.example/file) · Page 1 · #15"
    comment = Comment(ID, "Lighten it", author=Person(ID, "Ada Lovelace"))
    for begun, words in ((False, by_itself.format(place)), (True, in_its_thread)):
        _, body, footer = read(
            name, known(name, comment=comment, thread=replace(RESOLVED, begun=begun))
        )
        assert body == words
        assert bool(footer) is not begun


def test_a_comment_without_text() -> None:
    _, body, _ = read("create-comment-thread", unknown("create-comment-thread"))
    assert body == "Someone commented\n\nThe comment has no text"


def test_unlisted_files_are_counted() -> None:
    files = (subject("File"),) * 100
    title, body, _ = read("move-files", known("move-files", files=files, more_files=28_900))
    assert title == "Ada Lovelace moved 29000 files to Website"
    assert body.endswith("- and 28995 more")
    title, _, _ = read("import-binfile", known("import-binfile", files=files, more_files=28_900))
    assert title == "Ada Lovelace is importing 29000 files into Website"


def test_moved_files_are_listed_up_to_five() -> None:
    files = tuple(subject(f"File {number}") for number in range(8))
    _, body, footer = read("move-files", known("move-files", files=files))
    assert body == (
        "Ada Lovelace moved 8 files to Website (https://p.example/project)\n\n"
        "- File 0\n- File 1\n- File 2\n- File 3\n- File 4\n- and 3 more"
    )
    assert footer == ""


def test_a_message_has_the_fields_of_its_event() -> None:
    message = TEMPLATES.render(
        "create-comment", known("create-comment"), team="acme", channel_kind="slack"
    ).message
    assert (message.event, message.team, message.url) == (
        "create-comment",
        "acme",
        "https://p.example/thread",
    )
    assert (message.opens, message.team_name) == ("comment", "Acme")
    assert message.place == ("Website", "Landing page", "Page 1", "#15")
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
    assert text.strip("\u2068\u2069")[:19].strip() in to_text(hostile[0], links=False)
