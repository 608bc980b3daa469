"""The choice of queues by team and channel."""

from pathlib import Path

import click
import pytest

from relay.cli.choices import chosen_queues
from relay.config.load import load
from tests.cli.commands import LOG, config_file
from tests.service import SECRET

TWO = f'[teams.rnd]\nsecret = "{SECRET}2"\n' + LOG.replace("acme", "rnd")


def test_queues_are_chosen_by_team_and_by_channel(tmp_path: Path) -> None:
    config = load(str(config_file(tmp_path, LOG + LOG.replace('"log"', '"design"') + TWO)))
    for team, channel, queues in (
        (None, None, ["acme/log", "acme/design", "rnd/log", "acme/old"]),
        ("acme", None, ["acme/log", "acme/design", "acme/old"]),
        (None, "log", ["acme/log", "rnd/log"]),
        ("rnd", "log", ["rnd/log"]),
        ("acme", "old", ["acme/old"]),
    ):
        assert chosen_queues(config, team, channel, ["acme/old"]) == queues
    for team, channel, error in (
        ("nobody", None, "--team nobody is none of: acme, rnd"),
        ("rnd", "design", "--channel design is none of: log"),
        (None, "old", "--channel old is none of: log, design"),
    ):
        with pytest.raises(click.BadParameter, match=error):
            chosen_queues(config, team, channel)
