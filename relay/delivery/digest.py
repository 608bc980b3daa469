"""Digests: combines the waiting messages of a queue that is behind."""

import logging
import sys
import uuid
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from relay.channels.base import Permanent
from relay.delivery.notices import NoticeRenderer, notice_variables
from relay.messages.document import Document, Heading, Paragraph, Text, leaf_blocks, length, parse
from relay.messages.escape import Markdown, escape
from relay.messages.message import Message
from relay.messages.templates import RenderResult, Templates
from relay.messages.turns import CONVERSIONS
from relay.store.base import Store
from relay.store.records import Delivery

log = logging.getLogger(__name__)

READ_BATCH_SIZE = 32  # deliveries
MAX_DIGEST_SIZE = 20  # messages
MAX_TEXT_LENGTH = 2400
"""Visible characters; chats allow about 3,000."""
MAX_MARKDOWN_LENGTH = 4500  # characters of Markdown, with the addresses of links
MAX_STRUCTURE_LENGTH = 9500
"""Characters of text, addresses and markup; Slack's JSON may have about 11,000."""
_BLOCK_LENGTH, _INLINE_LENGTH = 100, 75  # characters of JSON around each


class DigestPlanner:
    """Which waiting deliveries of one queue form its next digest."""

    def __init__(self, queue: str, digest_after: int, store: Store) -> None:
        self._team = queue.partition("/")[0]
        self._digest_after = digest_after
        self._store = store
        self._unbundled: frozenset[int] = frozenset()

    @property
    def batch_size(self) -> int:
        """Deliveries to read at once: one more than ``digest_after`` shows that a digest is due."""
        after = self._digest_after
        return READ_BATCH_SIZE if after == sys.maxsize else max(READ_BATCH_SIZE, after + 1)

    async def members(
        self, batch: Sequence[Delivery], *, is_first_uncertain: bool
    ) -> list[Delivery]:
        """The deliveries of the next digest, which is stored before it is sent, or the single
        delivery that has to go before it; empty where no digest is due. ``is_first_uncertain``:
        the first may have been sent."""
        if not batch:
            return []
        if batch[0].digest:
            return [delivery for delivery in batch if delivery.digest == batch[0].digest]
        if len(batch) <= self._digest_after:
            return []
        # A delivery that was attempted, maybe by a replica that ended before it stored the receipt,
        # may have arrived, and is repeated under its own key. Members of a digest that the server
        # refused are sent one by one.
        if is_first_uncertain or batch[0].attempts or batch[0].id in self._unbundled:
            return [batch[0]]
        members = batch[: await CONVERSIONS.run(self._team, partial(_first_size, batch))]
        if len(members) == 1:
            return [batch[0]]
        key = uuid.uuid4().hex
        await self._store.set_digest([member.id for member in members], key)
        return [replace(member, digest=key) for member in members]

    async def split(self, deliveries: Sequence[Delivery]) -> None:
        """Send the members of a refused digest one by one."""
        ids = [member.id for member in deliveries]
        self._unbundled = frozenset(ids)
        await self._store.set_digest(ids, "")


def _first_size(batch: Sequence[Delivery]) -> int:
    return digest_size([Message.loads(delivery.message) for delivery in batch[:MAX_DIGEST_SIZE]])


def digest_size(messages: Sequence[Message]) -> int:
    """How many of the first messages fit into one digest; 1 where the first is too long, goes to a
    person, or edits another message."""
    text = markdown = structure = 0
    for number, message in enumerate(messages[:MAX_DIGEST_SIZE]):
        entry = message.entry or _whole(message)
        markdown += len(entry) + 2 * len(escape(message.file)) + len(message.file_url) + 20
        if markdown <= MAX_MARKDOWN_LENGTH:  # parsing takes time
            document = parse(entry)
            text += length(document) + len(message.file) + 5
            structure += _structure(document)
        is_single = message.to is not None or message.change is not None
        is_long = text > MAX_TEXT_LENGTH or markdown > MAX_MARKDOWN_LENGTH
        if is_long or structure > MAX_STRUCTURE_LENGTH or is_single:
            return max(number, 1)
    return min(len(messages), MAX_DIGEST_SIZE)


def _structure(document: Document) -> int:
    blocks = list(leaf_blocks(document))
    paragraphs = [block for block in blocks if isinstance(block, Paragraph | Heading)]
    inlines = [part for block in paragraphs for part in block.inlines]
    texts = sum(len(part.text) + len(part.url) for part in inlines if isinstance(part, Text))
    return texts + _BLOCK_LENGTH * len(blocks) + _INLINE_LENGTH * len(inlines)


async def build(notices: NoticeRenderer, deliveries: Sequence[Delivery]) -> Message:
    """The digest of these deliveries. Raises ``Permanent`` where a bug prevents it, so that they
    are sent one by one."""
    try:
        messages = [Message.loads(delivery.message) for delivery in deliveries]
        return await notices.run(messages[-1].team, partial(combine, messages=messages))
    except Exception as error:
        log.exception("a digest of %d deliveries of %s", len(deliveries), deliveries[0].queue)
        raise Permanent("bug", type(error).__name__) from error


def combine(templates: Templates, messages: Sequence[Message]) -> RenderResult:
    """One message with the entries of ``messages``, grouped by file, in their order.

    Blocks if the user has templates.
    """
    by_file: dict[str, list[Message]] = {}
    for message in messages:
        by_file.setdefault(message.file_id or message.file, []).append(message)
    groups = list(map(_group, by_file.values()))
    files = [group["file"] for group in groups if group["file"]]
    summary = {"count": len(messages), "files": files, "groups": groups}
    last = messages[-1]
    variables = notice_variables("digest", {"messages": summary})
    result = templates.render("digest", variables, team=last.team, channel_kind="")
    # Each mentioned person once.
    mentions = {person.id: person for message in messages for person in message.mentions}
    message = replace(result.message, at=last.at, mentions=tuple(mentions.values()))
    if len(by_file) == 1:
        message = replace(message, url=last.url, file=last.file, file_id=last.file_id)
    return replace(result, message=message)


def _group(messages: Sequence[Message]) -> dict[str, Any]:
    """The entries of one file, or of events without a file."""
    return {
        "file": messages[-1].file,  # it may have been renamed
        "url": next((message.file_url for message in messages if message.file_url), ""),
        "entries": [Markdown(message.entry or _whole(message)) for message in messages],
    }


def _whole(message: Message) -> str:
    return (message.full.body or str(escape(message.title))).strip()
