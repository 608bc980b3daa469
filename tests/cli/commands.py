"""What the tests of the commands share: channels, variables, a store, and documents."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator

from relay.cli import main
from relay.cli.output import schema
from relay.penpot.samples import sample
from relay.store import store_at
from relay.store.records import FanOutResult, NewDelivery, NewEvent
from tests.servers.fixtures import RunningSlack
from tests.service import SECRET

LOG = '[[teams.acme.channels]]\nname = "log"\ntype = "stdout"\n'
ENVIRONMENT = {"RELAY_SECRET": SECRET, "RELAY_STDOUT": "1"}


def slack_channel(server: RunningSlack, name: str, room: str) -> str:
    return (
        f'[[teams.acme.channels]]\nname = "{name}"\ntype = "slack"\ntoken = {{ env = "SLACK" }}\n'
        f'channel = "{room}"\napi_url = "{server.api_url}"\n'
    )


def hook(name: str) -> str:
    """A channel whose server refuses connections."""
    return (
        f'[[teams.acme.channels]]\nname = "{name}"\ntype = "slack"\n'
        'webhook_url = "http://127.0.0.1:1/services/x"\n'
    )


def config_file(folder: Path, channels: str = LOG, extra: str = "") -> Path:
    """A config with this team, and a store in ``folder``."""
    path = folder / "relay.toml"
    path.write_text(
        f'[store]\nurl = "sqlite:///{folder}/relay.db"\n{extra}\n'
        f'[teams.acme]\nsecret = "{SECRET}"\n{channels}'
    )
    return path


def invoke(config: Path, *arguments: str, **options: Any) -> Result:
    """The command in this process, where it is not in a terminal."""
    return CliRunner().invoke(main, [*arguments, "--config", str(config)], **options)


def document(run: Result, status: int = 0) -> dict[str, Any]:
    """What the command has printed: one document, which is valid by the schema."""
    assert run.exit_code == status, run.output
    assert run.stderr == ""
    printed: dict[str, Any] = json.loads(run.stdout)
    validate(printed)
    assert printed["ok"] == (status == 0)
    assert SECRET not in run.stdout
    return printed


def validate(printed: dict[str, Any]) -> None:
    """Raises ``jsonschema.ValidationError``."""
    Draft202012Validator(json.loads(schema())).validate(printed)


def stored(folder: Path) -> list[int]:
    """Make a store with four events: a comment that is sent to ``log`` and dead for ``design``, a
    file that waits for ``design``, an alert and one that is not fanned out; returns their ids."""
    return asyncio.run(_stored(folder))


async def _stored(folder: Path) -> list[int]:
    store = store_at(f"sqlite:///{folder}/relay.db")
    await store.open()
    now = time.time()
    for number, name in enumerate(["create-comment", "create-file", "queue-stopped", "new"]):
        body = sample(name) if number < 2 else b""
        received_at = now - 3600 * (4 - number)
        event = NewEvent("acme", "application/json", body, bytes([number]), name)
        await store.accept(event._replace(received_at=received_at))
    ids = [each.id for each in await store.stored_events(9)]
    for lease in ("fan-out", "queue:acme/log", "queue:acme/design"):
        assert await store.acquire_lease(lease)
    for id_, about, channels in (
        (ids[0], "Ada replied\x1b[2J to #15", ("log", "design")),
        (ids[1], "Ada created Landing", ("design",)),
        (ids[2], "acme/design has stopped", ("log",)),
    ):
        new = [NewDelivery(f"acme/{name}", f"{id_} {name}", "{}") for name in channels]
        result = FanOutResult(id_, "acme", "fanned-out", "", new, person="Ada", about=about)
        await store.save_fan_out([result])
    await store.mark_sent([1], "receipt")
    await store.mark_dead(2, "msg_too_long: too long")
    await store.close()
    return ids
