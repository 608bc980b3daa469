"""The messages about an event: pings, direct messages, and what each channel may show."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relay.channels import override_formats
from relay.channels.email.message import mail_address
from relay.config.settings import AnyChannel, Config, PersonSettings
from relay.delivery.changes import renderer_of
from relay.delivery.renderer import (
    EventRenderer,
    MessageOptions,
    RenderContext,
    mentions_to_ping,
    participants_to_notify,
)
from relay.messages import sandbox as cell
from relay.messages.document import parse, to_text
from relay.messages.message import Author, Mention, Message
from relay.messages.templates import Templates
from relay.penpot.events import Event, normalize
from relay.penpot.events import Person as Profile
from tests.delivery.examples import enriched, example
from tests.delivery.renders import (
    ADA,
    AS_SENDER,
    DIRECT,
    GRACE,
    MAIL,
    MATRIX,
    SLACK,
    by_member,
    channel,
    rendered,
    rendered_change,
    rendered_with,
)

pytestmark = pytest.mark.anyio


async def test_mentioned_people_are_pinged_at_their_addresses_from_the_config() -> None:
    event = example("create-comment-thread")
    by_mail = {"grace@example.com": {"slack": "U0GRACE", "matrix": "@grace:m", "email": "g@h.com"}}

    (message,) = await rendered(event, by_mail, **SLACK)
    (other,) = await rendered(event, {GRACE: {"matrix": "@grace:m"}}, **MATRIX)

    addresses = {"slack": "U0GRACE", "matrix": "@grace:m", "email": "g@h.com"}
    assert message.mentions == (Mention(GRACE, "Grace Hopper", "grace@example.com", addresses),)
    assert [person.address("matrix") for person in other.mentions] == ["@grace:m"]
    assert mail_address(other.mentions[0]) == "grace@example.com"
    assert f"penpot-profile:{GRACE}" in message.content.body
    assert message.to is None


async def test_nobody_pings_themselves() -> None:
    event = example("create-comment-thread")
    alone = replace(event, comment=replace(event.comment, mentions=(Profile(ADA, "Ada"),)))

    (message,) = await rendered(alone, **SLACK)

    assert event.actor.id == ADA
    assert message.mentions == ()
    assert await rendered(alone, **DIRECT) == []


async def test_only_the_people_whom_penpot_lists_are_pinged() -> None:
    body = {
        "name": "create-comment-thread",
        "props": {"content": f"@[Grace]({GRACE}) @Grace", "mentions": [], "ownerId": ADA},
    }

    (message,) = await rendered(normalize(body), **SLACK)

    assert message.mentions == ()


async def test_each_mentioned_person_gets_a_direct_message() -> None:
    event = example("create-comment-thread")
    two = (*event.comment.mentions, Profile("b" * 8, "Bob", email="Bob@Example.com"))
    event = replace(event, comment=replace(event.comment, mentions=two))

    messages = await rendered(event, {"bob@example.com": {"slack": "U0BOB"}}, **DIRECT)

    assert [
        (message.to.name, message.to.address("slack")) for message in messages if message.to
    ] == [
        ("Grace Hopper", ""),
        ("Bob", "U0BOB"),
    ]
    assert all(message.mentions == () for message in messages)
    assert await rendered(example("create-comment"), **DIRECT) == []


async def test_a_mentioned_person_gets_a_mail_beside_that_of_the_channel() -> None:
    event = example("create-comment-thread")
    people = (
        *event.comment.mentions,
        Profile("b" * 8, "Bob", email="A@b.c"),  # gets the channel's mail
        Profile("c" * 8, "Cleo", email="Cleo@b.c"),
        Profile("d" * 8, "Cleo again", email="cleo@b.c"),
        Profile("e" * 8, "Dan"),
        Profile("f" * 8, "Eve"),
    )
    event = replace(event, comment=replace(event.comment, mentions=people))
    addresses = {GRACE: {"email": "grace@home.example"}}

    one, *others = await rendered(event, addresses, **MAIL, mention_by_mail=True)
    assert (one.to, one.title) == (None, "Ada Lovelace commented on Landing page")
    assert [message.to and message.to.name for message in others] == [
        "Grace Hopper",
        "Cleo again",
        "Dan",
        "Eve",
    ]
    mail = others[0]
    assert mail.title == "Ada Lovelace mentioned you on Landing page"
    assert mail.notice.startswith("Ada Lovelace mentioned you on Landing page: @Grace Hopper ")
    assert mail.full.body.startswith("**Ada Lovelace** mentioned you on")
    assert (mail.subject, mail.thread, mail.entry) == (one.subject, one.thread, "")
    assert [message.to for message in await rendered(event, addresses, **MAIL)] == [None]


async def test_a_person_gets_one_mail_where_several_channels_send_them() -> None:
    renderer = EventRenderer(
        RenderContext(
            Templates(),
            example("create-comment-thread"),
            "acme",
            [Mention(GRACE, "Grace", "grace@example.com")],
            "",
        )
    )
    settings = MAIL | {"mention_by_mail": True}
    for _ in range(2):  # as often as it is asked
        names = [
            len(await renderer.messages(channel(**settings | {"name": name}))) for name in "ab"
        ]
        assert names == [2, 1]


async def test_a_reply_has_a_brief_form_for_its_thread() -> None:
    (threaded,) = await rendered(example("create-comment"), **MATRIX)
    (flat,) = await rendered(example("create-comment"), **MATRIX, threads=False)
    (mail,) = await rendered(example("create-comment"), **MAIL)
    (first,) = await rendered(example("create-comment-thread"), **MATRIX)

    assert threaded.content.body == flat.content.body
    assert "Landing page" in threaded.content.body
    short = threaded.in_thread()
    assert "Landing page" not in short.content.body
    assert "contrast is 7" in short.content.body
    assert short.content.footer == ""
    assert flat.reply is mail.reply is first.reply is None


async def test_a_template_for_one_channel_has_a_brief_form_as_well(tmp_path: Path) -> None:
    (tmp_path / "create-comment.matrix.html.j2").write_text(
        "{{ actor }}{% if not thread.begun %} on {{ file }}{% endif %}"
    )
    templates = Templates(tmp_path, override_formats())
    renderer = EventRenderer(RenderContext(templates, example("create-comment"), "acme"))
    (threaded,) = await renderer.messages(channel(**MATRIX))
    templates.close()

    message = Message.loads(threaded.message)
    assert message.content.override == "Grace Hopper on Landing page"
    assert message.in_thread().content.override == "Grace Hopper"


async def test_a_resolved_thread_is_marked() -> None:
    event = example("create-comment")
    resolved = replace(event, thread=replace(event.thread, resolved=True))

    (message,) = await rendered(resolved, **MATRIX)

    assert "✅ resolved" in message.content.body
    assert "✅ resolved" in message.in_thread().content.body
    assert "✅" not in (await rendered(event, **MATRIX))[0].content.body
    (plain,) = await rendered(resolved, **MATRIX, emoji=False)
    assert "✓ resolved" in plain.content.body


async def test_mail_addresses_are_shown_only_with_share_emails(tmp_path: Path) -> None:
    (tmp_path / "create-comment-thread.md.j2").write_text(
        "{{ actor.email or 'none' }} {{ event.props.ownerEmail | default('none') }}"
        "{% for person in comment.mentions %} {{ person }} {{ person.email }}{% endfor %}"
    )
    event = example("create-comment-thread")
    assert event.actor.email == "ada@example.com"
    renderer = EventRenderer(RenderContext(Templates(tmp_path, override_formats()), event, "acme"))

    shown, hidden = [
        Message.loads(row.message).title
        for share in (True, False)
        for row in await renderer.messages(channel(**MATRIX, share_emails=share))
    ]

    assert "ada@example.com" in shown
    assert "grace@example.com" in shown
    assert shown.count("ada@") == 2
    assert "Grace Hopper" in hidden
    assert "@" not in hidden


@pytest.mark.parametrize(
    ("name", "activity"),
    [("create-comment-thread", False), ("create-comment", False), ("rename-file", True)],
)
async def test_activity_is_what_is_no_comment(name: str, activity: bool) -> None:
    (message,) = await rendered(example(name), **MATRIX)
    assert message.activity == activity


async def test_pictures_are_sent_only_with_thumbnails() -> None:
    event = example("create-comment")

    (with_one,) = await rendered(event, picture="m1", **MAIL, thumbnails=True)
    (without,) = await rendered(event, picture="m1", **MAIL)

    assert (with_one.picture, without.picture) == ("m1", "")
    assert with_one.file == "Landing page"


async def test_each_variant_is_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[str] = []
    render = Templates.render

    def counted(self: Templates, name: str, *values: Any, **named: Any) -> Any:
        kinds.append(named["channel_kind"])
        return render(self, name, *values, **named)

    monkeypatch.setattr(Templates, "render", counted)
    renderer = EventRenderer(RenderContext(Templates(), example("create-file"), "acme"))

    for settings in (SLACK, SLACK, MATRIX, DIRECT, SLACK | {"share_emails": True}):
        await renderer.messages(channel(**settings))

    assert kinds == ["slack", "matrix", "slack"]


@pytest.mark.parametrize(
    ("locales", "renderings"),
    [
        ([("es", "Europe/Madrid")], 2),  # in the channel, and in the thread
        ([("es", "Europe/Madrid"), ("de", "Europe/Madrid")], 4),
        ([("es", "Europe/Madrid"), ("es", "Asia/Tokyo"), ("fr", "UTC")], 6),
    ],
)
async def test_channels_that_share_language_zone_and_form_share_a_rendering(
    locales: list[tuple[str, str]], renderings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered_in: list[tuple[str, str]] = []
    render = Templates.render

    def counted(self: Templates, *values: Any, **named: Any) -> Any:
        rendered_in.append(named["locale"])
        return render(self, *values, **named)

    monkeypatch.setattr(Templates, "render", counted)
    config = Config.model_validate(
        {
            "teams": {
                "acme": {
                    "secret": "x" * 24,
                    "channels": [
                        SLACK | {"name": f"c{number}", "language": language, "timezone": zone}
                        for number in range(16)
                        for language, zone in [locales[number % len(locales)]]
                    ],
                }
            }
        }
    )
    renderer = renderer_of(Templates(), example("create-comment"), "acme", config)
    for settings in config.teams["acme"].channels:
        (message,) = await renderer.messages(settings)
        assert Message.loads(message.message).language == settings.language

    assert len(rendered_in) == renderings
    assert set(rendered_in) == set(locales)


async def test_a_slow_user_template_does_not_block_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell, "TEMPLATE_TIMEOUT", 1.0)
    (tmp_path / "create-file.md.j2").write_text("{{ 10 ** (10 ** 8) }}")
    templates = Templates(tmp_path, override_formats())
    renderer = EventRenderer(RenderContext(templates, example("create-file"), "acme"))
    gaps = []

    async def tick() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.01)
            gaps.append(time.monotonic() - last)
            last = time.monotonic()

    ticking = asyncio.create_task(tick())
    started = time.monotonic()
    (message,) = await renderer.messages(channel(**SLACK))
    took = time.monotonic() - started
    ticking.cancel()
    templates.close()

    assert "created the file" in Message.loads(message.message).content.body
    assert [problem.text for problem in renderer.problems] == ["takes longer than 1 s"]
    assert took > 1.0
    assert max(gaps) < 0.8


def test_a_person_may_be_named_by_profile_or_address() -> None:
    config = Config.model_validate(
        {
            "people": {
                GRACE.upper(): {"slack": "U0GRACE"},
                "Ada@Example.com": {"slack": "U0ADA"},
            },
            "teams": {"acme": {"secret": "x" * 24}},
        }
    )
    event = enriched({"name": "create-comment", "props": {"mentions": [GRACE, ADA]}})

    assert [person.address("slack") for person in mentions_to_ping(event, config.people)] == [
        "U0ADA",
        "U0GRACE",
    ]


async def test_the_first_message_has_its_picture_unless_it_is_resolved() -> None:
    settings: dict[str, Any] = SLACK | {"thumbnails": True, "picture": "m1"}
    _, resolved = await rendered_change(example("resolve-comment-thread"), **settings)
    _, reopened = await rendered_change(example("reopen-comment-thread"), **settings)
    (gone,) = await rendered_change(example("delete-comment"), **settings)

    assert (resolved.picture, reopened.picture, gone.picture) == ("", "m1", "")


async def test_a_thread_has_one_picture_also_where_messages_form_no_threads() -> None:
    settings = SLACK | {"thumbnails": True, "threads": False}
    for name, picture in (("create-comment-thread", "m1"), ("create-comment", "")):
        renderer = EventRenderer(RenderContext(Templates(), example(name), "acme", (), "m1"))
        (message,) = await renderer.messages(channel(**settings))
        assert Message.loads(message.message).picture == picture


async def test_a_direct_message_says_who_mentioned_the_person() -> None:
    event = example("create-comment-thread")
    people = mentions_to_ping(event, {})
    renderer = EventRenderer(RenderContext(Templates(), event, "acme", people))
    direct = {key: value for key, value in SLACK.items() if key != "channel"}
    (message,) = await renderer.messages(channel(**direct, direct="mentioned"))
    assert Message.loads(message.message).title == "Ada Lovelace mentioned you on Landing page"


async def test_involved_people_get_one_message_each() -> None:
    known = example("create-comment")
    lin = Profile("6eaf5050-5d0e-81a4-8006-9a5f00000009", "Lin")
    mentioned, author = Profile("bob", "Bob"), known.comment.author
    comment = replace(known.comment, mentions=(mentioned, author))
    event = replace(known, comment=comment, participants=(author, lin, mentioned))
    people = {lin.id: PersonSettings({"slack": "U0LIN"})}
    others = participants_to_notify(event, people)
    pinged = mentions_to_ping(event, people)
    renderer = EventRenderer(
        RenderContext(Templates(), event, "acme", pinged, "", participants=others)
    )
    direct = {"type": "slack", "token": "t", "direct": "involved"}
    messages = [Message.loads(row.message) for row in await renderer.messages(channel(**direct))]
    name = author.name
    assert [
        (message.to and message.to.id, message.title.split(" on ")[0]) for message in messages
    ] == [
        ("bob", f"{name} mentioned you"),
        (lin.id, f"{name} replied"),
    ]
    assert messages[1].to is not None
    assert messages[1].to.address("slack") == "U0LIN"
    assert [message.mentioned for message in messages] == [True, False]
    assert len(await renderer.messages(channel(**DIRECT))) == 1
    begun = replace(event, name="create-comment-thread")
    assert participants_to_notify(begun, people) == ()


def test_who_is_muted_gets_no_ping_and_no_message() -> None:
    event = replace(
        example("create-comment"),
        comment=replace(
            example("create-comment").comment,
            mentions=(Profile(ADA, "Ada", email="Ada@example.com"), Profile("a" * 8, "Bob")),
        ),
        participants=(Profile("p", "Lin"),),
    )
    muted = PersonSettings({}, mute=True)
    addressed = PersonSettings({"slack": "U0ADA"})
    people = {ADA: addressed, "ada@example.com": muted, "a" * 8: muted, "p": muted}
    assert mentions_to_ping(event, people) == participants_to_notify(event, people) == ()
    people = {ADA: addressed, "ada@example.com": PersonSettings({})}
    ada, bob = mentions_to_ping(event, people)
    assert (ada.addresses, bob.addresses) == ({"slack": "U0ADA"}, {})


async def test_the_teams_name_is_shown_where_another_team_posts_to_the_same_place() -> None:
    event = example("create-comment-thread")

    def options_of(channel: AnyChannel) -> MessageOptions:
        return MessageOptions.of(channel, several_teams=channel.name == "shared")

    renderer = EventRenderer(RenderContext(Templates(), event, "acme", (), "", options_of))
    footers = {
        name: (await renderer.compose(channel(**SLACK | {"name": name}))).content.footer
        for name in ("shared", "own")
    }
    assert footers == {"shared": "Website Redesign · acme", "own": "Website Redesign"}


async def test_a_comment_has_a_second_form_for_its_author_as_sender(tmp_path: Path) -> None:
    (message,) = await rendered_with(tmp_path, by_member("create-comment"), **AS_SENDER)

    author = message.author
    assert isinstance(author, Author)
    assert (author.name, author.email) == ("Grace Hopper", "grace@example.com")
    assert message.content.body == "WHO no"
    assert message.in_thread().content.body == "WHO yes"
    assert message.by_author().content.body == "PLACE no"
    assert message.in_thread().by_author().content.body == "PLACE yes"


@pytest.mark.parametrize(
    ("event", "settings"),
    [
        (example("create-comment"), AS_SENDER),  # the list of members does not have them
        (by_member("create-comment"), SLACK),
        (by_member("create-comment"), MATRIX),
        (by_member("create-file"), AS_SENDER),
        (by_member("update-comment"), AS_SENDER | {"edits": "messages"}),
    ],
)
async def test_other_messages_are_the_channels_own(
    tmp_path: Path, event: Event, settings: dict[str, Any]
) -> None:
    for message in await rendered_with(tmp_path, event, **settings):
        assert message.author is None
        assert message.by_author() is message


async def test_the_words_of_a_sender_are_not_introduced() -> None:
    (first,) = await rendered(by_member("create-comment-thread"), **AS_SENDER)
    (reply,) = await rendered(by_member("create-comment"), **AS_SENDER)
    _, resolved = await rendered_change(by_member("resolve-comment-thread"), **AS_SENDER)
    (edited,) = await rendered_change(by_member("update-comment"), **AS_SENDER)

    def words(message: Message) -> str:
        return to_text(parse(message.by_author().content.body), links=False)

    assert words(first).startswith("Landing page · Home · #12")
    assert words(reply).startswith("Reply to “@Grace Hopper the headline")
    assert words(reply.in_thread()).startswith("Good catch. I put in")
    assert words(edited.in_thread()).endswith("\nedited")
    for message in (first, reply, edited, reply.in_thread(), edited.in_thread()):
        assert "commented" not in words(message)
        assert "replied" not in words(message)
    assert words(resolved).startswith("✅ Resolved · Landing page")
    assert "Ada Lovelace: " in words(resolved)
