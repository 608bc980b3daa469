"""Facts from events, and enriching events with them."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from relay.penpot.events import MAX_FILES, Event, File, Person, Subject, normalize
from relay.penpot.facts import (
    FILES,
    THREAD,
    Fact,
    Key,
    LookupCall,
    enrich,
    facts_from_answer,
    facts_from_event,
    lookup_plan,
    merge_event_fact,
    own_part,
)
from relay.penpot.records import FileRecord

TEAM = "2f6a1c10-5d0e-81a4-8006-9a1f00000001"
PROJECT = "3b7c2d20-5d0e-81a4-8006-9a2f00000001"
FILE = "4c8d3e30-5d0e-81a4-8006-9a3f00000001"
KIT = "4c8d3e30-5d0e-81a4-8006-9a3f00000007"
PAGE = "5d9e4f40-5d0e-81a4-8006-9a4f00000001"
ADA = "6eaf5050-5d0e-81a4-8006-9a5f00000001"
BOB = "6eaf5050-5d0e-81a4-8006-9a5f00000002"
FONT = "9bd28380-5d0e-81a4-8006-9a8f00000001"
OF_THREAD = "c0000001-5d0e-81a4-8006-9b0000000001"


def _event(name: str, actor: str = ADA, /, **props: Any) -> Event:
    return normalize({"name": name, "profileId": actor, "props": props})


THREAD_CREATED = _event(
    "create-comment-thread",
    id=OF_THREAD, fileId=FILE, pageId=PAGE, pageName="Home", seqn=15, content="First!",
    ownerId=ADA, ownerFullname="Ada Lovelace", ownerEmail="ada@example.com",
)  # fmt: skip
FILE_UPDATED = _event("update-file", id=FILE, name="Landing page", projectId=PROJECT, teamId=TEAM)
PROJECT_RENAMED = _event("rename-project", id=PROJECT, name="Website", prevName="Web", teamId=TEAM)
KIT_UNSHARED = _event("set-file-shared", id=KIT, name="UI Kit", projectId=PROJECT)
FONT_MADE = _event("create-font-variant", teamId=TEAM, fontId=FONT, fontFamily="Inter")


class Memory:
    """A store of facts, with the loop that enriches events."""

    def __init__(self, *events: Event) -> None:
        self.facts: dict[Key, Fact] = {}
        self.rounds = 0
        self.add(*events)

    def add(self, *events: Event) -> None:
        for event in events:
            for fact in facts_from_event(event):
                old = self.facts.get(fact.key, Fact(*fact.key))
                self.facts[fact.key] = merge_event_fact(event, old, fact)

    def tell(self, event: Event, team_id: str = "") -> Event:
        known: dict[Key, Fact] = {}
        self.rounds = 0
        while True:
            enriched, missing = enrich(event, known, team_key="acme", team_id=team_id)
            if not missing:
                return enriched
            self.rounds += 1
            known |= {key: self.facts.get(key, Fact(*key)) for key in missing}


@pytest.fixture
def memory() -> Memory:
    return Memory(THREAD_CREATED, FILE_UPDATED, PROJECT_RENAMED, KIT_UNSHARED, FONT_MADE)


def test_the_actor_of_a_deletion_is_named_from_an_earlier_comment() -> None:
    memory = Memory(THREAD_CREATED)

    event = memory.tell(_event("delete-file", id=FILE, name="Landing page", projectId=PROJECT))

    assert event.actor == Person(ADA, "Ada Lovelace", email="ada@example.com")


def test_a_reply_has_its_thread_page_file_and_project(memory: Memory) -> None:
    event = memory.tell(_event("create-comment", BOB, threadId=OF_THREAD, content="ok"))

    assert event.actor == Person(BOB)
    assert (event.thread.number, event.thread.first) == (15, "First!")
    assert event.page == Subject(PAGE, "Home")
    assert event.file == File(FILE, "Landing page")
    assert event.project == Subject(PROJECT, "Website")
    assert event.team == Subject(TEAM, "acme")
    assert memory.rounds <= 6


def test_later_comments_have_the_state_of_their_thread(memory: Memory) -> None:
    reply = _event("create-comment", BOB, threadId=OF_THREAD, content="ok")
    memory.add(_event("update-comment", threadId=OF_THREAD, content="Darker", isFirst=True))
    memory.add(_event("resolve-comment-thread", id=OF_THREAD, content="Darker"))

    resolved = memory.tell(reply)
    memory.add(_event("reopen-comment-thread", id=OF_THREAD, content="Darker"))
    reopened = memory.tell(_event("reopen-comment-thread", id=OF_THREAD, content="Darker"))

    assert (resolved.thread.first, resolved.thread.resolved) == ("Darker", True)
    assert (reopened.thread.resolved, reopened.comment.edited) == (False, True)
    assert not resolved.comment.edited


def test_facts_of_no_event_stay_unknown() -> None:
    event = Memory().tell(_event("create-comment", threadId=OF_THREAD, fileId=FILE, content="ok"))

    assert (event.actor, event.file, event.thread.id) == (Person(ADA), File(FILE), OF_THREAD)
    assert not any((event.actor, event.file, event.project, event.page, event.thread))
    assert event.team == Subject("", "acme")


@pytest.mark.parametrize(("event", "field", "subject"), [
    (_event("export-binfile", fileId=FILE), "file", File(FILE, "Landing page")),
    (_event("export-binfile", fileId=FILE), "project", Subject(PROJECT, "Website")),
    (_event("clone-template", projectId=PROJECT), "project", Subject(PROJECT, "Website")),
    (_event("update-project-pin", id=PROJECT), "project", Subject(PROJECT, "Website")),
    (_event("link-file-to-library", fileId=FILE, libraryId=KIT), "library", Subject(KIT, "UI Kit")),
    (_event("duplicate-file", fileId=FILE, name="Copy"), "previous", Subject(FILE, "Landing page")),
    (_event("duplicate-file", fileId=FILE, name="Copy"), "file", File("", "Copy")),
    (_event("duplicate-file", fileId=FILE, name="Copy"), "project", Subject(PROJECT, "Website")),
    (_event("duplicate-project", projectId=PROJECT), "previous", Subject(PROJECT, "Website")),
    (_event("rename-file", id=FILE, name="New"), "previous", Subject(FILE, "Landing page")),
    (_event("rename-file", id=FILE, name="New"), "file", File(FILE, "New")),
    (_event("rename-file", id=FILE, name="Landing page"), "previous", Subject()),
    (_event("rename-file", id=ADA, name="New"), "previous", Subject()),
    (_event("update-font", id=FONT, name="Inter Tight"), "previous", Subject(FONT, "Inter")),
    (_event("move-files", ids=[FILE, KIT], projectId=PROJECT), "files",
     (Subject(FILE, "Landing page"), Subject(KIT, "UI Kit"))),
    (_event("move-files", ids=[KIT]), "file", File(KIT, "UI Kit")),
])  # fmt: skip
def test_facts_of_earlier_events_are_used(
    memory: Memory, event: Event, field: str, subject: Any
) -> None:
    assert getattr(memory.tell(event), field) == subject


def test_an_events_own_values_are_not_overwritten(memory: Memory) -> None:
    other = _event(
        "create-comment-thread",
        id=OF_THREAD, fileId=KIT, pageId=PAGE, pageName="Other", seqn=3, content="Other",
        ownerId=ADA, ownerFullname="Ada King",
    )  # fmt: skip

    event = memory.tell(other)

    assert (event.actor.name, event.page.name, event.file.id) == ("Ada King", "Other", KIT)
    assert (event.thread.number, event.thread.first) == (3, "Other")


def test_a_renamed_file_is_known_by_its_new_name_and_keeps_its_project(memory: Memory) -> None:
    memory.add(_event("rename-file", id=FILE, name="New"))

    event = memory.tell(_event("export-binfile", fileId=FILE))

    assert (event.file.name, event.project.name) == ("New", "Website")


def test_a_moved_file_is_known_in_its_new_project(memory: Memory) -> None:
    memory.add(_event("move-files", ids=[FILE], projectId=KIT))

    assert memory.tell(_event("export-binfile", fileId=FILE)).project == Subject(KIT)


@pytest.mark.parametrize(("event", "team_id", "team"), [
    (_event("create-project", name="X", teamId=TEAM), "", TEAM),
    (_event("create-project", name="X", teamId=TEAM), BOB, TEAM),
    (_event("link-file-to-library", fileId=BOB), "", ""),
    (_event("link-file-to-library", fileId=BOB), TEAM, TEAM),
])  # fmt: skip
def test_the_teams_id_is_from_the_event_or_the_config(
    event: Event, team_id: str, team: str
) -> None:
    assert Memory().tell(event, team_id).team == Subject(team, "acme")


def test_the_teams_id_is_from_any_event_that_has_it() -> None:
    memory = Memory(_event("create-project", name="X", teamId=TEAM))

    assert memory.tell(_event("link-file-to-library", fileId=FILE)).team == Subject(TEAM, "acme")


def test_the_teams_name_takes_precedence_over_the_configs_key() -> None:
    memory = Memory(_event("rename-team", id=TEAM, name="Acme Design"))

    assert memory.tell(FILE_UPDATED).team == Subject(TEAM, "Acme Design")


def test_a_font_is_known_by_its_family(memory: Memory) -> None:
    event = memory.tell(replace(FONT_MADE, font=replace(FONT_MADE.font, name="", weight=700)))

    assert (event.font.name, event.font.weight) == ("Inter", 700)


def test_the_number_of_files_that_are_looked_up_is_limited() -> None:
    many = [f"4c8d3e30-5d0e-81a4-8006-{number:012}" for number in range(5 * MAX_FILES)]
    event = _event("move-files", ids=many, projectId=PROJECT)

    enriched, missing = enrich(event, {}, team_key="acme")

    assert enriched.variables()["event"]["file_count"] == len(many)
    assert len([key for key in missing if key[0] == "file"]) == MAX_FILES
    assert len([fact for fact in facts_from_event(event) if fact.kind == "file"]) == MAX_FILES


def _keys(facts: Iterable[Fact]) -> set[Key]:
    return {fact.key for fact in facts}


def test_facts_from_events() -> None:
    assert set(facts_from_event(THREAD_CREATED)) == {
        Fact.of("person", ADA, "Ada Lovelace", email="ada@example.com"),
        Fact.of("page", PAGE, "Home", file=FILE),
        Fact.of("thread", OF_THREAD, file=FILE, page=PAGE, number="15", first="First!", people=ADA),
    }
    assert set(facts_from_event(FILE_UPDATED)) == {
        Fact.of("file", FILE, "Landing page", project=PROJECT),
        Fact.of("project", PROJECT, team=TEAM),
        Fact.of("own-team", "", team=TEAM),
    }
    assert set(facts_from_event(PROJECT_RENAMED)) == {
        Fact.of("project", PROJECT, "Website", team=TEAM),
        Fact.of("own-team", "", team=TEAM),
    }


@pytest.mark.parametrize("event", [
    _event("link-file-to-library", fileId=FILE, libraryId=KIT),
    _event("duplicate-file", fileId=FILE, name="Copy"),
    _event("duplicate-project", projectId=PROJECT, name="Copy"),
    _event("import-binfile", fileId=FILE, name="Something else"),
    _event("clone-template", projectId=PROJECT),
])  # fmt: skip
def test_ids_alone_and_the_names_of_copies_are_not_facts(event: Event) -> None:
    assert _keys(facts_from_event(event)) == set()


def _at(second: int, event: Event) -> Event:
    return replace(event, at=datetime(2026, 7, 1, 10, 0, second, tzinfo=UTC))


def test_a_late_save_does_not_restore_an_older_name() -> None:
    renamed = _at(40, _event("rename-file", id=FILE, name="Checkout"))
    moved = _at(50, _event("move-files", ids=[FILE], projectId=KIT))
    memory = Memory(_at(0, FILE_UPDATED), renamed, moved)
    comment = _event("create-comment", threadId=OF_THREAD, fileId=FILE, content="Hi")

    memory.add(_at(30, FILE_UPDATED), replace(FILE_UPDATED, at=None))
    enriched = memory.tell(comment)
    assert (enriched.file.name, enriched.project.id) == ("Checkout", KIT)
    assert memory.tell(_event("rename-file", id=FILE, name="Shop")).previous.name == "Checkout"

    memory.add(_at(55, FILE_UPDATED))
    enriched = memory.tell(comment)
    assert (enriched.file.name, enriched.project.id) == ("Landing page", PROJECT)


def test_a_name_that_was_known_without_its_time_gets_one() -> None:
    memory = Memory()
    memory.facts["file", FILE] = Fact.of("file", FILE, "Checkout", project=PROJECT)
    memory.add(_at(40, _event("rename-file", id=FILE, name="Checkout")), _at(0, FILE_UPDATED))
    assert memory.facts["file", FILE].name == "Checkout"


def test_a_save_of_an_unknown_file_gives_its_name() -> None:
    for event in (FILE_UPDATED, _at(0, FILE_UPDATED)):
        assert Memory(event).tell(_event("delete-file", id=FILE)).file.name == "Landing page"


def test_a_synthetic_event_does_not_give_a_name_before_its_webhook() -> None:
    memory = Memory(FILE_UPDATED, THREAD_CREATED)
    place = {"id": OF_THREAD, "fileId": FILE, "pageId": PAGE, "pageName": "Start", "projectId": KIT}
    memory.add(_event("resolve-comment-thread", fileName="Landing 2", isResolved=True, **place))

    renamed = memory.tell(_event("rename-file", id=FILE, name="Landing 2"))
    assert (renamed.previous.name, renamed.project.id) == ("Landing page", PROJECT)
    assert memory.facts["thread", OF_THREAD].ref("resolved") == "yes"


def test_a_deleted_thread_has_its_files_current_place() -> None:
    memory = Memory(FILE_UPDATED, _event("rename-file", id=FILE, name="Landing 2"))
    place = {"id": OF_THREAD, "fileId": FILE, "pageId": PAGE, "pageName": "Home", "projectId": KIT}
    deleted = memory.tell(_event("delete-comment-thread", fileName="Landing page", **place))

    assert (deleted.file.name, deleted.page.name) == ("Landing 2", "Home")
    assert deleted.project.id == PROJECT
    unknown = Memory().tell(_event("delete-comment-thread", fileName="Landing page", **place))
    assert (unknown.file.name, unknown.project.id) == ("Landing page", KIT)


def test_facts_are_merged_field_by_field() -> None:
    old = Fact.of("file", FILE, "Landing page", project=PROJECT)

    assert Fact.merged(old, Fact.of("file", FILE, "New")) == Fact.of(
        "file", FILE, "New", project=PROJECT
    )
    assert Fact.merged(old, Fact.of("file", FILE, project=KIT)) == Fact.of(
        "file", FILE, "Landing page", project=KIT
    )
    assert Fact.merged(None, old) is old


def test_a_fact_is_restored_from_its_json() -> None:
    fact = Fact.of("thread", OF_THREAD, file=FILE, number="15", first='a "b"\n😀')

    assert Fact.loads("thread", OF_THREAD, fact.dumps()) == fact
    assert "project" not in fact.dumps()


def test_of_an_answer_only_what_belongs_to_the_team_is_used() -> None:
    files = (FileRecord(FILE, "Ours", team_id=TEAM), FileRecord(KIT, "Theirs", team_id=BOB))
    call = LookupCall(FILES, (PROJECT,))
    assert own_part(call, files, TEAM) == files[:1]
    assert _keys(facts_from_answer(files[:1])) == {("file", FILE)}
    assert own_part(call, None, TEAM) is None


def test_only_the_list_of_members_says_who_is_one() -> None:
    memory = Memory(THREAD_CREATED)
    assert memory.tell(THREAD_CREATED).member == Person()

    for fact in facts_from_answer((Person(ADA, "Ada L.", email="ada@acme.example"),)):
        memory.facts[fact.key] = Fact.merged(memory.facts[fact.key], fact)
    memory.add(THREAD_CREATED)  # a later body does not change it

    event = memory.tell(THREAD_CREATED)
    assert event.member == Person(ADA, "Ada L.", email="ada@acme.example")
    assert event.comment.author == Person(ADA, "Ada Lovelace", email="ada@example.com")
    assert "member" not in event.variables()
    assert memory.tell(_event("create-comment", BOB, content="ok")).member == Person()
    assert memory.tell(FILE_UPDATED).member == Person()


def test_a_thread_of_another_team_or_file_is_not_used() -> None:
    call = LookupCall(THREAD, (FILE, OF_THREAD))
    own = replace(THREAD_CREATED, team=Subject(TEAM))
    assert own_part(call, own, TEAM) == own
    assert own_part(call, THREAD_CREATED, TEAM) == THREAD_CREATED  # before Penpot 2.5
    assert own_part(call, replace(own, team=Subject(BOB)), TEAM) is None
    assert own_part(call, replace(own, file=File(KIT)), TEAM) is None


def test_a_thread_or_library_whose_file_is_not_known_is_not_looked_up() -> None:
    for event in (
        _event("create-comment", threadId=OF_THREAD, content="ok"),
        _event("link-file-to-library", libraryId=KIT),
    ):
        assert lookup_plan(event, nameless=False, projects=None) == set()
