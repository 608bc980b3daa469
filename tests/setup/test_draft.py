"""Answers as config and as files."""

import tomllib
from pathlib import Path

import pytest

from relay.config.load import ConfigError, load
from relay.config.secret import Secret
from relay.setup.draft import SetupDraft, team_key

SLACK = {"name": "slack", "type": "slack", "token": Secret("xoxb-hunter2"), "channel": "#design"}


def test_the_key_of_a_team_is_fit_for_a_url() -> None:
    assert team_key("Acme Design") == "acme-design"
    assert team_key("  Große Ölmühle, R&D ") == "grosse-olmuhle-r-d"
    assert team_key("设计") == "team"
    assert team_key("a" * 59 + " b") == "a" * 59


def test_the_written_file_is_read_as_the_draft(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    draft = SetupDraft(
        server={"public_url": "https://relay.example.com"},
        penpot={"url": "https://penpot.example.com", "access_token": Secret("penpot-hunter2")},
        team_name="Acme Design",
        team_id="2f6a1c10-5d0e-81a4-8006-9a1f00000001",
        channel=SLACK,
    )
    config = draft.config({}, str(path))
    names = draft.write(path)
    assert names == ["acme-design-secret", "acme-design-slack-token", "penpot-access_token"]
    assert load(str(path), {}) == config
    assert "hunter2" not in path.read_text()
    assert "[admin]" not in path.read_text()
    assert config.hook_path("acme-design") == f"/hooks/acme-design/{draft.hook_secret.reveal()}"


def test_two_secrets_of_a_key_get_a_file_each(tmp_path: Path) -> None:
    channel = {"name": "w", "type": "webhook", "secret": [Secret("one"), Secret("two")]}
    draft = SetupDraft(team_name="acme", channel=channel)
    assert draft.write(tmp_path / "relay.toml")[1:] == [
        "acme-w-secret-1",
        "acme-w-secret-2",
    ]
    tables = tomllib.loads((tmp_path / "relay.toml").read_text())
    (written,) = tables["teams"]["acme"]["channels"]
    folder = tmp_path / "relay.secrets"
    files = [{"file": str(folder / f"acme-w-secret-{number}")} for number in (1, 2)]
    assert written["secret"] == files
    assert "name" not in tables["teams"]["acme"]  # the key says it


def test_an_invalid_draft_is_an_error_with_file_and_key() -> None:
    draft = SetupDraft(team_name="acme", channel=SLACK | {"thumbnails": True})
    with pytest.raises(ConfigError, match=r"relay\.toml: teams\.acme\.channels\.slack\.thumbnails"):
        draft.config({}, "relay.toml")
