"""Activity lines, compared with a simple model."""

import json
import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from relay.penpot.activity import LINE, MAX_NAMES, ActivityLine, day_of, end_of, line_id
from relay.penpot.catalogue import ACTIVITY, CATALOGUE
from relay.penpot.events import Event, File, Font, Person, Subject
from tests.delivery.examples import example

DAY = date(2026, 3, 9)
FILE = File("f1", "Landing page", "https://design.example.com/f1")


def line_of(*events: Event, at: float = 1000.0) -> ActivityLine:
    line = ActivityLine()
    for number, event in enumerate(events):
        line = line.with_event(event, at + number)
    return line


def event(name: str, person: str = "Ada", **fields: object) -> Event:
    values = {"file": FILE, "actor": Person(person.lower(), person)} | fields
    return replace(Event(name, CATALOGUE[name].group), **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(ACTIVITY))
def test_each_kind_of_activity_has_a_subject_with_a_name(name: str) -> None:
    sample = example(name)
    id_ = line_id(sample, DAY)
    assert id_.startswith("activity:2026-03-09:")
    assert not id_.endswith(":")
    shown = line_of(sample, sample).event(sample)
    assert shown.name == LINE
    assert [bool(each) for each in (shown.file, shown.font)].count(True) <= 1
    assert shown.file or shown.font or shown.project


def test_events_about_one_subject_share_a_line() -> None:
    work, link = event("update-file"), event("link-file-to-library")
    copy = event("duplicate-file", file=File("", "Copy"), previous=Subject("f1", "Landing page"))
    assert {line_id(each, DAY) for each in (work, link, copy)} == {"activity:2026-03-09:file:f1"}
    assert line_id(work, DAY) != line_id(work, DAY + timedelta(1))
    assert line_id(work, DAY) != line_id(event("update-file", file=File("f2")), DAY)
    project = event("rename-project", project=Subject("f1", "Website"))
    assert line_id(project, DAY) == "activity:2026-03-09:project:f1"


def test_the_variants_of_a_font_share_the_line_of_their_family() -> None:
    bold = event("create-font-variant", font=Font("i1", "Inter", style="italic", weight=700))
    deleted = event("delete-font", font=Font("i1", "Inter"))
    assert line_id(bold, DAY) == line_id(deleted, DAY)
    assert line_of(bold, deleted).event(bold).font == Font("i1", "Inter")


def test_a_line_has_the_first_old_name_and_the_last_new_one() -> None:
    first = event("rename-file", previous=Subject("f1", "Draft"))
    second = event("rename-file", file=File("f1", "Start"), previous=Subject("f1", "Landing page"))
    shown = line_of(first, second).event(second)
    assert (shown.previous.name, shown.file.name) == ("Draft", "Start")
    back = event("rename-file", file=File("f1", "Draft"), previous=Subject("f1", "Start"))
    assert not line_of(first, second, back).event(back).previous


def test_a_library_counts_as_it_was_left() -> None:
    kit, icons = Subject("k", "UI kit"), Subject("i", "Icons")
    line = line_of(
        event("link-file-to-library", library=kit),
        event("link-file-to-library", library=icons),
        event("unlink-file-from-library", library=kit),
        event("update-file"),
    )
    values = line.variables(UTC, is_over=False)
    assert (values["connected"], values["disconnected"]) == (["Icons"], ["UI kit"])


def test_a_person_gets_their_name_when_it_is_known() -> None:
    unknown = replace(event("update-file"), actor=Person("ada"))
    assert line_of(unknown).variables(UTC, is_over=False)["people"] == []
    line = line_of(unknown, event("update-file", "Zoë"), event("update-file"))
    assert line.variables(UTC, is_over=False)["people"] == ["Ada", "Zoë"]
    nobody = replace(unknown, actor=Person())
    assert line_of(nobody, nobody).variables(UTC, is_over=False)["people"] == []


def test_a_flood_of_people_and_libraries_does_not_make_a_line_long() -> None:
    line = ActivityLine()
    for number in range(500):
        library = Subject(f"l{number}", f"Library {number}")
        line = line.with_event(event("link-file-to-library", f"P{number}", library=library), 1.0)
    assert line.count == 500
    assert len(line.people) == len(line.libraries) == MAX_NAMES
    assert ActivityLine.loads(line.dumps()) == line


def test_lines_are_those_of_a_simple_model() -> None:
    """Random events in random zones; what is counted is what a list of the day's events says."""
    random.seed(16)
    zones = [ZoneInfo(name) for name in ("UTC", "Europe/Madrid", "America/Sao_Paulo", "Asia/Tokyo")]
    people = ["Ada", "Zoë", "Grace", ""]
    start = datetime(2026, 3, 27, tzinfo=UTC).timestamp()
    for _ in range(60):
        zone = random.choice(zones)
        lines: dict[str, ActivityLine] = {}
        model: dict[tuple[date, str], list[tuple[Event, float]]] = {}
        at = start
        for _ in range(random.randrange(1, 60)):
            at += random.choice([1, 600, 40_000])
            file = File(f"f{random.randrange(3)}", "F")
            sent = event(
                random.choice(["update-file", "rename-file"]), random.choice(people), file=file
            )
            day = datetime.fromtimestamp(at, zone).date()
            model.setdefault((day, file.id), []).append((sent, at))
            id_ = line_id(sent, day_of(at, zone))
            stored = lines[id_].dumps() if id_ in lines else ActivityLine().dumps()
            lines[id_] = ActivityLine.loads(stored).with_event(sent, at)
        assert len(lines) == len(model)
        for (day, file_id), counted in model.items():
            line = lines[f"activity:{day}:file:{file_id}"]
            values = line.variables(zone, is_over=True)
            names = [each.actor.name for each, _ in counted if each.actor.name]
            assert values["count"] == len(counted)
            assert values["people"] == list(dict.fromkeys(names))
            assert values["kinds"] == Counter(each.name for each, _ in counted)
            assert values["first"].timestamp() == counted[0][1]
            assert values["last"].timestamp() == counted[-1][1]
            assert values["last"].date() == day


def test_what_is_counted_is_json_that_keeps_its_order() -> None:
    line = line_of(event("update-file", "Zoë"), event("update-file", "Ada"))
    assert list(json.loads(line.dumps())["people"].values()) == ["Zoë", "Ada"]
    assert ActivityLine.loads(line.dumps()) == line


@pytest.mark.parametrize("zone", ["UTC", "Europe/Madrid", "America/Havana", "Pacific/Apia"])
def test_a_day_ends_when_the_next_one_begins(zone: str) -> None:
    """In Havana the clock is set forward at midnight, and back to it; Apia has skipped a day."""
    tz, at = ZoneInfo(zone), datetime(2011, 1, 1, tzinfo=UTC).timestamp()
    while at < datetime(2012, 12, 31, tzinfo=UTC).timestamp():
        end = end_of(day_of(at, tz), tz)
        assert at < end <= at + 26 * 3600
        assert day_of(end, tz) > day_of(at, tz)
        assert day_of(end - 1, tz) == day_of(at, tz)
        at += 1800


def test_the_emoji_is_that_of_most_events() -> None:
    line = line_of(event("rename-file"), event("update-file"), event("update-file"))
    assert line.emoji == CATALOGUE["update-file"].emoji
