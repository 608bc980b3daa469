"""Decoding bodies."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.penpot.wire import MAX_DEPTH, MAX_VALUES, UnreadableBody, decode, media_type

JSON = "application/json"
TRANSIT = "application/transit+json"
PAYLOADS = Path(__file__).parent / "payloads"
PAIRS = [
    (path.with_name(path.name.replace(".transit.json", ".json")), path)
    for path in sorted(PAYLOADS.rglob("*.transit.json"))
]
SETS = {"mentions", "participants", "ids", "features"}

plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**99) + 1, 10**99)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def _with_sorted_sets(body: dict[str, Any]) -> dict[str, Any]:
    props = {key: sorted(value) if key in SETS else value for key, value in body["props"].items()}
    return {**body, "props": props}


def _is_clean(value: Any) -> bool:
    """Whether a value has what ``decode`` guarantees."""
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    if isinstance(value, dict):
        return all(type(key) is str for key in value) and all(map(_is_clean, value.values()))
    if isinstance(value, list):
        return all(map(_is_clean, value))
    return value is None or type(value) in (str, int, float, bool)


@pytest.mark.parametrize(("header", "kind"), [
    ("application/json", "json"),
    ("Application/JSON; charset=utf-8", "json"),
    ("application/transit+json", "transit"),
    (" application/transit+json ;charset=UTF-8", "transit"),
    ("application/x-www-form-urlencoded", None),
    ("text/json", None),
    ("", None),
])  # fmt: skip
def test_the_content_type_names_one_of_two_encodings(header: str, kind: str | None) -> None:
    assert media_type(header) == kind


@pytest.mark.parametrize(("as_json", "as_transit"), PAIRS, ids=lambda path: path.parent.name)
def test_both_encodings_of_a_case_give_the_same_values(as_json: Path, as_transit: Path) -> None:
    from_json = decode(as_json.read_bytes(), JSON)
    from_transit = decode(as_transit.read_bytes(), TRANSIT)

    assert _with_sorted_sets(from_transit) == _with_sorted_sets(from_json)
    assert from_json == json.loads(as_json.read_bytes())


@pytest.mark.parametrize("content_type", [JSON, TRANSIT])
@pytest.mark.parametrize(("body", "reason"), [
    (b"", "empty"),
    (b" \r\n\t ", "empty"),
    (b'{"name": "create-file", "pro', "not JSON"),
    (b'["~u', "not JSON"),
    (b'{"a": 1} {"a": 2}', "not JSON"),
    (b"\xef\xbb\xbf", "not JSON"),
    (b'"\xff"', "not UTF-8 at byte 1"),
    ('{"name": "x"}'.encode("utf-16"), "not UTF-8"),
    (b'{"a": NaN}', "NaN"),
    (b"[-Infinity]", "-Infinity"),
    (b"[1e999]", "too large"),
    (b"1." + b"7" * 5000, "too long"),
    (b"7" * 5000, "too long"),
    (b"[" * 2000 + b"]" * 2000, "nested too deeply"),
    (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested too deeply"),
    (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "nested too deeply"),
    (b"[" + b"1," * MAX_VALUES + b"1]", f"more than {MAX_VALUES} values"),
    (b'"' + b" " * 9_000_000 + "é".encode() + b'"', "beyond ASCII"),
])  # fmt: skip
def test_a_faulty_body_is_refused_with_its_reason(
    body: bytes, reason: str, content_type: str
) -> None:
    with pytest.raises(UnreadableBody, match=reason):
        decode(body, content_type)


@pytest.mark.parametrize(("body", "reason"), [
    (b'["~#set"]', "one value"),
    (b'["~#set",[],[]]', "one value"),
    (b'["a","~#set"]', "one value"),
    (b'["^ ","~:name"]', "key without a value"),
    (b'["~#cmap",[1]]', "key without a value"),
    (b'["~#cmap",1]', "key without a value"),
    (b'["^ ","~n5",1]', "key of a Transit map is a number"),
    (b'["^ ","~f1.5",1]', "key of a Transit map is a number"),
    (b'{"~i5":1,"a":2}', "key of a Transit map is a number"),
    (b'["^ ",5,1]', "key of a Transit map is not text"),
    (b'["^ ",["a"],1]', "key of a Transit map is not text"),
    (b'["^ ",["^ "],1]', "key of a Transit map is not text"),
    (b'["~#set-of",["^0"]]', "one value"),
    (b'{"~#set":[],"a":1}', "one value"),
    (b'["^0"]', "cache code"),
    (b'["^"]', "cache code"),
    (b'["~:name","^~"]', "cache code"),
    (b'["~:name","^000"]', "cache code"),
    (b'["~unot-a-uuid"]', "not a UUID"),
    (b'["~#u",[1]]', "not a UUID"),
    (b'["~m99999999999999999999"]', "not a date"),
    (b'["~m1.5"]', "not a date"),
    (b'["~t2026-13-01T00:00:00Z"]', "not a date"),
    (b'["~zNaN"]', "NaN"),
    (b'["~d1e999"]', "too large"),
    (b'["~fx"]', "not a number"),
    (b'["~i1.5"]', "not a whole number"),
    (b'["~n' + b"7" * 5000 + b'"]', "too long"),
    (b'["~:' + b"k" * 300 + b'","^0"]', "too long"),
])  # fmt: skip
def test_faulty_transit_is_refused_with_its_reason(body: bytes, reason: str) -> None:
    with pytest.raises(UnreadableBody, match=reason):
        decode(body, TRANSIT)


def test_another_content_type_is_refused() -> None:
    with pytest.raises(UnreadableBody, match="neither JSON nor Transit"):
        decode(b"{}", "text/plain")


@pytest.mark.parametrize(("body", "value"), [
    (b"\xef\xbb\xbf" + b'{"a": 1}', {"a": 1}),
    (b'{"a": 1, "a": 2}', {"a": 2}),
    (rb'"\ud83d\ude00 \/ \u00e9"', "😀 / é"),
    (rb'["\ud83d", "a\ude00b", "\ud83dx\ude00"]', ["�", "a�b", "�x�"]),
    (rb'{"\ud83d": {"\ud83d": ["\uD83D"]}}', {"�": {"�": ["�"]}}),
    (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)),
    (b'"' + b"[" * 100 + b'"', "[" * 100),
    (b'[1.0E-5, -1.23456785E7, 20000000]', [1.0e-5, -1.23456785e7, 20000000]),
])  # fmt: skip
def test_what_is_odd_but_readable_is_read(body: bytes, value: Any) -> None:
    assert decode(body, JSON) == value


@given(value=plain_values)
def test_any_json_is_read_as_it_was_written(value: Any) -> None:
    assert decode(json.dumps(value).encode(), JSON) == value
    assert decode(json.dumps(value, ensure_ascii=False).encode(), JSON) == value


@settings(max_examples=500)
@given(body=st.binary(), content_type=st.sampled_from([JSON, TRANSIT]))
@example(body=b'["~#\'",null]', content_type=TRANSIT)
def test_any_bytes_are_read_or_refused(body: bytes, content_type: str) -> None:
    with contextlib.suppress(UnreadableBody):
        assert _is_clean(decode(body, content_type))


near_transit = st.recursive(
    st.sampled_from(["^ ", "^0", "^1", "^10", "~#set", "~#cmap", "~#point", "~#u", "~#m", "~:k-k"])
    | st.text("~^#:$`umtindfrbcz?_'0123456789-a/\ud800\n", max_size=6)
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("~^#:$a", max_size=5), inner),
)


@settings(max_examples=300)
@given(value=near_transit)
def test_anything_like_transit_is_read_or_refused(value: Any) -> None:
    with contextlib.suppress(UnreadableBody):
        assert _is_clean(decode(json.dumps(value).encode(), TRANSIT))
