"""The descriptions of events for templates."""

from pathlib import Path

import pytest

from relay.penpot.catalogue import ACTIVITY, CATALOGUE, GROUPS
from relay.reference import VARIABLES, UnknownEvent, describe_event, list_events


@pytest.mark.parametrize("name", CATALOGUE)
def test_events_describes_each_variable_of_an_event(tmp_path: Path, name: str) -> None:
    text = describe_event(name)
    for variable in ("event", *CATALOGUE[name].variables):
        assert f"\n  {variable} " in text
    assert set(CATALOGUE[name].variables) <= set(VARIABLES)


def test_events_says_what_is_not_sent_by_default() -> None:
    off = {name for name in CATALOGUE if "Not sent to a channel by default." in _text(name)}
    assert off == {name for name, kind in CATALOGUE.items() if not kind.is_default}


def test_events_says_what_is_activity() -> None:
    assert {name for name in CATALOGUE if "Activity: a line a day" in _text(name)} == ACTIVITY


def _text(name: str) -> str:
    return " ".join(describe_event(name).split())


def test_the_list_has_every_event_and_marks_those_that_are_off_by_default() -> None:
    lines = list_events().splitlines()
    assert set(GROUPS) <= set(lines)
    listed = {word for line in lines for word in line.split()[:2]}
    assert set(CATALOGUE) <= listed
    assert any(line.startswith("  = update-file ") for line in lines)
    assert any(line.startswith(" -= update-font ") for line in lines)
    assert any(line.startswith("    create-comment ") for line in lines)
    assert max(map(len, lines)) <= 120


def test_an_unknown_event_is_an_error_with_a_suggestion() -> None:
    assert str(UnknownEvent("create-coment")).endswith("did you mean create-comment?")
    assert str(UnknownEvent("x")).endswith("`relay events` lists them")
    with pytest.raises(UnknownEvent, match="did you mean create-comment"):
        describe_event("create-coment")
