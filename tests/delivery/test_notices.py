"""Messages about Relay itself, from templates that users can replace."""

import re
from pathlib import Path

import pytest

from relay.channels.slack.blocks import full_text
from relay.delivery.notices import NOTICES, NoticeRenderer, notice_samples
from relay.messages.message import Message
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.reference import describe_event, list_events

pytestmark = pytest.mark.anyio


def rendered(name: str) -> Message:
    sample = next(sample for sample in notice_samples() if sample["event"]["name"] == name)
    result = Templates().render(name, sample, team="acme", channel_kind="")
    assert result.problems == ()
    return result.message


@pytest.mark.parametrize(
    ("name", "title", "body"),
    [
        (
            "queue-stopped",
            "Messages to design have stopped",
            "⚠️ Messages to **design** have stopped: the bot is not in \\#design "
            "(not\\_in\\_channel). They wait and are sent once this is fixed.",
        ),
        (
            "queue-running",
            "Messages to design are sent again",
            "✅ Messages to **design** are sent again.",
        ),
        (
            "messages-dead",
            "2 messages to design could not be delivered",
            "⚠️ **2 messages** to **design** could not be delivered. The last one: the message is "
            "too long (msg\\_too\\_long). `relay log --state dead` and the inspector list what is "
            "dead: resend or dismiss it there.",
        ),
        (
            "messages-skipped",
            "Messages to design are skipped",
            "⚠️ Messages to **design** are skipped: project not known yet. A filter of the channel "
            "needs a name from Penpot, which did not answer for 15 minutes; `relay doctor` checks "
            "whether it does. `relay log --state skipped` and the inspector list the messages: "
            "send again what belongs there.",
        ),
        (
            "webhook-switched-on",
            "Penpot's webhook was off and is on again",
            "🔌 Penpot's webhook was **off** and is **on** again. It was off because "
            "Relay did not answer in time. Comments that were missed follow.",
        ),
        (
            "webhook-listed-twice",
            "More than one Penpot team lists this team's webhook",
            "⚠️ More than one Penpot team lists **this team's webhook**: events of the others "
            "arrive here too. Relay reads only the team that it found first. `relay doctor` names "
            "the teams: remove the webhook from the others, or set `team_id`.",
        ),
        (
            "disk-full",
            "Relay refuses events of this team",
            "⚠️ Relay **refuses events** of this team: they have used up its share of the disk "
            "(500 MB). Set a larger `max_disk`, or a shorter retention. Comments that were missed "
            "follow if Relay has an access token; other events are lost.",
        ),
        (
            "test",
            "A test from Relay",
            "A test from **Relay**\n\nMessages about the Penpot team **Acme** will look like "
            "this one.\n\n> A comment would be quoted here.",
        ),
    ],
)
def test_the_built_in_texts(name: str, title: str, body: str) -> None:
    message = rendered(name)
    # a link, where Penpot's address is known, and the time
    footer = r"Open Penpot · \[today \d+\\:\d\d UTC\]\(<relay-time:\d+>\)" if name == "test" else ""

    assert (message.title, message.full.body) == (title, body)
    assert re.fullmatch(footer, message.full.footer)
    assert (message.event, message.team, message.at[-1:]) == (name, "acme", "Z")


@pytest.mark.parametrize("name", NOTICES)
def test_where_only_text_is_shown_it_says_its_title_once(name: str) -> None:
    message = rendered(name)
    text = full_text(message)
    title, _, words = text.partition("\n\n")
    assert title == message.title
    assert title not in words
    assert bool(words) == (name not in ("queue-running", "activity"))


async def test_a_user_template_replaces_the_text(tmp_path: Path) -> None:
    (tmp_path / "queue-stopped.md.j2").write_text("{{ queue.name }} steht: {{ problem.reason }}")
    templates = Templates(tmp_path)
    problem = {"detail": "", "reason": "*gone*"}
    notice = await NoticeRenderer(templates, Metrics()).render(
        "queue-stopped", "acme", queue={"name": "a"}, problem=problem
    )
    templates.close()

    assert notice.full.body == "a steht: \\*gone\\*"


async def test_a_failing_user_template_costs_no_notice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "queue-running.md.j2").write_text("{{ queue.nme }}")
    templates, metrics = Templates(tmp_path), Metrics()
    notice = await NoticeRenderer(templates, metrics).render(
        "queue-running", "acme", queue={"name": "a"}
    )
    templates.close()

    assert notice.full.body == "✅ Messages to **a** are sent again."
    assert "queue-running.md.j2:1" in caplog.text
    assert b"queue-running.md.j2" in metrics.text()


@pytest.mark.parametrize("name", NOTICES)
def test_events_documents_notices(name: str) -> None:
    text = describe_event(name)
    for variable in ("event", "team", *NOTICES[name].variables):
        assert f"\n  {variable} " in text
    assert f" {name} " in list_events()


async def test_an_alert_names_its_team_in_the_subject() -> None:
    notices = NoticeRenderer(Templates(), Metrics(), {"acme": "Acme Design"})
    notice = await notices.render("queue-running", "acme", queue={"name": "a"})
    assert notice.subject == "[Acme Design] Messages to a are sent again"
