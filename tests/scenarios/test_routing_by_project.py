"""Routing by project, end to end: a real service with a stand-in Penpot and a stand-in Slack."""

import json
from datetime import UTC, datetime
from pathlib import Path

from tests.penpot.people import People
from tests.penpot.standin import TOKEN as PENPOT_TOKEN
from tests.penpot.standin import StandIn
from tests.servers.channels import slack_channel
from tests.servers.fixtures import RunningSlack
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
    assert log.count("website (projects: no entry matches)") == 2
