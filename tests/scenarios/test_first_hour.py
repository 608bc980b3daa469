"""A newcomer's first hour: the config of the README as it is printed, with real servers."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.documents import README
from tests.servers.fixtures import Authority, RunningSlack
from tests.servers.loopback import Answer, Request, in_thread
from tests.servers.slack import TOKEN
from tests.servers.smtp import PASSWORD, MailServer
from tests.servers.synapse import Synapse
from tests.service import SECRET, Service, wait_until

(CONFIG,) = re.findall(r"^```toml\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
(LOGIN,) = re.findall(r"^\$ (curl \S+/login .*?\}')$", README, re.MULTILINE | re.DOTALL)
(BODY,) = re.findall(r"^ +-d '(\{\"name\".*?\})' ", README, re.MULTILINE)


@contextmanager
def receiver() -> Iterator[tuple[str, list[str]]]:
    """Another product's hook in Slack's format: its URL, and the texts that it shows."""
    texts: list[str] = []

    def handle(request: Request) -> Answer:
        texts.append(json.loads(request.body)["text"])
        return Answer(b"", 204)

    with in_thread(handle) as server:
        yield f"{server.url}/hooks/secret-path", texts


def placed(text: str, places: dict[str, str]) -> str:
    """The printed text with the addresses of real servers in place of its examples."""
    for example, place in places.items():
        assert text.count(example) == 1, example
        text = text.replace(example, place)
    return text


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path, "")
    yield service
    service.end()


def test_the_readmes_config_sends_the_first_event_to_every_channel(
    service: Service,
    synapse: Synapse,
    authority: Authority,
    slack_server: RunningSlack,
    mail_server: Callable[..., MailServer],
) -> None:
    ada, bot = synapse.register("ada"), synapse.register("penpot")
    room = ada.create_room(invite=(bot.id,))
    mail = mail_server(tls="starttls", auth=True)
    places = {
        'public_url = "http://localhost:8080"': f"port = {service.port}\n"
        f"[admin]\nport = {service.admin_port}\n"
        f'[store]\nurl = "{service.store}"',
        "https://matrix.example.org": synapse.url,
        "!abc:example.org": room,
        'host = "smtp.example.com", port = 587': f'host = "127.0.0.1", port = {mail.port}',
        'channel = "#design"': f'channel = "#design"\napi_url = "{slack_server.api_url}"',
    }
    service.config.write_text(placed(CONFIG, places))
    with receiver() as (url, texts):
        service.environ = {
            "ACME_HOOK_SECRET": SECRET,
            "MATRIX_TOKEN": bot.token,
            "SMTP_PASSWORD": PASSWORD,
            "CHAT_WEBHOOK_URL": url,
            "SLACK_BOT_TOKEN": TOKEN,
            "SSL_CERT_FILE": str(authority.ca_file),
        }
        checked = service.run("check")
        assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
        assert "FAIL" not in checked.stdout
        sent = service.run("send", "acme")
        assert (sent.returncode, sent.stderr) == (0, ""), sent.stdout
        service.start()
        assert service.post(BODY.encode()) == 204
        wait_until(lambda: len(texts) == 2, 30)
        wait_until(lambda: len(mail.mails) == 2, 30)
        wait_until(lambda: len(slack_server.slack.messages) == 2, 30)
        wait_until(lambda: len(ada.messages(room)) == 2, 30)
        assert "dead" not in service.run("log").stdout
    shown = json.loads(BODY)["props"]["name"]
    matrix = [event["content"]["body"] for event in ada.messages(room)]
    assert shown in texts[1]
    assert any(shown in body for body in matrix)
    assert shown in mail.mails[1].parsed()["subject"]
    assert shown in slack_server.slack.messages[1]["text"]
    assert "Someone created the project" in texts[1]


def test_the_readmes_command_prints_a_token_of_matrix(synapse: Synapse) -> None:
    bot = synapse.register("penpot")
    name = bot.id.removeprefix("@").partition(":")[0]
    command = placed(LOGIN, {"https://matrix.example.org": synapse.url, '"penpot"': f'"{name}"'})
    command = placed(command, {'"…"': f'"{bot.password}"'})
    done = subprocess.run(
        ["sh", "-c", f"{command} --noproxy '*' -s"], capture_output=True, check=True
    )
    token = json.loads(done.stdout)["access_token"]
    url = f"{synapse.url}/_matrix/client/v3/account/whoami"
    answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, trust_env=False)
    assert answer.json()["user_id"] == bot.id
