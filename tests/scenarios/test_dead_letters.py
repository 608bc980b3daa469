"""A mail server that rejects every mail: each place says so until a person acts."""

from collections.abc import Callable
from pathlib import Path

import httpx

from relay.penpot.samples import sample
from tests.servers.channels import mail_channel
from tests.servers.smtp import MailServer
from tests.service import running, wait_until

LOG = '[[teams.acme.channels]]\nname = "log"\ntype = "stdout"\nevents = ["fonts"]\n'
REPLY = "554 5.7.1 Message rejected as spam by content scanner"


def test_a_server_that_rejects_every_mail_is_reported_everywhere(
    tmp_path: Path, mail_server: Callable[..., MailServer]
) -> None:
    mail = mail_server(replies={"DATA": REPLY})
    with running(tmp_path, mail_channel(mail) + LOG) as service:
        for name in ("create-file", "delete-project", "delete-file"):
            assert service.post(sample(name)) == 204
        wait_until(lambda: service.run("log").stdout.count("acme/mail  dead") == 3, 30)
        wait_until(lambda: "could not be delivered" in service.output.read_text(), 30)
        assert service.output.read_text().count("could not be delivered") == 1

        doctor = service.run("doctor")
        assert doctor.returncode == 1
        assert "FAIL  acme/mail: 3 messages are dead, the last one: 554: " in doctor.stdout
        assert "relay dismiss" in doctor.stdout
        assert "acme/mail, at 20" in service.run("log").stdout

        def metric() -> str:
            text = httpx.get(f"{service.admin}/metrics").text
            lines = text.splitlines()
            (line,) = [one for one in lines if one.startswith('relay_queue_dead{queue="acme/mail"')]
            return line.rpartition(" ")[2]

        wait_until(lambda: metric() == "3.0", 30)
        page = httpx.get(f"{service.admin}/inspector/teams/acme").text
        assert 'id="mark-acme-mail">dead</span>' in page
        assert "3 messages are dead" in page

        mail.replies.clear()
        ids = [
            line.split()[0]
            for line in service.run("log").stdout.splitlines()
            if "mail  dead" in line
        ]
        assert service.run("dismiss", ids[0]).stdout == "1 dismissed\n"
        assert "no such dead letter" in service.run("dismiss", ids[0]).stderr
        assert service.run("dismiss").returncode == 2
        assert service.run("resend", ids[1]).stdout == "1 queued again\n"
        wait_until(lambda: len(mail.mails) == 1, 30)
        assert "FAIL  acme/mail: a message is dead: 554" in service.run("doctor").stdout
        assert service.run("dismiss", "--dead").stdout == "1 dismissed\n"
        assert "are dead" not in service.run("doctor").stdout
        assert "is dead" not in service.run("doctor").stdout
        wait_until(lambda: metric() == "0.0", 30)
        page = httpx.get(f"{service.admin}/inspector/teams/acme").text
        assert 'id="mark-acme-mail">dead</span>' not in page
