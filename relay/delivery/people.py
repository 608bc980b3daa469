"""The mentioned people of an event, with their addresses from the config."""

from collections.abc import Mapping

from relay.config import PersonSettings
from relay.messages.message import Mention
from relay.penpot.events import Event


def mentions_to_ping(event: Event, people: Mapping[str, PersonSettings]) -> tuple[Mention, ...]:
    """The people whom Penpot lists as mentioned in an enriched event, without the comment's author
    and the actor. ``people`` is the config's, by mail address or profile id, in lower case."""
    mentions = []
    for person in event.comment.mentions:
        if person.id in (event.actor.id, event.comment.author.id):
            continue
        settings = people.get(person.id) or people.get(person.email.lower()) or PersonSettings()
        mentions.append(
            Mention(
                id=person.id,
                name=person.name,
                email=person.email,
                slack=settings.slack,
                matrix=settings.matrix,
                mail=settings.email or person.email,
            )
        )
    return tuple(mentions)
