"""What channels share that show a message as plain text."""

from relay.channels.plain import footer_texts, words_in
from relay.messages.document import parse
from relay.messages.message import Message


def test_a_footer_is_its_texts_without_the_link_to_the_subject() -> None:
    footer = parse("Website · Acme · [Open](https://penpot.example/) · [Help](https://x.example/)")
    assert footer_texts(Message("T", url="https://penpot.example/"), footer) == [
        "Website",
        "Acme",
        "Help",
    ]
    assert footer_texts(Message("T"), footer)[2:] == ["Open", "Help"]
    assert footer_texts(Message("T"), ()) == []


def test_words_have_neither_case_nor_punctuation() -> None:
    assert words_in("Ada: Größe, ADA!") == {"ada", "grösse"}
    assert words_in("👍 …") == set()
