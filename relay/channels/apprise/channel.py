"""A service of apprise, whose result is only whether a message was sent."""

from typing import ClassVar

from relay.channels.apprise.content import render
from relay.channels.apprise.process import AppriseProcess
from relay.channels.apprise.settings import AppriseSettings
from relay.channels.base import (
    DeliveryError,
    Finding,
    KeyValueStore,
    Misconfigured,
    Receipt,
    ReplyTo,
    RetryLater,
    passed,
)
from relay.channels.errors import DOUBT_TIMEOUT
from relay.messages.message import Message, Picture
from relay.messages.turns import convert

_FOR_AN_HOUR = "Relay retries it for an hour"


class AppriseChannel:
    pace: ClassVar[float | None] = None

    def __init__(self, settings: AppriseSettings, kv: KeyValueStore) -> None:
        self._service = settings.service
        ca_file = str(settings.ca_file) if settings.ca_file else None
        self._job = {"url": settings.url.reveal(), "ca_file": ca_file}
        self._process = AppriseProcess()

    async def send(
        self,
        message: Message,
        key: str,
        thread: ReplyTo | None = None,
        picture: Picture | None = None,
    ) -> Receipt:
        """A repetition may reach targets that have the message already: apprise does not say which
        ones do, and knows no ``key``."""
        notice = await convert(message, lambda: render(message, self._service))
        try:
            answer = await self._process.run(
                {**self._job, "title": notice.title, "body": notice.body}
            )
        except TimeoutError:
            raise self._doubt("timeout", "did not answer in time", answered=False) from None
        except (OSError, ValueError):
            text = "ended apprise's process, such as by an endless answer"
            raise self._doubt("answer", text) from None
        if rule := answer.get("error"):
            raise Misconfigured("invalid-url", f"url in the config {rule}")
        if not answer["sent"]:
            raise self._error(answer["reason"])
        return Receipt(key)

    async def check(self) -> list[Finding]:
        """Most services can't be asked without a message."""
        name = self._service.name
        return [
            passed(f"{name} gets the messages, by apprise. This is tested by a message: relay send")
        ]

    async def close(self) -> None:
        await self._process.close()

    def _error(self, reason: str) -> DeliveryError:
        """``reason``: an HTTP status, "connect", or empty."""
        check = "check url in the config"
        if reason == "429":
            return self._doubt("ratelimited", "limits the rate of messages")
        if reason.isdecimal():
            return self._doubt(f"http-{reason}", f"answered {reason}: {check}")
        if reason:
            return self._doubt(reason, f"can't be reached, or does not answer: {check}", False)
        return self._doubt(
            "refused", f"did not get the message, and apprise knows no more: {check}"
        )

    def _doubt(self, reason: str, text: str, answered: bool = True) -> DeliveryError:
        text = f"{self._service.name} {text}; {_FOR_AN_HOUR}"
        return RetryLater(reason, text, give_up_after=DOUBT_TIMEOUT, answered=answered)
