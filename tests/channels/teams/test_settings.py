"""The settings of a channel in Microsoft Teams."""

from pathlib import Path

import pytest

from relay.channels.teams.settings import TeamsSettings, user_name
from relay.config.load import ConfigError, load, warnings
from relay.config.settings import Config
from tests.servers.teams import OLD_PATH, PATH, QUERY, SIGNATURE

HOST = "https://default0123.ae.environment.api.powerplatform.com:443"
URL = f"{HOST}{PATH}?{QUERY}"
OLD = f"https://prod-161.westeurope.logic.azure.com:443{OLD_PATH}?{QUERY}"


def config(folder: Path, url: str, more: str = "") -> Config:
    (folder / "relay.toml").write_text(
        f'[teams.acme]\nsecret = "{"x" * 24}"\n[[teams.acme.channels]]\nname = "team"\n'
        f'type = "teams"\nwebhook_url = "{url}"\n{more}'
    )
    return load(str(folder / "relay.toml"), {})


@pytest.mark.parametrize(
    "url",
    [
        URL,
        OLD,
        f"{HOST}{PATH.replace('/workflows', '/cu/26/workflows')}?{QUERY}",
        f"https://gateway.example.com/teams{OLD_PATH}?{QUERY}",
    ],
)
def test_the_address_of_a_workflow_is_accepted(tmp_path: Path, url: str) -> None:
    (settings,) = config(tmp_path, url).teams["acme"].channels
    assert isinstance(settings, TeamsSettings)
    assert settings.signature == SIGNATURE
    assert (settings.in_threads, settings.can_edit, settings.edit_mode) == (False, False, "none")
    assert settings.places == {url}
    assert SIGNATURE not in repr(settings)


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("https://acme.webhook.office.com/webhookb2/x@y/IncomingWebhook/z/w", "has retired"),
        ("https://outlook.office.com/webhook/x/IncomingWebhook/y/z", "has retired"),
        ("https://teams.microsoft.com/l/channel/19%3ax", "must be the URL of a workflow"),
        (f"{URL}#x", "must be the URL of a workflow"),
        (f"{HOST}{PATH}?api-version=1", '"Who can trigger the flow?" to "Anyone"'),
        (URL.removeprefix("https://"), "in ASCII without spaces"),
    ],
)
def test_another_address_is_an_error_that_hides_it(tmp_path: Path, url: str, rule: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config(tmp_path, url)
    assert rule in str(refused.value)
    assert "api-version" not in str(refused.value)
    assert SIGNATURE not in str(refused.value)


def test_the_check_names_the_host_that_power_automate_has_left(tmp_path: Path) -> None:
    assert not any("azure" in each for each in warnings(config(tmp_path, URL)))
    (advice,) = (each for each in warnings(config(tmp_path, OLD)) if "azure" in each)
    assert "since 30 November 2025" in advice
    assert SIGNATURE not in advice


@pytest.mark.parametrize(
    "key", ['direct = "mentioned"', "threads = true", "thumbnails = true", 'channel = "#x"']
)
def test_what_a_workflow_does_not_do_is_no_key(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match="unknown key"):
        config(tmp_path, URL, key)


@pytest.mark.parametrize(
    "value",
    [
        "ada@example.com",
        "Ada.O'Neill_x@contoso.onmicrosoft.com",
        "ada_example.com#EXT#@contoso.onmicrosoft.com",
        "87d349ed-44d7-43e1-9a83-5f2406dee5bd",
    ],
)
def test_a_persons_address_is_a_name_or_an_id(value: str) -> None:
    assert user_name(value) == value


@pytest.mark.parametrize("value", ["ada", "@ada", "<at>ada</at>@x.com", "a@b", "a b@c.de", "29:1"])
def test_another_address_of_a_person_is_an_error(value: str) -> None:
    with pytest.raises(ValueError, match="signs in to Teams"):
        user_name(value)
