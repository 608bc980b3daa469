"""What every channel returns and raises."""

import pytest

from relay.channels import open_channel
from relay.channels.base import (
    DeliveryError,
    EditableChannel,
    MemoryKeyValueStore,
    Receipt,
    RetryLater,
)
from relay.channels.stdout import StdoutSettings
from relay.config.settings import AnyChannel
from tests.channels import builders

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (DeliveryError("550"), "550"),
        (RetryLater("ratelimited", "slow down", 7.0), "ratelimited: slow down"),
    ],
)
def test_an_errors_text_is_its_reason_and_detail(error: DeliveryError, text: str) -> None:
    assert str(error) == text


def test_lone_surrogates_of_a_server_are_replaced() -> None:
    error = DeliveryError("a\ud800", "b\udfff")
    assert (error.reason, error.detail, str(error)) == ("a?", "b?", "a?: b?")
    assert Receipt("$\ud800").id == "$?"


async def test_values_in_memory_have_no_age() -> None:
    kv = MemoryKeyValueStore()
    assert await kv.get("a", 1.0) is None
    await kv.put("a", "1")
    await kv.put("a", "2")
    assert await kv.get("a", 0.0) == "2"


@pytest.mark.parametrize(
    ("settings", "is_editable"),
    [
        (builders.slack_bot("https://slack.example/api"), True),
        (builders.matrix("https://matrix.example"), True),
        (builders.email(25), False),
        (StdoutSettings(type="stdout", name="log"), False),
    ],
    ids=lambda value: value.type if not isinstance(value, bool) else "",
)
async def test_slack_and_matrix_can_edit(settings: AnyChannel, is_editable: bool) -> None:
    channel = open_channel(settings)
    assert isinstance(channel, EditableChannel) is is_editable
    await channel.close()
