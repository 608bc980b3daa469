"""The config from files and from the environment, with the exact text of every problem."""

from datetime import timedelta
from pathlib import Path

import pytest

from relay.channels.email.settings import EmailSettings
from relay.channels.matrix.settings import MatrixSettings
from relay.channels.slack.settings import SlackSettings
from relay.config.environment import known_variables
from relay.config.load import ConfigError, load, warnings
from relay.config.secret import Secret
from relay.penpot.selection import Selection

SECRET = "a-secret-of-24-characters"
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


def write(folder: Path, text: str) -> str:
    path = folder / "relay.toml"
    path.write_text(text)
    return str(path)


def problems_of(path: str | None, environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    return [str(problem).removeprefix(f"{path}: ") for problem in caught.value.problems]


def test_a_valid_file_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "slack").write_text("xoxb-token\n")
    text = GOOD.replace("{folder}", str(tmp_path))
    config = load(write(tmp_path, text), {"ACME_SECRET": SECRET, "SMTP": "smtp-pass"})
    assert config.store.retention == timedelta(hours=12)
    team = config.teams["acme"]
    assert team.secret == Secret(SECRET)
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
        "inspector.password is not set: a reverse proxy on this machine must forward only /hooks/, "
        "since its requests may look like those of a local browser",
    ]
    for secret in (SECRET, "xoxb-token", "plain-matrix-token", "smtp-pass"):
        assert secret not in repr(config)


TEAM = f'[teams.acme]\nsecret = "{SECRET}"\n'
CHANNEL = TEAM + '[[teams.acme.channels]]\nname = "a"\n'
SLACK = CHANNEL + 'type = "slack"\n'
MATRIX = CHANNEL + 'type = "matrix"\nhomeserver = "https://m.example.org"\naccess_token = "t"\n'
MAIL = CHANNEL + 'type = "email"\nsender = "p@example.com"\nto = ["d@example.com"]\n'
SMTP = '\nsmtp = { host = "h" }\n'

CASES = {
    "folder of templates": (
        TEAM + '[templates]\npath = "/does/not/exist"',
        ['templates.path = "/does/not/exist": must be an existing folder'],
    ),
    "no list": (
        CHANNEL + 'type = "stdout"\nevents = "comments"',
        ['teams.acme.channels[0].events = "comments": must be a list, such as ["…"]'],
    ),
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
    "wrong type": (
        TEAM + '[server]\nport = "8080"',
        ['server.port = "8080": must be a valid integer'],
    ),
    "out of range": (
        TEAM + "[server]\nport = 65536",
        ["server.port = 65536: must be less than or equal to 65535"],
    ),
    "underscore in the host": (
        TEAM + '[server]\npublic_url = "http://my_relay:8080"',
        [
            'server.public_url = "http://my_relay:8080": must have a host name without '
            "underscore: Penpot can't call such a host"
        ],
    ),
    "no web address": (
        TEAM + '[penpot]\nurl = "design.penpot.app"',
        [
            'penpot.url = "design.penpot.app": must be a web address such as "https://design.example.com"'
        ],
    ),
    "store of another kind": (
        TEAM + '[store]\nurl = "mysql://x"',
        [
            'store.url = "mysql://x": must be "sqlite:///relative/path.db", '
            '"sqlite:////absolute/path.db", or "postgresql://user:password@host/database"'
        ],
    ),
    "people": (
        TEAM
        + """[people]
        "Ada@example.com" = { slack = "U0ADA", matrix = "@ada:m.example.org" }
        "bob@example.com" = { slack = "U0ADA", email = "not one", telephone = "1" }
        "eve" = { matrix = "eve" }""",
        [
            'people."bob@example.com".email = "not one": must be one mail address such as '
            '"design@example.com" or "Penpot <penpot@example.com>"',
            'people."bob@example.com".telephone: unknown key; known: email, matrix, slack',
            'people.eve = "eve": must be a person\'s mail address in Penpot, or the id of their '
            "Penpot profile",
            'people.eve.matrix = "eve": must be a Matrix id such as "@ada:example.org"',
            'people."bob@example.com".slack = "U0ADA": already belongs to "Ada@example.com"',
        ],
    ),
    "person with a name": (
        TEAM + '[people]\n"a@b.c" = { slack = "@ada", email = "Ada <ada@example.com>" }',
        [
            'people."a@b.c".slack = "@ada": must be a Slack member\'s id such as "U0123456789" '
            "(profile, ⋮, Copy member ID)",
            'people."a@b.c".email = "Ada <ada@example.com>": must be one bare mail address such as '
            '"ada@example.com"',
        ],
    ),
    "direct in a channel": (
        SLACK + 'token = "t"\nchannel = "#a"\ndirect = "mentioned"\nbroadcast = true',
        [
            'teams.acme.channels[0].channel = "#a": does not work with direct: each '
            "person gets a direct message",
            "teams.acme.channels[0].broadcast = True: does not work with direct",
        ],
    ),
    "direct by webhook": (
        SLACK + 'webhook_url = "https://h/x"\ndirect = "mentioned"',
        [
            'teams.acme.channels[0].direct = "mentioned": needs a token: an incoming webhook '
            "can only post to its channel"
        ],
    ),
    "direct to all": (
        MATRIX + 'direct = "all"\nroom = "!a:m"',
        [
            "teams.acme.channels[0].direct = \"all\": must be '' or 'mentioned'",
            'teams.acme.channels[0].room = "!a:m": does not work with direct: '
            "each person gets a room",
        ],
    ),
    "no room": (
        MATRIX,
        ['teams.acme.channels[0].room: is required: "!id:server" or "#alias:server"'],
    ),
    "pictures without a token": (
        MAIL + SMTP + "thumbnails = true",
        [
            "teams.acme.channels[0].thumbnails = True: needs penpot.access_token, to "
            "get the pictures from Penpot"
        ],
    ),
    "edits by mail": (
        MAIL + SMTP + 'edits = "in-place"',
        [
            'teams.acme.channels[0].edits = "in-place": works only for Slack with token and '
            'for Matrix: use "messages" or "none"'
        ],
    ),
    "edits of direct messages": (
        MATRIX + 'direct = "mentioned"\nedits = "in-place"',
        [
            'teams.acme.channels[0].edits = "in-place": does not work with direct: '
            'use "messages" or "none"'
        ],
    ),
    "alerts to nowhere": (
        TEAM
        + """alerts_to = "ops"
        [[teams.acme.channels]]
        name = "a"
        type = "stdout"
        [[teams.acme.channels]]
        name = "ops"
        type = "matrix"
        homeserver = "https://m.example.org"
        access_token = "t"
        direct = "mentioned\"""",
        ['teams.acme.alerts_to = "ops": must be one of the team\'s channels without direct: a'],
    ),
    "duration without unit": (
        TEAM + '[store]\nretention = "30"',
        [
            'store.retention = "30": must be a number with a unit, such as "45s", "10m", "12h", '
            '"30d" or "4w"'
        ],
    ),
    "team id": (
        TEAM + 'team_id = "acme"',
        [
            'teams.acme.team_id = "acme": must be the UUID of a Penpot team (the team-id in its '
            "address)"
        ],
    ),
    "short secret": (
        '[teams.acme]\nsecret = "hunter2"',
        [
            "teams.acme.secret = ***: must have at least 16 characters of A-Z a-z 0-9 . _ ~ - "
            "(create one with: python3 -c 'import secrets; print(secrets.token_urlsafe(24))')"
        ],
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
        ['teams.acme.channels[0].type = "slak": must be one of slack, matrix, email, stdout'],
    ),
    "channel without type": (
        CHANNEL,
        ["teams.acme.channels[0].type: is required: one of slack, matrix, email, stdout"],
    ),
    "two channels of one name": (
        CHANNEL + 'type = "stdout"\n[[teams.acme.channels]]\nname = "a"\ntype = "stdout"',
        ['teams.acme.channels[1].name = "a": must be unique in teams.acme'],
    ),
    "events": (
        CHANNEL + 'type = "stdout"\nevents = ["comment"]',
        [
            'teams.acme.channels[0].events[0] = "comment": matches no event: use a group '
            "(comments, files, projects, libraries, fonts, transfers), "
            'a name from `relay events` or a glob; "!" in front excludes'
        ],
    ),
    "slack without credentials": (
        SLACK,
        ["teams.acme.channels[0].token: one of token and webhook_url is required"],
    ),
    "slack with both": (
        SLACK + 'token = "a"\nchannel = "#c"\nwebhook_url = "https://h"',
        ["teams.acme.channels[0].webhook_url: only one of token and webhook_url is allowed"],
    ),
    "slack without channel": (
        SLACK + 'token = "a"',
        ['teams.acme.channels[0].channel: is required with token: an id or "#name"'],
    ),
    "slack's channel": (
        SLACK + 'token = "a"\nchannel = "design"',
        [
            'teams.acme.channels[0].channel = "design": must be a channel\'s id such as '
            '"C0123456789" or its name such as "#design"'
        ],
    ),
    "slack's webhook with a channel": (
        SLACK + 'webhook_url = "https://h"\nchannel = "#c"',
        [
            'teams.acme.channels[0].channel = "#c": needs a token: an incoming '
            "webhook has a fixed channel"
        ],
    ),
    "matrix room": (
        MATRIX + 'room = "design"',
        [
            'teams.acme.channels[0].room = "design": must be a room\'s id such as '
            '"!abc:example.org" or "#alias:example.org"'
        ],
    ),
    "mail address": (
        MAIL.replace("d@example.com", "design") + SMTP,
        [
            'teams.acme.channels[0].to[0] = "design": must be one mail address such as '
            '"design@example.com" or "Penpot <penpot@example.com>"'
        ],
    ),
    "mail address that is not ASCII": (
        MAIL.replace("d@example.com", "d@exämple.com").replace("p@", "pö@") + SMTP,
        [
            f'teams.acme.channels[0].{key} = "{value}": must be in ASCII: write a domain such '
            'as "exämple.com" as xn--…; the part before the @ has no such form'
            for key, value in (("to[0]", "d@exämple.com"), ("sender", "pö@example.com"))
        ],
    ),
    "token that fits into no header": (
        SLACK + 'token = "xoxb-é"\nchannel = "#c"',
        [
            "teams.acme.channels[0].token = ***: must be printable ASCII without spaces: "
            "check that it was copied completely"
        ],
    ),
    "access tokens that fit into no header": (
        '[penpot]\naccess_token = "a\\u0007"\n' + MATRIX.replace('"t"', '"a b"') + 'room = "#a:b"',
        [
            f"{key} = ***: must be printable ASCII without spaces: "
            "check that it was copied completely"
            for key in ("penpot.access_token", "teams.acme.channels[0].access_token")
        ],
    ),
    "webhook without address": (
        SLACK + 'webhook_url = "T000/B000/hunter2"',
        [
            "teams.acme.channels[0].webhook_url = ***: must be the URL of an incoming webhook, "
            '"https://hooks.slack.com/services/…", in ASCII without spaces'
        ],
    ),
    "password of two lines": (
        MAIL + 'smtp = { host = "h", username = "u", password = "hunter2\\nx" }',
        [
            "teams.acme.channels[0].smtp.password = ***: must be UTF-8 text on one line, "
            "without control characters"
        ],
    ),
    "mail server with a scheme": (
        MAIL + 'smtp = { host = "smtp://example.com" }',
        [
            'teams.acme.channels[0].smtp.host = "smtp://example.com": must be a host\'s name or IP '
            'address alone, such as "smtp.example.com"'
        ],
    ),
    "port that is none": (
        TEAM + '[penpot]\nurl = "https://example.com:99999"',
        [
            'penpot.url = "https://example.com:99999": must be a web address such as '
            '"https://design.example.com"'
        ],
    ),
    "kind of TLS": (
        MAIL + 'smtp = { host = "h", tls = "ssl" }',
        ["teams.acme.channels[0].smtp.tls = \"ssl\": must be 'starttls', 'tls' or 'none'"],
    ),
    "user without password": (
        MAIL + 'smtp = { host = "h", username = "u" }',
        ["teams.acme.channels[0].smtp.password: goes together with the other one"],
    ),
    "authority that can't be read": (
        MAIL + 'ca_file = "/does/not/exist"' + SMTP,
        [
            'teams.acme.channels[0].ca_file = "/does/not/exist": must be a '
            "readable file (No such file or directory)"
        ],
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


def test_a_ca_file_without_a_certificate_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ca.pem").write_text("-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n")
    text = f'{CHANNEL}type = "stdout"\nca_file = "ca.pem"'
    assert problems_of(write(tmp_path, text), {}) == [
        'teams.acme.channels[0].ca_file = "ca.pem": must hold certificates in PEM form'
    ]


def slips(word: str) -> list[str]:
    """A word with a letter too few, two of them swapped, one doubled, or its parts joined."""
    slips = {word[:i] + word[i + 1 :] for i in range(len(word))}
    slips |= {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)}
    slips |= {word[:i] + word[i] + word[i:] for i in range(len(word))}
    slips |= {word.replace("_", ""), word.replace("_", "-"), word.upper(), word.split("_")[0]}
    return sorted(slips - {word})


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
    for slip in slips(key):
        for value in VALUES:
            text = TABLES[table].replace("LINE", f"{slip} = {value}")
            with pytest.raises(ConfigError) as caught:
                load(write(tmp_path, text), {})
            shown = f"{caught.value}{caught.value.problems}"
            assert "hunter2" not in shown, text
            assert "2718281828" not in shown, text


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


def test_the_value_of_an_unknown_variable_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    secrets = [name.removesuffix("_FILE") for name in known_variables() if name.endswith("_FILE")]
    for name in ("RELAY_SLACK_WEBHOOK", "RELAY_SMTP_PASS", *secrets):
        for slip in slips(name):
            if slip.startswith("RELAY_") and slip not in known_variables():
                environ = {"RELAY_SECRET": SECRET, "RELAY_STDOUT": "1", slip: "hunter2"}
                (problem,) = problems_of(None, environ)
                assert problem.startswith(f"environment: {slip}: unknown variable")
                assert "hunter2" not in problem


def test_a_command_without_secrets_needs_none(tmp_path: Path) -> None:
    hook = f'{CHANNEL}type = "slack"\nwebhook_url = {{ env = "HOOK" }}\n'
    text = (hook + GOOD.partition("[teams.acme]")[0]).replace(f'"{SECRET}"', '{ env = "SECRET" }')
    assert load(write(tmp_path, text), {}, secrets=False).queues().keys() == {"acme/a"}


def test_a_toml_error_has_its_line(tmp_path: Path) -> None:
    (problem,) = problems_of(write(tmp_path, "[server\n"), {})
    assert problem.startswith("file: is not TOML:")
    assert "line 1" in problem


def test_a_missing_file_is_named() -> None:
    assert problems_of("nowhere.toml", {}) == [
        "file: can't be read (No such file or directory); name a file with --config or RELAY_CONFIG"
    ]


def test_the_environment_alone_describes_one_team(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "password").write_text("smtp-password")
    config = load(
        None,
        {
            "RELAY_SECRET": SECRET,
            "RELAY_PORT": "9000",
            "RELAY_SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T/B/x",
            "RELAY_EMAIL_TO": "a@example.com, b@example.com",
            "RELAY_EMAIL_SENDER": "p@example.com",
            "RELAY_EMAIL_SMTP_HOST": "smtp",
            "RELAY_EMAIL_SMTP_USERNAME": "relay",
            "RELAY_EMAIL_SMTP_PASSWORD_FILE": str(tmp_path / "password"),
            "RELAY_EVENTS": "comments, files",
        },
    )
    assert config.server.port == 9000
    slack, mail = config.teams["default"].channels
    assert (slack.type, mail.type) == ("slack", "email")
    assert slack.events == ("comments", "files")
    assert isinstance(mail, EmailSettings)
    assert mail.to == ("a@example.com", "b@example.com")
    assert mail.smtp.password == Secret("smtp-password")
    assert config.hook_path("default") == f"/hooks/default/{SECRET}"
    assert len(warnings(config)) == 1


def test_problems_of_the_environment_name_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"RELAY_SECRET": SECRET, "RELAY_PROT": "1", "RELAY_SLACK_TOKEN": "xoxb"}
    assert problems_of(None, environ) == [
        "environment: RELAY_PROT: unknown variable; did you mean RELAY_PORT?",
        'environment: RELAY_SLACK_CHANNEL: is required with token: an id or "#name"',
    ]
    assert problems_of(None, {"RELAY_SECRET": SECRET}) == [
        "environment: RELAY_*: set the variables of a channel: RELAY_SLACK_WEBHOOK_URL, "
        "RELAY_SLACK_TOKEN, RELAY_MATRIX_ROOM, RELAY_EMAIL_TO or RELAY_STDOUT=1"
    ]
    environ = {"RELAY_SECRET_FILE": "/does/not/exist", "RELAY_STDOUT": "1", "RELAY_EVENTS": "*,x"}
    missing, event = problems_of(None, environ)
    assert missing.startswith("environment: RELAY_SECRET_FILE: the file /does/not/exist can't be")
    assert event.startswith('environment: RELAY_EVENTS = "x": matches no event')
    environ = {"RELAY_SECRET": SECRET, "RELAY_STDOUT": "0"}
    assert "set the variables of a channel" in problems_of(None, environ)[0]
    assert problems_of(None, {"RELAY_STDOUT": "1"}) == ["environment: RELAY_SECRET: is required"]
    mail = {"RELAY_EMAIL_TO": "a@b.c", "RELAY_EMAIL_SENDER": "d@e.f"}
    assert problems_of(None, mail | {"RELAY_SECRET": SECRET}) == [
        "environment: RELAY_EMAIL_SMTP_HOST: is required"
    ]
    environ = {"RELAY_SECRET": SECRET, "RELAY_SECRET_FILE": "/nope", "RELAY_STDOUT": "1"}
    assert problems_of(None, environ) == [
        "environment: RELAY_SECRET_FILE: is set together with RELAY_SECRET: use only one"
    ]
    environ = {"RELAY_SECRET": SECRET, "RELAY_STDOUT_FILE": "/x", "RELAY_CONFIG": ""}
    assert "RELAY_STDOUT_FILE" in problems_of(None, environ)[0]


def test_relay_toml_in_the_working_directory_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, TEAM)
    assert list(load(None, {"RELAY_SECRET": "ignored"}).teams) == ["acme"]


def test_the_password_of_a_database_stays_hidden(tmp_path: Path) -> None:
    url = "postgresql://relay:hunter2@db.example.org:5432/relay?sslmode=require"
    plain = load(write(tmp_path, f'{TEAM}[store]\nurl = "{url}"'))
    named = write(tmp_path, TEAM + '[store]\nurl = { env = "DATABASE_URL" }')
    from_environment = load(named, {"DATABASE_URL": url}, secrets=False)

    for config in (plain, from_environment):
        assert config.store.url.reveal() == url
        assert config.store.display_url == "postgresql://db.example.org:5432/relay"
        assert "hunter2" not in repr(config) + str(config)
    assert any(warning.startswith("store.url is in the config file") for warning in warnings(plain))
    assert not any("store.url" in warning for warning in warnings(from_environment))
    with pytest.raises(ConfigError, match=r"store\.url: .* DATABASE_URL is not set"):
        load(named, {"OTHER": "x"}, secrets=False)


@pytest.mark.parametrize("password", ["hunter/2", "hunter#2", "hunter?2", "hunter[2", "hunter℀2"])
def test_an_unencoded_password_in_a_url_is_refused_and_not_shown(
    tmp_path: Path, password: str
) -> None:
    path = write(tmp_path, f'{TEAM}[store]\nurl = "postgresql://relay:{password}@db/relay"')
    with pytest.raises(ConfigError, match="percent-encoded, such as %2F for /") as caught:
        load(path)
    assert "hunter" not in str(caught.value)
    for good in ("postgresql://relay:hunter%2F2@db/relay", "postgresql:///relay?host=/run/pg"):
        load(write(tmp_path, f'{TEAM}[store]\nurl = "{good}"'))


def test_a_store_url_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://relay:hunter2@db/relay")
    environ = {"RELAY_SECRET": SECRET, "RELAY_STDOUT": "1"}

    config = load(None, environ | {"RELAY_STORE_URL_FILE": str(tmp_path / "url")})

    assert config.store.display_url == "postgresql://db/relay"


def test_problems_of_the_inspector(tmp_path: Path) -> None:
    base = f'[teams.acme]\nsecret = "{SECRET}"\ninspector_password = "short"\n[inspector]\n'
    path = write(
        tmp_path,
        f'{base}password = "$argon2id$v=19"\ntrusted_header = "Cookie"\n'
        'trusted_proxies = ["10.0.0.5/8"]\nwrite_templates = true\n',
    )
    assert problems_of(path, {}) == [
        "inspector.password = ***: must be a valid argon2 hash: check that it was copied "
        "completely, and that no shell or Compose has removed a $ (Compose needs $$)",
        'inspector.trusted_header = "Cookie": must be the name of a header that only the reverse '
        'proxy sets, such as "Remote-User"',
        'inspector.trusted_proxies[0] = "10.0.0.5/8": must be an address or a network, such as '
        '"10.0.0.5" or "10.1.0.0/16"',
        "teams.acme.inspector_password = ***: must have at least 12 characters, or be an argon2 "
        "hash",
        "inspector.write_templates = True: needs templates.path, the folder to write to",
    ]
    path = write(tmp_path, f'{base.replace("short", "x" * 12)}trusted_proxies = ["10.0.0.5"]')
    assert problems_of(path, {}) == ["inspector.trusted_header: is required with trusted_proxies"]


def test_a_public_inspector_without_a_password_is_a_warning(tmp_path: Path) -> None:
    teams = f'[teams.acme]\nsecret = "{SECRET}"\n'
    public = f'{teams}[server]\npublic_url = "https://relay.example.com"\n'
    hidden = f'{public}[inspector]\npassword = "correct horse battery"\n'
    proxy = f'{public}[inspector]\ntrusted_header = "Remote-User"\n'
    is_warned = [
        any(
            advice.startswith("inspector.password is not set")
            for advice in warnings(load(path, {}))
        )
        for path in (write(tmp_path, text) for text in (teams, public, hidden, proxy))
    ]
    assert is_warned == [False, True, False, False]


def test_a_shared_secret_is_a_warning(tmp_path: Path) -> None:
    text = "".join(
        f'[teams.{name}]\nsecret = "{secret}"\n'
        for name, secret in (("a", SECRET), ("b", SECRET), ("c", SECRET[::-1]))
    )
    shared = [
        advice for advice in warnings(load(write(tmp_path, text), {})) if "same secret" in advice
    ]
    assert shared == ["the teams a, b have the same secret: give each its own"]


def test_a_password_hash_in_the_file_is_no_warning(tmp_path: Path) -> None:
    hashed = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21l$" + "A" * 43
    text = f'[inspector]\npassword = "{{}}"\n[teams.acme]\nsecret = "{SECRET}"'
    path = write(tmp_path, text.format(hashed))
    assert not [advice for advice in warnings(load(path, {})) if "inspector" in advice]
    path = write(tmp_path, text.format("correct horse battery"))
    assert [
        advice for advice in warnings(load(path, {})) if advice.startswith("inspector.password")
    ]
