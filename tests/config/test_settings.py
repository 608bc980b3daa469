"""The rules that combine several keys, with the exact text of every problem."""

from pathlib import Path

import pytest

from relay.channels import example_settings
from relay.config.load import ConfigError, load, warnings
from relay.config.settings import Config
from relay.messages.locale import Locale
from tests.channels.builders import SIGNING_SECRET as SIGNING
from tests.config.files import CHANNEL, MAIL, MATRIX, SECRET, SLACK, SMTP, TEAM, problems_of, write

CASES = {
    "people": (
        TEAM
        + """[people]
        "Ada@example.com" = { slack = "U0ADA", matrix = "@ada:m.example.org" }
        "bob@example.com" = { slack = "U0ADA", email = "not one", telephone = "1" }
        "eve" = { matrix = "eve" }""",
        [
            'people."bob@example.com".email = "not one": must be one mail address such as '
            '"design@example.com" or "Penpot <penpot@example.com>"',
            'people."bob@example.com".telephone: unknown key; known: discord, email, '
            "matrix, mattermost, mute, rocketchat, slack, teams",
            'people.eve = "eve": must be a person\'s mail address in Penpot, or the id of their '
            "Penpot profile",
            'people.eve.matrix = "eve": must be a Matrix id such as "@ada:example.org"',
            'people."bob@example.com".slack = "U0ADA": already belongs to "Ada@example.com"',
        ],
    ),
    "person with a name": (
        TEAM + '[people]\n"a@b.c" = { slack = "@ada", email = "Ada <ada@example.com>" }',
        [
            'people."a@b.c".slack = "@ada": must be a Slack member\'s id such as "U0123456789" '
            "(profile, ⋮, Copy member ID)",
            'people."a@b.c".email = "Ada <ada@example.com>": must be one bare mail address such as '
            '"ada@example.com"',
        ],
    ),
    "pictures without a token": (
        MAIL + SMTP + "thumbnails = true",
        [
            "teams.acme.channels.a.thumbnails = true: needs penpot.access_token, to "
            "get the pictures from Penpot"
        ],
    ),
    "authors without a token": (
        SLACK + 'token = "t"\nchannel = "#a"\nauthor_as_sender = true',
        [
            "teams.acme.channels.a.author_as_sender = true: needs penpot.access_token, to "
            "get the team's members from Penpot"
        ],
    ),
    "empty lists": (
        CHANNEL + 'type = "stdout"\nevents = []\nprojects = []\nfiles = ["!"]\nactors = [" "]',
        [
            "teams.acme.channels.a.events: must not be empty: leave it out, or list some, "
            'such as ["comments", "!delete-*"]; "!" in front excludes',
            "teams.acme.channels.a.projects: must not be empty: leave it out, or list some, "
            'such as ["Website*", "!Archive"]; "!" in front excludes',
            'teams.acme.channels.a.files[0] = "!": must name something, such as '
            '["Landing page", "!*draft*"]; "!" in front excludes',
            'teams.acme.channels.a.actors[0] = " ": must name something, such as '
            '["Ada Lovelace", "!bot@example.com"]; "!" in front excludes',
        ],
    ),
    "a filter that is no list": (
        CHANNEL + 'type = "stdout"\nprojects = "Website"',
        [
            'teams.acme.channels.a.projects = "Website": must be a list, such as ["…"]',
        ],
    ),
    "edits by mail": (
        MAIL + SMTP + 'edits = "in-place"',
        [
            'teams.acme.channels.a.edits = "in-place": works only for Slack with token and '
            'for Matrix and for Mattermost with token and for Discord: use "messages" or "none"'
        ],
    ),
    "edits of direct messages": (
        MATRIX + 'direct = "mentioned"\nedits = "in-place"',
        [
            'teams.acme.channels.a.edits = "in-place": does not work with direct: '
            'use "messages" or "none"'
        ],
    ),
    "alerts to nowhere": (
        TEAM
        + """alerts_to = "ops"
        [[teams.acme.channels]]
        name = "a"
        type = "stdout"
        [[teams.acme.channels]]
        name = "ops"
        type = "matrix"
        homeserver = "https://m.example.org"
        access_token = "t"
        direct = "mentioned\"""",
        ['teams.acme.alerts_to = "ops": must be one of the team\'s channels without direct: a'],
    ),
    "secret of another length": (
        '[teams.acme]\nsecret = ["a-secret-of-24-characters", "short"]',
        [
            "teams.acme.secret[1] = ***: must have at least 16 characters of A-Z a-z 0-9 . _ ~ - "
            "(create one with: python3 -c 'import secrets; print(secrets.token_urlsafe(24))')"
        ],
    ),
    "a variable of two is not set": (
        '[teams.acme]\nsecret = [{ env = "NEW" }, { env = "OLD" }]',
        [
            "teams.acme.secret[0]: the environment variable NEW is not set",
            "teams.acme.secret[1]: the environment variable OLD is not set",
        ],
    ),
    "two equal secrets": (
        f'[teams.acme]\nsecret = ["{SECRET}", "{SECRET}"]',
        ["teams.acme.secret = ***: must be two different secrets: the new one, and the old one"],
    ),
    "three secrets": (
        f'[teams.acme]\nsecret = ["{SECRET}", "{SECRET}1", "{SECRET}2"]',
        [
            "teams.acme.secret = ***: must be one secret, or two while it is changed: "
            '[{ env = "NEW" }, { env = "OLD" }]'
        ],
    ),
    "holds": (
        """
        [store]
        retention = "2d"
        [teams.acme]
        secret = "a-secret-of-24-characters"
        timezone = "madrid"
        language = "de-AT"
        """
        + "\n".join(
            f"[[teams.acme.channels]]\nname = '{name}'\ntype = 'stdout'\n{keys}"
            for name, keys in {
                "both": 'quiet = ["22:00-07:00"]\nschedule = ["mon-thu 09:00", "10:00"]',
                "empty": "quiet = []",
                "times": 'quiet = ["25:00-07:00", "07:00-07:00"]',
                "week": 'quiet = ["mon-fri", "fri 12:00-00:00", "sat-sun"]',
                "day": 'quiet = ["07:00-22:00", "22:00-07:00"]',
                "zone": 'schedule = ["25:00"]\ntimezone = "Mars/Base"\nurgent = ["all"]',
                "language": 'language = "xx"',
                "urgent": 'urgent = ["mentions"]',
                "weekend": 'quiet = ["22:00-07:00", "sat-sun"]',
                "weekly": 'schedule = ["mon 09:00"]',
            }.items()
        ),
        [
            "teams.acme.channels.empty.quiet = []: must not be empty: leave it out, or list some, "
            'such as ["22:00-07:00", "sat-sun"]',
            'teams.acme.channels.times.quiet[0] = "25:00-07:00": must be times such as '
            '"22:00-07:00", days such as "sat-sun", or both, such as "mon-fri 22:00-07:00"; '
            "days are mon tue wed thu fri sat sun, times 00:00 to 23:59",
            'teams.acme.channels.times.quiet[1] = "07:00-07:00": must not last 24 hours: use '
            "other times, or whole days: sat-sun",
            "teams.acme.channels.week.quiet = […]: must leave a part of the week free: mon-fri, "
            "fri 12:00-00:00, sat-sun cover all of it",
            "teams.acme.channels.day.quiet = […]: must leave a part of the week free: "
            "07:00-22:00, 22:00-07:00 cover all of it",
            'teams.acme.channels.zone.schedule[0] = "25:00": must be a time such as "09:00", or '
            'days and a time such as "mon-fri 09:00"; days are mon tue wed thu fri sat sun, '
            "times 00:00 to 23:59",
            'teams.acme.channels.zone.urgent[0] = "all": must be "mentions"',
            'teams.acme.channels.zone.timezone = "Mars/Base": must be an IANA time zone such as '
            '"Europe/Madrid"',
            'teams.acme.channels.language.language = "xx": must be the code of one of Relay\'s '
            "languages: de, en, es, fr",
            'teams.acme.language = "de-AT": must be the code of one of Relay\'s languages: de, en, '
            "es, fr; did you mean de?",
            'teams.acme.timezone = "madrid": must be an IANA time zone such as "Europe/Madrid"; '
            "did you mean Europe/Madrid?",
            "teams.acme.channels.both.schedule = […]: does not work with quiet: use one of them, "
            "as a schedule holds all other times too",
            "teams.acme.channels.urgent.urgent = […]: needs quiet or schedule, without which "
            "nothing is held",
            "teams.acme.channels.weekend.quiet = […]: holds messages for 57 h, longer than "
            "store.retention, which is 48 h",
            "teams.acme.channels.weekly.schedule = […]: holds messages for 168 h, longer than "
            "store.retention, which is 48 h",
        ],
    ),
    "two channels of one name": (
        CHANNEL + 'type = "stdout"\n[[teams.acme.channels]]\nname = "a"\ntype = "stdout"',
        ['teams.acme.channels[1].name = "a": must be unique in teams.acme'],
    ),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_a_problem_names_key_value_and_rule(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems_of(write(tmp_path, text), {}) == expected


def test_a_team_has_one_secret_or_two(tmp_path: Path) -> None:
    new = "the-new-secret-of-the-team"
    text = '[teams.acme]\nsecret = [{ env = "NEW" }, { env = "OLD" }]'
    environ = {"NEW": new, "OLD": SECRET}
    config = load(write(tmp_path, text), environ)
    assert config.hook_paths("acme") == [f"/hooks/acme/{new}", f"/hooks/acme/{SECRET}"]
    assert config.hook_path("acme") == f"/hooks/acme/{new}"
    assert not any("plain text" in warning for warning in warnings(config))
    assert new not in repr(config)
    assert load(write(tmp_path, text), {}, secrets=False).teams["acme"]

    other = f'{text}\n[teams.other]\nsecret = "{SECRET}"'
    told = warnings(load(write(tmp_path, other), environ))
    assert "the teams acme, other have the same secret: give each its own" in told
    plain = text.replace('{ env = "OLD" }', f'"{SECRET}"')
    told = warnings(load(write(tmp_path, plain), environ))
    assert sum(warning.startswith("teams.acme.secret is in the config") for warning in told) == 1


def test_the_password_of_a_database_stays_hidden(tmp_path: Path) -> None:
    url = "postgresql://relay:hunter2@db.example.org:5432/relay?sslmode=require"
    plain = load(write(tmp_path, f'{TEAM}[store]\nurl = "{url}"'))
    named = write(tmp_path, TEAM + '[store]\nurl = { env = "DATABASE_URL" }')
    from_environment = load(named, {"DATABASE_URL": url}, secrets=False)

    for config in (plain, from_environment):
        assert config.store.url.reveal() == url
        assert config.store.display_url == "postgresql://db.example.org:5432/relay"
        assert "hunter2" not in repr(config) + str(config)
    assert any(warning.startswith("store.url is in the config file") for warning in warnings(plain))
    assert not any("store.url" in warning for warning in warnings(from_environment))
    with pytest.raises(ConfigError, match=r"store\.url: .* DATABASE_URL is not set"):
        load(named, {"OTHER": "x"}, secrets=False)


def test_alerts_go_to_people_first_unless_the_config_says_otherwise() -> None:
    program = {"type": "webhook", "name": "ci", "url": "https://ci.example", "secret": SIGNING}
    channels = [program, {"type": "stdout", "name": "log"}]
    team = {"secret": "a-secret-of-24-characters", "channels": channels}
    teams = {"acme": team, "rnd": team | {"alerts_to": "ci"}, "ci": team | {"channels": [program]}}
    assert Config.model_validate({"teams": teams}).alert_queues() == {
        "acme": ["acme/log", "acme/ci"],
        "rnd": ["rnd/ci", "rnd/log"],
        "ci": ["ci/ci"],
    }


def test_alerts_go_to_the_named_channel_first_and_to_no_direct_one() -> None:
    one, two, three = ({"type": "stdout", "name": name} for name in ("one", "two", "three"))
    direct = {"type": "slack", "name": "direct", "direct": "mentioned", "token": "x"}
    secret = "a-secret-of-24-characters"
    teams = {
        "acme": {"secret": secret, "channels": [direct, one, two, three], "alerts_to": "two"},
        "rnd": {"secret": secret, "channels": [direct, one, two]},
        "none": {"secret": secret},
    }
    assert Config.model_validate({"teams": teams}).alert_queues() == {
        "acme": ["acme/two", "acme/one", "acme/three"],
        "rnd": ["rnd/one", "rnd/two"],
        "none": [],
    }


def test_a_person_may_be_muted(tmp_path: Path) -> None:
    text = TEAM + '[people]\n"Ada@b.c" = { slack = "U0ADA", mute = true }\n"b@b.c" = {}'
    people = load(write(tmp_path, text), {}).people
    assert people == {"ada@b.c": ({"slack": "U0ADA"}, True), "b@b.c": ({}, False)}
    wrong = TEAM + '[people]\n"a@b.c" = { mute = "yes" }'
    assert problems_of(write(tmp_path, wrong), {}) == [
        'people."a@b.c".mute = "yes": must be true or false'
    ]


def test_the_zone_of_a_hold_is_the_channels_or_the_teams(tmp_path: Path) -> None:
    text = TEAM + 'timezone = "Europe/Madrid"\n'
    for name, keys in {
        "a": 'quiet = ["22:00-07:00"]',
        "b": 'schedule = ["09:00"]\ntimezone = "America/Sao_Paulo"\nurgent = ["mentions"]',
        "c": 'timezone = "Asia/Tokyo"',
    }.items():
        text += f'[[teams.acme.channels]]\nname = "{name}"\ntype = "stdout"\n{keys}\n'
    holds = load(write(tmp_path, text)).holds
    zones = {queue: hold.zone.key for queue, hold in holds.items()}
    assert zones == {"acme/a": "Europe/Madrid", "acme/b": "America/Sao_Paulo"}
    assert (holds["acme/a"].urgent, holds["acme/b"].urgent) == ((), ("mentions",))


def test_the_locale_of_messages_is_the_channels_or_the_teams(tmp_path: Path) -> None:
    text = TEAM + 'timezone = "Europe/Madrid"\nlanguage = "es"\n'
    for name, keys in {
        "a": "",
        "b": 'timezone = "Asia/Tokyo"',
        "c": 'language = "de"\ntimezone = "Europe/Berlin"',
        "d": 'language = "en"',
    }.items():
        text += f'[[teams.acme.channels]]\nname = "{name}"\ntype = "stdout"\n{keys}\n'
    config = load(write(tmp_path, text), {})
    assert config.locales == {
        "acme/a": ("es", "Europe/Madrid"),
        "acme/b": ("es", "Asia/Tokyo"),
        "acme/c": ("de", "Europe/Berlin"),
        "acme/d": ("en", "Europe/Madrid"),
    }
    assert config.locale("unknown", example_settings("stdout")) == Locale("en", "")
    assert Locale("en", "").timezone == "UTC"
