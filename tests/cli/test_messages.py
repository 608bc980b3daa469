"""`relay events` and `relay send`."""

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner

from relay.cli import main
from relay.delivery.notices import NOTICES
from relay.penpot.catalogue import CATALOGUE
from tests.cli.commands import (
    LOG,
    config_file,
    document,
    hook,
    invoke,
    slack_channel,
    validate,
)
from tests.servers.fixtures import RunningSlack
from tests.servers.slack import TOKEN
from tests.servers.smtp import MailServer
from tests.service import Service, relay


def test_events_lists_the_catalogue(tmp_path: Path) -> None:
    run = relay("events", folder=tmp_path)
    for name in CATALOGUE:
        assert name in run.stdout
    assert " -= rename-file " in run.stdout


def test_events_suggests_a_name(tmp_path: Path) -> None:
    run = relay("events", "create-coment", folder=tmp_path)
    assert run.returncode == 1
    assert "did you mean create-comment?" in run.stderr


def test_send_posts_a_test_message_and_prints_the_result(
    tmp_path: Path, slack_server: RunningSlack, mail_server: Callable[..., MailServer]
) -> None:
    mail = mail_server()
    service = Service(
        tmp_path,
        slack_channel(slack_server, "design", "C0DESIGN0")
        + slack_channel(slack_server, "general", "C0GENERAL")
        + '[[teams.acme.channels]]\nname = "mail"\ntype = "email"\nto = ["d@example.com"]\n'
        f'sender = "p@example.com"\nsmtp = {{ host = "127.0.0.1", port = {mail.port}, '
        'tls = "none" }\n',
    )
    text = service.config.read_text()
    service.config.write_text(text.replace("[teams.acme]", '[teams.acme]\nname = "Acme *Design*"'))
    service.environ = {"SLACK": TOKEN}
    run = service.run("send", "acme")
    assert run.returncode == 1
    block = slack_server.slack.messages[0]["blocks"][0]["elements"][0]
    words = "".join(part["text"] for part in block["elements"])
    assert "about the Penpot team Acme *Design* will look like this" in words
    assert "acme/design: sent (" in run.stdout
    assert "acme/mail: sent (<" in run.stdout
    assert "acme/general: not sent: not_in_channel" in run.stdout
    assert run.stderr == ""
    assert service.run("send", "--channel", "mail").returncode == 0  # the only team
    assert service.run("send", "--kind", "email").stdout.startswith("acme/mail: sent (<")
    assert len(mail.mails) == 3
    assert mail.mails[0].parsed()["subject"] == "[Acme *Design*] A test from Relay"
    assert len(slack_server.slack.messages) == 1
    assert "none of: acme" in service.run("send", "nobody").stderr
    for name, error in (
        ("nope", "--channel nope is none of the channels of acme: design, general, mail"),
        ("email", "mail; a kind of channel is --kind email"),
    ):
        assert error in service.run("send", "acme", "--channel", name).stderr


def test_a_document_of_send_has_each_result_and_nothing_else_is_printed(tmp_path: Path) -> None:
    config = config_file(tmp_path, LOG + hook("design"))
    run = invoke(config, "send", "--json")
    assert "A test from Relay" in run.stderr
    assert run.exit_code == 1
    printed = json.loads(run.stdout)
    validate(printed)
    sent, failed = printed["results"]
    assert (sent["queue"], sent["sent"], sent["text"][:6]) == ("acme/log", True, "sent (")
    assert (failed["queue"], failed["sent"]) == ("acme/design", False)
    assert "not sent: " in failed["text"]
    error = document(invoke(config, "send", "nobody", "--json"), 2)["errors"]
    assert error == ["Invalid value: nobody is none of: acme"]


def test_a_document_of_events_has_the_facts_of_the_lines() -> None:
    listed = document(CliRunner().invoke(main, ["events", "--json"]))
    assert [event["name"] for event in listed["events"]] == [*CATALOGUE, *NOTICES]
    (comment,) = document(CliRunner().invoke(main, ["events", "create-comment", "--json"]))[
        "events"
    ]
    text = " ".join(CliRunner().invoke(main, ["events", "create-comment"]).stdout.split())
    for part in (
        comment["when"],
        comment["note"],
        comment["group"],
        *comment["variables"].values(),
    ):
        assert part in text
    for described in (listed["options"], listed["blocks"]):
        assert all(part in text for part in described.values())
    wrong = document(CliRunner().invoke(main, ["events", "create-coment", "--json"]), 1)
    assert "did you mean create-comment?" in wrong["errors"][0]


def test_a_channel_and_a_kind_exclude_each_other(tmp_path: Path) -> None:
    config = config_file(tmp_path)
    for command in ("send", "preview"):
        run = invoke(config, command, "--channel", "log", "--kind", "stdout")
        assert (run.exit_code, "give either --channel" in run.stderr) == (2, True)
    assert "has no channels of kind email" in invoke(config, "send", "--kind", "email").stderr
    run = invoke(config, "preview", "--project", "Shop", "--payload", str(config))
    assert "use it without --payload" in run.stderr
    run = invoke(config, "preview", "create-file", "--project", "Shop")
    assert run.stdout.endswith("acme/log: gets it (events: create-file)\n\n")
