"""Which files templates stand in, and how one is saved."""

import os
from pathlib import Path

import pytest

from relay.inspector.template_files import (
    NotSaved,
    TemplateFile,
    TemplatePath,
    beginning,
    counting,
    found,
    names,
    save,
)
from relay.messages.templates import builtin_folder

BUILTIN = builtin_folder()
PLACE = TemplatePath("rename-file.md.j2")
OURS = TemplatePath("rename-file.md.j2", "acme")


def test_an_event_has_its_files_and_what_all_build_on() -> None:
    assert names("rename-file") == (
        "rename-file.md.j2",
        "rename-file.slack.json.j2",
        "rename-file.matrix.html.j2",
        "rename-file.email.html.j2",
        "base.md.j2",
        "_words.md.j2",
    )


@pytest.mark.parametrize("event", ["", "../secret", "a/b", "A", ".x", "x\n", "a" * 90])
def test_what_is_no_name_of_an_event_has_no_files(event: str) -> None:
    assert names(event) == ()


def test_the_text_that_counts_is_the_teams_then_that_of_all_then_the_built_in_one(
    tmp_path: Path,
) -> None:
    builtin = (BUILTIN / "rename-file.md.j2").read_text()
    assert found(None, BUILTIN, OURS) == TemplateFile(builtin, "builtin")
    assert counting(tmp_path, "rename-file", "acme", "slack") is None
    (tmp_path / "rename-file.md.j2").write_text("all")
    assert found(tmp_path, BUILTIN, OURS) == TemplateFile("all", "all")
    assert found(tmp_path, BUILTIN, PLACE).origin == "own"
    assert counting(tmp_path, "rename-file", "acme", "slack") == PLACE
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "rename-file.md.j2").write_text("ours")
    assert found(tmp_path, BUILTIN, OURS).text == "ours"
    assert counting(tmp_path, "rename-file", "acme", "slack") == OURS
    (tmp_path / "rename-file.slack.json.j2").write_text("{}")
    slack = TemplatePath("rename-file.slack.json.j2")
    assert counting(tmp_path, "rename-file", "acme", "slack") == slack
    assert counting(tmp_path, "rename-file", "acme", "matrix") == OURS


def test_a_file_that_can_not_be_read_is_said_to_be_so_and_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "rename-file.md.j2").mkdir()
    builtin = beginning(BUILTIN, PLACE).text
    for place in (PLACE, OURS):
        assert found(tmp_path, BUILTIN, place) == TemplateFile(builtin, "unreadable")
    with pytest.raises(NotSaved, match="can't be written: Is a directory"):
        save(tmp_path, PLACE, "x", "", fails=False)


def test_an_event_of_a_newer_penpot_begins_with_the_general_template() -> None:
    general = (BUILTIN / "event.md.j2").read_text()
    assert beginning(BUILTIN, TemplatePath("paint-file.md.j2")) == TemplateFile(general, "new")


def test_a_text_is_saved_whole_and_readable_for_the_service(tmp_path: Path) -> None:
    save(tmp_path, OURS, "ü\n", "", fails=False)
    written = tmp_path / "acme" / "rename-file.md.j2"
    assert written.read_bytes() == "ü\n".encode()
    assert written.stat().st_mode & 0o777 == 0o644
    written.chmod(0o640)
    save(tmp_path, OURS, "next\n", found(tmp_path, BUILTIN, OURS).seen, fails=False)
    assert written.read_text() == "next\n"
    assert written.stat().st_mode & 0o777 == 0o640
    assert [one.name for one in written.parent.iterdir()] == ["rename-file.md.j2"]


def test_what_somebody_else_wrote_meanwhile_is_not_lost(tmp_path: Path) -> None:
    seen = found(tmp_path, BUILTIN, PLACE).seen
    (tmp_path / PLACE.name).write_text("theirs")
    with pytest.raises(NotSaved, match="has been changed since you opened it"):
        save(tmp_path, PLACE, "mine", seen, fails=False)
    assert (tmp_path / PLACE.name).read_text() == "theirs"


def test_a_folder_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "acme")  # no folder can be made there, not by root either
    with pytest.raises(NotSaved, match=r"acme/rename-file\.md\.j2 can't be written: "):
        save(tmp_path, OURS, "x", "", fails=False)


@pytest.mark.parametrize(
    ("place", "text", "fails", "why"),
    [
        (PLACE, "x", True, "the template fails"),
        (PLACE, "x" * 1_000_001, False, "larger than 1 MB"),
        (TemplatePath(PLACE.name, "builtin"), "x", False, "the name is taken"),
    ],
)
def test_what_would_do_no_good_is_not_saved(
    tmp_path: Path, place: TemplatePath, text: str, fails: bool, why: str
) -> None:
    with pytest.raises(NotSaved, match=why):
        save(tmp_path, place, text, "", fails=fails)
    assert list(tmp_path.iterdir()) == []
