"""The settings of a Rocket.Chat channel."""

from pathlib import Path

import pytest

from relay.channels.rocketchat.settings import RocketChatSettings, username
from relay.config.load import ConfigError, load

HOOK = "https://chat.example.com/hooks/hookid/generatedtoken"


def loaded(folder: Path, url: str, more: str = "") -> RocketChatSettings:
    (folder / "relay.toml").write_text(
        f'[teams.acme]\nsecret = "{"x" * 24}"\n[[teams.acme.channels]]\nname = "team"\n'
        f'type = "rocketchat"\nwebhook_url = "{url}"\n{more}'
    )
    (channel,) = load(str(folder / "relay.toml"), {}).teams["acme"].channels
    assert isinstance(channel, RocketChatSettings)
    return channel


@pytest.mark.parametrize(
    ("url", "info"),
    [
        (HOOK, "https://chat.example.com/hooks/info/hookid/generatedtoken"),
        (
            "http://10.0.0.1:3000/chat/hooks/id/rocket.cat/a%2Bb%3D",
            "http://10.0.0.1:3000/chat/hooks/info/id/rocket.cat/a%2Bb%3D",
        ),
    ],
)
def test_the_address_of_a_webhook_has_one_for_questions(
    tmp_path: Path, url: str, info: str
) -> None:
    settings = loaded(tmp_path, url, 'username = "Penpot"')
    assert settings.info_url == info
    assert (settings.in_threads, settings.edit_mode) == (False, "none")
    assert settings.places == {url}
    assert settings.server in {"chat.example.com:443", "10.0.0.1:3000"}
    assert "generatedtoken" not in repr(settings)


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("https://chat.example.com/hooks/hookid", "must be the URL of an incoming integration"),
        ("https://chat.example.com/api/v1/generatedtoken", "must be the URL"),
        (f"{HOOK}?a=b", "must be the URL"),
        (f"{HOOK}#x", "must be the URL"),
        ("chat.example.com/hooks/a/generatedtoken", "in ASCII without spaces"),
    ],
)
def test_another_address_is_an_error_that_hides_it(tmp_path: Path, url: str, rule: str) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, url)
    assert rule in str(refused.value)
    assert "generatedtoken" not in str(refused.value)


@pytest.mark.parametrize("key", ['direct = "mentioned"', "threads = true", "thumbnails = true"])
def test_what_a_webhook_does_not_do_is_no_key(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match="unknown key"):
        loaded(tmp_path, HOOK, key)


def test_a_persons_address_is_a_username() -> None:
    assert username("ada") == username("@ada") == "ada"
    assert username("Ada.L-1") == "Ada.L-1"
    for value in ("all", "@here", "All", "ada lovelace", "", "<@ada>", "ada:x"):
        with pytest.raises(ValueError, match="must be the username"):
            username(value)
