"""The rules about one channel; test_settings.py has the exact text of their problems in a file."""

from typing import Any

import pytest

from relay.config.channel_rules import channel_rules


@pytest.mark.parametrize(
    ("raw", "keys"),
    [
        ({"type": "slack", "token": "t", "edits": "in-place"}, []),
        ({"type": "email", "edits": "in-place"}, [("edits",)]),
        ({"type": "slack", "token": "t", "direct": "mentioned", "edits": "in-place"}, [("edits",)]),
        ({"type": "of a newer Relay", "edits": "in-place"}, []),
        ({"type": "slack", "direct": "mentioned", "activity": "daily"}, [("activity",)]),
        ({"type": "slack", "direct": "", "activity": "each"}, []),
        ({"events": ["comments", "!commments"]}, [("events", 1)]),
        ({"events": [], "files": ["!", "a*"]}, [("events",), ("files", 0)]),
        ({"projects": "no list", "actors": [3]}, []),  # the types of values are checked elsewhere
        ({"quiet": ["22:00-07:00"], "schedule": ["09:00"]}, [("schedule",)]),
        ({"urgent": ["mentions"]}, [("urgent",)]),
        ({"urgent": ["mentions"], "schedule": ["09:00"]}, []),
    ],
)
def test_each_problem_names_its_key(raw: dict[str, Any], keys: list[tuple[str, ...]]) -> None:
    assert [key for key, _, _ in channel_rules(raw)] == keys
