"""The rules that combine several keys, with the exact text of every problem."""

from pathlib import Path

import pytest

from relay.config.load import ConfigError, load, warnings
from relay.config.settings import AdminSettings, local_url
from tests.config.files import CHANNEL, MAIL, MATRIX, SECRET, SMTP, TEAM, problems_of, write

CASES = {
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
    "two channels of one name": (
        CHANNEL + 'type = "stdout"\n[[teams.acme.channels]]\nname = "a"\ntype = "stdout"',
        ['teams.acme.channels[1].name = "a": must be unique in teams.acme'],
    ),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_a_problem_names_key_value_and_rule(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems_of(write(tmp_path, text), {}) == expected


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


@pytest.mark.parametrize(
    ("hosts", "is_shared"),
    [
        (("127.0.0.1", "127.0.0.1"), True),
        (("0.0.0.0", "127.0.0.1"), True),
        (("10.0.0.1", "::"), True),
        (("10.0.0.1", ""), True),
        (("10.0.0.1", "10.0.0.2"), False),
    ],
)
def test_two_listeners_need_two_ports_on_one_host(
    tmp_path: Path, hosts: tuple[str, str], is_shared: bool
) -> None:
    host, admin = hosts
    text = f'[server]\nhost = "{host}"\nport = 8081\n[admin]\nhost = "{admin}"\n{TEAM}'
    rule = "admin.port = 8081: must differ from server.port: each listener needs a port"
    if is_shared:
        assert problems_of(write(tmp_path, text), {}) == [rule]
    else:
        assert load(write(tmp_path, text), {}).admin.host == admin
    environ = {"RELAY_SECRET": SECRET, "RELAY_STDOUT": "1", "RELAY_ADMIN_PORT": "8080"}
    assert problems_of(None, environ) == [
        "environment: RELAY_ADMIN_PORT = 8080: must differ from server.port: each listener needs a "
        "port"
    ]


@pytest.mark.parametrize(
    ("host", "is_loopback", "url"),
    [
        ("127.0.0.1", True, "http://127.0.0.1:8081"),
        ("127.1.2.3", True, "http://127.1.2.3:8081"),
        ("::1", True, "http://[::1]:8081"),
        ("localhost", True, "http://localhost:8081"),
        ("0.0.0.0", False, "http://127.0.0.1:8081"),
        ("::", False, "http://[::1]:8081"),
        ("", False, "http://127.0.0.1:8081"),
        ("10.0.0.5", False, "http://10.0.0.5:8081"),
        ("relay.localhost", False, "http://relay.localhost:8081"),
    ],
)
def test_the_admin_listeners_host(host: str, is_loopback: bool, url: str) -> None:
    admin = AdminSettings(host=host)
    assert (admin.is_loopback, local_url(admin)) == (is_loopback, url)


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
