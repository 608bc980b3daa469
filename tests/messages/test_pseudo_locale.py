"""Whole sentences are translated: shown by a language that reverses the order of a text's values,
writes its words in fullwidth letters and puts brackets around it. All values are Greek, so that
each Latin letter is one that no catalog can translate, and a bracket within another one is a
fragment of a sentence."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from gettext import NullTranslations
from itertools import product
from string import ascii_letters
from typing import Any

import pytest

from relay.channels.email.content import MailContent
from relay.channels.email.settings import EmailSettings
from relay.delivery.notices import NOTICES, notice_variables
from relay.messages.document import parse, to_text
from relay.messages.escape import Markdown
from relay.messages.message import Mention, Message
from relay.messages.templates import Templates
from relay.messages.turns import localized
from relay.penpot.activity import LINE
from relay.penpot.catalogue import CATALOGUE
from relay.penpot.events import Comment, Person, Subject, Thread
from tests.messages.languages import speaking
from tests.messages.samples import ID, known, subject, unknown

TEMPLATES = Templates()
_PLACEHOLDER_PATTERN = re.compile(r"(%\(\w+\)s)")
_WORD_PATTERN = re.compile("[A-Za-z]+")
NOUN_PHRASES = {
    "Someone",
    "and", "and more",  # of lists
    "Jul", "UTC",  # of a time
    "event", "events", "comment", "comments", "and other event", "and other events",
}  # fmt: skip
"""The words of a text that may be a value of a sentence: no part of a sentence, but somebody or
something."""


FULLWIDTH = {ord(letter): ord(letter) + 0xFEE0 for letter in ascii_letters}
PLAIN = {wide: plain for plain, wide in FULLWIDTH.items()}


def pseudo(text: str) -> str:
    parts = _PLACEHOLDER_PATTERN.split(text)
    parts[::2] = [part.translate(FULLWIDTH) for part in parts[::2]]
    parts[1::2] = reversed(parts[1::2])
    return f"⟦{''.join(parts)}⟧"


class Pseudo(NullTranslations):
    def gettext(self, message: str) -> str:
        return pseudo(message)

    def pgettext(self, context: str, message: str) -> str:
        return pseudo(message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return pseudo(msgid1 if n == 1 else msgid2)

    def npgettext(self, context: str, msgid1: str, msgid2: str, n: int) -> str:
        return self.ngettext(msgid1, msgid2, n)


def fragments(text: str) -> Iterator[str]:
    """Words that are not translated, and translated ones within a sentence that are no noun phrase.
    A text without words, such as ``%(who)s: %(what)s``, only joins others."""
    yield from (
        f"not translated: {word}" for word in _WORD_PATTERN.findall(text.replace("UTC", ""))
    )
    text = text.translate(PLAIN)
    words = [""]  # of the texts that are open here
    nested: list[list[str]] = [[]]  # the words of the texts within each
    for letter in text:
        if letter == "⟦":
            words.append("")
            nested.append([])
        elif letter == "⟧":
            if len(words) == 1:
                yield "closed before it is opened"
                return
            own, within = " ".join(_WORD_PATTERN.findall(words.pop())), nested.pop()
            if own:
                yield from (f"nested: {each}" for each in within if each not in NOUN_PHRASES)
            nested[-1] += [own] if own else within
        else:
            words[-1] += letter
    if words[1:]:
        yield "not closed"


def test_pseudo_texts_and_fragments() -> None:
    assert pseudo("**%(a)s** replied to %(b)s") == "⟦**%(b)s** ｒｅｐｌｉｅｄ ｔｏ %(a)s⟧"
    whole = "⟦Άδα saw ⟦Someone⟧⟧ · Ζωή · ⟦⟦She left⟧: ⟦Ζωή⟦, ⟧Άδα⟧⟧"
    assert list(fragments(whole.translate(FULLWIDTH))) == []
    broken = "⟦Άδα saw ⟦the ⟦Ζωή thing⟧⟧⟧ ⟦⟦".translate(FULLWIDTH)
    assert list(fragments(broken)) == ["nested: thing", "nested: the", "not closed"]
    assert list(fragments("⟦Ａ at⟧ the end")) == [
        "not translated: at",
        "not translated: the",
        "not translated: end",
    ]
    assert list(fragments("⟦⟧⟧⟦")) == ["closed before it is opened"]


GREEK = str.maketrans("abcdefghijklmnopqrstuvwxyz", "αβκδεφγηιζκλμνοπθρστυβωχψζ")


def greek(value: Any) -> Any:
    """A value of a notice with Greek letters, but for addresses, the names of kinds of events, and
    the kinds of a full disk."""
    if isinstance(value, Mapping):
        return {
            key: item if key in ("url", "kinds") else greek(item) for key, item in value.items()
        }
    if isinstance(value, list):
        return list(map(greek, value))
    if isinstance(value, Subject):
        return replace(value, name=greek(value.name))
    if isinstance(value, str) and value not in ("share", "disk"):
        return type(value)(value.lower().translate(GREEK))
    return value


ADA, LANDING = Person(ID, "Άδα"), subject("Αρχική σελίδα", "file")
VALUES: dict[str, Any] = {
    "actor": ADA,
    "team": subject("Ομάδα", "team"),
    "project": subject("Έργο", "project"),
    "file": LANDING,
    "files": (LANDING, subject("Ταμείο")),
    "page": subject("Σελίδα 1"),
    "thread": Thread(ID, 15, "https://p.example/thread", "Πολύ σκούρο;"),
    "comment": Comment(ID, "Πιο *ανοιχτό*\nκατά 10%.", author=ADA),
    "library": subject("Βιβλιοθήκη", "library"),
    "previous": subject("Παλιό όνομα"),
    "props": {"templateId": "σχέδιο-1", "isPinned": True, "isShared": False},
}
VALUES["font"] = replace(
    known("create-font-variant")["font"], name="Γραμματοσειρά", style="", weight=None
)
THREAD, COMMENT = VALUES["thread"], VALUES["comment"]
VARIANTS: dict[str, dict[str, Any]] = {
    "all known": {},
    "missed": {"missed": True},
    "edited": {"comment": replace(COMMENT, edited=True)},
    "begun": {"thread": replace(THREAD, begun=True)},
    "begun, edited, missed": {
        "thread": replace(THREAD, begun=True),
        "comment": replace(COMMENT, edited=True),
        "missed": True,
    },
    "resolved": {"thread": replace(THREAD, resolved=True)},
    "begun, resolved": {"thread": replace(THREAD, begun=True, resolved=True)},
    "begun, reopened": {"thread": replace(THREAD, begun=True, resolved=False)},
    "without a first comment": {"thread": replace(THREAD, first="")},
    "no text": {"comment": replace(COMMENT, text="")},
    "no author": {"comment": replace(COMMENT, author=Person(ID))},
    "begun, no author": {
        "comment": replace(COMMENT, author=Person(ID)),
        "thread": replace(THREAD, begun=True),
    },
    "no actor": {"actor": Person(ID)},
    "no file": {"file": subject("")},
    "no project": {"project": subject("")},
    "no file and project": {"file": subject(""), "project": subject("")},
    "no thread's number": {"thread": replace(THREAD, number=None)},
    "no old name": {"previous": subject("")},
    "no library": {"library": subject("")},
    "no font": {"font": replace(VALUES["font"], name="")},
    "other states": {"props": {"isPinned": False, "isShared": True}},
    "one file": {"files": (LANDING,)},
    "many files": {"files": (LANDING,) * 3, "more_files": 20},
}
COMMENT_OPTIONS = [
    {"direct": direct, "as_sender": as_sender, "several_teams": several, "emoji": "✅" * several}
    for direct, as_sender, several in product((True, False), repeat=3)
]
OTHER_OPTIONS = [{"several_teams": several, "emoji": "📄" * several} for several in (True, False)]


def parts_of(name: str, variables: Mapping[str, Any]) -> dict[str, str]:
    """All that a reader may see, as plain text."""
    with speaking(Pseudo()) as language:
        result = TEMPLATES.render(
            name, variables, team="acme", channel_kind="", digest=True, locale=language
        )
    assert result.problems == ()
    message = result.message
    markdown = {
        "body": message.content.body,
        "footer": message.content.footer,
        "digest": message.entry,
    }
    shown = {part: to_text(parse(text), links=False) for part, text in markdown.items()}
    lines = {part: getattr(message, part) for part in ("title", "notice", "subject")}
    return lines | shown


def problems(name: str, variables: Mapping[str, Any]) -> set[str]:
    return {
        f"{part}: {fragment} in {text!r}"
        for part, text in parts_of(name, variables).items()
        for fragment in fragments(text)
    }


@pytest.mark.parametrize("name", [*CATALOGUE, "νέο-γεγονός"])
def test_every_sentence_about_an_event_is_one_text(name: str) -> None:
    is_comment = name in CATALOGUE and CATALOGUE[name].group == "comments"
    found: dict[str, str] = {}
    for options in COMMENT_OPTIONS if is_comment else OTHER_OPTIONS:
        for variant, values in VARIANTS.items():
            for problem in problems(name, known(name, **VALUES | values) | options):
                found.setdefault(problem, variant)
        for problem in problems(name, unknown(name) | options):
            found.setdefault(problem, "nothing known")
    assert found == {}


def activity_samples() -> Iterator[dict[str, Any]]:
    """Variables of lines about a file, a project, a font, and what has no name."""
    last = datetime(2026, 7, 25, 8, 17, tzinfo=UTC)
    names = ["Άδα", "Ζωή", "Γκρέις", "Λιν", "Μπομπ"]
    subjects = [("file", "project"), ("file",), ("project",), ("font",), ()]
    kinds = [("update-file",), ("create-font-variant",), ("duplicate-file", "delete-font")]
    for shown, kind, people, count, more in product(subjects, kinds, (0, 1, 2, 5), (1, 4), (0, 1)):
        nameless = {"file", "project", "font"} - {*shown}
        values = VALUES | {name: replace(VALUES[name], name="") for name in nameless}
        yield known("update-file", **values) | {
            "previous": VALUES["previous"] if more else subject(""),
            "activity": {
                "count": count,
                "kinds": dict.fromkeys(kind, 1),
                "people": names[:people],
                "connected": ["Βιβλιοθήκη"] * more,
                "disconnected": ["Άλλη", "Τρίτη"] * more,
                "first": last,
                "last": last,
                "is_over": bool(more) is (count == 1),
            },
        }


def test_every_sentence_of_a_daily_line_is_one_text() -> None:
    found = set[str]()
    for variables in activity_samples():
        found |= problems(LINE, variables)
    assert found == set()


def digest_samples() -> Iterator[Mapping[str, Any]]:
    groups = greek(NOTICES["digest"].sample["messages"]["groups"])
    nowhere = {"file": "", "url": "", "threads": [], "entries": [Markdown("Άδα")]}
    for comments, others, people, files, held in product(
        (0, 1, 3), (0, 1, 5), (0, 1, 2, 7), (0, 1, 2, 5), (0, 20)
    ):
        if comments + others:
            yield {
                "count": comments + others,
                "comments": comments,
                "people": ["Άδα", "Ζωή", "Γκρέις", "Λιν", "Μπομπ", "Ιβ", "Κιμ"][:people],
                "files": ["Αρχική", "Ταμείο", "Κεφαλίδα", "Τέλος", "Άλλο"][:files],
                "digest_after": held,
                "counts_only": False,
                "more_files": 0,
                "groups": groups * files + [nowhere] * (people != 1),
            }


def counted_samples() -> Iterator[Mapping[str, Any]]:
    """Of digests that show numbers only."""
    for comments, others, people, files, more in product(
        (0, 1, 3), (0, 1, 5), (1, 7), (0, 1, 2), (0, 1, 5)
    ):
        if comments + others:
            numbers = {
                "count": comments + others,
                "comments": comments,
                "people": ["Άδα", "Ζωή", "Γκρέις", "Λιν", "Μπομπ", "Ιβ", "Κιμ"][:people],
            }
            group = numbers | {"file": "Αρχική", "url": "", "threads": [], "entries": []}
            yield numbers | {
                "files": ["Αρχική"] * (files + more),
                "digest_after": 0,
                "counts_only": True,
                "more_files": more,
                "groups": [group] * files + [group | {"file": ""}],
            }


@pytest.mark.parametrize("name", NOTICES)
def test_every_sentence_of_a_notice_is_one_text(name: str) -> None:
    sample = greek(NOTICES[name].sample)
    samples: list[Mapping[str, Any]] = [sample]
    if name == "digest":
        digests = [*digest_samples(), *counted_samples()]
        samples = [{"messages": messages} for messages in digests]
    elif "problem" in sample:
        samples += [{**sample, "problem": sample["problem"] | {"detail": ""}}]
        reason = "disk" if name == "disk-full" else ""
        samples += [{**sample, "problem": sample["problem"] | {"reason": reason}}]
    if "messages" in sample and name != "digest":
        samples += [{**each, "messages": {"count": 1}} for each in samples]
    found: set[str] = set()
    for values, team in product(samples, ("Ομάδα", "")):
        for emoji in ("", "✅"):
            variables = notice_variables(name, values, team=team, url="https://p.example/")
            found |= problems(name, variables | {"emoji": emoji})
    assert found == set()


def test_what_a_mail_adds_is_one_text_each() -> None:
    to = Mention(ID, "Άδα", "α@p.example")
    messages = [
        Message("Τ", language="tlh", actor=actor, team_name=team, to=who, url=url, opens=opens)
        for actor, team, who, url, opens in product(
            ("Άδα", ""),
            ("Ομάδα", ""),
            (to, None),
            ("https://p.example/", ""),
            ("comment", "file", ""),
        )
    ]
    for addresses, message in product((1, 2, 5), messages):
        keys = {"to": ["α@β.γ"] * addresses, "unsubscribe": "https://p.example/"}
        settings = EmailSettings.model_construct(name="τ", **keys)
        with speaking(Pseudo()):
            content = localized(message, lambda: MailContent(message, settings))  # noqa: B023
            text = localized(message, content.text)
            html = localized(message, lambda: content.html(None, ""))  # noqa: B023
        assert set(fragments(re.sub("https://[^ ⟧\n]*", "", text))) == set()
        assert '<html lang="tlh">' in html
        assert pseudo("Unsubscribe") in html
