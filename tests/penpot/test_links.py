"""Deep links."""

from typing import Any

import pytest

from relay.penpot.events import MAX_FILES, Event, Subject, normalize
from relay.penpot.links import add_links

BASE = "https://design.penpot.app"
TEAM = "2f6a1c10-5d0e-81a4-8006-9a1f00000001"
PROJECT = "3b7c2d20-5d0e-81a4-8006-9a2f00000001"
FILE = "4c8d3e30-5d0e-81a4-8006-9a3f00000001"
KIT = "4c8d3e30-5d0e-81a4-8006-9a3f00000007"
PAGE = "5d9e4f40-5d0e-81a4-8006-9a4f00000001"
THREAD = "c0000001-5d0e-81a4-8006-9b0000000001"

AT_TEAM = f"{BASE}/#/dashboard/recent?team-id={TEAM}"
AT_PROJECT = f"{BASE}/#/dashboard/files?team-id={TEAM}&project-id={PROJECT}"
AT_FILE = f"{BASE}/#/workspace?team-id={TEAM}&file-id={FILE}"
AT_PAGE = f"{AT_FILE}&page-id={PAGE}"
AT_THREAD = f"{BASE}/#/workspace?file-id={FILE}&page-id={PAGE}&team-id={TEAM}&comment-id={THREAD}"
AT_FONTS = f"{BASE}/#/dashboard/fonts?team-id={TEAM}"
VIEWER = f"{BASE}/#/view?file-id={FILE}&section=interactions&index=0"
VIEWER_AT_PAGE = f"{BASE}/#/view?file-id={FILE}&page-id={PAGE}&section=interactions&index=0"
VIEWER_AT_COMMENTS = f"{BASE}/#/view?file-id={FILE}&page-id={PAGE}&section=comments&index=0"


def _linked(name: str, /, **props: Any) -> Event:
    return add_links(normalize({"name": name, "props": props}), BASE)


def _thread(**props: Any) -> Event:
    return _linked(
        "create-comment-thread", fileId=FILE, pageId=PAGE, pageName="Home", content="x", **props
    )


def test_all_subjects_of_a_comment_have_links() -> None:
    event = _thread(id=THREAD, projectId=PROJECT, teamId=TEAM)

    assert event.team.url == AT_TEAM
    assert event.project.url == AT_PROJECT
    assert event.file.url == AT_FILE
    assert event.page.url == AT_PAGE
    assert event.thread.url == event.comment.url == event.url == AT_THREAD


def test_without_the_teams_id_links_lead_to_the_viewer() -> None:
    event = _thread(id=THREAD, projectId=PROJECT)

    assert event.team.url == event.project.url == ""
    assert event.file.url == VIEWER
    assert event.page.url == VIEWER_AT_PAGE
    assert event.thread.url == event.comment.url == event.url == VIEWER_AT_COMMENTS


def test_a_comment_of_an_old_penpot_without_thread_leads_to_its_page() -> None:
    event = _thread(teamId=TEAM)

    assert (event.thread.url, event.url) == ("", AT_PAGE)


@pytest.mark.parametrize(("name", "props", "url"), [
    ("update-file", {"id": FILE, "projectId": PROJECT}, AT_FILE),
    ("create-file", {"name": "New", "projectId": PROJECT}, AT_PROJECT),
    ("delete-file", {"id": FILE, "projectId": PROJECT}, AT_PROJECT),
    ("delete-file", {"id": FILE}, AT_TEAM),
    ("rename-project", {"id": PROJECT}, AT_PROJECT),
    ("delete-project", {"id": PROJECT}, AT_TEAM),
    ("create-project", {"name": "New"}, AT_TEAM),
    ("duplicate-file", {"fileId": FILE, "projectId": PROJECT}, AT_PROJECT),
    ("duplicate-project", {"projectId": PROJECT}, AT_TEAM),
    ("move-files", {"ids": [FILE, KIT], "projectId": PROJECT}, AT_PROJECT),
    ("move-files", {"ids": [FILE], "projectId": PROJECT}, AT_FILE),
    ("move-project", {"projectId": PROJECT}, AT_PROJECT),
    ("link-file-to-library", {"fileId": FILE, "libraryId": KIT}, AT_FILE),
    ("delete-font", {"id": KIT, "name": "Inter"}, AT_FONTS),
    ("create-font-variant", {"fontId": KIT, "fontFamily": "Inter"}, AT_FONTS),
    ("something-new", {}, AT_TEAM),
])  # fmt: skip
def test_the_link_of_an_event_is_its_most_specific_place(
    name: str, props: dict[str, Any], url: str
) -> None:
    assert _linked(name, teamId=TEAM, **props).url == url


@pytest.mark.parametrize(("name", "props", "field"), [
    ("delete-file", {"id": FILE}, "file"),
    ("delete-project", {"id": PROJECT}, "project"),
    ("rename-project", {"id": PROJECT, "prevName": "Old"}, "previous"),
    ("create-file", {"name": "New"}, "file"),
])  # fmt: skip
def test_deleted_subjects_and_those_without_id_have_no_link(
    name: str, props: Any, field: str
) -> None:
    assert getattr(_linked(name, teamId=TEAM, **props), field).url == ""


def test_libraries_files_and_originals_have_their_own_links() -> None:
    linked = _linked("link-file-to-library", teamId=TEAM, fileId=KIT, libraryId=FILE)
    moved = _linked("move-files", teamId=TEAM, ids=[FILE])
    copied = _linked("duplicate-file", teamId=TEAM, fileId=FILE, name="Copy")
    copied_project = _linked("duplicate-project", teamId=TEAM, projectId=PROJECT)

    assert linked.library.url == AT_FILE
    assert moved.files == (Subject(FILE, url=AT_FILE),)
    assert copied.previous == Subject(FILE, url=AT_FILE)
    assert copied_project.previous == Subject(PROJECT, url=AT_PROJECT)


def test_files_up_to_the_limit_have_links() -> None:
    ids = [f"4c8d3e30-5d0e-81a4-8006-{number:012}" for number in range(MAX_FILES + 5)]

    event = _linked("move-files", teamId=TEAM, ids=ids[::-1])

    assert [file.id for file in event.files if file.url] == ids[:MAX_FILES]
    assert len(event.files) == MAX_FILES


@pytest.mark.parametrize("base", [BASE, f"{BASE}/", f"{BASE}/#/", f"{BASE}/#"])
def test_the_base_may_end_in_a_slash_or_hash(base: str) -> None:
    event = normalize({"name": "update-file", "props": {"id": FILE, "teamId": TEAM}})

    assert add_links(event, base).url == AT_FILE


def test_without_penpots_address_there_are_no_links() -> None:
    event = normalize({"name": "update-file", "props": {"id": FILE, "teamId": TEAM}})

    assert add_links(event, "") == event
