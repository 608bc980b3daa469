"""Which events a channel takes."""

import pytest

from relay.penpot.catalogue import CATALOGUE
from relay.penpot.selection import DEFAULT, Selection, matches_any_event

SELDOM = {
    "create-file",
    "delete-file",
    "create-project",
    "delete-project",
    "set-file-shared",
    "move-project",
}


def _taken(*entries: str) -> set[str]:
    selection = Selection.of(entries)
    return {kind.name for kind in CATALOGUE.values() if selection.takes(kind.name, kind.group)}


def _in(*groups: str) -> set[str]:
    return {kind.name for kind in CATALOGUE.values() if kind.group in groups}


@pytest.mark.parametrize(("entries", "taken"), [
    ([], _in("comments") | SELDOM),
    (["*"], set(CATALOGUE)),
    (["comments"], _in("comments")),
    (["comments", "files", "!update-file"], _in("comments", "files") - {"update-file"}),
    (["create-*", "!create-font-variant"],
     {"create-comment-thread", "create-comment", "create-file", "create-project"}),
    (["!files"], _in("comments") | SELDOM - _in("files")),
    (["!files", "delete-file"], {"delete-file"}),
    (["files", "!*-file", "rename-file"], {"rename-file"}),
    (["nothing-such"], set()),
])  # fmt: skip
def test_the_last_matching_entry_decides(entries: list[str], taken: set[str]) -> None:
    assert _taken(*entries) == taken


@pytest.mark.parametrize(("entries", "taken"), [
    ([], False),
    (["*"], True),
    (["restore-*"], True),
    (["!restore-file"], False),
    (["files"], False),
])  # fmt: skip
def test_an_unknown_event_is_selected_like_any_other(entries: list[str], taken: bool) -> None:
    assert Selection.of(entries).takes("restore-file", "") is taken


def test_a_channel_with_daily_lines_gets_edited_files_by_default() -> None:
    assert Selection.of([], daily=True).takes("update-file", "files")
    assert Selection.of(["!create-file"], daily=True).takes("update-file", "files")
    assert not Selection.of(["!update-file"], daily=True).takes("update-file", "files")
    assert not Selection.of(["comments"], daily=True).takes("update-file", "files")
    assert not Selection.of([]).takes("update-file", "files")


def test_the_entry_that_decides() -> None:
    selection = Selection.of(["comments", "!create-comment"])

    assert selection.deciding("create-comment", "comments") == ("!create-comment", False)
    assert selection.deciding("create-comment-thread", "comments") == ("comments", True)
    assert selection.deciding("create-file", "files") == ("", False)


def test_only_stars_and_question_marks_are_wildcards() -> None:
    assert not Selection.of(["create-[f]ile"]).takes("create-file", "files")
    assert not matches_any_event("create-[f]ile")
    assert Selection.of(["create-fil?"]).takes("create-file", "files")


def test_entries_without_a_match_are_detected() -> None:
    known = ["*", "comments", "!transfers", "create-file", "!update-*", *DEFAULT]

    assert all(map(matches_any_event, known))
    assert not any(
        map(matches_any_event, ["comment", "", "!", "Create-File", "created-*", "!file"])
    )
