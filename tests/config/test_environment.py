"""The config from environment variables alone."""

from pathlib import Path

import pytest

from relay.channels.email.settings import EmailSettings
from relay.config.environment import in_variables, known_variables
from relay.config.load import load, warnings
from relay.config.secret import Secret
from tests.config.files import SECRET, TEAM, problems_of, slips, write


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
            "RELAY_LANGUAGE": "es",
            "RELAY_TIMEZONE": "Europe/Madrid",
        },
    )
    assert set(config.locales.values()) == {("es", "Europe/Madrid")}
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
        "RELAY_SLACK_TOKEN, RELAY_MATRIX_ROOM, RELAY_MATTERMOST_WEBHOOK_URL, "
        "RELAY_MATTERMOST_TOKEN, RELAY_ROCKETCHAT_WEBHOOK_URL, RELAY_DISCORD_WEBHOOK_URL, "
        "RELAY_MSTEAMS_WEBHOOK_URL, RELAY_EMAIL_TO, "
        "RELAY_WEBHOOK_URL, RELAY_APPRISE_URL or RELAY_STDOUT=1"
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


def test_an_unknown_language_or_zone_names_its_variable() -> None:
    environ = {"RELAY_SECRET": SECRET, "RELAY_STDOUT": "1"}
    wrong = {"RELAY_LANGUAGE": "Deutsch", "RELAY_TIMEZONE": "madrid"}
    assert problems_of(None, environ | wrong) == [
        'environment: RELAY_LANGUAGE = "Deutsch": must be the code of one of Relay\'s languages: '
        "de, en, es, fr; did you mean de?",
        'environment: RELAY_TIMEZONE = "madrid": must be an IANA time zone such as '
        '"Europe/Madrid"; did you mean Europe/Madrid?',
    ]


def test_two_secrets_are_separated_by_a_comma(tmp_path: Path) -> None:
    paths = ["/hooks/default/the-new-secret-of-the-team", f"/hooks/default/{SECRET}"]
    new = tmp_path / "new"
    new.write_text("the-new-secret-of-the-team\n")
    (tmp_path / "old").write_text(f"{SECRET}\n")
    for name, value in (
        ("RELAY_SECRET", f"the-new-secret-of-the-team, {SECRET}"),
        ("RELAY_SECRET_FILE", f"{new},{tmp_path}/old"),
    ):
        config = load(None, {name: value, "RELAY_STDOUT": "1"})
        assert config.hook_paths("default") == paths
    (problem,) = problems_of(None, {"RELAY_SECRET": f"{SECRET},short", "RELAY_STDOUT": "1"})
    assert problem.startswith("environment: RELAY_SECRET = ***: must have at least 16 characters")
    environ = {"RELAY_SECRET_FILE": f"{new},/does/not/exist", "RELAY_STDOUT": "1"}
    (problem,) = problems_of(None, environ)
    assert problem.startswith("environment: RELAY_SECRET_FILE: the file /does/not/exist can't be")


def test_the_admin_listeners_variables_replace_the_keys_of_a_file(tmp_path: Path) -> None:
    environ = {"RELAY_ADMIN_HOST": "0.0.0.0", "RELAY_ADMIN_PORT": "9001", "RELAY_PORT": "1"}
    for own in ("", '[admin]\nhost = "10.0.0.1"\nport = 9000\n'):
        config = load(write(tmp_path, own + TEAM), environ)
        assert (config.admin.host, config.admin.port) == ("0.0.0.0", 9001)
        assert config.server.port == 8080
        empty = dict.fromkeys(environ, "")
        assert load(write(tmp_path, own + TEAM), empty).admin.port == (9000 if own else 8081)


def test_variables_that_are_ignored_beside_a_file_are_named(tmp_path: Path) -> None:
    text = TEAM.replace(f'"{SECRET}"', '{ env = "RELAY_SECRET" }')
    path = write(tmp_path, text)
    read = {"RELAY_SECRET": SECRET, "RELAY_ADMIN_PORT": "9001", "RELAY_ROLE": "all"}
    read |= {"RELAY_CONFIG": path, "RELAY_OF_SOMETHING_ELSE": "x", "RELAY_HOST": ""}
    read |= {"RELAY_PORT": "tcp://10.0.0.1:8080"}  # of Kubernetes
    assert load(path, read).advice == ()
    ignored = {"RELAY_STDOUT": "1", "RELAY_PENPOT_ACCESS_TOKEN_FILE": "/x", "RELAY_EVENTS": "*"}
    config = load(path, read | ignored)
    assert config.advice == (
        "RELAY_EVENTS, RELAY_PENPOT_ACCESS_TOKEN_FILE, RELAY_STDOUT are ignored, since there is a "
        "config file: use its keys",
    )
    assert warnings(config)[0] == config.advice[0]
    (advice,) = load(path, read | {"RELAY_STDOUT": "1"}).advice
    assert advice == "RELAY_STDOUT is ignored, since there is a config file: use its keys"


def test_problems_of_a_variable_beside_a_file_name_it(tmp_path: Path) -> None:
    path = write(tmp_path, TEAM + "[server]\nport = 70000\n")
    assert problems_of(path, {"RELAY_ADMIN_PORT": "eighty"}) == [
        "server.port = 70000: must be less than or equal to 65535",
        'environment: RELAY_ADMIN_PORT = "eighty": must be a valid integer',
    ]
    path = write(tmp_path, "admin = 5\n" + TEAM)
    assert problems_of(path, {"RELAY_ADMIN_PORT": "8000"}) == ["admin: must be a table"]


def test_a_store_url_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://relay:hunter2@db/relay")
    environ = {"RELAY_SECRET": SECRET, "RELAY_STDOUT": "1"}

    config = load(None, environ | {"RELAY_STORE_URL_FILE": str(tmp_path / "url")})

    assert config.store.display_url == "postgresql://db/relay"


def test_an_invalid_proxy_variable_is_a_problem_of_every_config(tmp_path: Path) -> None:
    path = write(tmp_path, TEAM)
    proxies = {"ALL_PROXY": "socks5://127.0.0.1:1080", "NO_PROXY": "fd00::/8,[::1],10.0.0.0/99"}
    no_proxy, all_proxy = problems_of(path, proxies)
    assert no_proxy.startswith('environment: NO_PROXY = "10.0.0.0/99": must be names, addresses')
    assert all_proxy.startswith('environment: ALL_PROXY = "socks5://127.0.0.1:1080": is a SOCKS')
    assert problems_of(None, proxies | {"RELAY_SECRET": SECRET, "RELAY_STDOUT": "1"}) == [
        no_proxy,
        all_proxy,
    ]
    # commands that open no connection may run in another environment
    assert load(path, proxies, secrets=False).teams
    assert load(path, {"NO_PROXY": "fd00::/8,[::1]", "HTTPS_PROXY": "proxy:3128"}).teams


BASE = {"RELAY_SECRET": SECRET, "RELAY_STDOUT": "1"}
QUOTED = "has quotation marks around it, and they count as part of the value"


@pytest.mark.parametrize("quotes", ['""', "''", "“”", "„“"])
def test_quotation_marks_around_a_variable_are_named(quotes: str, tmp_path: Path) -> None:
    for name, value in (
        ("RELAY_SECRET", SECRET),
        ("RELAY_SECRET", f"{SECRET},another-{SECRET}"),
        ("RELAY_PUBLIC_URL", "https://relay.example.com"),
        ("RELAY_PORT", "8080"),
        ("RELAY_TEAM_NAME", "Acme"),  # valid with them, too
        ("RELAY_PENPOT_ACCESS_TOKEN", "token"),
    ):
        (problem,) = problems_of(None, BASE | {name: f"{quotes[0]}{value}{quotes[1]}"})
        assert problem.startswith(f"environment: {name}: {QUOTED}")
        assert SECRET not in problem
    path = write(tmp_path, TEAM)
    (problem,) = problems_of(path, {"RELAY_ADMIN_PORT": f"{quotes[0]}8081{quotes[1]}"})
    assert problem.startswith(f"environment: RELAY_ADMIN_PORT: {QUOTED}")


@pytest.mark.parametrize(
    ("character", "words"),
    [
        ("\u00a0", "the no-break space (U+00A0)"),
        ("\ufeff", "the byte order mark (BOM) (U+FEFF)"),
        ("\u200b", "the zero width space (U+200B)"),
        ("\u202f", "the narrow no-break space (U+202F)"),
    ],
)
def test_an_invisible_character_in_a_variable_is_named(character: str, words: str) -> None:
    for position in (1, 9, 26):
        value = f"{SECRET[: position - 1]}{character}{SECRET[position - 1 :]}"
        (problem,) = problems_of(None, BASE | {"RELAY_SECRET": value})
        assert problem.startswith("environment: RELAY_SECRET")
        assert f"contains an invisible character, {words}, at position {position}:" in problem
        assert SECRET[:8] not in problem
    (problem,) = problems_of(None, BASE | {"RELAY_PUBLIC_URL": f"https://a{character}.org"})
    assert words in problem
    (problem,) = problems_of(None, BASE | {"RELAY_PORT": f"{character}8080"})
    assert words in problem
    # a name may have one inside
    name = f"Équipe{character}: Acme"
    assert load(None, BASE | {"RELAY_TEAM_NAME": name}).team_name("default") == name


def test_line_ends_around_a_value_are_removed() -> None:
    config = load(None, {name: f"{value}\r\n" for name, value in BASE.items()})
    assert config.hook_path("default") == f"/hooks/default/{SECRET}"


def test_a_variable_that_is_set_but_empty_is_named() -> None:
    mail = {
        "RELAY_EMAIL_TO": "a@example.com",
        "RELAY_EMAIL_SENDER": "p@example.com",
        "RELAY_EMAIL_SMTP_HOST": "h",
        "RELAY_EMAIL_SMTP_USERNAME": "u",
    }
    for name, others in (
        ("RELAY_SECRET", {}),
        ("RELAY_SECRET_FILE", {"RELAY_SECRET": ""}),
        ("RELAY_SLACK_CHANNEL", {"RELAY_SLACK_TOKEN": "xoxb-1"}),
        ("RELAY_SLACK_TOKEN", {"RELAY_SLACK_CHANNEL": "#design"}),
        ("RELAY_EMAIL_SMTP_PASSWORD", mail),
    ):
        (problem,) = problems_of(None, BASE | others | {name: ""})
        assert f"{name} is set but empty: give it a value, in a file that Compose" in problem
    # nothing is missing, but an optional secret was meant
    config = load(None, BASE | {"RELAY_INSPECTOR_PASSWORD": " ", "RELAY_TEAM_NAME": ""})
    about = [text for text in warnings(config) if "empty" in text]
    assert len(about) == 1
    assert about[0].startswith("RELAY_INSPECTOR_PASSWORD is set but empty")


def test_the_service_links_of_kubernetes_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    links = {
        "RELAY_SERVICE_HOST": "10.0.0.1",
        "RELAY_SERVICE_PORT": "8080",
        "RELAY_SERVICE_PORT_HTTP": "8080",
        "RELAY_PORT": "tcp://10.0.0.1:8080",
        "RELAY_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "RELAY_PORT_8080_TCP_PROTO": "tcp",
        "RELAY_PORT_8080_TCP_PORT": "8080",
        "RELAY_PORT_8080_TCP_ADDR": "10.0.0.1",
        "RELAY_ADMIN_PORT": "tcp://10.0.0.2:8081",
        "RELAY_POSTGRES_RW_SERVICE_HOST": "10.0.0.3",
        "RELAY_POSTGRES_RW_PORT": "tcp://10.0.0.3:5432",
    }
    (problem,) = problems_of(None, BASE | links)
    assert all(name in problem for name in links)
    assert "set by Kubernetes for a Service" in problem
    assert "enableServiceLinks: false" in problem
    (problem,) = problems_of(None, BASE | links | {"RELAY_PORT": "80", "RELAY_ADMIN_PORT": "81"})
    assert "RELAY_PORT," not in problem
    (problem,) = problems_of(None, BASE | {"RELAY_SERVICE": "1"})
    assert problem.startswith("environment: RELAY_SERVICE: unknown variable")
    (problem,) = problems_of(None, links)  # no other variable: the file is missing
    assert "does not exist: create it" in problem
    path = write(tmp_path, TEAM)
    (problem,) = problems_of(path, links)
    assert problem.startswith("environment: RELAY_ADMIN_PORT: set by Kubernetes")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("set penpot.url to it", "set RELAY_PENPOT_URL to it"),
        ('admin.host = "x", admin.port = 1', 'RELAY_ADMIN_HOST = "x", RELAY_ADMIN_PORT = 1'),
        ("check smtp.tls.", "check RELAY_EMAIL_SMTP_TLS."),
        ("remove it from teams.default.secret", "remove it from RELAY_SECRET"),
        ("inspector.trusted_header", "inspector.trusted_header"),  # has no variable
        (
            "www.server.host.example, server.host.example",
            "www.server.host.example, server.host.example",
        ),
        ("store.urls", "store.urls"),
    ],
)
def test_keys_in_texts_are_named_by_their_variables(text: str, shown: str) -> None:
    assert in_variables(text) == shown
