"""The stored form of a message."""

from relay.messages.message import Content, Mention, Message

ZOE = "6eaf5050-5d0e-81a4-8006-9a5f00000001"
ADA = "6eaf5050-5d0e-81a4-8006-9a5f00000002"


def test_dumps_and_loads_a_message() -> None:
    message = Message(
        "Title",
        Content("Body"),
        reply=Content("Short"),
        mentions=(Mention(ADA, "Ada", "ada@example.com", {"slack": "U1", "email": "a@x"}),),
        to=Mention(ZOE),
        picture="p",
        file="F",
    )

    assert Message.loads(message.dumps()) == message
    assert Message.loads('{"title": "old"}') == Message("old", Content(""))
    assert Message.loads('{"title": "new", "smell": "roses"}') == Message("new", Content(""))
    assert (message.in_thread().content.body, message.in_thread().picture) == ("Short", "")
    assert Message("a", Content("b")).in_thread().content == Content("b")
