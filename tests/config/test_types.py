"""The rules of single values, with the exact text of every problem."""

from pathlib import Path

import pytest

from relay.config.load import ConfigError, load, warnings
from tests.config.files import CHANNEL, MAIL, MATRIX, SLACK, SMTP, TEAM, problems_of, write

CASES = {
    "folder of templates": (
        TEAM + '[templates]\npath = "/does/not/exist"',
        [
            'templates.path = "/does/not/exist": must be an existing folder; a relative one begins '
            f"at the working directory, {Path.cwd()}"
        ],
    ),
    "no list": (
        CHANNEL + 'type = "stdout"\nevents = "comments"',
        ['teams.acme.channels.a.events = "comments": must be a list, such as ["…"]'],
    ),
    "a table in place of a list of tables": (
        TEAM + '[teams.acme.channels]\nname = "a"',
        ["teams.acme.channels = {…}: must be a list: write [[teams.acme.channels]]"],
    ),
    "wrong type": (
        TEAM + '[server]\nport = "80 80"',
        ['server.port = "80 80": must be a valid integer'],
    ),
    "number in quotation marks": (
        TEAM + '[server]\nport = "2525"',
        ['server.port = "2525": must be a number: write 2525 without quotation marks'],
    ),
    "true in quotation marks": (
        TEAM + '[sync]\nenabled = "True"',
        ['sync.enabled = "True": must be true or false: write true without quotation marks'],
    ),
    "misspelled choice": (
        TEAM + '[log]\nlevel = "warn"',
        [
            'log.level = "warn": must be "debug", "info", "warning" or "error"; '
            "did you mean warning?"
        ],
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
    "events": (
        CHANNEL + 'type = "stdout"\nevents = ["comment"]',
        [
            'teams.acme.channels.a.events[0] = "comment": matches no event: use a group '
            "(comments, files, projects, libraries, fonts, transfers), "
            'a name from `relay events` or a glob; "!" in front excludes'
        ],
    ),
    "mail address": (
        MAIL.replace("d@example.com", "design") + SMTP,
        [
            'teams.acme.channels.a.to[0] = "design": must be one mail address such as '
            '"design@example.com" or "Penpot <penpot@example.com>"'
        ],
    ),
    "mail address that is not ASCII": (
        MAIL.replace("d@example.com", "d@exämple.com").replace("p@", "pö@") + SMTP,
        [
            f'teams.acme.channels.a.{key} = "{value}": must be in ASCII: write a domain such '
            'as "exämple.com" as xn--…; the part before the @ has no such form'
            for key, value in (("to[0]", "d@exämple.com"), ("sender", "pö@example.com"))
        ],
    ),
    "token that fits into no header": (
        SLACK + 'token = "xoxb-é"\nchannel = "#c"',
        [
            "teams.acme.channels.a.token = ***: must be printable ASCII without spaces: "
            "check that it was copied completely"
        ],
    ),
    "access tokens that fit into no header": (
        '[penpot]\naccess_token = "a\\u0007"\n' + MATRIX.replace('"t"', '"a b"') + 'room = "#a:b"',
        [
            f"{key} = ***: must be printable ASCII without spaces: "
            "check that it was copied completely"
            for key in ("penpot.access_token", "teams.acme.channels.a.access_token")
        ],
    ),
    "webhook without address": (
        SLACK + 'webhook_url = "T000/B000/hunter2"',
        [
            "teams.acme.channels.a.webhook_url = ***: must be the URL of an incoming webhook, "
            '"https://hooks.slack.com/services/…", in ASCII without spaces'
        ],
    ),
    "password of two lines": (
        MAIL + 'smtp = { host = "h", username = "u", password = "hunter2\\nx" }',
        [
            "teams.acme.channels.a.smtp.password = ***: must be UTF-8 text on one line, "
            "without control characters"
        ],
    ),
    "mail server with a scheme": (
        MAIL + 'smtp = { host = "smtp://example.com" }',
        [
            'teams.acme.channels.a.smtp.host = "smtp://example.com": must be a host\'s name or IP '
            'address alone, such as "relay.example.com" or "::1"; a port has a key of its own'
        ],
    ),
    "port that is none": (
        TEAM + '[penpot]\nurl = "https://example.com:99999"',
        [
            'penpot.url = "https://example.com:99999": must be a web address such as '
            '"https://design.example.com"'
        ],
    ),
    "authority that can't be read": (
        MAIL + 'ca_file = "/does/not/exist"' + SMTP,
        [
            'teams.acme.channels.a.ca_file = "/does/not/exist": must be a '
            "readable file (No such file or directory)"
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
        'teams.acme.channels.a.ca_file = "ca.pem": must hold certificates in PEM form'
    ]


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


def test_parameters_of_a_database_are_checked_and_named(tmp_path: Path) -> None:
    text = TEAM + '[store]\nurl = "postgresql://db/relay?password=hunter2&{}"'
    path = write(tmp_path, text.format("channel_binding=require&hostaddr=10.0.0.1"))
    with pytest.raises(ConfigError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert "store.url = ***: parameter channel_binding: must be disable or prefer" in problem
    assert "; parameter hostaddr is not supported; known: " in problem
    assert "hunter2" not in problem
    advice = warnings(load(write(tmp_path, text.format("keepalives_idle=30&gssencmode=disable"))))
    assert any(one.startswith("store.url: parameter keepalives_idle has no") for one in advice)
    assert any(one.startswith("store.url is in the config file as plain") for one in advice)
    assert "hunter2" not in str(advice)
    for bad in ("postgresql://db/relay?password=hunter 2", "postgres:/db/relay?password=hunter2"):
        with pytest.raises(ConfigError) as caught:
            load(write(tmp_path, f'{TEAM}[store]\nurl = "{bad}"'))
        assert "hunter" not in str(caught.value)


SIZE = 'must be a number of bytes, or a size such as "500KB", "16MiB" or "20GB"'


@pytest.mark.parametrize("value", ['"much"', "0", "-1", '"5 dogs"', "true"])
def test_a_size_that_is_none_is_reported(tmp_path: Path, value: str) -> None:
    text = f"{TEAM}max_disk = {value}\n[server]\nmax_body = {value}\n"
    problems = problems_of(write(tmp_path, text), {})
    assert problems == [
        f"server.max_body = {value}: {SIZE}",
        f"teams.acme.max_disk = {value}: {SIZE}",
    ]


HOSTS = {
    "server.host": TEAM + '[server]\nhost = "HOST"',
    "admin.host": TEAM + '[admin]\nhost = "HOST"',
    "teams.acme.channels.a.smtp.host": MAIL + 'smtp = { host = "HOST" }',
}


@pytest.mark.parametrize("key", HOSTS)
@pytest.mark.parametrize(
    "value",
    ["mail:1025", "http://mail", "mail/", "a b", "[::1]", "127.0.0.1:25", "::1:x", "u@mail", "-"],
)
def test_a_host_with_more_than_a_name_is_reported(tmp_path: Path, key: str, value: str) -> None:
    (problem,) = problems_of(write(tmp_path, HOSTS[key].replace("HOST", value)), {})
    assert problem.startswith(f'{key} = "{value}": must be a host\'s name or IP address alone')
    assert problem.endswith("a port has a key of its own")


@pytest.mark.parametrize("key", HOSTS)
@pytest.mark.parametrize(
    "value", ["mail", "my_mail.local", "127.0.0.1", "::1", "fe80::1%eth0", "köln.de"]
)
def test_names_and_addresses_are_hosts(tmp_path: Path, key: str, value: str) -> None:
    load(write(tmp_path, HOSTS[key].replace("HOST", value)), {})


def test_a_hold_without_a_zone_is_noted(tmp_path: Path) -> None:
    zone = 'timezone = "Europe/Madrid"\n'
    channel = CHANNEL.removeprefix(TEAM) + 'type = "stdout"\nquiet = ["sat-sun"]\n'
    text = TEAM + zone + channel
    zoned = write(tmp_path, text)
    assert not [each for each in warnings(load(zoned, {})) if "UTC" in each]
    unzoned = write(tmp_path, text.replace(zone, ""))
    assert [each for each in warnings(load(unzoned, {})) if "UTC" in each] == [
        'teams.acme.channels.a: quiet is in UTC: set timezone, such as "Europe/Madrid"'
    ]
