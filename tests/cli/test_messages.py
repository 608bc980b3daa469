"""`relay events` and `relay send`."""

from collections.abc import Callable
from pathlib import Path

from relay.penpot.catalogue import CATALOGUE
from tests.cli.commands import slack_channel
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
    assert service.run("send", "--channel", "email").stdout.startswith("acme/mail: sent (<")
    assert len(mail.mails) == 3
    assert mail.mails[0].parsed()["subject"] == "[Acme *Design*] A test from Relay"
    assert len(slack_server.slack.messages) == 1
    assert "none of: acme" in service.run("send", "nobody").stderr
    assert (
        "has no channel nope, by name or type; it has: design"
        in service.run("send", "acme", "--channel", "nope").stderr
    )
