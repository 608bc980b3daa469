"""`relay init` from the first question to the first message, with real servers and stand-ins."""

import socket
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner, Result

from relay.cli import main
from relay.config.load import load, warnings
from relay.setup.dialog import Dialog
from relay.setup.steps import Setup, SetupOptions
from tests.penpot.standin import TOKEN as PENPOT_TOKEN
from tests.penpot.standin import StandIn
from tests.servers.fixtures import Authority, RunningSlack
from tests.servers.slack import TOKEN as SLACK_TOKEN
from tests.servers.smtp import PASSWORD, USERNAME, MailServer
from tests.servers.synapse import Synapse
from tests.service import free_port
from tests.setup.conftest import Init


def files(folder: Path) -> dict[str, str]:
    """The secrets, by the names of their files."""
    return {file.name: file.read_text().strip() for file in (folder / "relay.secrets").iterdir()}


def require_written(result: Result, folder: Path) -> None:
    """The config is complete and valid, and no secret is where it should not be."""
    assert result.exit_code == 0, result.output
    text = (folder / "relay.toml").read_text()
    secrets = files(folder)
    for secret in secrets.values():
        assert secret not in text
    for secret in set(secrets.values()) - {secrets["acme-design-secret"]}:
        assert secret not in result.output
    assert stat.S_IMODE((folder / "relay.secrets").stat().st_mode) == 0o700
    for name in secrets:
        mode = (folder / "relay.secrets" / name).stat().st_mode
        assert stat.S_IMODE(mode) == 0o600, name
    assert "plain text" not in " ".join(warnings(load("relay.toml")))


def token_file(folder: Path, token: str = PENPOT_TOKEN) -> str:
    file = folder / "token"
    file.write_text(token + "\n")
    return str(file)


def test_a_newcomer_answers_and_the_first_message_arrives(
    init: Init, tmp_path: Path, penpot: StandIn, slack_server: RunningSlack
) -> None:
    port = free_port()
    result = init(
        *("--set", f"api_url={slack_server.api_url}", "--port", str(port)),
        *("--admin-port", str(free_port())),
        answers=[
            penpot.url + "/ x",  # not an address
            penpot.url,
            "a-wrong-token",
            "c",
            PENPOT_TOKEN,
            "1",  # the team Acme Design
            "slack",
            "1",  # by bot
            "xoxb-wrong",
            "design",  # no name of a channel
            "#design",
            "c",
            "1",
            SLACK_TOKEN,
            "",  # the channel, as before
            f"http://127.0.0.1:{port}",
            "",  # create the webhook
            "",  # send a message
        ],
    )
    require_written(result, tmp_path)
    shown = result.output.splitlines()
    assert '      must be a web address such as "https://design.example.com"' in shown
    assert "the access token is unknown to Penpot, expired or revoked" in result.output
    assert "ok    penpot: the access token is valid and belongs to Relay" in shown
    assert any("must be a channel's id such as" in line for line in shown)
    assert "(invalid_auth)" in result.output
    assert 'ok    slack: The token is that of @relay in "Acme".' in shown
    assert "ok    acme-design: its webhook was created and is on" in shown
    config = load("relay.toml")
    assert config.teams["acme-design"].name == "Acme Design"
    (webhook,) = [
        each
        for each in penpot.world.webhooks.values()
        if each.uri.endswith(config.hook_path("acme-design"))
    ]
    assert webhook.is_active
    assert webhook.team == config.teams["acme-design"].team_id
    (message,) = slack_server.slack.messages
    assert "A test from Relay" in message["text"]
    assert shown[-2:] == [
        "Start Relay: relay serve",
        f"Inspector: {config.describe_inspector()}",
    ]
    checked = CliRunner().invoke(main, ["check"])
    assert checked.exit_code == 0, checked.output
    assert "FAIL" not in checked.output
    # the file has nothing that was not asked
    channel = tomllib.loads((tmp_path / "relay.toml").read_text())["teams"]["acme-design"][
        "channels"
    ]
    assert [list(each) for each in channel] == [["name", "type", "api_url", "token", "channel"]]


def test_without_a_token_the_url_of_the_hook_is_printed(
    init: Init, tmp_path: Path, penpot: StandIn, synapse: Synapse
) -> None:
    ada, bot = synapse.register("ada"), synapse.register("penpot")
    room = ada.create_room(invite=(bot.id,))
    result = init(
        answers=[penpot.url, "", "Acme Design", "Matrix", synapse.url, bot.token, room, "", ""]
    )
    require_written(result, tmp_path)
    url = f"{load('relay.toml').server.shown_url}/hooks/acme-design/"
    assert url + files(tmp_path)["acme-design-secret"] in result.output
    assert "set server.public_url" in result.output
    assert any("A test from Relay" in each["content"]["body"] for each in ada.messages(room))
    assert penpot.count("create-webhook") == 0


def test_mail_asks_for_the_password_of_a_login_only(
    init: Init,
    tmp_path: Path,
    penpot: StandIn,
    mail_server: Callable[..., MailServer],
    authority: Authority,
) -> None:
    mail = mail_server(tls="starttls", auth=True)
    server = ["127.0.0.1", str(mail.port)]
    result = init(
        *("--penpot-url", penpot.url, "--team", "Acme Design", "--kind", "email", "--no-send"),
        *("--public-url", "http://relay.example.com:8080"),
        *("--set", f"ca_file={authority.ca_file}"),
        answers=[
            "",  # no token
            "ada@example.com, bob@example.com",
            "Penpot <penpot@example.com>",
            *server,
            "",  # no login, which this server requires
            "starttls",
            "c",
            "",
            "",
            "",
            "",
            USERNAME,
            PASSWORD,
            "",
        ],
    )
    require_written(result, tmp_path)
    assert result.output.count("FAIL") == 1
    assert result.output.count("Password") == 1
    assert "ok    email: The mail server accepts mail for bob@example.com." in result.output
    assert files(tmp_path)["acme-design-email-smtp-password"] == PASSWORD
    assert mail.mails == []


def test_options_replace_all_questions(
    init: Init, tmp_path: Path, penpot: StandIn, slack_server: RunningSlack
) -> None:
    slack_token = tmp_path / "slack"
    slack_token.write_text(SLACK_TOKEN)
    port = free_port()
    result = init(
        *("--yes", "--penpot-url", penpot.url, "--penpot-token-file", token_file(tmp_path)),
        *("--team", "acme design", "--kind", "slack", "--set-file", f"token={slack_token}"),
        *("--set", "channel=#design", "--set", f"api_url={slack_server.api_url}"),
        *("--public-url", f"http://127.0.0.1:{port}", "--port", str(port)),
        *("--admin-port", str(free_port())),
    )
    require_written(result, tmp_path)
    assert "?" not in result.output
    assert penpot.count("create-webhook") == 1
    assert len(slack_server.slack.messages) == 1


def test_yes_names_every_missing_option_at_once(init: Init, tmp_path: Path) -> None:
    def problems(*options: str) -> list[str]:
        result = init("--yes", *options)
        assert result.exit_code == 2
        return result.output.partition("Error: ")[2].splitlines()

    team = "--team is required, or --penpot-token-file"
    channel, *others = problems()
    assert channel.startswith("--kind is required: one of slack, matrix, ")
    assert others == [team]
    assert problems("--kind", "email", "--hook") == [
        "--set to: is required",
        "--set sender: is required",
        "--set smtp.host: is required",
        team,
        "--hook needs --penpot-token-file and --public-url",
    ]
    assert problems("--kind", "slack", "--set", "tokn=x") == [
        "--set tokn: unknown key; did you mean token?",
        "--set token: one of token and webhook_url is required",
        team,
    ]
    assert problems("--kind", "slak")[0].startswith("--kind 'slak': must be one of slack, ")
    assert list(tmp_path.iterdir()) == []


def test_yes_names_the_teams_of_which_one_has_to_be_chosen(
    init: Init, tmp_path: Path, penpot: StandIn
) -> None:
    token = token_file(tmp_path)
    options = ("--penpot-url", penpot.url, "--penpot-token-file", token, "--kind", "stdout")
    result = init("--yes", *options)
    assert result.exit_code == 2
    assert "--team is required: one of Acme Design, Équipe" in result.output
    result = init("--yes", *options, "--team", "Acme")
    assert result.exit_code == 2
    assert "--team 'Acme': is none of the token's teams: 'Acme Design' (" in result.output


def test_what_fails_with_yes_writes_nothing(init: Init, tmp_path: Path, penpot: StandIn) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    channel = ("--yes", "--team", "Acme", "--kind", "stdout")
    result = init(*channel, "--penpot-url", gone)
    assert result.exit_code == 1
    assert f"FAIL  penpot: {gone} refuses connections" in result.output
    assert "nothing was written" in result.output
    wrong = token_file(tmp_path, "wrong")
    result = init(*channel, "--penpot-url", penpot.url, "--penpot-token-file", wrong)
    assert result.exit_code == 1
    assert "FAIL  penpot: penpot.access_token" in result.output
    assert [each.name for each in tmp_path.iterdir()] == ["token"]


def test_a_penpot_that_only_people_reach_gets_another_address(
    init: Init, tmp_path: Path, penpot: StandIn
) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    result = init(
        *("--kind", "stdout", "--no-send", "--no-hook"),
        answers=[gone, "k", penpot.url, PENPOT_TOKEN, "Acme Design", ""],
    )
    require_written(result, tmp_path)
    settings = load("relay.toml").penpot
    assert (settings.url, settings.api_url) == (gone, penpot.url)


def test_penpots_reason_is_shown_where_it_can_not_reach_relay(
    init: Init, tmp_path: Path, penpot: StandIn
) -> None:
    wrong, port = free_port(), free_port()
    options = ("--penpot-url", penpot.url, "--team", "Acme Design", "--kind", "stdout")
    options += ("--no-send", "--port", str(port), "--admin-port", str(free_port()))
    result = init(
        *options,
        answers=[
            PENPOT_TOKEN,
            f"http://127.0.0.1:{wrong}",
            "y",
            "a",
            "c",
            f"http://127.0.0.1:{port}",
        ],
    )
    require_written(result, tmp_path)
    assert result.output.count("400 webhook-validation (connection-error)") == 2
    assert "PENPOT_SSRF_ALLOWED_HOSTS" in result.output
    assert "relay serve` running" not in result.output
    assert load("relay.toml").server.public_url == f"http://127.0.0.1:{port}"
    assert penpot.count("create-webhook") == 3


def test_a_webhook_that_can_not_be_created_is_left_to_a_person(
    init: Init, tmp_path: Path, penpot: StandIn
) -> None:
    """A script's config is written none the less: Penpot may reach Relay later."""
    result = init(
        *("--yes", "--penpot-url", penpot.url, "--penpot-token-file", token_file(tmp_path)),
        *("--team", "Acme Design", "--kind", "stdout", "--no-send"),
        *("--public-url", f"http://127.0.0.1:{free_port()}"),
    )
    assert result.exit_code == 1
    assert "(connection-error)" in result.output
    config = load("relay.toml")
    url = f"{config.server.public_url}{config.hook_path('acme-design')}"
    assert f"tick Active: {url}" in result.output
    assert "relay doctor --fix" in result.output


def test_a_port_in_use_is_found_at_once(init: Init, tmp_path: Path, penpot: StandIn) -> None:
    with socket.create_server(("127.0.0.1", 0)) as used:
        port, other = used.getsockname()[1], free_port()
        options = ("--host", "127.0.0.1", "--port", str(port), "--admin-port", str(free_port()))
        channel = ("--team", "Acme Design", "--kind", "stdout", "--no-send")
        result = init("--yes", *options, *channel)
        assert result.exit_code == 1
        reason = f'server.host = "127.0.0.1", server.port = {port}: Relay can\'t listen there'
        assert f"FAIL  init: {reason}: address already in use" in result.output
        assert "set another --port" in result.output
        result = init(*options, *channel, answers=["x", str(other), penpot.url, "", ""])
    require_written(result, tmp_path)
    assert load("relay.toml").server.port == other


def test_an_existing_file_is_never_overwritten(init: Init, tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text("# mine\n")
    result = init(answers=[])
    assert result.exit_code == 1
    assert "relay.toml exists, and is not overwritten" in result.output
    assert (tmp_path / "relay.toml").read_text() == "# mine\n"
    (tmp_path / "other.secrets").mkdir()
    assert "other.secrets exists" in init("--config", "other.toml").output


def test_ctrl_c_leaves_nothing_behind(init: Init, tmp_path: Path, penpot: StandIn) -> None:
    """The end of the input is as Ctrl-C for click."""
    answers = [penpot.url, PENPOT_TOKEN, "1", "stdout", "", ""]
    for count in range(4):
        result = init(answers=answers[:count])
        assert (result.exit_code, "Aborted!" in result.output) == (1, True)
        assert list(tmp_path.iterdir()) == []


def test_a_value_of_an_option_is_checked_before_the_first_question(init: Init) -> None:
    for options, rule in (
        (("--kind", "slack", "--set", "channel=design"), "--set channel: must be a channel's"),
        (("--kind", "slack", "--set", "token=a b"), "--set token: must be printable ASCII"),
        (("--port", "80811"), "server.port: must be less than or equal to 65535"),
        (("--public-url", "relay"), "server.public_url: must be a web address"),
    ):
        result = init(*options)
        assert result.exit_code == 2
        assert rule in result.output
        assert "Enter accepts" not in result.output


def test_a_setup_can_be_run_without_the_command(tmp_path: Path, penpot: StandIn) -> None:
    server, admin = {"port": str(free_port())}, {"port": str(free_port())}
    options = SetupOptions(
        penpot_url=penpot.url, team="Acme", kind="stdout", server=server, admin=admin, sends=False
    )
    assert Setup(tmp_path / "own.toml", Dialog(silent=True), options).run()
    config = load(str(tmp_path / "own.toml"))
    assert config.teams.keys() == {"acme"}
