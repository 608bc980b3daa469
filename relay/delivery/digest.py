"""Digests: combines the waiting messages of a queue that is behind."""

import logging
import sys
import uuid
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate, takewhile
from typing import Any

from relay.channels.base import Permanent
from relay.delivery.notices import NoticeRenderer, notice_variables
from relay.messages.escape import Markdown, escape
from relay.messages.locale import DEFAULT_LOCALE, Locale
from relay.messages.message import Message
from relay.messages.templates import RenderResult, Templates
from relay.messages.turns import CONVERSIONS
from relay.store.base import Store
from relay.store.records import Delivery

log = logging.getLogger(__name__)

READ_BATCH_SIZE = 32  # deliveries
MAX_DIGEST_SIZE = 20  # messages with their entries
MAX_RELEASED_SIZE = 500  # messages that were held; more than MAX_DIGEST_SIZE are only counted
MAX_COUNTED_FILES = 20
MIN_COUNTED_FILES = 5
MAX_MARKDOWN_LENGTH = 40_000
"""Characters of the messages in a digest, with the addresses of links: a template's output may have
50,000, and parsing takes time."""
TYPICAL_MARKDOWN_LENGTH = 8000
"""Characters of the first attempt: what a chat takes. Each further attempt costs some 10 ms."""
_COMMENTS = frozenset({"create-comment-thread", "create-comment"})


class DigestPlanner:
    """Which waiting deliveries of one queue form its next digest, and the digest itself."""

    def __init__(
        self,
        queue: str,
        digest_after: int,
        fits: Callable[[Message], bool],
        store: Store,
        notices: NoticeRenderer,
        locale: Locale = DEFAULT_LOCALE,
    ) -> None:
        """``fits``: whether the channel sends all of a message's text. It may take long."""
        self._queue = queue
        self._team = queue.partition("/")[0]
        self._digest_after = digest_after
        self._fits = fits
        self._store = store
        self._notices = notices
        self._locale = locale
        self._unbundled: frozenset[int] = frozenset()
        self._planned: tuple[str, RenderResult] | None = None
        self._is_released = False  # whether the digest's messages were held
        self._expected_length = TYPICAL_MARKDOWN_LENGTH

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
        if batch[0].digest and batch[0].held_until:  # which may be longer than the batch
            return await self._store.digest_members(self._queue, batch[0].digest)
        if batch[0].digest:
            return [delivery for delivery in batch if delivery.digest == batch[0].digest]
        # The members of a digest stay in it, also where one that was resent comes before them.
        free = [*takewhile(lambda delivery: not delivery.digest, batch)]
        if not batch[0].held_until and len(free) <= self._digest_after:
            # those that were held are sent together after it
            return [batch[0]] if any(one.held_until or one.digest for one in batch) else []
        # A delivery that was attempted, maybe by a replica that ended before it stored the receipt,
        # may have arrived, and is repeated under its own key. Members of a digest that the server
        # refused are sent one by one.
        if is_first_uncertain or batch[0].attempts or batch[0].id in self._unbundled:
            return [batch[0]]
        self._is_released = bool(batch[0].held_until)
        batch = await self._released_with(batch) if self._is_released else free
        size, result = await self._largest(batch)
        if result is None:
            return [batch[0]]
        key = uuid.uuid4().hex
        self._planned = key, result
        members = batch[:size]
        await self._store.set_digest([member.id for member in members], key)
        return [replace(member, digest=key) for member in members]

    async def _released_with(self, batch: Sequence[Delivery]) -> list[Delivery]:
        """The first delivery, which was held, with all that go into the same digest."""
        if self.batch_size <= len(batch) < MAX_RELEASED_SIZE:
            waiting = await self._store.waiting_deliveries(self._queue, MAX_RELEASED_SIZE)
            more = takewhile(lambda delivery: not delivery.undecided, waiting)
            # one that was resent meanwhile comes after the digest
            batch = [batch[0], *(delivery for delivery in more if delivery.id > batch[0].id)]
        together = partial(_released_together, batch[:MAX_RELEASED_SIZE])
        return await CONVERSIONS.run(self._team, together)

    async def split(self, deliveries: Sequence[Delivery]) -> None:
        """Send the members of a refused digest one by one."""
        ids = [member.id for member in deliveries]
        self._unbundled = frozenset(ids)
        await self._store.set_digest(ids, "")

    async def message(self, deliveries: Sequence[Delivery]) -> Message:
        """The message of a single delivery, or the digest of several. Raises ``Permanent`` where
        these no longer fit into one, or a bug prevents it, so that they are sent one by one."""
        if not deliveries[0].digest:
            message = Message.loads(deliveries[0].message)
            return replace(message, event_number=deliveries[0].event_id)
        if self._planned and self._planned[0] == deliveries[0].digest:
            return self._notices.message(self._planned[1])
        try:  # planned by another process, maybe with other templates
            messages = await CONVERSIONS.run(self._team, partial(_messages, deliveries))
            self._is_released = bool(deliveries[0].held_until)
            result, is_short = await self._combine(messages)
        except Exception as error:
            log.exception("a digest of %d deliveries of %s", len(deliveries), deliveries[0].queue)
            raise Permanent("bug", type(error).__name__) from error
        if not is_short:
            raise Permanent("too_long", "its messages do not fit into one")
        return self._notices.message(result)

    async def _largest(self, batch: Sequence[Delivery]) -> tuple[int, RenderResult | None]:
        """How many of the first deliveries fit into one digest, and that digest; None where there
        are not two that do."""
        largest = None
        try:
            messages = await CONVERSIONS.run(self._team, partial(_candidates, batch))
            if len(messages) > MAX_DIGEST_SIZE:
                result, is_short = await self._combine(messages)
                if is_short:
                    return len(messages), result
            messages, lengths = _with_short_entries(messages)
            size, too_many, step = 1, len(messages) + 1, 1
            attempt = max(2, bisect_right(lengths, self._expected_length))
            while too_many - size > 1:
                if not size < attempt < too_many:
                    attempt = (size + too_many) // 2
                result, is_short = await self._combine(messages[:attempt])
                if is_short:
                    size, largest, attempt = attempt, result, attempt + step
                else:
                    too_many, attempt = attempt, attempt - step
                step *= 2
        except Exception:  # a bug must not cost the messages
            log.exception("a digest of %s", batch[0].queue)
            self._unbundled = frozenset(delivery.id for delivery in batch)
            return 1, None
        if too_many <= len(messages):
            self._expected_length = lengths[size - 1]
        elif lengths:
            self._expected_length = max(self._expected_length, lengths[-1])
        return size, largest

    async def _combine(self, messages: Sequence[Message]) -> tuple[RenderResult, bool]:
        """The digest, and whether the channel sends all of its text. With counts it has as many
        files as the channel takes."""
        digest_after = 0 if self._is_released else self._digest_after
        work = partial(combine, messages=messages, digest_after=digest_after, locale=self._locale)
        max_files = MAX_COUNTED_FILES
        while True:
            result = await self._notices.run(self._team, partial(work, max_files=max_files))
            is_short = await CONVERSIONS.run(self._team, partial(self._fits, result.message))
            max_files //= 2
            if is_short or max_files < MIN_COUNTED_FILES or not _has_counts(messages, digest_after):
                return result, is_short


def _messages(deliveries: Iterable[Delivery]) -> list[Message]:
    return [Message.loads(delivery.message).with_current_times() for delivery in deliveries]


def _released_together(batch: Sequence[Delivery]) -> list[Delivery]:
    """The first delivery, which was held, with the others that go to the same place or person."""
    held = [delivery for delivery in batch if delivery.held_until and not delivery.digest]
    recipients = [Message.loads(delivery.message).to for delivery in held]
    return [one for one, to in zip(held, recipients, strict=True) if to == recipients[0]]


def _candidates(batch: Sequence[Delivery]) -> list[Message]:
    """The first messages that a digest can contain: those to the channel, or of held ones to one
    person, that edit no other."""
    is_released = bool(batch[0].held_until)
    messages = _messages(batch if is_released else batch[:MAX_DIGEST_SIZE])
    to = messages[0].to if is_released else None
    return list(takewhile(lambda one: one.to == to and one.change is None, messages))


def _with_short_entries(messages: Sequence[Message]) -> tuple[list[Message], list[int]]:
    """The first messages whose Markdown is not too long for any channel, and the length of each
    with those before it."""
    lengths = list(accumulate(map(_markdown_length, messages[:MAX_DIGEST_SIZE])))
    size = sum(length <= MAX_MARKDOWN_LENGTH for length in lengths)
    return list(messages[:size]), lengths[:size]


def _has_counts(messages: Sequence[Message], digest_after: int) -> bool:
    return digest_after == 0 and len(messages) > MAX_DIGEST_SIZE


def _markdown_length(message: Message) -> int:
    return sum(map(len, (_entry(message), message.file, message.page, message.url)))


def combine(
    templates: Templates,
    messages: Sequence[Message],
    digest_after: int = MAX_DIGEST_SIZE,
    locale: Locale = DEFAULT_LOCALE,
    max_files: int = MAX_COUNTED_FILES,
) -> RenderResult:
    """One message with the entries of ``messages``, by file and thread, in their order. Of more
    than ``MAX_DIGEST_SIZE`` that were held it has the numbers of at most ``max_files`` files.

    Blocks if the user has templates. ``digest_after``: more messages than these waited; 0: they
    were held.
    """
    by_file: dict[str, list[Message]] = {}
    for message in messages:
        by_file.setdefault(message.file_id or message.file, []).append(message)
    groups = {key: _group(members) for key, members in by_file.items()}
    summary = {
        **_numbers(messages),
        "files": [group["file"] for group in groups.values() if group["file"]],
        "digest_after": digest_after,
        "counts_only": False,
        "groups": list(groups.values()),
        "more_files": 0,
    }
    if _has_counts(messages, digest_after):
        summary |= _counted(list(by_file.values()), max_files)
    last = messages[-1]
    variables = notice_variables("digest", {"messages": summary}, team=last.team_name)
    result = templates.render("digest", variables, team=last.team, channel_kind="", locale=locale)
    # Each mentioned person once.
    mentions = {person.id: person for message in messages for person in message.mentions}
    message = replace(
        result.message,
        at=last.at,
        mentions=tuple(mentions.values()),
        to=last.to,
        activity=all(message.activity for message in messages),
    )
    if len(groups) == 1:
        message = replace(message, **_place(messages, *groups.values()))
    return replace(result, message=message)


def _place(messages: Sequence[Message], group: dict[str, Any]) -> dict[str, Any]:
    """Of a digest about one file: the fields of its message."""
    last = messages[-1]
    fields = {"project": last.project, "file": last.file, "file_id": last.file_id}
    threads = {message.thread for message in messages}
    if len(threads) == 1 and last.thread:
        source = next((message for message in reversed(messages) if message.url), last)
        fields |= {"page": last.page, "number": last.number}
        return fields | {"url": source.url, "opens": source.opens, "file_url": group["url"]}
    opens = "file" if group["url"] else ""
    return fields | {"url": group["url"], "opens": opens, "file_url": group["url"]}


def _numbers(messages: Sequence[Message]) -> dict[str, Any]:
    return {
        "count": len(messages),
        "comments": sum(message.event in _COMMENTS for message in messages),
        "people": list(dict.fromkeys(message.actor for message in messages if message.actor)),
    }


def _counted(by_file: Sequence[Sequence[Message]], max_files: int) -> dict[str, Any]:
    """Groups without entries: the files with the most messages, and what concerns no known file."""
    files = sorted((group for group in by_file if group[-1].file), key=len, reverse=True)
    elsewhere = [message for group in by_file if not group[-1].file for message in group]
    shown = [*files[:max_files], *([elsewhere] if elsewhere else [])]
    return {
        "counts_only": True,
        "groups": [_group(messages) | {"threads": [], "entries": []} for messages in shown],
        "more_files": max(0, len(files) - max_files),
    }


def _group(messages: Sequence[Message]) -> dict[str, Any]:
    """The entries of one file, or of events without a file."""
    threads: dict[str, list[Message]] = {}
    for message in messages:
        threads.setdefault(message.thread, []).append(message)
    others = threads.pop("", [])
    return {
        **_numbers(messages),
        "file": messages[-1].file,  # it may have been renamed
        "url": _last(message.file_url for message in messages),
        "threads": [_thread(members) for members in threads.values()],
        "entries": list(map(_entry, others)),
    }


def _thread(messages: Sequence[Message]) -> dict[str, Any]:
    return {
        "name": _last(message.number for message in messages),
        "url": _last(message.url for message in messages),
        "page": _last(message.page for message in messages),
        "entries": list(map(_entry, messages)),
    }


def _last(values: Iterable[str]) -> str:
    """The last one that is known."""
    return next(filter(None, reversed(list(values))), "")


def _entry(message: Message) -> Markdown:
    whole = message.full.body or str(escape(message.title))
    return Markdown((message.entry or whole).strip())
