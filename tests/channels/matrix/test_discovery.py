"""A homeserver's base URL from its server name, with a web server that has a certificate."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from relay.channels.base import DeliveryError, Misconfigured, RetryLater
from relay.channels.matrix.settings import MatrixSettings
from tests.channels.builders import MESSAGE, delivery_error, findings, opened
from tests.channels.builders import matrix as settings_of
from tests.channels.matrix.rooms import Room
from tests.servers.fixtures import Authority
from tests.servers.loopback import Answer, Handler, Request, Threaded, listen

pytestmark = pytest.mark.anyio

PATH = "/.well-known/matrix/client"
HINT = "put the base URL of its client-server API, such as"


def document(url: object) -> Answer:
    return Answer.of({"m.homeserver": {"base_url": url}})


class Web:
    """A web server with TLS whose answers a test sets, by path."""

    def __init__(self, certificate: ssl.SSLContext) -> None:
        self.answers: dict[str, Answer | Handler] = {}
        self.requests: list[Request] = []
        self.server = Threaded(lambda: listen(self._answer, tls=certificate))

    def _answer(self, request: Request) -> Answer:
        self.requests.append(request)
        answer = self.answers.get(request.path, Answer(b"no such page", 404))
        return answer if isinstance(answer, Answer) else answer(request)

    @property
    def name(self) -> str:
        return f"localhost:{self.server.port}"

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.requests]


@pytest.fixture
def web(authority: Authority) -> Iterator[Web]:
    web = Web(authority.certificate())
    with web.server:
        yield web


@pytest.fixture
def named(authority: Authority, web: Web) -> Callable[..., MatrixSettings]:
    """Settings with a server name."""

    def settings(room: Room | None = None, homeserver: str = "") -> MatrixSettings:
        base = room.settings() if room else settings_of("https://x")
        changes = {"homeserver": homeserver or web.name, "ca_file": authority.ca_file}
        return base.model_copy(update=changes)

    return settings


async def test_a_server_name_is_resolved_once(
    room: Room, web: Web, named: Callable[..., MatrixSettings]
) -> None:
    web.answers[PATH] = document(room.synapse.url + "/")
    async with opened(named(room)) as channel:
        await channel.send(MESSAGE, "1")
        await channel.send(MESSAGE, "2")
    assert len(room.ada.messages(room.id)) == 2
    assert web.paths == [PATH]
    assert f"ok The homeserver of {web.name} is {room.synapse.url}." in await findings(named(room))
    assert "authorization" not in {name for seen in web.requests for name in seen.headers}


async def test_redirects_are_followed_to_tls_only_and_not_for_ever(
    room: Room, web: Web, named: Callable[..., MatrixSettings]
) -> None:
    web.answers[PATH] = Answer(b"", 302, headers={"Location": "/elsewhere"})
    web.answers["/elsewhere"] = document(room.synapse.url)
    async with opened(named(room)) as channel:
        await channel.send(MESSAGE, "1")
    assert len(room.ada.messages(room.id)) == 1

    for target, problem in (("http://127.0.0.1/x", "without TLS"), ("/elsewhere", "too often")):
        web.requests.clear()
        web.answers["/elsewhere"] = Answer(b"", 308, headers={"Location": target})
        error = await delivery_error(named(room))
        assert (type(error), error.reason) == (Misconfigured, "well-known")
        assert problem in error.detail
        assert HINT in error.detail
        assert len(web.requests) <= 6
        assert "authorization" not in {name for seen in web.requests for name in seen.headers}


async def test_a_name_without_a_document_is_the_homeserver(
    web: Web, named: Callable[..., MatrixSettings]
) -> None:
    web.answers["/_matrix/client/v3/account/whoami"] = Answer.of({"user_id": "@relay:x"})
    settings = named().model_copy(update={"room": "", "direct": "mentioned"})
    text = await findings(settings)
    assert f"ok The homeserver of {web.name} is https://{web.name}." in text
    assert "ok The access token is that of @relay:x." in text


UNUSABLE = [
    (Answer(b"<html>", content_type="text/html"), Misconfigured, "names no homeserver"),
    (Answer(b"[" * 100_000), RetryLater, ""),
    (Answer(b"[" * 50_000), Misconfigured, "names no homeserver"),
    (Answer.of([]), Misconfigured, "names no homeserver"),
    (Answer.of({"m.homeserver": "x"}), Misconfigured, "names no homeserver"),
    (document(5), Misconfigured, "not valid"),
    (document("matrix.example.org"), Misconfigured, "not valid"),
    (document("https://a:b@c.example"), Misconfigured, "not valid"),
    (document("http://matrix.example.org"), Misconfigured, "without TLS"),
    (Answer(b"", 403), Misconfigured, "answers 403"),
    (Answer(b"", 503), RetryLater, "503"),
    (Answer(cut=True), RetryLater, ""),
]


@pytest.mark.parametrize(("answer", "kind", "problem"), UNUSABLE, ids=str)
async def test_an_unusable_document_is_reported_with_the_next_step(
    web: Web,
    named: Callable[..., MatrixSettings],
    answer: Answer,
    kind: type[DeliveryError],
    problem: str,
) -> None:
    web.answers[PATH] = answer
    error = await delivery_error(named())
    assert type(error) is kind
    assert problem in error.detail
    assert HINT in error.detail
    assert web.name in error.detail
    assert HINT in await findings(named())


async def test_a_name_that_moves_is_resolved_again(
    room: Room, web: Web, named: Callable[..., MatrixSettings], authority: Authority
) -> None:
    with ExitStack() as running:
        old = Web(authority.certificate())
        running.enter_context(old.server)
        web.answers[PATH] = document(f"https://{old.name}")
        old.answers["/_matrix/client/v3/account/whoami"] = Answer.of({"user_id": room.bot.id})
        async with opened(named(room)) as channel:
            with pytest.raises(RetryLater):  # 404, not from a homeserver
                await channel.send(MESSAGE, "1")
            web.answers[PATH] = Answer(b"", 503)
            with pytest.raises(RetryLater) as caught:  # the last address stays in use
                await channel.send(MESSAGE, "1")
            assert caught.value.reason == "http-404"
            web.answers[PATH] = document(room.synapse.url)
            await channel.send(MESSAGE, "1")
    assert len(room.ada.messages(room.id)) == 1


async def test_the_doctor_names_the_base_url_of_a_website(
    room: Room, web: Web, named: Callable[..., MatrixSettings]
) -> None:
    web.answers[PATH] = document(room.synapse.url)
    text = await findings(named(room, f"https://{web.name}"))
    assert text == (
        f'no https://{web.name} is not the homeserver: set homeserver = "{room.synapse.url}".'
    )
    for answer in (Answer(b"", 503), Answer(b"", 404), document(f"https://{web.name}")):
        web.answers[PATH] = answer
        assert "http-404" in await findings(named(room, f"https://{web.name}"))
        assert "is not the homeserver" not in await findings(named(room))
