"""Coverage-guided fuzzing of decode, normalize, enrich and add_links.

Needs ``atheris`` (Linux, CPython; in an environment of its own, as nothing else does):

    pip install atheris -e .
    PYTHONPATH=. python tests/fuzz/fuzz_wire.py -max_total_time=60 -rss_limit_mb=512 -timeout=5

The first byte of an input chooses the encoding, the rest is the body. It starts from the payloads
in ``tests/penpot``; a directory given as an argument keeps the new inputs. No exception other than
``UnreadableBody`` and ``NotAnEvent`` may be raised, and the results must be encodable as UTF-8.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["relay"]):
    from relay.penpot.events import NotAnEvent, normalize
    from relay.penpot.facts import Fact, enrich, facts_from_event
    from relay.penpot.links import add_links
    from relay.penpot.wire import UnreadableBody, decode

from tests.fuzz.fuzzing import fuzz

TYPES = ("application/json", "application/transit+json")
PAYLOADS = Path(__file__).parent.parent / "penpot" / "payloads"


def one_input(data: bytes) -> None:
    """What Relay does with a body before it renders the message."""
    with contextlib.suppress(UnreadableBody, NotAnEvent):
        value = decode(data[1:], TYPES[data[0] % 2] if data else TYPES[0])
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        event = normalize(value)
        facts = {fact.key: Fact.loads(*fact.key, fact.dumps()) for fact in facts_from_event(event)}
        event, _ = enrich(event, facts, team_key="acme")
        event = add_links(event, "https://penpot.example")
        repr({**event.variables(), "event": None}).encode()


def seeds() -> Iterator[bytes]:
    """The payloads, each with the byte that chooses its encoding."""
    for path in sorted(PAYLOADS.rglob("*.json")):
        if "expect" not in path.name:
            yield (b"\1" if ".transit." in path.name else b"\0") + path.read_bytes()


if __name__ == "__main__":
    fuzz(one_input, seeds())
