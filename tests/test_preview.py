"""``relay preview`` and the message of ``relay send``."""

import json
from pathlib import Path

import pytest
from anyio import to_thread

from relay.channels.stdout import StdoutSettings
from relay.config.load import load
from relay.config.settings import Config
from relay.penpot.facts import Fact
from relay.penpot.samples import sample
from relay.preview import PreviewError, render_previews, send_test
from relay.store.records import FanOutResult, NewEvent
from relay.store.sqlite import SqliteStore
from tests.service import SECRET, relay

PAYLOADS = Path(__file__).parent / "penpot" / "payloads"
KINDS = "slack, matrix, mattermost, rocketchat, discord, teams, email, webhook, apprise, stdout"


@pytest.mark.parametrize("kind", ["stdout", "slack", "matrix", "email"])
def test_preview_prints_the_message_of_each_channel(tmp_path: Path, kind: str) -> None:
    run = relay("preview", "create-comment", "--channel", kind, folder=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "Landing page" in run.stdout
    if kind == "slack":
        assert json.loads(run.stdout)["blocks"][0]["type"] == "rich_text"
    if kind == "matrix":
        assert json.loads(run.stdout)["format"] == "org.matrix.custom.html"
    if kind == "email":
        assert "Subject: " in run.stdout


def test_preview_shows_a_notice(tmp_path: Path) -> None:
    shown = relay("preview", "queue-stopped", "--channel", "stdout", folder=tmp_path).stdout
    assert shown.startswith("⚠️ Messages to design have stopped: ")


def test_preview_uses_the_teams_name(tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text(
        f'[teams.acme]\nsecret = "{SECRET}"\nname = "Acme Design"\n'
    )
    shown = relay("preview", "rename-file", "--channel", "email", folder=tmp_path).stdout
    assert "Acme Design" in shown
    assert "To: design@example.com" in shown


def test_preview_shows_the_edited_message(tmp_path: Path) -> None:
    by_kind = {
        kind: relay("preview", "resolve-comment-thread", "--channel", kind, folder=tmp_path).stdout
        for kind in ("slack", "matrix", "stdout")
    }
    for kind in ("slack", "matrix"):
        assert by_kind[kind].count("✅ ") >= 2
        assert "Ada Lovelace" in by_kind[kind]
    assert by_kind["stdout"].count("✅ ") == 1


def test_preview_shows_all_events_or_a_payload(tmp_path: Path) -> None:
    assert relay("preview", folder=tmp_path).stdout.count("https://design.penpot.app/#/") > 24
    for form in ("json", "transit.json"):
        payload = PAYLOADS / "create-comment-thread" / f"mention-one.{form}"
        run = relay("preview", "--payload", str(payload), folder=tmp_path)
        assert "@Zoë Müller-O'Neill could you check the 24px padding here?" in run.stdout


def test_preview_of_a_payload_shows_which_channels_get_it(tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text(
        f'''[teams.acme]
secret = "{SECRET}"
[[teams.acme.channels]]
name = "website"
type = "stdout"
events = ["comments"]
projects = ["website*"]
[[teams.acme.channels]]
name = "others"
type = "stdout"
projects = ["!Website*"]
[[teams.acme.channels]]
name = "files"
type = "stdout"
events = ["files"]
[[teams.acme.channels]]
name = "direct"
type = "slack"
token = "xoxb-1"
direct = "mentioned"
'''
    )
    (tmp_path / "body.json").write_bytes(sample("create-comment-thread"))
    run = relay("preview", "--payload", "body.json", folder=tmp_path)
    assert run.stdout.split("\n\n")[-2].splitlines() == [
        "acme/website: gets it (events: comments; projects: website*)",
        "acme/others: skipped (projects: !Website*)",
        "acme/files: skipped (no entry of its events matches)",
        "acme/direct: gets it (events: comments)",
    ]


@pytest.mark.anyio
async def test_preview_uses_the_names_in_the_store(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "relay.db")
    await store.open()
    id_ = "0c000000-5d0e-81a4-8006-9a2f00000001"
    event = NewEvent("acme", "application/json", b"{}", b"1", "rename-project")
    await store.accept(event)
    fact = {("project", id_): Fact("project", id_, "Shop").dumps()}
    await store.save_fan_out([FanOutResult(1, "acme", "ignored", facts=fact)])
    await store.close()
    channel = {"name": "shop", "type": "stdout", "projects": ["shop"], "events": ["*"]}
    team = {"secret": SECRET, "channels": [channel]}
    url = f"sqlite:///{tmp_path}/relay.db"
    payload = tmp_path / "body.json"
    payload.write_text(json.dumps({"name": "update-project-pin", "props": {"id": id_}}))
    config = Config.model_validate({"store": {"url": url}, "teams": {"acme": team}})
    *_, channels = await to_thread.run_sync(
        lambda: list(render_previews(config, None, "stdout", None, payload))
    )
    assert channels == "acme/shop: gets it in a daily line (events: *; projects: shop)"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["create-coment"], "did you mean create-comment?"),
        (
            ["create-comment", "--channel", "irc"],
            "irc is none of: " + KINDS,
        ),
        (["--payload", __file__], "not JSON"),
    ],
)
def test_preview_errors(tmp_path: Path, arguments: list[str], words: str) -> None:
    run = relay("preview", *arguments, folder=tmp_path)
    assert run.returncode == 1
    assert words in run.stderr


def test_the_options_are_those_of_the_config(tmp_path: Path) -> None:
    config = Config.model_validate({"teams": {"acme": {"secret": SECRET}}})
    with pytest.raises(PreviewError, match="--team nobody is none of: acme"):
        next(render_previews(config, None, "stdout", "nobody", None))
    assert next(render_previews(None, "create-file", "stdout", "any", None))


def test_a_channel_is_named_or_one_of_a_type(tmp_path: Path) -> None:
    channels = [{"name": "design", "type": "slack", "webhook_url": "https://hooks.slack.com/x"}]
    channels.append({"name": "email", "type": "stdout"})
    teams = {"acme": {"secret": SECRET, "channels": channels}, "rnd": {"secret": SECRET}}
    config = Config.model_validate({"teams": teams})

    def shown(channel: str, team: str | None = None) -> str:
        return next(render_previews(config, "create-file", channel, team, None))

    assert shown("design") == shown("slack")
    assert '"blocks"' in shown("slack", "rnd")
    assert '"blocks"' in shown("design")
    assert shown("email") == shown("stdout")
    assert shown("email", "rnd") != shown("stdout")
    with pytest.raises(PreviewError, match=f"design is none of: {KINDS}$"):
        shown("design", "rnd")


def test_a_failing_template_is_an_error_with_its_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "create-file.md.j2").write_text("{% block title %}{{ autor }}{% endblock %}")
    config = Config.model_validate(
        {"templates": {"path": str(tmp_path)}, "teams": {"acme": {"secret": SECRET}}}
    )
    with pytest.raises(PreviewError, match=r"create-file\.md\.j2:1: 'autor' is undefined"):
        next(render_previews(config, "create-file", "stdout", None, None))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, "Messages about your Penpot team will"),
        ({"RELAY_TEAM_NAME": "Acme *1*"}, "Messages about the Penpot team Acme *1* will"),
    ],
)
async def test_the_test_message_names_a_team_that_has_a_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    environ: dict[str, str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load(None, {"RELAY_SECRET": SECRET, "RELAY_STDOUT": "1"} | environ)
    log = StdoutSettings(type="stdout", name="log")
    is_sent, _ = await send_test(config, "default", log)
    assert is_sent
    assert words in " ".join(capsys.readouterr().out.split())
