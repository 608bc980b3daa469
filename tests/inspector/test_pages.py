"""What all pages share: assets, headers, times, ids and forms."""

import httpx
import pytest

from relay.inspector.pages import HEADERS, asset, countdown, duration, moment, row_id, visible
from tests.service import Service


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.25, "0.2 s"),
        (12.4, "12 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (172800, "2 d"),
    ],
)
def test_a_duration_has_one_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("17", 17),
        ("", None),
        ("-1", None),
        ("1.0", None),
        ("١", None),
        ("9" * 18, int("9" * 18)),
        ("9" * 19, None),
    ],
)
def test_only_ascii_digits_are_an_id(text: str, number: int | None) -> None:
    assert row_id(text) == number


def test_invisible_characters_are_shown_as_escapes() -> None:
    assert visible("a\u202eb\u200b\x00\n") == "a\\u202eb\\u200b\\u0000\n"


def test_times_are_in_utc_for_the_script_to_convert() -> None:
    assert moment(1_785_000_000.25) == (
        '<time datetime="2026-07-25T17:20:00.250Z">2026-07-25 17:20:00 UTC</time>'
    )
    assert countdown(1_785_000_000) == (
        '<time datetime="2026-07-25T17:20:00Z" data-until>17:20:00 UTC</time>'
    )


def test_an_asset_is_cached_for_ever_under_its_version(service: Service) -> None:
    response = httpx.get(f"{service.admin}{asset('app.js')}")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/javascript")
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    for name in ("nothing.js", "../pages.py", "..%2fpages.py"):
        assert httpx.get(f"{service.admin}/inspector/static/x/{name}").status_code == 404


def test_every_response_has_the_headers(service: Service) -> None:
    for path in ("/inspector", "/inspector/events/999"):
        response = httpx.get(f"{service.admin}{path}")
        for name, value in HEADERS.items():
            assert response.headers[name] == value
    assert response.status_code == 404
