"""A receiver of webhooks that checks each request by the package of Standard Webhooks."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks import Webhook

from tests.channels.builders import SIGNING_SECRET
from tests.servers.loopback import Answer, Request, in_thread


@dataclass
class Receiver:
    """``answers`` are those of the next requests; after them each gets a 204."""

    secret: str = SIGNING_SECRET
    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    accepted: list[tuple[str, Any]] = field(default_factory=list)
    """Ids and documents."""

    def handle(self, request: Request) -> Answer:
        self.requests.append(request)
        if request.method == "HEAD":
            return Answer(status=405)
        document = Webhook(self.secret).verify(request.body, request.headers)
        answer = self.answers.pop(0) if self.answers else Answer(status=204)
        if 200 <= answer.status < 300 and not answer.cut:
            self.accepted.append((request.headers["webhook-id"], document))
        return answer

    @property
    def documents(self) -> list[Any]:
        """Those that were accepted."""
        return [document for _, document in list(self.accepted)]

    @property
    def ids(self) -> list[str]:
        return [request.headers["webhook-id"] for request in self.requests]


@contextmanager
def receiving(secret: str = SIGNING_SECRET) -> Iterator[Receiver]:
    receiver = Receiver(secret)
    with in_thread(receiver.handle) as server:
        receiver.url = f"{server.url}/hooks/penpot-9c1d?token=x7"
        yield receiver
