"""The settings of an apprise channel."""

from pathlib import Path

import pytest

from relay.channels.apprise.process import ANY_SERVICE
from relay.channels.apprise.settings import AppriseSettings
from relay.config.load import ConfigError, load
from relay.config.secret import UNREAD

URL = "ntfys://tk_secretsecretsecretsecretsecret0@ntfy.example.com/penpot"


def loaded(folder: Path, keys: str) -> AppriseSettings:
    (folder / "relay.toml").write_text(
        f'[teams.acme]\nsecret = "{"x" * 24}"\n[[teams.acme.channels]]\nname = "phones"\n'
        f'type = "apprise"\n{keys}'
    )
    (channel,) = load(str(folder / "relay.toml"), {}).teams["acme"].channels
    assert isinstance(channel, AppriseSettings)
    return channel


def test_a_url_is_a_secret_and_names_the_service(tmp_path: Path) -> None:
    settings = loaded(tmp_path, f'url = "{URL}"')
    assert "secret" not in repr(settings)
    assert (settings.service.name, settings.service.body_limit) == ("ntfy", 7800)
    assert (settings.in_threads, settings.edit_mode, settings.server) == (False, "none", "")
    assert settings.places == {URL}
    assert settings.server_keys == "url in the config"


@pytest.mark.parametrize(
    ("keys", "rule"),
    [
        ("", "url"),
        ('url = "tk_secret"', "url = ***: must be an apprise URL, such as"),
        (f'url = "{URL}?verify=no"', "url = ***: must not have verify=no"),
        (
            'url = "irc://tk_secret@irc.example/channel"',
            "url = ***: must be the apprise URL of a service that is",
        ),
        (f'url = "{URL}"\nedits = "in-place"', "edits"),
        (f'url = "{URL}"\nthreads = true', "unknown key"),
    ],
)
def test_keys_that_break_a_rule_are_named(tmp_path: Path, keys: str, rule: str) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, keys)
    assert rule in str(refused.value)
    assert "tk_secret" not in str(refused.value)


def test_a_url_that_was_not_read_is_any_services() -> None:
    settings = AppriseSettings(type="apprise", name="phones", url=UNREAD)
    assert settings.service is ANY_SERVICE
