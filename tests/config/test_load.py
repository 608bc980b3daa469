"""Config files: problems with their key and line, warnings, no secret in any text."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from relay.channels import CHANNEL_TYPES
from relay.channels.email.settings import EmailSettings, SmtpSettings
from relay.channels.matrix.settings import MatrixSettings
from relay.channels.slack.settings import SlackSettings
from relay.config.load import ConfigError, load, warnings
from relay.config.secret import Secret
from relay.config.settings import Config, TeamSettings
from relay.penpot.selection import Selection
from tests.config.files import (
    CHANNEL,
    MAIL,
    MATRIX,
    SECRET,
    SLACK,
    SMTP,
    TEAM,
    problems_of,
    slips,
    write,
)

GOOD = """
[server]
public_url = "https://relay.example.com"
[store]
url = "sqlite:////var/lib/relay/relay.db"
retention = "12h"
[teams.acme]
secret = { env = "ACME_SECRET" }
team_id = "2F6A1C10-5d0e-81a4-8006-9a1f00000001"
[[teams.acme.channels]]
name = "design"
type = "slack"
token = { file = "{folder}/slack" }
channel = "#design"
events = ["comments", "files", "!update-file"]
[[teams.acme.channels]]
name = "room"
type = "matrix"
homeserver = "https://matrix.example.org/"
access_token = "plain-matrix-token"
room = "#design:example.org"
[[teams.acme.channels]]
name = "mail"
type = "email"
to = ["Design <design@example.com>", "qa@example.com"]
sender = "Penpot <penpot@example.com>"
smtp = { host = "smtp.example.com", username = "relay", password = { env = "SMTP" }, tls = "tls" }
[[teams.acme.channels]]
name = "log"
type = "stdout"
"""


def test_a_valid_file_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "slack").write_text("xoxb-token\n")
    text = GOOD.replace("{folder}", str(tmp_path))
    config = load(write(tmp_path, text), {"ACME_SECRET": SECRET, "SMTP": "smtp-pass"})
    assert config.store.retention == timedelta(hours=12)
    team = config.teams["acme"]
    assert team.secret == (Secret(SECRET),)
    slack, matrix, mail, _ = team.channels
    assert isinstance(slack, SlackSettings)
    assert slack.token == Secret("xoxb-token")
    selection = Selection.of(slack.events)
    assert selection.takes("create-comment", "comments")
    assert not selection.takes("update-file", "files")
    assert isinstance(matrix, MatrixSettings)
    assert matrix.homeserver == "https://matrix.example.org"
    assert isinstance(mail, EmailSettings)
    assert mail.smtp.server_port == 465
    assert list(config.queues()) == ["acme/design", "acme/room", "acme/mail", "acme/log"]
    assert warnings(config) == [
        "teams.acme.channels.room.access_token is in the config file as plain text: use "
        '{ env = "NAME" } or { file = "…" }',
    ]
    for secret in (SECRET, "xoxb-token", "plain-matrix-token", "smtp-pass"):
        assert secret not in repr(config)


KINDS = "slack, matrix, mattermost, rocketchat, discord, teams, email, webhook, apprise, stdout"
CASES = {
    "no team": ("", ["teams: is required"]),
    "team without secret": ("[teams.acme]", ["teams.acme.secret: is required"]),
    "unknown key": (
        TEAM + "[server]\nprot = 1",
        ["server.prot: unknown key; did you mean port?"],
    ),
    "unknown table": (
        TEAM + "[sever]",
        ["sever: unknown key; did you mean server?"],
    ),
    "secret's variable is not set": (
        '[teams.acme]\nsecret = { env = "NOT_SET" }',
        ["teams.acme.secret: the environment variable NOT_SET is not set"],
    ),
    "secret's file is missing": (
        '[teams.acme]\nsecret = { file = "/does/not/exist" }',
        ["teams.acme.secret: the file /does/not/exist can't be read (No such file or directory)"],
    ),
    "secret of another form": (
        '[teams.acme]\nsecret = { vault = "x" }',
        [
            'teams.acme.secret = ***: must be { env = "NAME" }, { file = "/run/secrets/name" } or '
            "a non-empty string"
        ],
    ),
    "kind of channel": (
        CHANNEL + 'type = "slak"',
        ['teams.acme.channels.a.type = "slak": must be one of ' + KINDS + "; did you mean slack?"],
    ),
    "channel without type": (
        CHANNEL,
        ["teams.acme.channels.a.type: is required: one of " + KINDS],
    ),
    "several at once": (
        '[server]\nport = 0\n[teams.acme]\nsecret = { env = "NOT_SET" }\n[store]\nretention = "x"',
        [
            "teams.acme.secret: the environment variable NOT_SET is not set",
            "server.port = 0: must be greater than or equal to 1",
            'store.retention = "x": must be a number with a unit, such as "45s", "10m", "12h", '
            '"30d" or "4w"',
        ],
    ),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_a_problem_names_key_value_and_rule(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems_of(write(tmp_path, text), {}) == expected


KEYS = ("secret", "token", "access_token", "webhook_url", "password", "bot_token", "smtp_pass")
TABLES = {
    "top": "LINE\n" + TEAM,
    "server": TEAM + "[server]\nLINE",
    "penpot": TEAM + "[penpot]\nLINE",
    "team": TEAM + "LINE",
    "teams": TEAM + "[teams]\nLINE",
    "slack": SLACK + "LINE",
    "matrix": MATRIX + 'room = "#a:b"\nLINE',
    "mail": MAIL + SMTP + "LINE",
    "smtp": MAIL + 'smtp = { host = "h", LINE }',
}
VALUES = ('"hunter2"', '"xoxb-hunter2"', '["hunter2"]', '{ plain = "hunter2" }', "2718281828")


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("key", KEYS)
def test_the_value_of_an_unknown_key_is_not_shown(tmp_path: Path, table: str, key: str) -> None:
    misspelled = [slip for slip in slips(key) if f"{slip} =" not in TABLES[table]]
    for value in VALUES:
        lines = (", " if table == "smtp" else "\n").join(f"{slip} = {value}" for slip in misspelled)
        with pytest.raises(ConfigError) as caught:
            load(write(tmp_path, TABLES[table].replace("LINE", lines)), {})
        assert len(caught.value.problems) >= len(misspelled)
        shown = f"{caught.value}{caught.value.problems}"
        assert "hunter2" not in shown
        assert "2718281828" not in shown


MISPLACED = {
    "smtp as text": MAIL + 'smtp = "smtp://user:hunter2@mail.example.com"',
    "smtp's host": MAIL + 'smtp = { host = "smtp://user:hunter2@mail.example.com" }',
    "homeserver": MATRIX.replace("https://", "https://bot:hunter2@") + 'room = "#a:b"',
    "password alone": MATRIX.replace("https://", "https://:hunter2@") + 'room = "#a:b"',
    "slash in it": MATRIX.replace("https://", "https://bot:x/hunter2@") + 'room = "#a:b"',
    "odd letter in it": MATRIX.replace("https://", "https://bot:hunter2℀@") + 'room = "#a:b"',
    "public address": TEAM + '[server]\npublic_url = "user:hunter2@relay.example.com"',
    "store": TEAM + '[store]\nurl = "mysql://relay:hunter2@db/relay"',
    "token as channel": SLACK + 'token = "t"\nchannel = "xoxb-hunter2"',
    "webhook as channel": SLACK + 'token = "t"\nchannel = "hooks.slack.com/services/T/B/hunter2"',
    "token as event": CHANNEL + 'type = "stdout"\nevents = ["xoxb-hunter2"]',
    "token as variable": '[teams.acme]\nsecret = { env = "xoxb-hunter2" }',
    "channels as text": TEAM + 'channels = ["https://hooks.slack.com/services/T/B/hunter2"]',
    "team as list": '[[teams.acme]]\nsecret = "hunter2"',
    "teams as list": '[[teams]]\nname = "acme"\nsecret = "hunter2"',
    "list for a text": TEAM + '[server]\nhost = [{ password = "hunter2" }]',
}


@pytest.mark.parametrize("text", MISPLACED.values(), ids=MISPLACED)
def test_a_misplaced_secret_is_not_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text), {})
    assert "hunter2" not in f"{caught.value}{caught.value.problems}"


def test_a_command_without_secrets_needs_none(tmp_path: Path) -> None:
    hook = f'{CHANNEL}type = "slack"\nwebhook_url = {{ env = "HOOK" }}\n'
    text = (hook + GOOD.partition("[teams.acme]")[0]).replace(f'"{SECRET}"', '{ env = "SECRET" }')
    assert load(write(tmp_path, text), {}, secrets=False).queues().keys() == {"acme/a"}


def test_a_toml_error_has_its_line(tmp_path: Path) -> None:
    (problem,) = problems_of(write(tmp_path, "[server\n"), {})
    assert problem.startswith("file: is not TOML at line 1, `[server`: the name of a table has")


def test_a_missing_file_is_named() -> None:
    assert problems_of("nowhere.toml", {}) == [
        "file: can't be read (No such file or directory); name a file with --config or RELAY_CONFIG"
    ]


def test_relay_toml_in_the_working_directory_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, TEAM)
    assert list(load(None, {"RELAY_SECRET": "ignored"}).teams) == ["acme"]


def test_a_shared_secret_is_a_warning(tmp_path: Path) -> None:
    text = "".join(
        f'[teams.{name}]\nsecret = "{secret}"\n'
        for name, secret in (("a", SECRET), ("b", SECRET), ("c", SECRET[::-1]))
    )
    shared = [
        advice for advice in warnings(load(write(tmp_path, text), {})) if "same secret" in advice
    ]
    assert shared == ["the teams a, b have the same secret: give each its own"]


def test_a_filter_that_needs_a_token_is_a_warning(tmp_path: Path) -> None:
    id_ = "2f6a1c10-3b5e-4f7a-9c1d-0123456789ab"
    keys = f'type = "stdout"\nprojects = ["{id_}"]\nfiles = ["!{id_}"]\nactors = ["Ada"]'
    path = write(tmp_path, CHANNEL + keys)
    (warning,) = [advice for advice in warnings(load(path, {})) if "access_token" in advice]
    assert warning == (
        "teams.acme.channels.a: projects and actors need penpot.access_token: without it Relay "
        "knows only what earlier events named"
    )
    path = write(tmp_path, f'[penpot]\naccess_token = {{ env = "T" }}\n{CHANNEL}{keys}')
    assert not [advice for advice in warnings(load(path, {"T": "t"})) if "need" in advice]


def test_a_password_hash_in_the_file_is_no_warning(tmp_path: Path) -> None:
    hashed = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21l$" + "A" * 43
    text = f'[inspector]\npassword = "{{}}"\n[teams.acme]\nsecret = "{SECRET}"'
    path = write(tmp_path, text.format(hashed))
    assert not [advice for advice in warnings(load(path, {})) if "inspector" in advice]
    path = write(tmp_path, text.format("correct horse battery"))
    assert [
        advice for advice in warnings(load(path, {})) if advice.startswith("inspector.password")
    ]


def test_a_file_of_a_windows_editor_is_read(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    path.write_text(TEAM, encoding="utf-8-sig")
    assert list(load(str(path), {}).teams) == ["acme"]
    path.write_text(TEAM, encoding="utf-16")
    assert problems_of(str(path), {}) == ["file: is not UTF-8: save it in that encoding"]


def test_a_channel_is_named_as_long_as_its_name_is_its_own(tmp_path: Path) -> None:
    channel = '[[teams.acme.channels]]\nname = "{}"\ntype = "stdout"\npace = 0\n'
    text = TEAM + "".join(map(channel.format, ("log", "twice", "twice", "with.dot")))
    rule = "pace = 0: must be greater than 0"
    assert problems_of(write(tmp_path, text), {}) == [
        f"teams.acme.channels.log.{rule}",
        f"teams.acme.channels[1].{rule}",
        f"teams.acme.channels[2].{rule}",
        f'teams.acme.channels."with.dot".{rule}',
        'teams.acme.channels[2].name = "twice": must be unique in teams.acme',
    ]


VALUES = [
    *('"x"', '""', '"\\u0000"', "5", "-1", "1.5", "nan", "true", "1979-05-27", "07:32:00"),
    *("[]", "[1]", "[[1]]", "[{}]", "{}", "{ a = 1 }"),
]


def _places() -> Iterator[str]:
    """A config for each key, in which a value of it is missing."""
    for table, field in Config.model_fields.items():
        yield f"{table} = VALUE\n{TEAM}"
        for key in getattr(field.annotation, "model_fields", ()):
            yield f"{TEAM}[{table}]\n{key} = VALUE"
    for key in TeamSettings.model_fields:
        yield f"[teams.acme]\n{key} = VALUE"
    for kind, channel_type in CHANNEL_TYPES.items():
        for key in channel_type.settings.model_fields:
            yield f'{TEAM}[[teams.acme.channels]]\ntype = "{kind}"\n{key} = VALUE'
    for key in SmtpSettings.model_fields:
        yield f"{MAIL}smtp = {{ {key} = VALUE }}"
    yield f'{TEAM}[people]\n"a@example.com" = VALUE'


def test_no_value_of_any_type_ends_the_load_or_shows_python(tmp_path: Path) -> None:
    """Neither a traceback, nor the name or the representation of a Python object."""
    texts = set()
    for place in _places():
        for value in VALUES:
            try:
                load(write(tmp_path, place.replace("VALUE", value)), {})
            except ConfigError as error:
                texts.update(error.problems)
    assert len(texts) > 200
    python = re.compile(r"\b(True|False|None|tuple|dict|dictionary|null byte|datetime|object at)\b")
    assert [text for text in texts if python.search(text)] == []
