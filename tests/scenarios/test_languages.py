"""Messages in the languages of their channels, end to end: with a user's template in the sandbox,
an alert, a mail and a preview."""

from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import httpx

from relay.penpot.samples import sample
from tests.channels.email.parts import html_of, text_of
from tests.servers.channels import mail_channel, slack_channel
from tests.servers.fixtures import RunningSlack
from tests.servers.smtp import MailServer
from tests.service import running, wait_until

OWN = (
    '{% extends "builtin/create-project.md.j2" %}'
    "{% block footer %}{{ language }} · {{ timezone }}{% endblock %}"
)


def test_each_channel_has_its_language(
    tmp_path: Path, slack_server: RunningSlack, mail_server: Callable[..., MailServer]
) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/create-project.md.j2").write_text(OWN)
    mail, events = mail_server(), ["files", "projects"]
    slack = slack_server.slack
    team = (
        'language = "es"\ntimezone = "Europe/Madrid"\n',
        slack_channel(slack_server.api_url, events=events),
        slack_channel(slack_server.api_url, "gone", events=events, channel="C0MISSING"),
        mail_channel(mail, events=events, language="fr"),
        '[[teams.acme.channels]]\ntype = "stdout"\nname = "log"\nlanguage = "de"\n'
        'timezone = "Europe/Berlin"\nevents = ["files", "projects"]\n',
    )
    templates = f'[templates]\npath = "{tmp_path}/templates"\n'
    with running(tmp_path, "".join(team), extra=templates) as service:
        for name in ("create-project", "create-file"):
            assert service.post(sample(name)) == 204
        output = service.output
        wait_until(lambda: "die Datei Pricing page" in output.read_text(), 30)
        wait_until(lambda: len(mail.mails) == 2, 30)
        wait_until(lambda: len(slack.messages) == 3, 30)
        preview = service.run("preview", "create-file", "--channel", "mail").stdout
        page = httpx.get(f"{service.admin}/inspector").text

    assert "Jemand hat das Projekt Brand assets erstellt" in output.read_text()
    assert "de · Europe/Berlin" in output.read_text()
    texts = [message["text"] for message in slack.messages]
    assert [text for text in texts if "creó el proyecto Brand assets" in text]
    assert [text for text in texts if "creó el archivo Pricing page" in text]
    assert [text for text in texts if "gone" in text and "stopped" not in text]
    project, file = (each.parsed() for each in mail.mails)
    check_french_mail(project, "a créé le projet Brand assets")
    check_french_mail(file, "a créé le fichier Pricing page")
    assert "fr · Europe/Madrid" in text_of(project)
    assert 'lang=3D"fr"' in preview  # quoted-printable
    # What an administrator reads stays English.
    assert "Someone created the file Pricing page" in page
    assert "Messages to gone have stopped" in page


def check_french_mail(mail: EmailMessage, words: str) -> None:
    assert words in str(mail["Subject"])
    assert words in text_of(mail)
    assert '<html lang="fr">' in html_of(mail)
    assert "You get this" not in text_of(mail) + html_of(mail)
