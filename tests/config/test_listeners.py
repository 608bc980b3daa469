"""The listeners, the inspector's access and the proxies in the config."""

from pathlib import Path

import pytest

from relay.config.listeners import AdminSettings, local_url
from relay.config.load import load
from tests.config.files import SECRET, TEAM, problems_of, write


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
        'write_templates = true\n[proxies]\ntrusted = ["10.0.0.5/8"]\n',
    )
    assert problems_of(path, {}) == [
        "inspector.password = ***: must be a valid argon2 hash: check that it was copied "
        "completely, and that no shell or Compose has removed a $ (Compose needs $$)",
        'inspector.trusted_header = "Cookie": must be the name of a header that only the reverse '
        'proxy sets, such as "Remote-User"',
        'proxies.trusted[0] = "10.0.0.5/8": must be an address or a network, such as "10.0.0.5" or '
        '"10.1.0.0/16"',
        "teams.acme.inspector_password = ***: must have at least 12 characters, or be an argon2 "
        "hash",
        "inspector.write_templates = true: needs templates.path, the folder to write to",
    ]


PASSWORD = "correct horse battery"
LOGINS = [
    f'[inspector]\npassword = "{PASSWORD}"\n',
    '[inspector]\ntrusted_header = "Remote-User"\n',
    f'[teams.other]\nsecret = "{SECRET}"\ninspector_password = "{PASSWORD}"\n',
]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "10.0.0.5"])
@pytest.mark.parametrize("login", ["", *LOGINS])
def test_beyond_loopback_the_inspector_needs_a_login(tmp_path: Path, host: str, login: str) -> None:
    config = load(write(tmp_path, f'{TEAM}{login}[admin]\nhost = "{host}"\n'), {})
    expected = "login" if login else "open" if host == "127.0.0.1" else "off"
    assert config.inspector_access == expected
    text = config.describe_inspector()
    if expected == "off":
        assert text == (
            f'off: admin.host = "{host}" needs a login: set inspector.password or '
            "inspector.trusted_header"
        )
    else:
        assert text.startswith(f"{local_url(config.admin)}/inspector, with")
        assert PASSWORD not in text


def test_a_proxy_on_this_machine_is_trusted_by_default(tmp_path: Path) -> None:
    assert load(write(tmp_path, TEAM), {}).proxies.trusted == ("127.0.0.0/8", "::1/128")
    environ = {"RELAY_SECRET": SECRET, "RELAY_STDOUT": "1"}
    environ["RELAY_TRUSTED_PROXIES"] = "10.0.0.5, 10.1.0.0/16"
    assert load(None, environ).proxies.trusted == ("10.0.0.5/32", "10.1.0.0/16")
