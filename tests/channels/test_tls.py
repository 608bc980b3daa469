"""The trusted authorities."""

import ssl
from pathlib import Path

import certifi
import pytest

from relay.channels import tls
from relay.channels.base import MemoryKeyValueStore, RetryLater
from relay.channels.matrix import channel as module
from tests.channels.builders import MESSAGE, delivery_error, opened
from tests.channels.builders import matrix as settings_of
from tests.servers.fixtures import Authority
from tests.servers.loopback import Answer, Request, Threaded, listen

pytestmark = pytest.mark.anyio


async def test_a_private_authority_is_trusted_through_ca_file_only(authority: Authority) -> None:
    def answer(_: Request) -> Answer:
        return Answer.of({"event_id": "$1"})

    certificate = authority.certificate()
    with Threaded(lambda: listen(answer, tls=certificate)) as server:
        url = server.url.replace("http:", "https:")
        untrusted = settings_of(url)
        error = await delivery_error(untrusted)
        assert (type(error), error.reason) == (RetryLater, "tls")
        assert "ca_file" in error.detail
        async with opened(untrusted.model_copy(update={"ca_file": authority.ca_file})) as channel:
            assert (await channel.send(MESSAGE, "delivery-1")).id == "$1"


def test_a_file_without_a_certificate_is_an_error(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.write_text("nothing")
    settings = settings_of("https://matrix.example").model_copy(update={"ca_file": empty})
    with pytest.raises(ValueError, match="holds no certificate"):
        module.MatrixChannel(settings, MemoryKeyValueStore())


def test_ca_file_is_trusted_beside_the_systems_authorities(authority: Authority) -> None:
    system = {str(name) for name in tls.context().get_ca_certs()}
    both = {str(name) for name in tls.context(authority.ca_file).get_ca_certs()}
    assert system < both
    assert len(both - system) == 1


def test_a_context_verifies_and_is_shared() -> None:
    context = tls.context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert tls.context() is context


def test_a_system_without_authorities_trusts_those_of_certifi(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tls, "_system_has_authorities", lambda: False)
    bundled = ssl.create_default_context(cafile=certifi.where())
    assert tls.context.__wrapped__().cert_store_stats() == bundled.cert_store_stats()
