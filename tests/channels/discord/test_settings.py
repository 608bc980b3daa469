"""The settings of a Discord channel."""

from pathlib import Path

import pytest

from relay.channels.discord.settings import DiscordSettings, user_id
from relay.config.load import ConfigError, load
from relay.config.secret import Secret

URL = "https://discord.com/api/webhooks/123/abc-DEF_1"


def loaded(folder: Path, url: str, more: str = "") -> DiscordSettings:
    (folder / "relay.toml").write_text(
        f'[teams.acme]\nsecret = "{"x" * 24}"\n[[teams.acme.channels]]\nname = "team"\n'
        f'type = "discord"\nwebhook_url = "{url}"\n{more}'
    )
    (channel,) = load(str(folder / "relay.toml"), {}).teams["acme"].channels
    assert isinstance(channel, DiscordSettings)
    return channel


@pytest.mark.parametrize(
    "url",
    [
        URL,
        URL.replace("discord.com", "ptb.discord.com"),
        URL.replace("/api/", "/api/v9/"),
        f"{URL}?thread_id=7",
    ],
)
def test_any_address_of_a_webhook_becomes_that_of_version_10(tmp_path: Path, url: str) -> None:
    settings = loaded(tmp_path, url)
    assert settings.api_url.endswith("discord.com/api/v10/webhooks/123/abc-DEF_1")
    assert settings.thread_id == ("7" if "thread" in url else "")
    assert (settings.in_threads, settings.edit_mode) == (False, "in-place")
    assert settings.places == {f"{settings.api_url} {settings.thread_id}"}
    assert "abc-DEF_1" not in repr(settings)


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("https://discord.com/channels/1/2", "must be the URL of a webhook"),
        (f"{URL}/slack", 'must end before "/slack"'),
        (f"{URL}/github", 'must end before "/github"'),
        (f"{URL}?wait=true", "no other query"),
        (f"{URL}?thread_id=x", "no other query"),
        (f"{URL}#x", "must be the URL"),
        ("discord.com/api/webhooks/1/2", "in ASCII without spaces"),
    ],
)
def test_another_address_is_an_error_that_hides_it(tmp_path: Path, url: str, rule: str) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, url)
    assert rule in str(refused.value)
    assert "abc-DEF_1" not in str(refused.value)


@pytest.mark.parametrize("key", ['direct = "mentioned"', "threads = true", 'channel = "#x"'])
def test_what_a_webhook_does_not_do_is_no_key(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match="unknown key"):
        loaded(tmp_path, URL, key)


def test_a_persons_address_is_a_user_id() -> None:
    assert user_id("80351110224678912") == "80351110224678912"
    for value in ("ada", "@ada", "1234", "<@80351110224678912>"):
        with pytest.raises(ValueError, match="Copy User ID"):
            user_id(value)


def test_a_plain_secret_is_hidden() -> None:
    settings = DiscordSettings(type="discord", name="a", webhook_url=Secret(URL))
    assert URL not in str(settings)
