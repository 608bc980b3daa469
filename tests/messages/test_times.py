"""Times in messages: their words, and their way through Markdown."""

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.messages.document import Document, LineBreak, Paragraph, Quote, Text, cut, parse, to_text
from relay.messages.escape import Markdown, escape
from relay.messages.filters import first_link, link, quote, truncate, when
from relay.messages.locale import LANGUAGES, Locale, using
from relay.messages.times import FORMS, Moment, add_zone, rewritten, to_markdown, words, zone_file
from tests.messages.clock import clock_at
from tests.messages.languages import Words, speaking
from tests.messages.texts import NASTY, any_text

ZONES = ("Europe/Madrid", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")
AT = "2026-07-25T08:17:02+00:00"
SECONDS = int(datetime.fromisoformat(AT).timestamp())
IN_MADRID = Locale(zone="Europe/Madrid")

seconds = st.integers(0, 4_102_444_800)  # until 2100
moments = st.builds(Moment, seconds, st.sampled_from(("", *FORMS)))


@pytest.fixture
def same_day() -> Iterator[None]:
    with clock_at("2026-07-25T09:00:00+00:00"):
        yield


def seconds_of(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp())


def seen(at: str, now: str | None, zone: str, form: str = "") -> str:
    with using(Locale(zone=zone)):
        return words(Moment(seconds_of(at), form), seconds_of(now) if now else None)


@pytest.mark.parametrize(
    ("now", "moment", "date"),
    [
        ("2026-07-25T20:00Z", "today 10:17", "today"),
        ("2026-07-25T22:00Z", "yesterday 10:17", "yesterday"),  # midnight in Madrid
        ("2026-07-26T21:59Z", "yesterday 10:17", "yesterday"),
        ("2026-07-26T22:00Z", "25 Jul, 10:17", "25 Jul"),
        ("2026-07-24T21:59Z", "25 Jul, 10:17", "25 Jul"),  # by a wrong clock
        ("2027-01-01T00:00Z", "25 Jul 2026, 10:17", "25 Jul 2026"),
    ],
)
def test_a_recent_time_has_the_day_in_words(now: str, moment: str, date: str) -> None:
    forms = [seen(AT, now, "Europe/Madrid", form) for form in ("", "date", "time")]
    assert forms == [moment, date, "10:17"]


def test_text_that_can_not_be_written_again_has_the_date() -> None:
    with clock_at("2026-07-25T09:00:00+00:00"):
        assert [seen(AT, None, "Europe/Madrid", form) for form in ("", "date", "time")] == [
            "25 Jul, 10:17",
            "25 Jul",
            "10:17",
        ]


def test_only_without_a_zone_in_the_config_a_time_says_utc() -> None:
    assert seen(AT, AT, "") == "today 08:17 UTC"
    assert seen(AT, AT, "", "time") == "08:17 UTC"
    assert seen(AT, AT, "", "date") == "today"
    assert seen(AT, AT, "UTC") == "today 08:17"


def test_a_zone_that_is_gone_costs_no_message(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert [seen(AT, AT, "Mars/Base") for _ in range(2)] == ["today 08:17 UTC"] * 2
    assert [record.getMessage() for record in caplog.records] == [
        "time zone Mars/Base (times in messages are in UTC): "
        "'No time zone found with key Mars/Base'"
    ]


@pytest.mark.parametrize(
    ("zone", "now", "expected"),
    [
        # The clock is put forward from 02:00 to 03:00, and back from 03:00 to 02:00.
        ("Europe/Madrid", "2026-03-29T12:00Z", {"00:59Z": "01:59", "01:00Z": "03:00"}),
        ("Europe/Madrid", "2026-10-25T12:00Z", {"00:30Z": "02:30", "01:30Z": "02:30"}),
        # By half an hour from 02:00 to 02:30, and back.
        ("Australia/Lord_Howe", "2026-10-03T20:00Z", {"15:29Z": "01:59", "15:30Z": "02:30"}),
        ("Australia/Lord_Howe", "2026-04-04T20:00Z", {"14:45Z": "01:45", "15:15Z": "01:45"}),
    ],
)
def test_both_clock_changes_are_followed(zone: str, now: str, expected: dict[str, str]) -> None:
    day = now[: len("2026-03-29T")]
    assert {at: seen(day + at, now, zone) for at in expected} == {
        at: f"today {clock}" for at, clock in expected.items()
    }


@given(seconds, st.integers(-3 * 86400, 400 * 86400), st.sampled_from(ZONES))
def test_the_words_are_those_of_the_zone_s_calendar(at: int, later: int, zone: str) -> None:
    local = datetime.fromtimestamp(at, ZoneInfo(zone))
    today = datetime.fromtimestamp(at + later, ZoneInfo(zone)).date()
    with using(Locale(zone=zone)):
        shown = words(Moment(at), at + later)
    clock = f"{local.hour:02}:{local.minute:02}"
    if local.date() == today:
        assert shown == f"today {clock}"
    elif local.date() == today - timedelta(days=1):
        assert shown == f"yesterday {clock}"
    else:
        year = "" if local.year == today.year else f" {local.year}"
        assert shown == f"{local.day} {local:%b}{year}, {clock}"


# In Markdown


def moments_of(document: Document) -> list[Text]:
    parts: list[Text] = []
    for block in document:
        parts += [part for part in getattr(block, "inlines", ()) if part.moment]
        parts += moments_of(getattr(block, "blocks", ()))
        for item in getattr(block, "items", ()):
            parts += moments_of(item)
    return parts


@given(moments, seconds, st.sampled_from(ZONES))
def test_a_moment_is_read_as_it_was_written(moment: Moment, now: int, zone: str) -> None:
    with using(Locale(zone=zone)), clock_at(now):
        markdown = to_markdown(datetime.fromtimestamp(moment.at, UTC), moment.form)
        assert parse(markdown) == (Paragraph((Text(words(moment, now), moment=moment),)),)
        assert rewritten(markdown) == markdown


@pytest.mark.parametrize("at", ["0001-01-01T00:00", "1969-12-31T00:00", "9999-12-31T23:59"])
@pytest.mark.parametrize("offset", ["Z", "+05:00", "-05:00"])
def test_a_time_of_a_wrong_clock_is_text(at: str, offset: str) -> None:
    (paragraph,) = parse(when(at + offset))
    assert not moments_of((paragraph,))
    assert to_text((paragraph,), links=False).startswith(at.replace("T", " "))
    with using(IN_MADRID):
        assert when(at + offset, "%M").isdigit()


FORGED = (
    f"[now](<relay-time:{SECONDS}>)",
    f"[now](relay-time:{SECONDS}) <relay-time:1> ![now](<relay-time:1>)",
    f"[now][1]\n\n[1]: <relay-time:{SECONDS}>",
    f"](<relay-time:{SECONDS}>) [x",
    f"`[now](<relay-time:{SECONDS}>)`",
    f"&#91;now&#93;(<relay-time:{SECONDS}>)",
)


@given(st.one_of(st.sampled_from(FORGED), any_text), st.one_of(st.sampled_from(FORGED), any_text))
def test_text_from_outside_is_no_time(one: str, other: str) -> None:
    own = to_markdown(datetime.fromisoformat(AT))
    for markdown in (
        f"**{escape(one)}** {own} {escape(other)}",
        f"{own}{quote(one)}\n{quote(other)}",
        f"{link(one, 'https://x.example')} {own} {truncate(other, 30)}",
    ):
        (part,) = moments_of(parse(rewritten(markdown)))
        assert part.moment == Moment(SECONDS)


@pytest.mark.parametrize(
    "address", ["", "x", "-1", "1.5", "1:", "1:day", "1:time:", "١", "9" * 12, "1 ", " 1", "+1"]
)
def test_another_address_is_text(address: str) -> None:
    (paragraph,) = parse(f"[now](<relay-time:{address}>)")
    assert paragraph == Paragraph((Text("now"),))
    assert rewritten(f"[now](<relay-time:{address}>)") == f"[now](<relay-time:{address}>)"


@pytest.mark.usefixtures("same_day")
def test_a_time_keeps_the_style_around_it() -> None:
    text = parse(f"***~~from {when(AT)}~~***\n\n> - {when(AT, 'time')}, `{when(AT)}`")
    paragraph, quoted = text
    styled = Text("today 08:17 UTC", bold=True, italic=True, strike=True, moment=Moment(SECONDS))
    assert paragraph == Paragraph((Text("from ", bold=True, italic=True, strike=True), styled))
    assert isinstance(quoted, Quote)
    assert moments_of((quoted,)) == [Text("08:17 UTC", moment=Moment(SECONDS, "time"))]
    assert to_text((quoted,), links=True) == "> - 08:17 UTC, today 08:17 UTC"
    nested = parse(quote(Markdown(f"at {when(AT)}")))
    assert moments_of(nested) == [Text("today 08:17 UTC", moment=Moment(SECONDS))]


@pytest.mark.usefixtures("same_day")
def test_plain_text_of_a_time_has_its_date() -> None:
    markdown = Markdown("at ") + when(AT)
    assert parse(link(markdown, "https://x.example")) == (
        Paragraph((Text("at 25 Jul, 08:17 UTC", url="https://x.example"),)),
    )
    assert parse(truncate(markdown)) == (Paragraph((Text("at 25 Jul, 08:17 UTC"),)),)


@pytest.mark.usefixtures("same_day")
def test_a_time_is_no_link() -> None:
    markdown = when(AT) + Markdown(" [a](<https://x.example>) [b](<https://y.example>)")
    assert to_text(parse(first_link(markdown)), links=True) == (
        "today 08:17 UTC a (https://x.example) b"
    )


@pytest.mark.usefixtures("same_day")
def test_a_part_of_a_time_is_text() -> None:
    document = parse(when(AT))
    assert cut(document, 8) == (Paragraph((Text("today 0…"),)),)
    assert cut(document, 15) == document
    assert cut((Paragraph((Text("a"), LineBreak())),), 1) == (Paragraph((Text("…"),)),)


def test_a_waiting_text_is_written_again() -> None:
    """Also inside of other Markdown, and nothing else of it changes."""
    with using(IN_MADRID), clock_at("2026-07-25T09:00:00+00:00"):
        markdown = f"*from {when(AT)}* · {when(AT, 'time')} · [today 10:17](<https://x.example>)"
        markdown += "".join(quote(text) for text in (*NASTY, *FORGED))
    with using(IN_MADRID), clock_at("2026-07-26T09:00:00+00:00"):
        later = rewritten(markdown)
    assert later == markdown.replace("[today 10\\:17](<relay", "[yesterday 10\\:17](<relay")
    assert later != markdown


@pytest.mark.parametrize("part", ["[", "\\[", "\\", "[]", "[\\]", "](<relay-time:1", "`[", "x"])
def test_times_are_written_again_in_linear_time(part: str) -> None:
    text = quote(part * 10_000) + Markdown(part * 10_000)
    started = time.process_time()
    assert rewritten(f"{text}<relay-time:1>") == f"{text}<relay-time:1>"
    assert time.process_time() - started < 0.5


# The zones of a process that can open no file


@pytest.mark.parametrize("zone", ZONES)
def test_a_zone_can_be_sent(zone: str) -> None:
    content = zone_file(zone)
    add_zone(f"Sent/{zone}", content)
    for month in range(1, 13):
        at = f"2026-{month:02}-25T08:17:02+00:00"
        assert seen(at, at, f"Sent/{zone}") == seen(at, at, zone)


@pytest.mark.parametrize("zone", ["", "Mars/Base", "../../etc/passwd", "Europe"])
def test_no_other_file_is_a_zone(zone: str) -> None:
    assert zone_file(zone) == b""


@pytest.mark.parametrize(
    ("language", "shown"),
    [
        ("de", ["heute 10:17", "gestern 10:17", "25. Juli, 10:17", "25. Juli 2026, 10:17"]),
        ("es", ["hoy 10:17", "ayer 10:17", "25 jul, 10:17", "25 jul 2026, 10:17"]),
        (
            "fr",
            ["aujourd’hui à 10:17", "hier à 10:17", "25 juil. à 10:17", "25 juil. 2026 à 10:17"],
        ),
    ],
)
def test_times_are_in_the_language_of_the_message(language: str, shown: list[str]) -> None:
    nows = ("2026-07-25T20:00Z", "2026-07-26T20:00Z", "2026-07-27T20:00Z", "2027-07-25T20:00Z")
    with using(Locale(language, "Europe/Madrid")):
        assert [words(Moment(SECONDS), seconds_of(now)) for now in nows] == shown


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_twelve_months(language: str) -> None:
    months = set()
    with using(Locale(language, "UTC")):
        for month in range(1, 13):
            at = seconds_of(f"2026-{month:02}-25T08:17Z")
            months.add(words(Moment(at, "date"), at + 10 * 86400))
    assert len(months) == 12


def test_a_catalog_with_other_months_costs_no_message() -> None:
    texts = {"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec": "1 2", "today": "bo"}
    with speaking(Words(texts)) as locale, using(locale):
        assert words(Moment(SECONDS, "date"), SECONDS) == "bo"
        assert words(Moment(SECONDS, "date")) == "25 Jul"
