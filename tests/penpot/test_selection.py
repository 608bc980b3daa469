"""Which events a channel takes."""

import pytest

from relay.penpot.events import CATALOGUE
from relay.penpot.selection import DEFAULT, Selection, is_known

NOISE = {"update-file", "update-project-pin", "export-binfile", "create-font-variant"}


def _taken(*entries: str) -> set[str]:
    selection = Selection.of(entries)
    return {kind.name for kind in CATALOGUE.values() if selection.takes(kind.name, kind.group)}


def _in(*groups: str) -> set[str]:
    return {kind.name for kind in CATALOGUE.values() if kind.group in groups}


@pytest.mark.parametrize(("entries", "taken"), [
    ([], set(CATALOGUE) - NOISE),
    (["*"], set(CATALOGUE)),
    (["comments"], _in("comments")),
    (["comments", "files", "!update-file"], _in("comments", "files") - {"update-file"}),
    (["create-*", "!create-font-variant"],
     {"create-comment-thread", "create-comment", "create-file", "create-project"}),
    (["!files"], set(CATALOGUE) - NOISE - _in("files")),
    (["!files", "delete-file"], {"delete-file"}),
    (["files", "!*-file", "rename-file"], {"rename-file"}),
    (["nothing-such"], set()),
])  # fmt: skip
def test_the_last_entry_that_fits_decides(entries: list[str], taken: set[str]) -> None:
    assert _taken(*entries) == taken


@pytest.mark.parametrize(("entries", "taken"), [
    ([], True),
    (["*"], True),
    (["restore-*"], True),
    (["!restore-file"], False),
    (["files"], False),
])  # fmt: skip
def test_an_event_that_the_catalogue_does_not_know_is_taken_like_any_other(
    entries: list[str], taken: bool
) -> None:
    assert Selection.of(entries).takes("restore-file", "") is taken


def test_the_entry_that_decides_can_be_told() -> None:
    selection = Selection.of(["comments", "!create-comment"])

    assert selection.deciding("create-comment", "comments") == "!create-comment"
    assert selection.deciding("create-comment-thread", "comments") == "comments"
    assert selection.deciding("create-file", "files") == ""


def test_entries_that_fit_nothing_are_found() -> None:
    known = ["*", "comments", "!transfers", "create-file", "!update-*", *DEFAULT]

    assert all(map(is_known, known))
    assert not any(map(is_known, ["comment", "", "!", "Create-File", "created-*", "!file"]))
