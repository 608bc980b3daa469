"""The config, from files and from the environment; every fault with the text that it must print."""

from datetime import timedelta
from pathlib import Path

import pytest

from relay.configfile import ConfigError, load, warnings
from relay.environment import KNOWN
from relay.secret import Secret

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


def faults(path: str | None, environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    return [str(fault).removeprefix(f"{path}: ") for fault in caught.value.faults]


def test_a_good_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "slack").write_text("xoxb-token\n")
    text = GOOD.replace("{folder}", str(tmp_path))
    config = load(write(tmp_path, text), {"ACME_SECRET": SECRET, "SMTP": "smtp-pass"})
    assert config.store.retention == timedelta(hours=12)
    team = config.teams["acme"]
    assert team.secret == Secret(SECRET)
    slack, matrix, mail, _ = team.channels
    assert slack.type == "slack"
    assert slack.token == Secret("xoxb-token")
    assert slack.selection.takes("create-comment", "comments")
    assert not slack.selection.takes("update-file", "files")
    assert matrix.type == "matrix"
    assert matrix.homeserver == "https://matrix.example.org"
    assert mail.type == "email"
    assert mail.smtp.server_port == 465
    assert list(config.queues()) == ["acme/design", "acme/room", "acme/mail", "acme/log"]
    assert warnings(config) == [
        'teams.acme.channels.room.access_token stands in the file itself; { env = "NAME" } or '
        '{ file = "…" } keeps it out',
        "inspector.password is not set: let a reverse proxy on this machine pass on /hooks/ alone, "
        "for what else it passes on may look as if it came from here",
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
        ['templates.path = "/does/not/exist": must be a folder that exists'],
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
            'server.public_url = "http://my_relay:8080": must have a host name without an '
            "underscore: Penpot can't call such one"
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
            'people."bob@example.com".slack = "U0ADA": is that of "Ada@example.com" already',
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
            'teams.acme.channels[0].channel = "#a": goes without direct: each person is written to '
            "directly",
            "teams.acme.channels[0].broadcast = True: goes without direct: there is no channel to "
            "show it in",
        ],
    ),
    "direct by webhook": (
        SLACK + 'webhook_url = "https://h/x"\ndirect = "mentioned"',
        [
            'teams.acme.channels[0].direct = "mentioned": goes with token only: an incoming '
            "webhook can do nothing but post to its channel"
        ],
    ),
    "direct to all": (
        MATRIX + 'direct = "all"\nroom = "!a:m"',
        [
            "teams.acme.channels[0].direct = \"all\": must be '' or 'mentioned'",
            'teams.acme.channels[0].room = "!a:m": goes without direct: direct messages have rooms '
            "of their own",
        ],
    ),
    "no room": (
        MATRIX,
        ['teams.acme.channels[0].room: is required: "!id:server" or "#alias:server"'],
    ),
    "pictures without a token": (
        MAIL + SMTP + "thumbnails = true",
        [
            "teams.acme.channels[0].thumbnails = True: needs penpot.access_token: pictures are "
            "asked of Penpot with it"
        ],
    ),
    "edits by mail": (
        MAIL + SMTP + 'edits = "in-place"',
        [
            'teams.acme.channels[0].edits = "in-place": goes with Slack by token and with Matrix '
            'only: here it is "messages" or "none"'
        ],
    ),
    "edits of direct messages": (
        MATRIX + 'direct = "mentioned"\nedits = "in-place"',
        [
            'teams.acme.channels[0].edits = "in-place": goes without direct: what somebody was '
            'told directly stays; "messages" or "none"'
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
        ['teams.acme.alerts_to = "ops": must be the name of one of the team\'s channels: a'],
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
            "teams.acme.secret = ***: must have at least 16 characters out of A-Z a-z 0-9 . _ ~ - "
            "(make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(24))')"
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
            "a text that is not empty"
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
            'teams.acme.channels[0].events[0] = "comment": fits no event: use a group '
            "(comments, files, projects, libraries, fonts, transfers), a name that `relay events` "
            'lists, or a glob; with "!" in front it takes away'
        ],
    ),
    "slack without credentials": (
        SLACK,
        ["teams.acme.channels[0].token: one of token and webhook_url is required"],
    ),
    "slack with both": (
        SLACK + 'token = "a"\nchannel = "#c"\nwebhook_url = "https://h"',
        ["teams.acme.channels[0].webhook_url: at most one of token and webhook_url may be there"],
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
            'teams.acme.channels[0].channel = "#c": goes with token only: an incoming webhook has '
            "its channel built in"
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
            f'teams.acme.channels[0].{key} = "{value}": must be an address in ASCII: write a '
            'domain such as "exämple.com" as xn--…; before the @ there is no other way to write it'
            for key, value in (("to[0]", "d@exämple.com"), ("sender", "pö@example.com"))
        ],
    ),
    "token that fits into no header": (
        SLACK + 'token = "xoxb-é"\nchannel = "#c"',
        [
            "teams.acme.channels[0].token = ***: must be printable ASCII without spaces: was all "
            "of it copied, and only it?"
        ],
    ),
    "access tokens that fit into no header": (
        '[penpot]\naccess_token = "a\\u0007"\n' + MATRIX.replace('"t"', '"a b"') + 'room = "#a:b"',
        [
            f"{key} = ***: must be printable ASCII without spaces: was all of it copied, and only "
            "it?"
            for key in ("penpot.access_token", "teams.acme.channels[0].access_token")
        ],
    ),
    "webhook without address": (
        SLACK + 'webhook_url = "T000/B000/hunter2"',
        [
            "teams.acme.channels[0].webhook_url = ***: must be the address of an incoming webhook: "
            '"https://hooks.slack.com/services/…", in ASCII without spaces'
        ],
    ),
    "password of two lines": (
        MAIL + 'smtp = { host = "h", username = "u", password = "hunter2\\nx" }',
        [
            "teams.acme.channels[0].smtp.password = ***: must be text in UTF-8, on one line and "
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
        ["teams.acme.channels[0].smtp.password: goes together with the other of the two"],
    ),
    "authority that can't be read": (
        MAIL + 'ca_file = "/does/not/exist"' + SMTP,
        [
            'teams.acme.channels[0].ca_file = "/does/not/exist": must be a file that can be read '
            "(No such file or directory)"
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
def test_a_fault_names_key_value_and_rule(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert faults(write(tmp_path, text), {}) == expected


def test_an_authority_without_a_certificate_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ca.pem").write_text("-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n")
    text = f'{CHANNEL}type = "stdout"\nca_file = "ca.pem"'
    assert faults(write(tmp_path, text), {}) == [
        'teams.acme.channels[0].ca_file = "ca.pem": must hold certificates in PEM form'
    ]


def slips(word: str) -> list[str]:
    """A word with a letter too few, two of them swapped, one doubled, or its parts joined."""
    found = {word[:i] + word[i + 1 :] for i in range(len(word))}
    found |= {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)}
    found |= {word[:i] + word[i] + word[i:] for i in range(len(word))}
    found |= {word.replace("_", ""), word.replace("_", "-"), word.upper(), word.split("_")[0]}
    return sorted(found - {word})


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
def test_a_mistyped_key_does_not_show_what_stands_behind_it(
    tmp_path: Path, table: str, key: str
) -> None:
    for slip in slips(key):
        for value in VALUES:
            text = TABLES[table].replace("LINE", f"{slip} = {value}")
            with pytest.raises(ConfigError) as caught:
                load(write(tmp_path, text), {})
            shown = f"{caught.value}{caught.value.faults}"
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
def test_a_secret_in_the_wrong_place_is_a_fault_that_does_not_show_it(
    tmp_path: Path, text: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text), {})
    assert "hunter2" not in f"{caught.value}{caught.value.faults}"


def test_a_mistyped_variable_does_not_show_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    secrets = [name.removesuffix("_FILE") for name in KNOWN if name.endswith("_FILE")]
    for name in ("RELAY_SLACK_WEBHOOK", "RELAY_SMTP_PASS", *secrets):
        for slip in slips(name):
            if slip.startswith("RELAY_") and slip not in KNOWN:
                environ = {"RELAY_SECRET": SECRET, "RELAY_STDOUT": "1", slip: "hunter2"}
                (fault,) = faults(None, environ)
                assert fault.startswith(f"environment: {slip}: unknown variable")
                assert "hunter2" not in fault


def test_a_command_that_reads_no_secrets_misses_none(tmp_path: Path) -> None:
    hook = f'{CHANNEL}type = "slack"\nwebhook_url = {{ env = "HOOK" }}\n'
    text = (hook + GOOD.partition("[teams.acme]")[0]).replace(f'"{SECRET}"', '{ env = "SECRET" }')
    assert load(write(tmp_path, text), {}, secrets=False).queues().keys() == {"acme/a"}


def test_a_file_that_is_no_toml_tells_the_line(tmp_path: Path) -> None:
    (fault,) = faults(write(tmp_path, "[server\n"), {})
    assert fault.startswith("file: is not TOML:")
    assert "line 1" in fault


def test_a_file_that_is_missing_is_named() -> None:
    assert faults("nowhere.toml", {}) == [
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
    assert mail.type == "email"
    assert mail.to == ("a@example.com", "b@example.com")
    assert mail.smtp.password == Secret("smtp-password")
    assert config.hook_path("default") == f"/hooks/default/{SECRET}"
    assert len(warnings(config)) == 1


def test_the_environments_faults_name_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"RELAY_SECRET": SECRET, "RELAY_PROT": "1", "RELAY_SLACK_TOKEN": "xoxb"}
    assert faults(None, environ) == [
        "environment: RELAY_PROT: unknown variable; did you mean RELAY_PORT?",
        'environment: RELAY_SLACK_CHANNEL: is required with token: an id or "#name"',
    ]
    assert faults(None, {"RELAY_SECRET": SECRET}) == [
        "environment: RELAY_*: name a channel: RELAY_SLACK_WEBHOOK_URL, RELAY_SLACK_TOKEN, "
        "RELAY_MATRIX_ROOM, RELAY_EMAIL_TO or RELAY_STDOUT=1"
    ]
    environ = {"RELAY_SECRET_FILE": "/does/not/exist", "RELAY_STDOUT": "1", "RELAY_EVENTS": "*,x"}
    missing, event = faults(None, environ)
    assert missing.startswith("environment: RELAY_SECRET_FILE: the file /does/not/exist can't be")
    assert event.startswith('environment: RELAY_EVENTS = "x": fits no event')
    environ = {"RELAY_SECRET": SECRET, "RELAY_STDOUT": "0"}
    assert "name a channel" in faults(None, environ)[0]
    assert faults(None, {"RELAY_STDOUT": "1"}) == ["environment: RELAY_SECRET: is required"]
    mail = {"RELAY_EMAIL_TO": "a@b.c", "RELAY_EMAIL_SENDER": "d@e.f"}
    assert faults(None, mail | {"RELAY_SECRET": SECRET}) == [
        "environment: RELAY_EMAIL_SMTP_HOST: is required"
    ]
    environ = {"RELAY_SECRET": SECRET, "RELAY_SECRET_FILE": "/nope", "RELAY_STDOUT": "1"}
    assert faults(None, environ) == [
        "environment: RELAY_SECRET_FILE: stands beside RELAY_SECRET: only one of them may be"
    ]
    environ = {"RELAY_SECRET": SECRET, "RELAY_STDOUT_FILE": "/x", "RELAY_CONFIG": ""}
    assert "RELAY_STDOUT_FILE" in faults(None, environ)[0]


def test_relay_toml_in_the_working_directory_is_taken(
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
        assert config.store.place == "postgresql://db.example.org:5432/relay"
        assert "hunter2" not in repr(config) + str(config)
    assert any(warning.startswith("store.url stands in the file") for warning in warnings(plain))
    assert not any("store.url" in warning for warning in warnings(from_environment))
    with pytest.raises(ConfigError, match=r"store\.url: .* DATABASE_URL is not set"):
        load(named, {"OTHER": "x"}, secrets=False)


@pytest.mark.parametrize("password", ["hunter/2", "hunter#2", "hunter?2", "hunter[2", "hunter℀2"])
def test_a_password_that_would_be_read_as_something_else_is_refused_and_not_told(
    tmp_path: Path, password: str
) -> None:
    path = write(tmp_path, f'{TEAM}[store]\nurl = "postgresql://relay:{password}@db/relay"')
    with pytest.raises(ConfigError, match="percent-encoded, such as %2F for a slash") as caught:
        load(path)
    assert "hunter" not in str(caught.value)
    for good in ("postgresql://relay:hunter%2F2@db/relay", "postgresql:///relay?host=/run/pg"):
        load(write(tmp_path, f'{TEAM}[store]\nurl = "{good}"'))


def test_a_password_may_also_come_from_a_file_alone(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://relay:hunter2@db/relay")
    environ = {"RELAY_SECRET": SECRET, "RELAY_STDOUT": "1"}

    config = load(None, environ | {"RELAY_STORE_URL_FILE": str(tmp_path / "url")})

    assert config.store.place == "postgresql://db/relay"


def test_what_the_inspector_takes_for_no_good(tmp_path: Path) -> None:
    base = f'[teams.acme]\nsecret = "{SECRET}"\ninspector_password = "short"\n[inspector]\n'
    path = write(
        tmp_path,
        f'{base}password = "$argon2id$v=19"\ntrusted_header = "Cookie"\n'
        'trusted_proxies = ["10.0.0.5/8"]\nwrite_templates = true\n',
    )
    assert faults(path, {}) == [
        "inspector.password = ***: begins as an argon2 hash does but is none: was all of it "
        "copied, and was no $ taken away by a shell or by Compose (which wants $$)?",
        'inspector.trusted_header = "Cookie": must be the name of a header that only the reverse '
        'proxy sets, such as "Remote-User"',
        'inspector.trusted_proxies[0] = "10.0.0.5/8": must be an address or a network, such as '
        '"10.0.0.5" or "10.1.0.0/16"',
        "teams.acme.inspector_password = ***: must have at least 12 characters, or be an argon2 "
        "hash",
        "inspector.write_templates = True: needs templates.path: the folder that is written to",
    ]
    path = write(tmp_path, f'{base.replace("short", "x" * 12)}trusted_proxies = ["10.0.0.5"]')
    assert faults(path, {}) == ["inspector.trusted_header: goes together with trusted_proxies"]


def test_an_inspector_in_public_without_a_password_is_warned_of(tmp_path: Path) -> None:
    teams = f'[teams.acme]\nsecret = "{SECRET}"\n'
    public = f'{teams}[server]\npublic_url = "https://relay.example.com"\n'
    hidden = f'{public}[inspector]\npassword = "correct horse battery"\n'
    proxy = f'{public}[inspector]\ntrusted_header = "Remote-User"\n'
    told = [
        any(one.startswith("inspector.password is not set") for one in warnings(load(path, {})))
        for path in (write(tmp_path, text) for text in (teams, public, hidden, proxy))
    ]
    assert told == [False, True, False, False]


def test_teams_with_one_secret_are_told_of(tmp_path: Path) -> None:
    text = "".join(
        f'[teams.{name}]\nsecret = "{secret}"\n'
        for name, secret in (("a", SECRET), ("b", SECRET), ("c", SECRET[::-1]))
    )
    told = [one for one in warnings(load(write(tmp_path, text), {})) if "same secret" in one]
    assert told == ["the teams a, b have the same secret: give each its own"]


def test_the_inspectors_password_may_stand_in_the_file_as_a_hash(tmp_path: Path) -> None:
    hashed = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21l$" + "A" * 43
    text = f'[inspector]\npassword = "{{}}"\n[teams.acme]\nsecret = "{SECRET}"'
    path = write(tmp_path, text.format(hashed))
    assert not [told for told in warnings(load(path, {})) if "inspector" in told]
    path = write(tmp_path, text.format("correct horse battery"))
    assert [told for told in warnings(load(path, {})) if told.startswith("inspector.password")]
