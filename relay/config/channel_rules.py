"""The rules about one channel that need the registry or the catalogue of events."""

from collections.abc import Iterator, Mapping
from typing import Any

from relay.channels import CHANNEL_TYPES
from relay.config.types import Rule
from relay.penpot.selection import MATCHES_NO_EVENT, matches_any_event

_FILTERS = {  # of a channel, with an example
    "events": '"comments", "!delete-*"',
    "projects": '"Website*", "!Archive"',
    "files": '"Landing page", "!*draft*"',
    "actors": '"Ada Lovelace", "!bot@example.com"',
}


def channel_rules(raw: Mapping[str, Any]) -> Iterator[Rule]:
    """``raw`` has the keys of a channel as the config has them, of any type."""
    events = raw.get("events")
    for number, entry in enumerate(events if isinstance(events, list | tuple) else ()):
        is_text = isinstance(entry, str) and entry.removeprefix("!").strip() != ""
        if is_text and not matches_any_event(entry):
            yield ("events", number), entry, MATCHES_NO_EVENT
    for key, example in _FILTERS.items():
        entries = raw.get(key)
        if not isinstance(entries, list | tuple):
            continue
        form = f'such as [{example}]; "!" in front excludes'
        if not entries:
            yield (key,), None, f"must not be empty: leave it out, or list some, {form}"
        for number, entry in enumerate(entries):
            if isinstance(entry, str) and not entry.removeprefix("!").strip():
                yield (key, number), entry, f"must name something, {form}"
    if "quiet" in raw and "schedule" in raw:
        rule = "does not work with quiet: use one of them, as a schedule holds all other times too"
        yield ("schedule",), raw["schedule"], rule
    if raw.get("urgent") and not {"quiet", "schedule"} & raw.keys():
        yield ("urgent",), raw["urgent"], "needs quiet or schedule, without which nothing is held"
    if "activity" in raw and raw.get("direct"):
        rule = "does not work with direct, which sends what concerns a person: leave it out"
        yield ("activity",), raw["activity"], rule
    kind = CHANNEL_TYPES.get(str(raw.get("type")))
    if raw.get("edits") == "in-place" and kind is not None:
        rule = "does not work with direct"
        if not kind.settings.edits_in_place(raw):
            editors = [kind.editor for kind in CHANNEL_TYPES.values() if kind.editor]
            rule = f"works only for {' and for '.join(editors)}"
        elif not raw.get("direct"):
            return
        yield ("edits",), "in-place", f'{rule}: use "messages" or "none"'
