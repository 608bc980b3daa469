"""A program that gets Penpot's events: through the whole service, and by the guide's consumer."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from relay.channels.base import RetryLater
from relay.messages.payload import schema
from relay.penpot.catalogue import SYNTHETIC
from relay.penpot.samples import SAMPLE_NAMES, sample
from tests.channels.builders import MESSAGE, SIGNING_SECRET, opened, webhook
from tests.channels.webhook.receiver import Receiver, receiving
from tests.documents import OPERATOR
from tests.inspector.conftest import client_of, form_token
from tests.penpot import own
from tests.servers.loopback import Answer
from tests.service import Service, wait_until

PAYLOADS = Path(__file__).parents[1] / "penpot" / "payloads"
VALIDATOR = Draft202012Validator(json.loads(schema()))
ADDRESS = re.compile(r'action="(/inspector/teams/acme/resume)"')


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def channel(receiver: Receiver, *keys: str) -> str:
    more = "\n".join(keys)
    return (
        f'[[teams.acme.channels]]\nname = "pipeline"\ntype = "webhook"\nurl = "{receiver.url}"\n'
        f'secret = {{ env = "SIGNING" }}\n{more}\n'
    )


LOG = '[[teams.acme.channels]]\nname = "log"\ntype = "stdout"\nevents = ["fonts"]\n'


@pytest.fixture
def service(tmp_path: Path, receiver: Receiver) -> Iterator[Service]:
    service = Service(tmp_path, channel(receiver) + LOG)
    service.environ = {"SIGNING": SIGNING_SECRET}
    service.start()
    yield service
    service.end()


def waits_for(receiver: Receiver, count: int) -> list[Any]:
    wait_until(lambda: len(receiver.documents) >= count, 60)
    assert len(receiver.documents) == count
    return receiver.documents


def test_every_event_and_change_is_a_valid_document_in_order(
    service: Service, receiver: Receiver
) -> None:
    names = [name for name in SAMPLE_NAMES if name not in SYNTHETIC]
    for name in names:
        assert service.post(sample(name)) == 204
    for body in (own.THREAD, own.REPLY):
        assert service.post(body) == 204
    documents = waits_for(receiver, len(names) + 2)
    for document in documents:
        VALIDATOR.validate(document)
    assert [document["name"] for document in documents[: len(names)]] == names
    assert [document["id"] for document in documents] == list(range(1, len(names) + 3))
    assert len(set(receiver.ids)) == len(documents)
    comment = documents[-1]["data"]
    assert comment["thread"]["number"] == 15
    assert not re.search(r"[\w.]+@\w+\.\w+", json.dumps(documents))


def test_a_failing_program_gets_everything_later_in_order_and_once(
    service: Service, receiver: Receiver
) -> None:
    receiver.answers = [
        Answer(status=503, headers={"Retry-After": "2"}),
        Answer(cut=True),
        Answer(status=429),
    ]
    names = ["create-file", "update-file", "delete-file"]
    started = time.monotonic()
    for name in names:
        assert service.post(sample(name)) == 204
    documents = waits_for(receiver, 3)
    assert [document["name"] for document in documents] == names
    assert time.monotonic() - started >= 2
    assert len(set(receiver.ids)) == 3
    assert receiver.ids[:4] == [receiver.ids[0]] * 4

    # a kill before the receipt is stored would repeat the last document
    wait_until(lambda: "waiting" not in service.run("log").stdout, 60)
    service.kill()
    service.start()
    delivery = re.findall(r"^ +(\d+)  acme/pipeline  sent", service.run("log").stdout, re.M)[-1]
    assert service.run("resend", delivery).returncode == 0
    again = waits_for(receiver, 4)[-1]
    assert (again["name"], again["id"]) == ("create-file", 1)
    assert len(set(receiver.ids)) == 4, "a person's resend is no repetition"


def stopped(service: Service) -> bool:
    return "acme/pipeline stopped at" in service.run("log").stdout


def test_after_410_nothing_is_sent_until_a_person_resumes_it(
    service: Service, receiver: Receiver
) -> None:
    receiver.answers = [Answer(status=410)]
    assert service.post(sample("create-file")) == 204
    wait_until(lambda: stopped(service), 60)
    wait_until(lambda: "Messages to pipeline have stopped" in service.output.read_text(), 60)
    service.stop()
    service.start()
    assert service.post(sample("delete-file")) == 204
    time.sleep(3)
    assert len(receiver.requests) == 1
    assert "http-410" in service.run("doctor").stdout + service.run("doctor").stderr
    with client_of(service) as client:
        page = client.get("/inspector/teams").text
        assert ADDRESS.search(page)
        fields = {"token": form_token(page), "channel": "pipeline"}
        assert client.post("/inspector/teams/acme/resume", data=fields).status_code == 200
        assert (
            client.post(
                "/inspector/teams/acme/resume", data=fields | {"channel": "none"}
            ).status_code
            == 404
        )
        documents = waits_for(receiver, 2)
        assert [document["name"] for document in documents] == ["create-file", "delete-file"]
        wait_until(lambda: not ADDRESS.search(client.get("/inspector/teams").text), 60)
    wait_until(lambda: "pipeline are sent again" in service.output.read_text(), 60)


def test_a_changed_address_resumes_after_410(service: Service, receiver: Receiver) -> None:
    receiver.answers = [Answer(status=410)]
    assert service.post(sample("create-file")) == 204
    wait_until(lambda: stopped(service), 60)
    service.stop()
    text = service.config.read_text()
    service.config.write_text(text.replace("token=x7", "token=x8"))
    service.start()
    waits_for(receiver, 1)
    assert [request.query for request in receiver.requests] == ["token=x7", "token=x8"]


def test_alerts_go_to_people_first_and_are_documents_where_there_is_no_other(
    tmp_path: Path, receiver: Receiver
) -> None:
    with receiving() as other:
        broken = channel(other, 'events = ["files"]').replace("pipeline", "broken")
        service = Service(tmp_path, broken + channel(receiver, 'events = ["fonts"]'))
        service.environ = {"SIGNING": SIGNING_SECRET}
        other.answers = [Answer(status=413)]
        service.start()
        try:
            assert service.post(sample("create-file")) == 204
            (document,) = waits_for(receiver, 1)
        finally:
            service.end()
    VALIDATOR.validate(document)
    assert (document["type"], document["name"]) == ("relay.alert", "messages-dead")
    assert document["data"]["queue"] == {"name": "broken"}
    assert document["data"]["problem"]["reason"] == "http-413"
    assert document["id"] == 2


def test_the_commands_know_it(service: Service, receiver: Receiver) -> None:
    assert "ok    acme/pipeline: webhook, events: *" in service.run("check").stdout
    assert "responds (status 405 to HEAD)" in service.run("doctor").stdout
    assert service.run("send", "acme", "--channel", "pipeline").returncode == 0
    (document,) = waits_for(receiver, 1)
    VALIDATOR.validate(document)
    assert (document["type"], document["name"], document["id"]) == ("relay.test", "test", None)
    shown = service.run("preview", "create-comment", "--channel", "pipeline").stdout
    assert json.loads(shown)["data"]["comment"]["text"].startswith("Good catch.")
    printed = subprocess.run(
        [sys.executable, "-m", "relay", "events", "--schema"], capture_output=True, text=True
    ).stdout
    assert json.loads(printed) == json.loads(schema())
    assert SIGNING_SECRET not in service.log.read_text()


def test_the_inspector_shows_the_document_that_was_sent(
    service: Service, receiver: Receiver
) -> None:
    assert service.post(sample("create-file")) == 204
    (document,) = waits_for(receiver, 1)
    page = httpx.get(f"{service.admin}/inspector/events/1").text
    (shown,) = re.findall(r'<pre class="preview preview-terminal"[^>]*>(.*?)</pre>', page, re.S)
    assert json.loads(shown.replace("&#34;", '"').replace("&amp;", "&")) == document


def test_a_body_of_its_own_starts_a_pipeline(tmp_path: Path, receiver: Receiver) -> None:
    (tmp_path / "templates").mkdir()
    template = tmp_path / "templates" / "deploy.json.j2"
    template.write_text('{"event_type": "penpot", "file": {{ file.name | tojson }}}')
    keys = ('body = "deploy.json.j2"', 'events = ["create-file"]')
    folder = f'[templates]\npath = "{tmp_path}/templates"\n'
    service = Service(tmp_path, channel(receiver, *keys), extra=folder)
    service.environ = {"SIGNING": SIGNING_SECRET}
    assert service.run("check").returncode == 0
    service.start()
    try:
        assert service.post(sample("create-file")) == 204
        assert waits_for(receiver, 1) == [{"event_type": "penpot", "file": "Pricing page"}]
        preview = service.run("preview", "create-file", "--channel", "pipeline").stdout
        assert json.loads(preview) == receiver.documents[0]
    finally:
        service.end()
    template.write_text('{"file": "{{ fil.name }}"}')
    outcome = service.run("check")
    assert outcome.returncode == 1
    assert "deploy.json.j2" in outcome.stdout + outcome.stderr
    assert "'fil' is undefined" in outcome.stdout + outcome.stderr
    template.unlink()
    outcome = service.run("check")
    missing = "deploy.json.j2: there is no such template, the body of acme/pipeline"
    assert missing in outcome.stdout + outcome.stderr


# The guide's consumer

(CONSUMER,) = re.findall(r"^```python\n(.*?)^```$", OPERATOR, re.M | re.S)
PORT = "9000"


@pytest.fixture
def consumer(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Its URL, and what it prints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program, output = tmp_path / "consumer.py", tmp_path / "consumer.out"
    assert PORT in CONSUMER
    program.write_text(CONSUMER.replace(PORT, str(port)))
    with output.open("w") as stream:
        running = subprocess.Popen(
            [sys.executable, str(program)],
            env={"PIPELINE_SECRET": SIGNING_SECRET},
            stdout=stream,
            stderr=subprocess.DEVNULL,
        )
    try:
        wait_until(lambda: is_open(port), 20)
        yield f"http://localhost:{port}/penpot", output
    finally:
        running.kill()
        running.wait()


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("localhost", port)) == 0


def test_the_guides_consumer_has_15_lines() -> None:
    assert len([line for line in CONSUMER.splitlines() if line]) == 15


@pytest.mark.anyio
async def test_the_guides_consumer_accepts_signed_documents_once(
    consumer: tuple[str, Path],
) -> None:
    url, output = consumer
    async with opened(webhook(url)) as channel:
        for key in ("key-1", "key-1", "key-2"):
            await channel.send(MESSAGE, key)
    async with opened(webhook(url, "whsec_" + "A" * 32)) as channel:
        with pytest.raises(RetryLater, match="answered 401"):
            await channel.send(MESSAGE, "key-3")
    line = f"{MESSAGE.event} {MESSAGE.title} {MESSAGE.url}\n"
    assert output.read_text() == line * 2
