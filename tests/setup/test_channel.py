"""The answers about a channel."""

import click
import pytest

from relay.channels import CHANNEL_TYPES
from relay.config.secret import Secret
from relay.setup.channel import ChannelAnswers
from relay.setup.dialog import Dialog
from tests.setup.test_dialog import answered

SILENT = Dialog(silent=True)


def test_a_given_key_decides_how_the_service_is_reached() -> None:
    answers = ChannelAnswers("slack", {"webhook_url": "https://hooks.slack.com/services/T/B/x"})
    answers.ask(SILENT, again=False)
    assert answers.problems() == []
    assert answers.settings().type == "slack"


def test_another_way_forgets_the_answers_of_the_first() -> None:
    answers = ChannelAnswers("slack", {"webhook_url": "https://hooks.slack.com/services/T/B/x"})
    answered(lambda: answers.ask(Dialog(), again=True), "1", "xoxb-1", "#design")
    assert answers.raw() == {
        "name": "slack",
        "type": "slack",
        "token": Secret("xoxb-1"),
        "channel": "#design",
    }


def test_every_problem_names_its_option() -> None:
    assert ChannelAnswers("matrix", {"room": "design"}).broken() == [
        '--set room: must be a room\'s id such as "!abc:example.org" or "#alias:example.org"'
    ]
    assert [each.split(":")[0] for each in ChannelAnswers("matrix", {}).problems()] == [
        "--set homeserver",
        "--set access_token",
        "--set room",
    ]
    with pytest.raises(click.UsageError, match="--kind 'slak': must be one of slack, "):
        ChannelAnswers("slak", {})


def test_a_required_key_without_a_question_is_asked_by_the_rule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that a new kind works before it has questions."""
    from relay.setup import channel

    monkeypatch.setattr(channel, "questions", lambda _: [])
    monkeypatch.setattr(channel, "ways", lambda _: [])
    answers = ChannelAnswers("mattermost", {"token": "x"})
    _, screen = answered(
        lambda: answers.ask(Dialog(), again=False), "https://m.example.com", "acme/design"
    )
    assert answers.problems() == []
    assert "Address of the server" in screen
    assert "Channel" in screen


def test_what_can_be_made_is_made() -> None:
    answers = ChannelAnswers("webhook", {"url": "https://ci.example.com"})
    answers.create_missing()
    assert answers.problems() == []


@pytest.mark.parametrize("kind", CHANNEL_TYPES)
def test_each_kind_can_be_set_up_by_options(kind: str) -> None:
    assert ChannelAnswers(kind, {}).kind == kind
    assert all(each.startswith("--set ") for each in ChannelAnswers(kind, {}).problems())
