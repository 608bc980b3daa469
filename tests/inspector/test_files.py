"""Template files and saving them."""

import os
from pathlib import Path

import pytest

from relay.inspector.files import (
    NotSaved,
    TemplateFile,
    TemplatePath,
    default_template,
    file_names,
    load_template,
    next_template,
    own_template,
    remove,
    save,
)
from relay.messages.locale import builtin_folder

BUILTIN = builtin_folder()
SHARED_PATH = TemplatePath("rename-file.md.j2")
TEAM_PATH = TemplatePath("rename-file.md.j2", "acme")


def test_an_event_has_its_own_and_the_shared_files() -> None:
    assert file_names("rename-file") == (
        "rename-file.md.j2",
        "rename-file.slack.json.j2",
        "rename-file.matrix.html.j2",
        "rename-file.email.html.j2",
        "base.md.j2",
        "_words.md.j2",
    )


@pytest.mark.parametrize("event", ["", "../secret", "a/b", "A", ".x", "x\n", "a" * 90])
def test_an_invalid_event_name_has_no_files(event: str) -> None:
    assert file_names(event) == ()


def test_the_teams_file_precedes_the_shared_file_and_the_built_in_one(
    tmp_path: Path,
) -> None:
    builtin = (BUILTIN / "rename-file.md.j2").read_text()
    assert load_template(None, BUILTIN, TEAM_PATH) == TemplateFile(builtin, "builtin")
    assert own_template(tmp_path, "rename-file", "acme", "slack") is None
    (tmp_path / "rename-file.md.j2").write_text("all")
    assert load_template(tmp_path, BUILTIN, TEAM_PATH) == TemplateFile("all", "all")
    assert load_template(tmp_path, BUILTIN, SHARED_PATH).origin == "own"
    assert own_template(tmp_path, "rename-file", "acme", "slack") == SHARED_PATH
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "rename-file.md.j2").write_text("ours")
    assert load_template(tmp_path, BUILTIN, TEAM_PATH).text == "ours"
    assert own_template(tmp_path, "rename-file", "acme", "slack") == TEAM_PATH
    (tmp_path / "rename-file.slack.json.j2").write_text("{}")
    slack = TemplatePath("rename-file.slack.json.j2")
    assert own_template(tmp_path, "rename-file", "acme", "slack") == slack
    assert own_template(tmp_path, "rename-file", "acme", "matrix") == TEAM_PATH


def test_an_unreadable_file_is_reported_and_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "rename-file.md.j2").mkdir()
    builtin = default_template(BUILTIN, SHARED_PATH).text
    for path in (SHARED_PATH, TEAM_PATH):
        assert load_template(tmp_path, BUILTIN, path) == TemplateFile(builtin, "unreadable")
    with pytest.raises(NotSaved, match=r"cannot write .*: Is a directory"):
        save(tmp_path, SHARED_PATH, "x", "", fails=False)


def test_without_the_users_template_the_next_one_applies(tmp_path: Path) -> None:
    builtin = TemplateFile((BUILTIN / "rename-file.md.j2").read_text(), "builtin")
    assert next_template(tmp_path, BUILTIN, TEAM_PATH) == builtin
    (tmp_path / "rename-file.md.j2").write_text("all")
    assert next_template(tmp_path, BUILTIN, TEAM_PATH) == TemplateFile("all", "all")
    assert next_template(tmp_path, BUILTIN, SHARED_PATH) == builtin
    assert next_template(tmp_path, BUILTIN, TemplatePath("paint-file.md.j2")) is None
    assert next_template(tmp_path, BUILTIN, TemplatePath("rename-file.slack.json.j2")) is None


def test_only_the_template_that_was_opened_is_removed(tmp_path: Path) -> None:
    remove(tmp_path, TEAM_PATH, "")  # it does not exist
    save(tmp_path, TEAM_PATH, "mine\n", "", fails=False)
    digest = load_template(tmp_path, BUILTIN, TEAM_PATH).digest
    (tmp_path / TEAM_PATH.path).write_text("theirs")
    with pytest.raises(NotSaved, match="has changed since you opened it"):
        remove(tmp_path, TEAM_PATH, digest)
    assert (tmp_path / TEAM_PATH.path).read_text() == "theirs"
    remove(tmp_path, TEAM_PATH, load_template(tmp_path, BUILTIN, TEAM_PATH).digest)
    assert list((tmp_path / "acme").iterdir()) == []
    (tmp_path / TEAM_PATH.path).mkdir()
    with pytest.raises(NotSaved, match=r"cannot remove .*: Is a directory"):
        remove(tmp_path, TEAM_PATH, digest)


def test_an_unknown_event_starts_with_the_generic_template() -> None:
    generic = (BUILTIN / "event.md.j2").read_text()
    assert default_template(BUILTIN, TemplatePath("paint-file.md.j2")) == TemplateFile(
        generic, "new"
    )


def test_a_saved_file_is_complete_and_keeps_its_mode(tmp_path: Path) -> None:
    save(tmp_path, TEAM_PATH, "ü\n", "", fails=False)
    written = tmp_path / "acme" / "rename-file.md.j2"
    assert written.read_bytes() == "ü\n".encode()
    assert written.stat().st_mode & 0o777 == 0o644
    written.chmod(0o640)
    save(
        tmp_path,
        TEAM_PATH,
        "next\n",
        load_template(tmp_path, BUILTIN, TEAM_PATH).digest,
        fails=False,
    )
    assert written.read_text() == "next\n"
    assert written.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in written.parent.iterdir()] == ["rename-file.md.j2"]


def test_a_concurrent_change_is_not_overwritten(tmp_path: Path) -> None:
    digest = load_template(tmp_path, BUILTIN, SHARED_PATH).digest
    (tmp_path / SHARED_PATH.name).write_text("theirs")
    with pytest.raises(NotSaved, match="has changed since you opened it"):
        save(tmp_path, SHARED_PATH, "mine", digest, fails=False)
    assert (tmp_path / SHARED_PATH.name).read_text() == "theirs"


def test_the_error_names_a_folder_that_is_not_writable(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "acme")  # no folder can be made there, not by root either
    with pytest.raises(NotSaved, match=r"cannot write .*acme/rename-file\.md\.j2: "):
        save(tmp_path, TEAM_PATH, "x", "", fails=False)


@pytest.mark.parametrize(
    ("path", "text", "fails", "reason"),
    [
        (SHARED_PATH, "x", True, "the template fails"),
        (SHARED_PATH, "x" * 1_000_001, False, "larger than 1 MB"),
        (TemplatePath(SHARED_PATH.name, "builtin"), "x", False, "is reserved"),
    ],
)
def test_an_invalid_template_is_not_saved(
    tmp_path: Path, path: TemplatePath, text: str, fails: bool, reason: str
) -> None:
    with pytest.raises(NotSaved, match=reason):
        save(tmp_path, path, text, "", fails=fails)
    assert list(tmp_path.iterdir()) == []
