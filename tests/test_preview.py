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


@pytest.mark.parametrize("kind", ["stdout", "slack", "matrix", "email"])
def test_preview_prints_the_message_of_each_channel(tmp_path: Path, kind: str) -> None:
    run = relay("preview", "create-comment", "--kind", kind, folder=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "Landing page" in run.stdout
    if kind == "slack":
        assert json.loads(run.stdout)["blocks"][0]["type"] == "rich_text"
    if kind == "matrix":
        assert json.loads(run.stdout)["format"] == "org.matrix.custom.html"
    if kind == "email":
        assert "Subject: " in run.stdout


def test_preview_shows_a_notice(tmp_path: Path) -> None:
    shown = relay("preview", "queue-stopped", "--kind", "stdout", folder=tmp_path).stdout
    assert shown.startswith("⚠️ Messages to design have stopped: ")


def test_preview_uses_the_teams_name(tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text(
        f'[teams.acme]\nsecret = "{SECRET}"\nname = "Acme Design"\n'
    )
    shown = relay("preview", "rename-file", "--kind", "email", folder=tmp_path).stdout
    assert "Acme Design" in shown
    assert "To: design@example.com" in shown


def test_preview_shows_the_edited_message(tmp_path: Path) -> None:
    by_kind = {
        kind: relay("preview", "resolve-comment-thread", "--kind", kind, folder=tmp_path).stdout
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
        lambda: list(render_previews(config, None, payload=payload))
    )
    assert channels == "acme/shop: gets it in a daily line (events: *; projects: shop)"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["create-coment"], "did you mean create-comment?"),
        (
            ["create-comment", "--channel", "irc"],
            "--channel irc is none of the channels of acme: there is none",
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
        next(render_previews(config, None, team="nobody"))
    assert next(render_previews(None, "create-file", team="any"))


def test_a_channel_is_named_or_the_first_of_a_kind() -> None:
    channels = [{"name": "design", "type": "slack", "webhook_url": "https://hooks.slack.com/x"}]
    channels.append({"name": "email", "type": "stdout"})
    teams = {"acme": {"secret": SECRET, "channels": channels}, "rnd": {"secret": SECRET}}
    config = Config.model_validate({"teams": teams})

    def shown(**options: str) -> str:
        return next(render_previews(config, "create-file", **options))  # type: ignore[arg-type]

    assert shown(channel="design") == shown(kind="slack")
    assert '"blocks"' in shown(kind="slack", team="rnd")
    assert shown(channel="email") == shown(kind="stdout") == shown()
    with pytest.raises(PreviewError, match="design is none of the channels of rnd: there is none"):
        shown(channel="design", team="rnd")
    error = (
        "slack is none of the channels of acme: design, email; a kind of channel is --kind slack"
    )
    with pytest.raises(PreviewError, match=error):
        shown(channel="slack")


def test_the_samples_get_the_name_of_a_project() -> None:
    channels = [
        {"name": "shop", "type": "stdout", "projects": ["Shop*"], "events": ["files", "fonts"]},
        {"name": "all", "type": "stdout", "activity": "each"},
    ]
    config = Config.model_validate({"teams": {"acme": {"secret": SECRET, "channels": channels}}})
    message, routes = render_previews(config, "create-file", project="Shop 2027")
    assert "Shop 2027" in message
    assert routes.splitlines() == [
        "acme/shop: gets it (events: files; projects: Shop*)",
        "acme/all: gets it (events: create-file)",
    ]
    *_, routes = render_previews(config, "create-file", project="Website")
    assert "acme/shop: skipped (projects: no entry matches)" in routes
    entries = "(events: files; projects: Shop*)"
    *_, routes = render_previews(config, None, project="Shop")
    lines = routes.splitlines()
    assert "create-comment: acme/shop: skipped (no entry of its events matches)" in lines
    assert f"rename-file: acme/shop: gets it in a daily line {entries}" in lines
    assert not any(line.startswith("create-font-variant:") for line in lines)  # it has no project


def test_links_of_a_notice_lead_to_the_penpot_of_the_config() -> None:
    url = "https://design.example.org"
    config = Config.model_validate({"penpot": {"url": url}, "teams": {"acme": {"secret": SECRET}}})
    for notice in ("activity", "digest", "test"):
        (shown,) = render_previews(config, notice)
        assert url in shown
        assert "penpot.example.com" not in shown


def test_a_failing_template_is_an_error_with_its_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "create-file.md.j2").write_text("{% block title %}{{ autor }}{% endblock %}")
    config = Config.model_validate(
        {"templates": {"path": str(tmp_path)}, "teams": {"acme": {"secret": SECRET}}}
    )
    with pytest.raises(PreviewError, match=r"create-file\.md\.j2:1: 'autor' is undefined"):
        next(render_previews(config, "create-file"))


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
