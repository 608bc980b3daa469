"""Reading Transit: each form, and whatever the library's own writer produces."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transit.transit_types import Keyword, Symbol, TaggedValue
from transit.writer import Writer

from relay.penpot.transit import camel
from relay.penpot.wire import MAX_VALUES, decode

_words = st.text("abcxyz0123456789", min_size=1, max_size=6)
_names = st.lists(_words, min_size=1, max_size=3).map("-".join)
# The library takes the length of a short name in bytes of UTF-8, Java in units of UTF-16.
_keys = st.text().filter(lambda text: len(text) > 3 or text.isascii())
_instants = st.integers(-(10**12), 4 * 10**12).map(
    lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)
_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | _names.map(Keyword)
    | _names.map(Symbol)
    | st.uuids()
    | _instants
)
values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(_names.map(Keyword), inner)
        | st.dictionaries(st.uuids() | _keys, inner)
        | st.frozensets(st.text() | st.uuids())
        | st.lists(inner).map(lambda rep: TaggedValue("point", rep))
    ),
)


def _write(value: Any, protocol: str) -> bytes:
    stream = io.StringIO()
    Writer(stream, protocol).write(value)
    return stream.getvalue().encode()


def _read(body: bytes) -> Any:
    return decode(body, "application/transit+json")


def _expected(value: Any) -> Any:
    """A value in the form of Penpot's JSON."""
    match value:
        case Keyword() | Symbol():
            return value.str
        case UUID():
            return str(value)
        case datetime():
            spec = "milliseconds" if value.microsecond else "seconds"
            return value.replace(tzinfo=None).isoformat(timespec=spec) + "Z"
        case TaggedValue():
            return _expected(value.rep)
        case dict():
            return {
                camel(key.str) if isinstance(key, Keyword) else str(key): _expected(item)
                for key, item in value.items()
            }
        case frozenset():
            return sorted(map(_expected, value))
        case list():
            return [_expected(item) for item in value]
    return value


@settings(max_examples=200)
@given(value=values, protocol=st.sampled_from(["json", "json_verbose"]))
def test_values_written_by_the_library_are_read_as_plain_values(value: Any, protocol: str) -> None:
    assert _read(_write(value, protocol)) == _expected(value)


def test_cached_names_after_the_cache_is_full() -> None:
    names = [f"name-{number}" for number in range(2500)]
    value = [{Keyword(name): Keyword(name)} for name in names * 2]
    assert len(value) * 4 < MAX_VALUES

    read = _read(_write(value, "json"))

    assert read == [{camel(name): name} for name in names * 2]


@pytest.mark.parametrize(("body", "value"), [
    (b'["^ ","~:owner-fullname","Ada","~:p/file-id",1]', {"ownerFullname": "Ada", "fileId": 1}),
    (b'["^ ","~:teamId",1,"plain-key",2,"~$sym",3]', {"teamId": 1, "plain-key": 2, "sym": 3}),
    (b'["~:components/v2","~:/","~$a/b"]', ["v2", "/", "b"]),
    (b'["~~tilde","~^caret","~`tick","^ "]', ["~tilde", "^caret", "`tick", "^ "]),
    (b'["~",["^ ","~",true]]', ["~", {"~": True}]),
    (b'["~#set",["b","a"]]', ["a", "b"]),
    (b'["~#set",[2,1,"a"]]', [2, 1, "a"]),
    (b'["~#point",["^ ","~:x",812.5,"~:y",344.25]]', {"x": 812.5, "y": 344.25}),
    (b'["~uC0000001-5D0E-81A4-8006-9B0000000003"]', ["c0000001-5d0e-81a4-8006-9b0000000003"]),
    (b'["~#u",[-4611686014132420609,-9221120237041090561]]',
     "c0000000-ffff-ffff-8007-ffffffffffff"),
    (b'["~m1784967422468","~m1784967422000","~m-1"]',
     ["2026-07-25T08:17:02.468Z", "2026-07-25T08:17:02Z", "1969-12-31T23:59:59.999Z"]),
    (b'["~t2026-07-25T10:17:02.468+02:00","~t2026-07-25T08:17:02.000Z"]',
     ["2026-07-25T08:17:02.468Z", "2026-07-25T08:17:02Z"]),
    (b'{"~#m":1784967422468}', "2026-07-25T08:17:02.468Z"),
    (b'{"~:only":["~#list",[1]]}', {"only": [1]}),
    (b'["~i12","~n123","~f1.5","~d2.5"]', [12, 123, 1.5, 2.5]),
    (b'["~?t","~?f","~_","~rhttps://a.b/c","~bQUJD","~cx","~xodd"]',
     [True, False, None, "https://a.b/c", "QUJD", "x", "odd"]),
    (b'["~#cmap",[["^ "],1,"~u5d9e4f40-5d0e-81a4-8006-9a4f00000001",2,null,3,"~?t",4,5,6]]',
     {"5d9e4f40-5d0e-81a4-8006-9a4f00000001": 2, "null": 3, "true": 4, "5": 6}),
    (b'["~#ratio",["~n1","~n3"]]', [1, 3]),
    (b'["~#\'","quoted"]', "quoted"),
    (b'[["^ ","~:some-key",1],["^ ","^0",2]]', [{"someKey": 1}, {"someKey": 2}]),
    (b'["^ ","5d9e",1,"~_",["^ ","^0",2]]', {"5d9e": 1, "null": {"5d9e": 2}}),
    # Codes as Java gives them: "éé" is 2 long, two emoji are 4.
    ('["^ ","éé",1,"~:ab",["^ ","^0",2]]'.encode(), {"éé": 1, "ab": {"ab": 2}}),
    ('["^ ","😀😀",1,"~_",["^ ","^0",2]]'.encode(), {"😀😀": 1, "null": {"😀😀": 2}}),
])  # fmt: skip
def test_each_form_has_its_plain_value(body: bytes, value: Any) -> None:
    assert _read(body) == value


@pytest.mark.parametrize(("name", "key"), [
    ("owner-fullname", "ownerFullname"),
    ("id", "id"),
    ("team_id", "teamId"),
    ("teamId", "teamId"),
    ("URL", "url"),
    ("is-pinned?", "isPinned?"),
    ("x1-y2", "x1Y2"),
    ("--", "--"),
    ("a" * 300 + "-b", "a" * 300 + "-b"),
])  # fmt: skip
def test_keywords_become_camel_case(name: str, key: str) -> None:
    assert camel(name) == key
