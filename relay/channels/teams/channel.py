"""Microsoft Teams, by a workflow's webhook."""

from typing import ClassVar

from relay.bounded_http import Answer
from relay.channels.base import Finding, KeyValueStore, Receipt, ReplyTo, noted
from relay.channels.errors import error_from_status
from relay.channels.http_api import HttpApi
from relay.channels.teams import content
from relay.channels.teams.errors import error_from_answer
from relay.channels.teams.settings import TeamsSettings
from relay.messages.message import Message, Picture
from relay.messages.turns import convert

# "If you are using REST APIs, then set charset=UTF-8 in your request headers to add emojis":
# https://docs.microsoft.com/microsoftteams/platform/task-modules-and-cards/cards/cards-format
_HEADERS = {"Content-Type": "application/json; charset=utf-8"}
_RUN_ID = "x-ms-workflow-run-id"  # a header of each answer of a workflow that has started


class TeamsChannel:
    # Of a webhook at most 4 in a second and 60 in 30 seconds. Half of that leaves room for others;
    # a workflow that is throttled afterwards does not report it.
    # https://docs.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using#rate-limiting-for-connectors
    pace: ClassVar[float | None] = 60.0

    def __init__(self, settings: TeamsSettings, kv: KeyValueStore) -> None:
        self._settings = settings
        self._url = settings.webhook_url.reveal()
        self._http = HttpApi("Teams", self._url, settings.server_keys, settings.ca_file)

    async def send(
        self,
        message: Message,
        key: str,
        thread: ReplyTo | None = None,
        picture: Picture | None = None,
    ) -> Receipt:
        """Start the workflow, which then posts the message. It has no idempotency key, so ``key``
        is not used: a message that was in flight when Relay was killed may be posted twice."""
        body = await convert(message, lambda: content.dumps(content.render(message)))
        answer = await self._http.request("POST", self._url, content=body, headers=_HEADERS)
        if not _has_started(answer):
            self._raise(answer)
        return Receipt("")

    async def check(self) -> list[Finding]:
        """No request: a workflow may run on every one."""
        return [
            noted(
                f"The workflow at {self._settings.server} can't be tested without a message: run "
                "relay send. If nothing shows in Teams, the workflow's run history says why."
            )
        ]

    async def close(self) -> None:
        await self._http.close()

    def _raise(self, answer: Answer) -> None:
        server, key = self._http.server, self._http.key
        if 200 <= answer.status < 300:
            raise error_from_status(answer.status, server, key=key)
        secret = self._settings.signature
        raise error_from_answer(
            answer.body, answer.status, answer.headers, secret=secret, server=server, key=key
        )


def _has_started(answer: Answer) -> bool:
    """202 (Accepted) is a delivery. A workflow with an action that answers may send another
    status; a page at a wrong address has no id of a run."""
    return answer.status == 202 or (200 <= answer.status < 300 and _RUN_ID in answer.headers)
