"""People, names and threads, end to end: a real service that asks a stand-in Penpot, and what a
colleague then sees in Slack, in a Matrix room and in a mailbox."""

from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

from tests.channels.email.parts import text_of
from tests.penpot import own
from tests.penpot.paint import board
from tests.penpot.standin import TOKEN as PENPOT_TOKEN
from tests.penpot.standin import StandIn
from tests.penpot.story import prepare, replies
from tests.servers.channels import mail_channel, matrix_channel, slack_channel
from tests.servers.fixtures import RunningSlack
from tests.servers.slack_rules import rich_words
from tests.servers.smtp import MailServer
from tests.servers.synapse import Synapse
from tests.service import Service, wait_until


def test_a_comment_thread_in_each_channel(
    tmp_path: Path,
    slack_server: RunningSlack,
    synapse: Synapse,
    mail_server: Callable[..., MailServer],
) -> None:
    ada, bot = synapse.register("ada"), synapse.register("bot")
    room = ada.create_room(invite=(bot.id,))
    mail = mail_server()
    slack = slack_server.slack
    with StandIn() as penpot:
        prepare(penpot.world)
        people = (
            f'[people]\n"ada@example.com" = {{ matrix = "{ada.id}", email = "ada@home.example" }}\n'
        )
        channels = (
            slack_channel(slack_server.api_url, thumbnails=True),
            slack_channel(slack_server.api_url, "direct", direct="mentioned"),
            matrix_channel(synapse, bot, room, thumbnails=True),
            mail_channel(mail, mention_by_mail=True, thumbnails=True),
        )
        # its thread is resolved before it begins, which the sync reports after ten seconds
        sync = "[sync]\nenabled = false\n"
        team_id = f'team_id = "{penpot.world.by_name("teams", "acme")}"\n'
        service = Service(
            tmp_path,
            team_id + sync + people + "".join(channels),
            penpot=f'url = "{penpot.url}"\naccess_token = "{PENPOT_TOKEN}"',
        )
        service.start()
        try:
            for body in replies(penpot.world):
                assert service.post(body) == 204
            wait_until(
                lambda: (
                    (len(slack.messages), len(ada.messages(room)), len(mail.mails)) == (4, 3, 4)
                ),
                20,
            )
        finally:
            service.stop()
        log = service.run("log").stdout

    directly = [message for message in slack.messages if message["channel"].startswith("D")]
    posted = [message for message in slack.messages if message not in directly]
    first, *later = [rich_words(message["blocks"]) for message in posted]
    begin = "Zoë Müller-O'Neill replied to “The button is hard to see on the photo…”"
    assert f"{begin} on Landing page · Home · #15" in first
    assert "✅ resolved" in first
    assert "<U0ADA0000>, please look again." in first
    assert later == [
        "Ada Lovelace replied · ✅ resolvedMuch better, thank you!",
        "Guest Reviewer replied · ✅ resolvedGood, I take it over into the mobile page.",
    ]
    roots = [message.get("thread_ts") for message in posted]
    assert roots[0] is None
    assert roots[1] == roots[2]
    assert roots[1] in slack.posted
    kinds = [[block["type"] for block in message["blocks"]] for message in posted]
    assert [types.count("image") for types in kinds] == [1, 0, 0]
    assert slack.files[next(iter(slack.complete))] == board()
    assert slack.calls.count("users.lookupByEmail") <= 2
    assert [message["channel"] for message in directly] == ["D0ADA0000"]

    events = ada.messages(room)
    assert [event["content"]["m.mentions"] for event in events] == [
        {"user_ids": [ada.id]},
        {},
        {},
    ]
    assert "<img src=" in events[0]["content"]["formatted_body"]
    assert {event["content"].get("m.relates_to", {}).get("event_id") for event in events[1:]} == {
        events[0]["event_id"]
    }
    assert len(ada.pings()) == 1
    mails = [message.parsed() for message in mail.mails]
    channel, person = "design@example.com", "Ada Lovelace <ada@home.example>"
    assert [message["To"] for message in mails] == [channel, person, channel, channel]
    assert [message["In-Reply-To"] for message in mails[1:]] == [
        mails[0]["Message-ID"],
        mails[0]["Message-ID"],
        mails[2]["Message-ID"],
    ]
    assert {message["Subject"] for message in mails[1:]} == {f"Re: {mails[0]['Subject']}"}
    assert {message["References"].split()[0] for message in mails} == {mails[0]["References"]}
    assert "mentioned you on Landing page · Home · #15" in text_of(mails[1])
    assert [has_picture(message) for message in mails] == [True, True, False, False]
    assert log.count("nobody is mentioned") == 2
    assert PENPOT_TOKEN not in service.log.read_text()


FACE = "https://avatars.slack-edge.com/2026-01-30/4703448917447_873b33c8a4d1_72.jpg"


def test_comments_of_the_teams_members_are_their_own_in_slack(
    tmp_path: Path, slack_server: RunningSlack
) -> None:
    slack = slack_server.slack
    slack.user = {"profile": {"image_72": FACE}}
    with StandIn() as penpot:
        service = Service(
            tmp_path,
            f'team_id = "{penpot.world.by_name("teams", "acme")}"\n'
            + slack_channel(slack_server.api_url, author_as_sender=True, pace=6000),
            penpot=f'url = "{penpot.url}"\naccess_token = "{PENPOT_TOKEN}"',
        )
        service.start()
        try:
            stranger = own.REPLY.replace(own.ZOE.encode(), b"11111111-2222-4333-8444-555555555555")
            stranger = stranger.replace(b"c0000003-", b"c0000004-")  # another comment
            for body in (own.THREAD, own.REPLY, stranger):
                assert service.post(body) == 204
            wait_until(lambda: len(slack.messages) == 3, 20)
            posted = [sender_of(message) for message in slack.messages]
            for body in (
                own.thread("resolve-comment-thread", isResolved=True),
                own.reply("delete-comment"),
            ):
                assert service.post(body) == 204
            wait_until(lambda: slack.calls.count("chat.update") == 2, 20)
        finally:
            service.stop()

    ada = ("Ada Lovelace · Penpot", FACE)
    zoe = ("Zoë Müller-O'Neill · Penpot", None)  # Slack does not know her address
    assert posted == [ada, zoe, (None, None)]
    first, reply, other = (rich_words(message["blocks"]) for message in slack.messages[:3])
    assert first == "Landing page · Page 1 · #15The hero spacing looks off on mobile."
    assert reply == "Fixed, please look again."
    assert other.startswith("Zoë Müller-O'Neill replied")
    shown = list(slack.shown.values())
    assert [sender_of(message) for message in shown] == [*posted, (None, None)]
    assert "deleted" in rich_words(shown[1]["blocks"])


def sender_of(message: dict[str, str]) -> tuple[str | None, str | None]:
    return message.get("username"), message.get("icon_url")


def has_picture(mail: EmailMessage) -> bool:
    return any(part.get_content_type() == "image/png" for part in mail.walk())
