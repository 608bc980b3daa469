"""Whom to ping: the people that a comment mentions, and where the config says they are found."""

from collections.abc import Mapping

from relay.config import PersonSettings
from relay.messages.message import Mention
from relay.penpot.events import Event


def pinged(event: Event, people: Mapping[str, PersonSettings]) -> tuple[Mention, ...]:
    """Who is to be pinged about an event, which has the names that are known: those that Penpot
    names as mentioned, and never who wrote it or did it. ``people`` is the config's, by mail
    address or profile id, in lower case."""
    found = []
    for person in event.comment.mentions:
        if person.id in (event.actor.id, event.comment.author.id):
            continue
        places = people.get(person.id) or people.get(person.email.lower()) or PersonSettings()
        found.append(
            Mention(
                id=person.id,
                name=person.name,
                email=person.email,
                slack=places.slack,
                matrix=places.matrix,
                mail=places.email or person.email,
            )
        )
    return tuple(found)
