"""Headers of a mail, read back by the mail readers of Python and Perl."""

import base64
import email
import email.header
import email.policy
import email.utils
import json
import quopri
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from email.headerregistry import Address
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.channels.base import ReplyTo
from relay.channels.email.headers import address_header, fold, text_header
from relay.messages.document import parse, to_text
from relay.messages.message import Content, Message
from relay.messages.shorten import shorten
from tests.channels import builders
from tests.channels.builders import opened
from tests.channels.email.kinds import mails_of_every_kind
from tests.channels.email.parts import sent
from tests.servers.smtp import MailServer

LATIN = st.sampled_from("abcdefgh ABC.,;:()<>@\"'\\=?_!-+éàüßñçøåŁžő")
SCRIPTS = [
    LATIN,
    st.characters(codec="ascii", categories=["L", "N", "P", "S"]),
    st.characters(min_codepoint=0x370, max_codepoint=0x3FF, categories=["L"]),  # Greek
    st.characters(min_codepoint=0x400, max_codepoint=0x4FF, categories=["L"]),  # Cyrillic
    st.characters(min_codepoint=0x600, max_codepoint=0x6FF, categories=["L", "M"]),  # Arabic
    st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF, categories=["L"]),  # CJK
    st.sampled_from(["👍", "👩‍👩‍👧‍👦", "🇩🇪", "❤️", "🏳️‍🌈"]),
]
WORDS = st.one_of(
    [st.text(script, min_size=1, max_size=12) for script in SCRIPTS[:-1]]
    + [st.lists(SCRIPTS[-1], min_size=1, max_size=4).map("".join)]
    + [st.sampled_from(["=?utf-8?q?x?=", "=?", "?=", "a" * 90, "ä" * 90])]
)
TITLES = (
    st.lists(WORDS, min_size=1, max_size=25)
    .map(lambda words: " ".join(" ".join(words).split())[:200].strip())
    .filter(bool)
)
NAMES = TITLES.map(lambda title: title[:100].strip())
ADDRESSES = st.builds(Address, NAMES, st.sampled_from(["ada", "a.b"]), st.just("x.org"))

ENCODED_WORD_PATTERN = re.compile(r"=\?utf-8\?([qb])\?([!->@-~]*)\?=")


def assert_folded(header: str) -> None:
    """The limits of RFC 2047, section 2, and RFC 5322, section 2.1.1."""
    assert header.isascii()
    for line in header.split("\r\n"):
        assert line.strip()
        assert len(line) <= (76 if "=?" in line else 78)
        for word in line.split(" "):
            if match := ENCODED_WORD_PATTERN.fullmatch(word.removesuffix(",")):
                assert len(match[0]) <= 75
                kind, content = match.groups()
                decode = base64.b64decode if kind == "b" else decode_q
                assert decode(content.encode()).decode()  # no word splits a character
            else:
                assert "=?" not in word


def decode_q(content: bytes) -> bytes:
    return quopri.decodestring(content, header=True)


def heads(mail: bytes) -> list[str]:
    """The headers of a mail, each within the limits."""
    headers = re.split(r"\r\n(?! )", mail.partition(b"\r\n\r\n")[0].decode("ascii"))
    for header in headers:
        assert_folded(header)
    return headers


def read(header: str) -> email.message.Message:
    return email.message_from_string(f"{header}\r\n\r\n", policy=email.policy.default)


def decoded(value: str) -> str:
    return str(email.header.make_header(email.header.decode_header(value)))


def read_addresses(value: str) -> list[Address]:
    """Parsed, then decoded: ``email.policy`` decodes while it parses, and adds a space between two
    encoded words of a name."""
    pairs = email.utils.getaddresses([value.replace("\r\n", "")])
    return [Address(decoded(name), addr_spec=address) for name, address in pairs]


@settings(max_examples=300, deadline=None)
@given(TITLES)
def test_a_title_is_read_as_it_is_and_its_lines_are_short(title: str) -> None:
    header = f"Subject: {text_header('Subject', title)}"
    assert_folded(header)
    assert read(header)["Subject"] == title
    assert decoded(header.removeprefix("Subject: ")) == title


@settings(max_examples=200, deadline=None)
@given(st.lists(ADDRESSES, min_size=1, max_size=5))
def test_a_name_is_read_as_it_is_and_its_lines_are_short(addresses: list[Address]) -> None:
    header = f"To: {address_header('To', addresses)}"
    assert_folded(header)
    assert read_addresses(header.removeprefix("To: ")) == addresses
    parsed = read(header)["To"].addresses
    assert [address.addr_spec for address in parsed] == [one.addr_spec for one in addresses]
    for address, one in zip(addresses, parsed, strict=True):
        if address_header("To", [address]).count("=?") < 2:
            assert one == address


def test_short_ascii_text_is_readable_and_what_looks_encoded_is_encoded() -> None:
    assert (
        text_header("Subject", "Ada commented on Landing page") == "Ada commented on Landing page"
    )
    assert text_header("Subject", "a =?utf-8?q?b?=").count("=?") == 1
    assert address_header("To", [Address("Ada, Eve", "ada", "x.org")]) == '"Ada, Eve" <ada@x.org>'
    assert address_header("To", [Address("", "ada", "x.org")]) == "ada@x.org"


def test_message_ids_are_folded_between_each_other_and_never_encoded() -> None:
    ids = [f"<{character * 60}@example.com>" for character in "ab"]
    assert fold("References", ids) == "\r\n ".join(ids)


@settings(max_examples=30, deadline=None)
@given(TITLES, ADDRESSES, ADDRESSES)
def test_a_mail_carries_title_and_names(title: str, sender: Address, to: Address) -> None:
    settings = {"sender": str(sender), "to": (str(to),), "name": "mails"}
    content = sent(Message(title, full=Content("x")), **settings)
    headers = dict(header.split(": ", 1) for header in heads(content))
    assert decoded(headers["Subject"]) == title
    assert read_addresses(headers["From"]) == [sender]
    assert read_addresses(headers["To"]) == [to]


TITLE = "Zoë hat „Größe & Abstände“ im Board Übersicht kommentiert – Данные 見て 👩‍👩‍👧‍👦 " * 2


@pytest.mark.anyio
async def test_the_server_gets_the_header_that_was_encoded() -> None:
    title = TITLE.strip()
    with MailServer() as server:
        async with opened(builders.email(server.port, sender="Pénpot <p@example.com>")) as channel:
            await channel.send(Message(title, full=Content("x")), "k")
    [mail] = server.mails
    assert f"\r\nSubject: {text_header('Subject', title)}\r\n".encode() in mail.content
    assert mail.parsed()["Subject"] == title
    assert mail.parsed()["From"].addresses[0].display_name == "Pénpot"
    assert heads(mail.content)


# Other readers: each reads a JSON list of values from standard input, and writes their texts.

PYTHON_READER = """
import email, email.policy, json, sys
def read(value):
    mail = email.message_from_string(f"Subject: {value}\\r\\n\\r\\n", policy=email.policy.default)
    return str(mail["Subject"])
print(json.dumps([sys.version_info[:2] >= (3, 11), *map(read, json.load(sys.stdin))]))
"""
PYTHON_PARSER = """
import base64, email, email.policy, json, sys
def parse(content):
    mail = email.message_from_bytes(base64.b64decode(content), policy=email.policy.default)
    parts = [mail.get_body((kind,)).get_content() for kind in ("plain", "html")]
    defects = [str(defect) for part in mail.walk() for defect in part.defects]
    defects += [str(defect) for value in mail.values() for defect in value.defects]
    return json.dumps([[[name, str(value)] for name, value in mail.items()], parts, defects])
print(json.dumps([sys.version_info[:2] >= (3, 11), *map(parse, json.load(sys.stdin))]))
"""
PERL_READER = """
use Encode; use JSON::PP; local $/;
print encode_json([JSON::PP::true, map { decode("MIME-Header", $_) } @{decode_json(<STDIN>)}]);
"""


def output(command: Sequence[str], values: list[str]) -> list[str] | None:
    """The texts of ``values``; None where the command is not a reader."""
    done = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True)
    is_reader, *texts = json.loads(done.stdout) if done.returncode == 0 else [False]
    return texts if is_reader else None


@cache
def readers() -> dict[str, list[str]]:
    """The commands of the readers on this machine, by name: Perl, and each version of Python."""
    found = [shutil.which(f"python3.{minor}") for minor in range(11, 20)]
    pythons = [sys.executable, *filter(None, found)]
    pythons += map(str, Path.home().glob(".pyenv/versions/3.*/bin/python3"))
    commands = {"perl": ["perl", "-e", PERL_READER]}
    for python in pythons:
        asked = subprocess.run([python, "--version"], capture_output=True, text=True)
        commands.setdefault(asked.stdout, [python, "-c", PYTHON_READER])
    return {name: command for name, command in commands.items() if output(command, []) == []}


def test_every_python_parses_the_mails_of_every_kind() -> None:
    messages = dict(mails_of_every_kind())
    thread = ReplyTo("<1@x>", "<2@x>", "Größe & Abstände")
    mails = [sent(message) for message in messages.values()]
    mails += [sent(message, thread) for message in messages.values()]
    contents = [base64.b64encode(mail).decode() for mail in mails]
    pythons = {name: command[0] for name, command in readers().items() if name != "perl"}
    results = [output([python, "-c", PYTHON_PARSER], contents) for python in pythons.values()]
    assert results
    for texts in results:
        assert texts == results[0]
    for number, (message, text) in enumerate(
        zip([*messages.values()] * 2, results[0] or (), strict=True)
    ):
        headers, (plain, html), defects = json.loads(text)
        values = dict(headers)
        assert defects == []
        is_reply = number >= len(messages)
        is_first = message.to is not None and message.event == "create-comment-thread"
        subject = thread.subject if is_reply else message.subject
        prefix = "Re: " if is_reply and not is_first else ""
        assert values["Subject"] == shorten(prefix + subject, 200)
        assert values["From"] == (
            f'"{message.actor} (Penpot)" <penpot@example.com>'
            if message.actor
            else "Penpot <penpot@example.com>"
        )
        to = "Ada <grace@example.com>" if message.to else "design@example.com"
        assert values["To"] == to
        assert values["MIME-Version"] == "1.0"
        assert values["Auto-Submitted"] == "auto-generated"
        assert re.fullmatch(r"<[0-9a-f]{32,}@example\.com>", values["Message-ID"])
        assert email.utils.parsedate_to_datetime(values["Date"]).utcoffset() is not None
        first = to_text(parse(message.content.body)[:1], links=False).split()
        assert set(first) <= set(re.sub(r" \(https?://\S+\)", "", plain).split())
        assert plain.endswith(".\r\n")
        assert html.endswith("</html>\r\n")


@pytest.mark.skipif(shutil.which("perl") is None, reason="no perl; on Debian: apt install perl")
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(TITLES, min_size=60, max_size=60))
def test_every_reader_reads_the_title(titles: list[str]) -> None:
    values = [text_header("Subject", title) for title in titles]
    names = [address_header("From", [Address(title, addr_spec="a@x.org")]) for title in titles]
    assert "perl" in readers()
    for name, command in readers().items():
        assert output(command, values) == titles, name
    encoded = {value: title for value, title in zip(names, titles, strict=True) if "=?" in value}
    texts = output(readers()["perl"], list(encoded))
    assert texts == [f"{title} <a@x.org>" for title in encoded.values()]
