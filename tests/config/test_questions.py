"""The questions about each kind of channel, and their answers."""

import pytest

from relay.channels import CHANNEL_TYPES
from relay.channels.email.settings import EmailSettings
from relay.channels.slack.settings import SlackSettings
from relay.channels.webhook.settings import WebhookSettings
from relay.config.questions import (
    broken_rule,
    problems,
    question,
    questions,
    ways,
    with_answers,
)
from relay.config.secret import Secret
from relay.config.settings import PenpotSettings

BASE = {"type": "slack", "name": "slack"}


@pytest.mark.parametrize("kind", CHANNEL_TYPES)
def test_the_answers_to_all_questions_give_a_valid_channel(kind: str) -> None:
    channel_type = CHANNEL_TYPES[kind]
    asked = list(questions(channel_type.settings))
    assert len({each.key for each in asked}) == len(asked)
    example = _texts(channel_type.example)
    assert channel_type.settings.model_fields.keys() >= {key.split(".")[0] for key in example}
    raw = {"type": kind, "name": kind} | with_answers(channel_type.settings, example)
    assert problems(channel_type.settings, raw) == []
    for key in example:
        assert any(each.key == key for each in asked) or question(channel_type.settings, key), key
    for each in asked:
        assert each.text
        assert not each.text.endswith((".", ":"))


def _texts(table: object, prefix: str = "") -> dict[str, str]:
    """The keys of an example as a person types their values."""
    texts: dict[str, str] = {}
    assert isinstance(table, dict) or not table
    for key, value in dict(table or {}).items():
        if isinstance(value, dict):
            texts |= _texts(value, f"{prefix}{key}.")
        else:
            texts[prefix + key] = ", ".join(value) if isinstance(value, list) else str(value)
    return texts


def test_a_question_comes_from_the_key() -> None:
    bot, _ = ways(SlackSettings)
    by_key = {each.key: each for each in questions(SlackSettings)}
    assert by_key.keys() == {"token", "channel", "webhook_url"}
    assert by_key["token"].is_secret
    assert (by_key["token"].way, by_key["channel"].way) == (bot, bot)
    assert not by_key["channel"].is_secret


def test_the_keys_of_a_table_inside_are_asked_too() -> None:
    by_key = {each.key: each for each in questions(EmailSettings)}
    assert by_key["smtp.host"].text == "Mail server"
    assert by_key["smtp.tls"].choices == ("starttls", "tls", "none")
    assert by_key["smtp.tls"].default == "starttls"
    assert by_key["smtp.password"].is_secret
    assert by_key["smtp.password"].after == "smtp.username"
    assert by_key["smtp.port"].is_optional


def test_a_key_without_a_question_of_its_own_is_asked_by_its_docstring() -> None:
    asked = question(PenpotSettings, "url")
    assert asked is not None
    assert asked.text == "Where people open Penpot, for links"
    assert question(PenpotSettings, "nonsense") is None
    assert question(EmailSettings, "smtp") is None
    assert question(EmailSettings, "smtp.nonsense") is None


def test_answers_become_values_of_their_keys_types() -> None:
    answers = {
        "to": "ada@example.com, bob@example.com",
        "sender": "p@example.com",
        "smtp.host": "smtp.example.com",
        "smtp.port": "2525",
        "smtp.username": "relay",
        "smtp.password": "a, b",
        "thumbnails": "true",
        "nonsense.key": "x",
    }
    assert with_answers(EmailSettings, answers) == {
        "to": ["ada@example.com", "bob@example.com"],
        "sender": "p@example.com",
        "smtp": {
            "host": "smtp.example.com",
            "port": 2525,
            "username": "relay",
            "password": Secret("a, b"),
        },
        "thumbnails": True,
        "nonsense": {"key": "x"},
    }


def test_only_the_rule_of_the_answered_key_is_shown() -> None:
    raw = BASE | with_answers(SlackSettings, {"channel": "design"})
    assert broken_rule(SlackSettings, raw, "channel").startswith("must be a channel's id such as")
    raw = BASE | with_answers(SlackSettings, {"token": "xoxb"})
    assert broken_rule(SlackSettings, raw, "token") == ""
    (missing,) = problems(SlackSettings, raw)
    assert (missing.key, missing.rule) == ("channel", 'is required with token: an id or "#name"')


def test_no_rule_contains_the_secret() -> None:
    for text in ("hunter 2", "“hunter2”", "hunter2\u200b"):
        raw = BASE | with_answers(SlackSettings, {"token": text})
        rule = broken_rule(SlackSettings, raw, "token")
        assert rule
        assert "hunter" not in rule


def test_a_created_value_is_valid() -> None:
    (asked,) = [each for each in questions(WebhookSettings) if each.create]
    assert asked.create is not None
    assert asked.create() != asked.create()
    raw = {"type": "webhook", "name": "w", "url": Secret("https://example.com")}
    raw |= with_answers(WebhookSettings, {asked.key: asked.create()})
    assert problems(WebhookSettings, raw) == []
