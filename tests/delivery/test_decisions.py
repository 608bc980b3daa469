"""What the filters of a channel say about an event, alone and over the life of a team."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.channels.stdout import StdoutSettings
from relay.delivery.decisions import Decision, ThreadHome, decide
from relay.delivery.fact_cache import FactCache
from relay.delivery.routing import thread_home
from relay.penpot.events import Comment, Event, File, Person, Subject, Thread, normalize
from relay.penpot.facts import Fact
from relay.store.records import FactKey
from tests.delivery.examples import example

WEBSITE = Subject("6eaf5050-5d0e-81a4-8006-9a5f00000001", "Website")
HOME = File("6eaf5050-5d0e-81a4-8006-9a5f00000002", "Home")
ADA = Person("6eaf5050-5d0e-81a4-8006-9a5f00000003", "Ada", email="ada@example.com")
RENAMED = Event("rename-file", "files", project=WEBSITE, file=HOME, actor=ADA)


def channel(name: str = "one", **filters: list[str]) -> StdoutSettings:
    values = {"name": name, "type": "stdout", "events": ["*"], **filters}
    return StdoutSettings.model_validate(values)


def skipped(event: Event, **filters: list[str]) -> str | None:
    return decide(event, channel(**filters)).skipped


def test_a_channel_without_filters_takes_everything() -> None:
    assert decide(RENAMED, channel()) == Decision(None, ("events: *",))
    assert decide(RENAMED, channel(events=["comments"])) == Decision("")


def test_every_list_has_to_accept() -> None:
    assert decide(RENAMED, channel(projects=["web*"], files=["Home"], actors=["!bot"])) == (
        None,
        ("events: *", "projects: web*", "files: Home", "actors: no entry matches"),
        "",
    )
    assert skipped(RENAMED, projects=["Shop"]) == "projects: no entry matches"
    assert skipped(RENAMED, projects=["*", "!web*"]) == "projects: !web*"
    assert skipped(RENAMED, files=["!home"]) == "files: !home"
    assert skipped(RENAMED, actors=["!ada@example.com"]) == "actors: !ada@example.com"
    assert skipped(RENAMED, projects=["Website"], actors=[ADA.id]) is None


def test_what_an_event_does_not_have_and_what_is_not_known() -> None:
    font = Event("delete-font", "fonts", actor=ADA)
    assert skipped(font, projects=["*"]) == "it has no project"
    assert skipped(font, files=["*"]) == "it has no file"
    assert skipped(font, projects=["!Website"], files=["!Home"]) is None
    nameless = replace(RENAMED, project=Subject(WEBSITE.id), file=File(HOME.id), actor=Person())
    assert skipped(nameless, projects=["Website"]) == "its project is not known"
    assert skipped(nameless, files=["Home"]) == "its file is not known"
    assert skipped(nameless, actors=["Ada"]) == "its actor is not known"
    assert skipped(nameless, projects=[WEBSITE.id], files=["*"]) is None
    assert decide(nameless, channel(projects=["!Shop"])).entries[1] == "its project is not known"
    linked = Event("link-file-to-library", "libraries", file=HOME)
    assert skipped(linked, projects=["Website"]) == "its project is not known"


def test_a_rename_has_two_names_and_a_move_several_files() -> None:
    renamed = replace(RENAMED, previous=Subject(HOME.id, "Start"))
    assert skipped(renamed, files=["Start"]) is skipped(renamed, files=["Home"]) is None
    project = Event("rename-project", "projects", project=WEBSITE, previous=Subject("", "Site"))
    assert skipped(project, projects=["Site"]) is skipped(project, projects=["Website"]) is None
    moved = Event("move-files", "transfers", project=WEBSITE, files=(HOME, Subject("", "Shop")))
    assert skipped(moved, files=["Shop"]) is skipped(moved, files=["!Home"]) is None
    assert skipped(moved, files=["Cart"]) == "files: no entry matches"
    assert skipped(replace(moved, more_files=3), files=["Cart"]) == "its file is not known"


def test_a_change_is_judged_by_the_author_of_its_message() -> None:
    edited = Event(
        "update-comment", "comments", comment=Comment(author=ADA), thread=Thread("t"), actor=ADA
    )
    assert skipped(replace(edited, actor=Person()), actors=["Ada"]) is None
    assert skipped(replace(edited, actor=Person()), actors=["!Ada"]) == "actors: !Ada"


def test_a_thread_that_was_accepted_before_its_name_was_known_stays() -> None:
    event = replace(example("create-comment"), project=Subject(WEBSITE.id))
    one = channel(projects=["!Website"])
    home = ThreadHome.of(event, Fact("thread", event.thread.id)).judged([one])
    named = ThreadHome.of(replace(event, project=WEBSITE), home.fact())
    assert named.project.name == "Website"
    assert decide(event, one, named).entries[1] == "its thread is there"
    moved = ThreadHome.of(replace(event, project=Subject("other", "Shop")), home.fact())
    assert (moved.project.id, moved.project.name) == (WEBSITE.id, "")


# A team's life against a simple model: names are letters, patterns a letter or "*".

TEAM, NAMES, PEOPLE = f"{9:08}-0000-4000-8000-000000000000", "abc", "xyz"


def uuid(number: int) -> str:
    return f"{number:08}-0000-4000-8000-000000000001"


@dataclass
class World:
    projects: dict[str, str] = field(default_factory=lambda: {uuid(1): "a", uuid(2): "b"})
    files: dict[str, list[str]] = field(  # name and project
        default_factory=lambda: {uuid(3): ["a", uuid(1)], uuid(4): ["b", uuid(2)]}
    )
    threads: dict[str, tuple[str, str, str]] = field(default_factory=dict)  # its first place
    authors: dict[str, str] = field(default_factory=dict)


class Facts:
    def __init__(self) -> None:
        self.rows: dict[FactKey, str] = {}

    async def facts(self, _team: str, keys: Any) -> dict[FactKey, str]:
        return {key: self.rows[key] for key in keys if key in self.rows}


def model(entries: list[str], names: set[str]) -> bool:
    others = all(entry[0] == "!" for entry in entries)

    def of_one(name: str) -> bool:
        accepted = others
        for entry in entries:
            if entry.strip("!") in ("*", name):
                accepted = entry[0] != "!"
        return accepted

    return any(map(of_one, names)) if names else others


def _entries(letters: str) -> Any:
    entry = st.builds(str.__add__, st.sampled_from(["", "!"]), st.sampled_from([*letters, "*"]))
    return st.lists(entry, max_size=3)


_filters = st.fixed_dictionaries(
    {"projects": _entries(NAMES), "files": _entries(NAMES), "actors": _entries(PEOPLE)}
)
_step = st.tuples(
    st.sampled_from(["begin", "reply", "resolve", "move", "rename", "rename-project"]),
    st.integers(0, 1),
    st.sampled_from(NAMES),
    st.sampled_from(PEOPLE),
)


@settings(max_examples=100, deadline=None)
@given(_filters, st.lists(_step, min_size=1, max_size=12))
def test_a_team_is_routed_as_by_the_model(
    filters: dict[str, list[str]], steps: list[tuple[str, int, str, str]]
) -> None:
    settings = channel(**{key: entries for key, entries in filters.items() if entries})
    asyncio.run(_live(settings, filters, steps))


async def _live(
    settings: StdoutSettings, filters: dict[str, list[str]], steps: list[tuple[str, int, str, str]]
) -> None:
    world, store = World(), Facts()
    for project, name in world.projects.items():
        old = {"name": "rename-project", "props": {"id": project, "name": name, "teamId": TEAM}}
        await _decide(old, settings, store)
    for file, (name, project) in world.files.items():
        old = {"name": "update-file", "props": {"id": file, "name": name, "projectId": project}}
        await _decide(old, settings, store)
    for person in PEOPLE:
        owner = {"ownerId": uuid(20 + ord(person)), "ownerFullname": person}
        old = _body("create-comment-thread", {"id": uuid(ord(person)), "fileId": file} | owner)
        await _decide(old, settings, store)
    for number, (action, index, name, person) in enumerate(steps):
        body, projects, files, actor = _event(world, number, action, index, name, person)
        expected = all(
            model(filters[key], names)
            for key, names in (("projects", projects), ("files", files), ("actors", {actor}))
        )
        decision = await _decide(body, settings, store)
        assert (decision.skipped is None) == expected, (body, decision)


async def _decide(body: dict[str, Any], settings: StdoutSettings, store: Facts) -> Decision:
    """As a service that is restarted before each event."""
    cache, event = FactCache(store), normalize(body)
    enriched = await cache.enriched(event, "acme", "Acme", TEAM)
    home = await thread_home(enriched, "acme", [settings], cache)
    store.rows |= await cache.new_facts(event, "acme", *([home.fact()] if home else []))
    return decide(enriched, settings, home)


def _event(
    world: World, number: int, action: str, index: int, name: str, person: str
) -> tuple[dict[str, Any], set[str], set[str], str]:
    """The event's body, and the names of its projects, files and actor."""
    file = [*world.files][index]
    old_name, project = world.files[file]
    owner = {"ownerId": uuid(20 + ord(person)), "ownerFullname": person}
    if action in ("reply", "resolve") and not world.threads:
        action = "begin"
    match action:
        case "begin":
            thread = uuid(1000 + number)
            world.threads[thread] = (world.projects[project], old_name, file)
            world.authors[thread] = person
            body = {"name": "create-comment-thread", "props": {"id": thread, "fileId": file}}
            body["props"] |= owner
            return body, {world.projects[project]}, {old_name}, person
        case "reply" | "resolve":
            thread = [*world.threads][number % len(world.threads)]
            home_project, home_file, file = world.threads[thread]
            if action == "reply":
                props = {"id": uuid(5000 + number), "threadId": thread, "fileId": file} | owner
                return _body("create-comment", props), {home_project}, {home_file}, person
            author = world.authors[thread]
            props = {"id": thread, "fileId": file, "fileName": world.files[file][0]}
            props |= {"projectId": world.files[file][1], "ownerFullname": author}
            props["ownerId"] = uuid(20 + ord(author))
            return _body("resolve-comment-thread", props), {home_project}, {home_file}, author
    match action:
        case "move":
            target = [*world.projects][ord(name) % 2]
            world.files[file][1] = target
            body = _body("move-files", {"ids": [file], "projectId": target})
            names = {world.projects[target]}, {old_name}
        case "rename":
            world.files[file][0] = name
            body = _body("rename-file", {"id": file, "name": name, "projectId": project})
            names = {world.projects[project]}, {old_name, name}
        case _:
            target = [*world.projects][index]
            old_name, world.projects[target] = world.projects[target], name
            props = {"id": target, "name": name, "prevName": old_name, "teamId": TEAM}
            body = _body("rename-project", props)
            names = {old_name, name}, set()
    return body | {"profileId": uuid(20 + ord(person))}, *names, person


def _body(name: str, props: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "props": props}
