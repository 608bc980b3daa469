"""The settings of a Mattermost channel."""

from pathlib import Path

import pytest

from relay.channels.mattermost.settings import MattermostSettings, username
from relay.config.load import ConfigError, load

HOOK = "https://chat.example.com/hooks/xxxgeneratedkeyxxx"
BOT = 'url = "https://chat.example.com"\ntoken = "t"\nchannel = "acme/design"'


def loaded(folder: Path, keys: str) -> MattermostSettings:
    (folder / "relay.toml").write_text(
        f'[teams.acme]\nsecret = "{"x" * 24}"\n[[teams.acme.channels]]\nname = "team"\n'
        f'type = "mattermost"\n{keys}'
    )
    (channel,) = load(str(folder / "relay.toml"), {}).teams["acme"].channels
    assert isinstance(channel, MattermostSettings)
    return channel


def test_a_bot_has_threads_and_edits_and_a_webhook_has_not(tmp_path: Path) -> None:
    bot = loaded(tmp_path, BOT)
    assert (bot.in_threads, bot.edit_mode, bot.server) == (True, "in-place", "chat.example.com:443")
    assert bot.server_keys == "url in the config"
    assert bot.places == {"https://chat.example.com acme/design"}
    hook = loaded(tmp_path, f'webhook_url = "{HOOK}"\nusername = "Penpot"')
    assert (hook.in_threads, hook.edit_mode, hook.server) == (False, "none", "chat.example.com:443")
    assert hook.places == {HOOK}


@pytest.mark.parametrize(
    ("keys", "rule"),
    [
        ("", "one of webhook_url and token is required"),
        (f'webhook_url = "{HOOK}"\ntoken = "t"', "only one of token and webhook_url is allowed"),
        (f'webhook_url = "{HOOK}"\nchannel = "acme/x"', "needs a token"),
        (f'webhook_url = "{HOOK}"\nurl = "https://x.example"', "goes together with token"),
        (f'webhook_url = "{HOOK}"\ndirect = "mentioned"', "needs a token"),
        (f'webhook_url = "{HOOK}"\nthumbnails = true', "needs a token"),
        ('webhook_url = "https://chat.example.com/x"', "must be the URL of an incoming webhook"),
        (f'webhook_url = "{HOOK}?a=b"', "must be the URL of an incoming webhook"),
        ('webhook_url = "chat"', "in ASCII without spaces"),
        ('token = "t"\nchannel = "acme/design"', "url: is required with token"),
        ('token = "t"\nurl = "https://x.example"', "channel: is required with token"),
        (BOT.replace("acme/design", "#design"), 'must be "team/channel"'),
        (f'{BOT}\ndirect = "mentioned"', "does not work with direct"),
        (f'{BOT}\nusername = "x"', "needs webhook_url"),
        (f'webhook_url = "{HOOK}"\nedits = "in-place"', "Mattermost with token"),
    ],
)  # fmt: skip
def test_keys_that_do_not_go_together_are_named(tmp_path: Path, keys: str, rule: str) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, keys)
    assert rule in str(refused.value)
    assert "generatedkey" not in str(refused.value)


def test_a_persons_address_is_a_username() -> None:
    assert username("ada") == username("@ada") == "ada"
    for value in ("channel", "@all", "here", "Ada", "ada lovelace", "", "1ada"):
        with pytest.raises(ValueError, match="must be the username"):
            username(value)
