"""What apprise says of a URL."""

from pathlib import Path

import pytest

from relay.channels.apprise import process
from relay.channels.apprise.process import ANY_SERVICE, EXAMPLE_URL, AppriseService, describe


def test_a_service_is_described_once(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "tgram://123456789:abcdefghijklmnopqrstuvwxyz_ABCDEFGHI/12315544"
    assert describe(url) == AppriseService("Telegram", 4096, 0)
    monkeypatch.setattr(process, "_COMMAND", ("false",))
    assert describe(url).name == "Telegram"
    assert describe(EXAMPLE_URL) is ANY_SERVICE  # also without apprise


@pytest.mark.parametrize("command", [("false",), ("/no/such/program",), ("echo", "[")])
def test_a_process_that_does_not_start_is_an_error(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(process, "_COMMAND", command)
    with pytest.raises(ValueError, match="can't be checked: apprise does not start") as refused:
        describe("ntfys://tk_secret@ntfy.example.com/unknown")
    assert "tk_secret" not in str(refused.value)
