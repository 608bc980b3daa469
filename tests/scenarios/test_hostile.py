"""Limits on the cost of a hostile body of 16 MiB, part of which blocks the event loop."""

import contextlib
import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from relay.messages.document import _parse_cached
from relay.messages.message import Message
from relay.messages.templates import Templates
from relay.penpot.events import NotAnEvent, normalize
from relay.penpot.facts import Fact, Key, enrich
from relay.penpot.links import add_links
from relay.penpot.wire import MAX_NON_ASCII_BYTES, MAX_VALUES, UnreadableBody, decode

MAX_DECODE_SECONDS = 0.5
"""Measured: 0.09 at most on an idle core of a small server. The limit is five times that, as the
test must only catch quadratic cost, which takes seconds."""
MAX_DECODE_RATIO = 5
"""Where a busy machine takes longer than that: to an ordinary body of as many values and bytes,
measured then; at most 2."""
MAX_RENDER_SECONDS = 0.1
"""From decoded values to a message; measured: 0.025 at most."""
MAX_MEMORY_BYTES = 80 * 1024 * 1024
"""In addition to the body; measured: 72 MiB at most."""

SIZE = 16 * 1024 * 1024
MANY = MAX_VALUES - 10
M61 = (1 << 61) - 1
"""The modulus of Python's hash of integers: all its multiples collide."""


def _list(item: Callable[[int], str], count: int) -> bytes:
    return ("[" + ",".join(map(item, range(count))) + "]").encode()


def _uuid(number: int) -> str:
    digits = f"{number:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _transit_map(key: Callable[[int], str]) -> bytes:
    pairs = ",".join(f"{key(number)},0" for number in range(MANY // 2))
    return f'["^ ",{pairs}]'.encode()


_JSON: dict[str, Callable[[], bytes]] = {
    "brackets": lambda: b"[" * SIZE,
    "braces": lambda: b'{"a":' * (SIZE // 5),
    "as many brackets as the bound lets in": lambda: b"[" * MANY,
    "empty arrays": lambda: _list(lambda _: "[]", SIZE // 3),
    "as many empty arrays as the bound lets in": lambda: _list(lambda _: "[]", MANY // 2),
    "as many empty objects as the bound lets in": lambda: _list(lambda _: "{}", MANY // 2),
    "commas in a string": lambda: b'"' + b"," * (SIZE - 2) + b'"',
    "one string": lambda: b'"' + b"a" * (SIZE - 2) + b'"',
    "one string with one emoji at its end": lambda: b'"' + b"a" * (SIZE - 6) + "😀".encode() + b'"',
    "half of it with one emoji at its end": lambda: (
        b'"' + b"a" * (MAX_NON_ASCII_BYTES - 6) + "😀".encode() + b'"'
    ),
    "half of it with one escaped emoji at its end": lambda: (
        b'"' + b"a" * (MAX_NON_ASCII_BYTES - 14) + rb"\ud83d\ude00" + b'"'
    ),
    "short escapes": lambda: b'"' + rb"\n" * (SIZE // 2 - 1) + b'"',
    "escapes": lambda: b'"' + rb"\u0041" * (SIZE // 6 - 1) + b'"',
    "as many escapes as the bound lets in": lambda: (
        b'"' + rb"\u0041" * (MAX_NON_ASCII_BYTES // 6 - 1) + b'"'
    ),
    "lone surrogates": lambda: b'"' + rb"\ud800a" * (MAX_NON_ASCII_BYTES // 7 - 1) + b'"',
    "strings with lone surrogates": lambda: _list(lambda n: rf'"\ud800 {n}"', MANY),
    "small numbers": lambda: _list(lambda _: "1", MANY),
    "numbers with fractions": lambda: _list(lambda _: "1.2345678901234567", MANY),
    "numbers as long as the bound lets in": lambda: _list(lambda _: "7" * 100, MANY),
    "numbers of 4,299 digits": lambda: _list(lambda _: "7" * 4299, 3800),
    "one endless number": lambda: b"7" * SIZE,
    "one endless fraction": lambda: b"0." + b"7" * (SIZE - 2),
    "members": lambda: _list(lambda n: f'"k{n}":{n}', MANY).replace(b"[", b"{").replace(b"]", b"}"),
    "white space": lambda: b" " * SIZE,
    "white space around a value": lambda: b" " * (SIZE - 2) + b"[]",
    "lines before a fault": lambda: b"\n" * (SIZE - 1) + b"x",
    "bytes that are no text": lambda: b"\xff" * SIZE,
}


def _comment(content: str) -> bytes:
    return f'{{"name":"create-comment","props":{{"content":"{content}"}}}}'.encode()


_JSON |= {
    "mentions without an end": lambda: _comment("@[" * (SIZE // 2 - 99)),
    "mentions with half an end": lambda: _comment("@[a](" * (SIZE // 5 - 99)),
    "mentions with brackets": lambda: _comment("@[a]" * (SIZE // 4 - 99)),
    "a comment of breaks": lambda: _comment(r"\r" * (SIZE // 2 - 99)),
    "a name of controls": lambda: (
        b'{"name":"create-file","props":{"name":"' + rb"\n" * (SIZE // 2 - 99) + b'"}}'
    ),
    "as many ids as the bound lets in": lambda: (
        b'{"name":"move-files","props":{"ids":' + _list(lambda n: f'"{_uuid(n)}"', MANY - 9) + b"}}"
    ),
}

_TRANSIT: dict[str, Callable[[], bytes]] = {
    "keywords": lambda: _list(lambda n: f'"~:keyword-{n}"', MANY),
    "keyword keys": lambda: _transit_map(lambda n: f'"~:some-long-key-{n}"'),
    "odd keyword keys": lambda: _transit_map(lambda n: f'"~:some/Long_Key!{n}"'),
    "one long keyword key": lambda: b'["^ ","~:' + b"a-" * (SIZE // 2 - 9) + b'",0]',
    "one long odd keyword key": lambda: b'["^ ","~:' + b"A_" * (SIZE // 2 - 9) + b'",0]',
    "codes of one long key": lambda: (
        b'["~:' + b"k" * (SIZE // 2) + b'",' + b",".join([b'"^0"'] * MANY) + b"]"
    ),
    "codes of one long UUID that is none": lambda: b'["^ ","~u' + b"0" * (SIZE - 99) + b'",0]',
    "verbose objects": lambda: (
        "{" + ",".join(f'"~:key-{n}":"~u{_uuid(n)}"' for n in range(MANY)) + "}"
    ).encode(),
    "dates": lambda: _list(lambda n: f'"~m{n * 1001}"', MANY),
    "written dates": lambda: _list(lambda n: f'"~t2026-07-25T08:17:02.{n:06}Z"', MANY),
    "uuids": lambda: _list(lambda n: f'"~u{_uuid(n)}"', MANY),
    "decimals": lambda: _list(lambda n: f'"~f{n}.5"', MANY),
    "one endless whole number": lambda: b'["~n' + b"7" * (SIZE - 7) + b'"]',
    "whole numbers of 4,299 digits": lambda: _list(lambda _: '"~n' + "7" * 4299 + '"', 3800),
    "tags": lambda: _list(lambda n: f'["~#tag-{n}",1]', MANY // 2),
    "sets": lambda: _list(lambda n: f'["~#set",["b{n}","a"]]', MANY // 4),
    "one set": lambda: b'["~#set",' + _list(lambda n: f'"{n * 7919 % MANY}"', MANY - 9) + b"]",
    "sets in sets around a long string": lambda: (
        b'["~#set",["b",' * 30 + b'"' + b"a" * (SIZE - 999) + b'"' + b"]]" * 30
    ),
    "a set of colliding numbers": lambda: (
        b'["~#set",' + _list(lambda n: f'"~n{n * M61}"', MANY - 9) + b"]"
    ),
    "a set of colliding UUIDs": lambda: (
        b'["~#set",' + _list(lambda n: f'"~u{_uuid(n * M61)}"', MANY - 9) + b"]"
    ),
    "a map of colliding keys": lambda: _transit_map(lambda n: f'"~n{n * M61}"'),
    "a compound map of compound keys": lambda: (
        b'["~#cmap",' + _list(lambda n: f"[{n}]", MANY // 2 - 9) + b"]"
    ),
    "cmaps": lambda: _list(lambda n: f'["~#cmap",[[{n}],1]]', MANY // 5),
}

BODIES: dict[str, tuple[str, Callable[[], bytes]]] = {
    **{name: ("application/json", make) for name, make in _JSON.items()},
    **{
        f"{name} (Transit)": ("application/transit+json", make)
        for name, make in {**_JSON, **_TRANSIT}.items()
    },
}


def _read(body: bytes, content_type: str) -> None:
    with contextlib.suppress(UnreadableBody, NotAnEvent):
        normalize(decode(body, content_type))


@pytest.fixture
def _own_garbage() -> Iterator[None]:
    """Keeps objects of other tests out of garbage collection."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def _ordinary() -> bytes:
    files = _list(lambda n: f'["^ ","~:id","~u{_uuid(n)}","~:name","File {n}"]', MANY // 6)
    return b'["^ ","~:files",' + files + b',"~:text","' + b"words " * (SIZE // 8) + b'"]'


def _cost(body: bytes, content_type: str) -> float:
    """Seconds of processor time."""

    def once() -> float:
        start = time.thread_time()
        _read(body, content_type)
        return time.thread_time() - start

    return min(once(), once())


@pytest.mark.usefixtures("_own_garbage")
@pytest.mark.parametrize("name", BODIES)
def test_decoding_a_hostile_body_takes_little_time(name: str) -> None:
    content_type, make = BODIES[name]
    body = make()
    assert len(body) <= SIZE

    cost = _cost(body, content_type)

    if cost >= MAX_DECODE_SECONDS:
        assert cost < MAX_DECODE_RATIO * _cost(_ordinary(), "application/transit+json")


@pytest.mark.usefixtures("_own_garbage")
@pytest.mark.parametrize("body", [
    b'["~#set",' + _list(lambda n: f'"~u{_uuid(n * M61)}"', 8000) + b"]",
    b'["^ ",' + _list(lambda n: f'"~u{_uuid(n * M61)}",0', 8000)[1:],
    b'["~#cmap",' + _list(lambda n: f'"~u{_uuid(n * M61)}",0', 8000) + b"]",
], ids=["set", "map", "compound map"])  # fmt: skip
def test_colliding_uuids_take_no_longer_than_others(body: bytes) -> None:
    def cost() -> float:
        start = time.thread_time()
        values = decode(body, "application/transit+json")
        took = time.thread_time() - start
        assert len(values) == 8000
        return took

    assert min(cost() for _ in range(5)) < 0.1


@pytest.mark.parametrize("name", BODIES)
def test_decoding_a_hostile_body_takes_little_memory(name: str) -> None:
    content_type, make = BODIES[name]
    body = make()

    tracemalloc.start()
    try:
        _read(body, content_type)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < MAX_MEMORY_BYTES


_MANY_IDS = [_uuid((number * M61**2) % (1 << 128)) for number in range(1, 29_001)]
RENDERED: dict[str, tuple[str, dict[str, Any], str]] = {
    "a long template": (
        "clone-template",
        {"templateId": "a-" * 7_900_000},
        "Someone is adding the template a a a",
    ),
    "a template of what is not seen": (
        "clone-template",
        {"templateId": "-" * 15_800_000},
        "Someone is adding a template",
    ),
    "many files": (
        "move-files",
        {"ids": _MANY_IDS, "teamId": _uuid(1)},
        "Someone moved 29000 files to another project",
    ),
    "many names": (
        "import-binfile",
        {"name": dict.fromkeys(_MANY_IDS, "n" * 480)},
        "Someone is importing 29000 files",
    ),
    "many mentioned": (
        "create-comment",
        {"content": "x", "mentions": _MANY_IDS},
        "Someone replied",
    ),
    **{
        name: ("create-comment", {"content": content}, "Someone replied")
        for name, content in {
            "mentions without an end": "@[" * 10_000,
            "mentions without an id": ("@[" * 140 + "](") * 72,
            "mentions with half an id": "@[](" * 5000,
            "mentions with brackets": "@[a]" * 5000,
        }.items()
    },
}


@pytest.mark.usefixtures("_own_garbage")
@pytest.mark.parametrize("name", RENDERED)
def test_rendering_a_hostile_event_takes_little_time(name: str) -> None:
    event_name, props, title = RENDERED[name]
    templates = Templates()
    templates.render("x", {}, team="acme", channel_kind="slack")

    def message() -> Message:
        event = normalize({"name": event_name, "props": props})
        known: dict[Key, Fact] = {}
        for _ in range(6):
            event, missing = enrich(event, known, team_key="acme")
            known |= {key: Fact(*key) for key in missing}
        variables = add_links(event, "https://p.example").variables()
        return templates.render(event_name, variables, team="acme", channel_kind="slack").message

    def cost() -> float:
        _parse_cached.cache_clear()
        start = time.thread_time()
        message()
        return time.thread_time() - start

    assert message().title.startswith(title)
    assert len(message().dumps()) < 100_000
    assert min(cost() for _ in range(3)) < MAX_RENDER_SECONDS
