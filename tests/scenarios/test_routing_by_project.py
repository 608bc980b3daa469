"""Routing by project, end to end: a real service with a stand-in Penpot and a stand-in Slack."""

import json
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.penpot.people import People
from tests.penpot.standin import TOKEN as PENPOT_TOKEN
from tests.penpot.standin import Fault, StandIn
from tests.servers.channels import slack_channel
from tests.servers.fixtures import RunningSlack
from tests.servers.postgres import Postgres
from tests.servers.slack_rules import rich_words
from tests.service import Service, wait_until


def test_a_thread_stays_in_its_channel_when_its_file_is_moved(
    tmp_path: Path, slack_server: RunningSlack
) -> None:
    slack = slack_server.slack
    with StandIn() as penpot:
        world = penpot.world
        acme, zoe = world.by_name("teams", "acme"), world.by_name("profiles", "zoe")
        landing, app = world.by_name("files", "landing"), world.by_name("projects", "app")
        channels = (
            slack_channel(slack_server.api_url, "website", projects=["website*"]),
            '[[teams.acme.channels]]\nname = "others"\ntype = "stdout"\nevents = ["*"]\n'
            'projects = ["!Website*"]\n',
            slack_channel(slack_server.api_url, "direct", direct="involved", events=["comments"]),
        )
        service = Service(
            tmp_path,
            f'team_id = "{acme}"\n[sync]\nenabled = false\n' + "".join(channels),
            penpot=f'url = "{penpot.url}"\naccess_token = "{PENPOT_TOKEN}"',
        )
        ada = People(world, landing, datetime.now(UTC))
        service.start()
        try:
            thread, begun = ada.begin("Is this the hero?")
            assert service.post(json.dumps(begun).encode()) == 204
            wait_until(lambda: len(slack.messages) == 1, 20)
            world.files[landing].project = app
            props = {"ids": [landing], "projectId": app}
            moved = {"name": "move-files", "props": props, "profileId": zoe}
            assert service.post(json.dumps(moved).encode()) == 204
            reply = People(world, landing, datetime.now(UTC), who=zoe).reply(thread, "Yes, it is.")
            assert service.post(json.dumps(reply).encode()) == 204
            _, other = People(world, landing, datetime.now(UTC)).begin("After the move")
            assert service.post(json.dumps(other).encode()) == 204
            wait_until(lambda: "After the move" in service.output.read_text(), 20)
            wait_until(lambda: len(slack.messages) == 3, 20)
        finally:
            service.stop()
        log = service.run("log").stdout

    posted = [message for message in slack.messages if not message["channel"].startswith("D")]
    (directly,) = [message for message in slack.messages if message not in posted]
    assert [message.get("thread_ts") is None for message in posted] == [True, False]
    assert "Yes, it is." in rich_words(posted[1]["blocks"])
    assert directly["channel"] == "D0ADA0000"
    assert rich_words(directly["blocks"]).startswith("Zoë Müller-O'Neill replied")
    output = service.output.read_text()
    assert "moved" in output
    assert "hero" not in output.split("After the move")[0]
    assert log.count("others (projects: !Website*)") == 2
    assert log.count("website (projects: no entry matches)") == 1


WAITING = "waiting: project not known yet"


def logs(service: Service, text: str, count: int = 1) -> bool:
    return service.run("log").stdout.count(text) == count


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_kills_lose_nothing_that_waits_for_penpot_and_it_is_skipped_after_15_minutes(
    tmp_path: Path, slack_server: RunningSlack, engine: str, request: pytest.FixtureRequest
) -> None:
    store = ""
    if engine == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        store = postgres.fresh()
    slack, offset = slack_server.slack, tmp_path / "offset"
    with StandIn() as penpot:
        world = penpot.world
        acme, landing = world.by_name("teams", "acme"), world.by_name("files", "landing")
        others = 'name = "others"\ntype = "stdout"\nprojects = ["!Website*"]\n'
        channels = (
            slack_channel(slack_server.api_url, "website", projects=["website*"]),
            f"[[teams.acme.channels]]\n{others}",
        )
        service = Service(
            tmp_path,
            f'team_id = "{acme}"\nalerts_to = "others"\n' + "".join(channels),
            extra="[sync]\nenabled = false",
            penpot=f'url = "{penpot.url}"\naccess_token = "{PENPOT_TOKEN}"',
            store=store,
        )
        service.command = [sys.executable, "-m", "tests.faults.clocked", str(offset)]
        ada = People(world, landing, datetime.now(UTC))
        penpot.faults["*"] = Fault(status=503)
        try:
            service.start()
            _, first = ada.begin("Is this the hero?")
            assert service.post(json.dumps(first).encode()) == 204
            for fault in (Fault(status=503), Fault(cut=True)):
                wait_until(partial(logs, service, WAITING, 2), 20)
                service.kill()
                penpot.faults["*"] = fault
                service.start()
            pages = [
                httpx.get(f"{service.admin}/inspector{path}").text for path in ("", "/events/1")
            ]
            assert [page.count("project not known yet") for page in pages] == [2, 2]
            assert WAITING in httpx.get(f"{service.admin}/inspector/teams/acme").text
            undecided = 'relay_queue_waiting{queue="acme/website",state="undecided"} 1.0'
            wait_until(lambda: undecided in httpx.get(f"{service.admin}/metrics").text, 30)
            assert slack.messages == []
            assert service.output.read_text() == ""
            penpot.faults.clear()
            service.kill()  # what pauses calls to Penpot
            service.start()
            wait_until(lambda: len(slack.messages) == 1, 30)
            wait_until(partial(logs, service, "skipped: projects: !Website*"), 20)

            penpot.faults["*"] = Fault(status=503)
            service.kill()
            service.start()
            other = world.by_name("files", "mark")
            ada = People(world, other, datetime.now(UTC))
            thread, second = ada.begin("Is this another?")
            assert service.post(json.dumps(second).encode()) == 204
            wait_until(partial(logs, service, WAITING, 2), 20)
            service.kill()
            offset.write_text("905")
            service.start()
            reason = "skipped: project not known yet: Penpot did not answer for 15 minutes"
            wait_until(partial(logs, service, reason, 2), 30)
            wait_until(lambda: service.output.read_text().count("needs a name") == 2, 20)
            penpot.faults.clear()
            service.kill()
            service.start()
            assert service.post(json.dumps(ada.reply(thread, "Answered")).encode()) == 204
            wait_until(partial(logs, service, "skipped: its thread is not there"), 30)
        finally:
            service.end()
    assert len(slack.messages) == 1
    assert "hero" in rich_words(slack.messages[0]["blocks"])
    assert "another" not in service.output.read_text()
