"""The rules of a webhook's settings, with the exact text of every problem."""

import base64
from pathlib import Path

import pytest

from relay.channels import fingerprint
from relay.channels.base import ChannelSettings
from relay.channels.webhook.settings import _NOT_FOR_PROGRAMS, WebhookSettings
from relay.config.load import load, warnings
from tests.channels.builders import SIGNING_SECRET, webhook
from tests.config.files import TEAM, problems_of, write

CHANNEL = f'{TEAM}[[teams.acme.channels]]\nname = "a"\ntype = "webhook"\n'
URL = 'url = "https://ci.example/penpot?token=x"\n'
SECRET = f'secret = "{SIGNING_SECRET}"\n'
KEY = "teams.acme.channels.a"
CREATE = (
    "(create one with: python3 -c 'import base64, secrets; "
    'print("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())\')'
)
SECRET_RULE = f'must be "whsec_" and 24 to 64 random bytes in base64 {CREATE}'
HELD = "does not work for a webhook, whose documents are never held back"


def whsec(size: int) -> str:
    return "whsec_" + base64.b64encode(bytes(range(size))).decode()


CASES = {
    "nothing": (CHANNEL, [f"{KEY}.url: is required", f"{KEY}.secret: is required"]),
    "no URL": (
        CHANNEL + SECRET + 'url = "ci.example/penpot"',
        [
            f'{KEY}.url = ***: must be the URL to post to, such as "https://ci.example.com/penpot",'
            " in ASCII without spaces"
        ],
    ),
    "no prefix": (
        CHANNEL + URL + f'secret = "{whsec(32).removeprefix("whsec_")}"',
        [f"{KEY}.secret = ***: {SECRET_RULE}"],
    ),
    "too short": (
        CHANNEL + URL + f'secret = "{whsec(23)}"',
        [f"{KEY}.secret = ***: {SECRET_RULE}"],
    ),
    "too long": (CHANNEL + URL + f'secret = "{whsec(65)}"', [f"{KEY}.secret = ***: {SECRET_RULE}"]),
    "no base64": (
        CHANNEL + URL + f'secret = "{whsec(32)[:-3]}!"',
        [f"{KEY}.secret = ***: {SECRET_RULE}"],
    ),
    "three secrets": (
        CHANNEL + URL + f"secret = {[whsec(24), whsec(25), whsec(26)]}",
        [
            f"{KEY}.secret = ***: must be one secret, or two while it is changed: "
            '[{ env = "NEW" }, { env = "OLD" }]'
        ],
    ),
    "twice the same": (
        CHANNEL + URL + f"secret = {[whsec(24), whsec(24)]}",
        [f"{KEY}.secret = ***: must be two different secrets: the new one, and the old one"],
    ),
    "held": (
        CHANNEL + URL + SECRET + 'quiet = ["22:00-07:00"]\nurgent = ["mentions"]',
        [
            f"{KEY}.quiet = […]: {HELD}: a program reads each document by itself",
            f"{KEY}.urgent = […]: {HELD}",
        ],
    ),
    "scheduled": (
        CHANNEL + URL + SECRET + 'schedule = ["09:00"]\ntimezone = "Europe/Madrid"',
        [
            f"{KEY}.schedule = […]: {HELD}: a program reads each document by itself",
            f'{KEY}.timezone = "Europe/Madrid": does not work for a webhook: the times of a '
            "document are in UTC",
        ],
    ),
    "summed up": (
        CHANNEL + URL + SECRET + 'activity = "daily"\nlanguage = "es"',
        [
            f'{KEY}.activity = "daily": does not work for a webhook, which gets each event by '
            "itself",
            f'{KEY}.language = "es": does not work for a webhook: its text is in the team\'s '
            "language",
        ],
    ),
    "a body without a folder": (
        CHANNEL + URL + SECRET + 'body = "deploy.json.j2"',
        [f'{KEY}.body = "deploy.json.j2": needs templates.path, its folder'],
    ),
    "a body in another folder": (
        f'[templates]\npath = "/tmp"\n{CHANNEL}{URL}{SECRET}body = "../deploy.json.j2"',
        [
            f'{KEY}.body = "../deploy.json.j2": must be the name of a file in templates.path, such '
            'as "deploy.json.j2"'
        ],
    ),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_a_problem_names_key_value_and_rule(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems_of(write(tmp_path, text), {}) == expected


def test_no_document_is_edited_in_place(tmp_path: Path) -> None:
    text = CHANNEL + URL + SECRET + 'edits = "in-place"'
    (problem,) = problems_of(write(tmp_path, text), {})
    assert problem.startswith(f'{KEY}.edits = "in-place": works only for Slack with token and for ')


def test_digest_after_is_not_accepted(tmp_path: Path) -> None:
    (problem,) = problems_of(write(tmp_path, CHANNEL + URL + SECRET + "digest_after = 5"), {})
    assert problem == (
        f"{KEY}.digest_after = 5: does not work for a webhook, which gets no digests: a program "
        "reads each document by itself"
    )


def test_each_key_that_all_channels_share_is_decided_on() -> None:
    """A new one is either for programs too, or rejected with its rule."""
    for_programs = {
        *("type", "name", "events", "projects", "files", "actors", "pace", "share_emails"),
        *("edits", "emoji", "ca_file"),
    }
    assert ChannelSettings.model_fields.keys() - _NOT_FOR_PROGRAMS.keys() == for_programs
    assert _NOT_FOR_PROGRAMS.keys() <= ChannelSettings.model_fields.keys()


@pytest.mark.parametrize("size", [24, 32, 64])
def test_one_secret_or_two_from_the_environment(tmp_path: Path, size: int) -> None:
    text = CHANNEL + 'url = { env = "URL" }\nsecret = [{ env = "NEW" }, { env = "OLD" }]'
    environ = {"URL": "http://ci:8080/x", "NEW": whsec(size), "OLD": whsec(33)}
    config = load(write(tmp_path, text), environ)
    (channel,) = config.teams["acme"].channels
    assert isinstance(channel, WebhookSettings)
    assert [secret.reveal() for secret in channel.secret] == [whsec(size), whsec(33)]
    assert "whsec" not in repr(channel)
    assert not any("http://" in text for text in warnings(config))  # "ci" is nearby
    load(write(tmp_path, text), {}, secrets=False)


def test_the_variables_replace_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {
        "RELAY_SECRET": "x" * 24,
        "RELAY_WEBHOOK_URL": "https://ci.example/penpot",
        "RELAY_WEBHOOK_SECRET": f"{whsec(24)},{whsec(25)}",
    }
    (channel,) = load(None, environ).teams["default"].channels
    assert isinstance(channel, WebhookSettings)
    assert len(channel.secret) == 2
    assert channel.events == ("*",)


@pytest.mark.parametrize(
    ("url", "is_noted"),
    [
        ("https://ci.example/x", False),
        ("http://ci.example/x", True),
        ("http://ci/x", False),
        ("http://10.1.2.3/x", False),
        ("http://9.9.9.9/x", True),
    ],
)
def test_an_open_way_is_noted(url: str, is_noted: bool) -> None:
    assert bool(webhook(url).advice) == is_noted


def test_it_is_never_held_digested_or_edited() -> None:
    settings = webhook("https://ci.example/x")
    assert not any((settings.holds, settings.in_digests, settings.in_threads, settings.is_direct))
    assert not settings.sends_lines
    assert settings.edit_mode == "messages"
    assert settings.digest_threshold > 10**9


def test_a_fingerprint_changes_with_each_key() -> None:
    settings = webhook("https://ci.example/x")
    others = [
        webhook("https://ci.example/y"),
        webhook("https://ci.example/x", whsec(24)),
        settings.model_copy(update={"share_emails": True}),
    ]
    fingerprints = {fingerprint(each) for each in (settings, *others)}
    assert len(fingerprints) == 4
    assert fingerprint(webhook("https://ci.example/x")) == fingerprint(settings)
    assert "whsec" not in "".join(fingerprints)
