"""A real Synapse on loopback, and its users.

It has its own environment, ``.venv-synapse`` in the root of the checkout.
"""

import hashlib
import hmac
import os
import secrets
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-synapse" / "bin" / "python"
INSTALL = "python3 -m venv .venv-synapse && .venv-synapse/bin/pip install matrix-synapse"
SERVER_NAME = "relay.test"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_GENEROUS = "{per_second: 1000, burst_count: 10000}"
_LIMITS = f"""\
rc_message: {_GENEROUS}
rc_room_creation: {_GENEROUS}
rc_login: {{address: {_GENEROUS}, account: {_GENEROUS}, failed_attempts: {_GENEROUS}}}
rc_joins: {{local: {_GENEROUS}, remote: {_GENEROUS}}}
rc_joins_per_room: {_GENEROUS}
rc_invites: {{per_room: {_GENEROUS}, per_user: {_GENEROUS}, per_issuer: {_GENEROUS}}}
"""


def _config(folder: Path, port: int, secret: str) -> str:
    return f"""\
server_name: {SERVER_NAME}
pid_file: {folder}/homeserver.pid
listeners:
  - port: {port}
    type: http
    tls: false
    bind_addresses: [127.0.0.1]
    resources: [{{names: [client]}}]
database: {{name: sqlite3, args: {{database: '{folder}/homeserver.db'}}}}
log_config: {folder}/log.yaml
media_store_path: {folder}/media
signing_key_path: {folder}/signing.key
registration_shared_secret: {secret}
report_stats: false
trusted_key_servers: []
suppress_key_server_warning: true
presence: {{enabled: false}}
bcrypt_rounds: 4
"""


_LOG = """\
version: 1
formatters: {plain: {format: '%(asctime)s %(name)s %(levelname)s %(message)s'}}
handlers: {file: {class: logging.FileHandler, formatter: plain, filename: FOLDER/homeserver.log}}
root: {level: WARNING, handlers: [file]}
disable_existing_loggers: false
"""


class Synapse:
    """A running homeserver; a context manager."""

    def __init__(self, folder: Path, *, default_limits: bool = False) -> None:
        """``folder`` is empty and gets all its files. ``default_limits`` keeps Synapse's own
        rate limits (a message every five seconds after ten)."""
        self._folder = folder
        self._secret = secrets.token_hex(16)
        self._port = _free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._http = httpx.Client(base_url=self.url, trust_env=False, timeout=30)
        (folder / "homeserver.yaml").write_text(
            _config(folder, self._port, self._secret) + ("" if default_limits else _LIMITS)
        )
        (folder / "log.yaml").write_text(_LOG.replace("FOLDER", str(folder)))

    def __enter__(self) -> Self:
        if not PYTHON.exists():
            raise RuntimeError(f"Synapse is not installed; in {ROOT}: {INSTALL}")
        command = [str(PYTHON), "-m", "synapse.app.homeserver", "-c", "homeserver.yaml"]
        subprocess.run(
            [*command, "--generate-keys"], cwd=self._folder, check=True, capture_output=True
        )
        self._output = (self._folder / "output.log").open("wb")
        self._process = subprocess.Popen(
            command, cwd=self._folder, stdout=self._output, stderr=self._output, env=os.environ
        )
        deadline = time.monotonic() + 60
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__(None, None, None)
                raise RuntimeError(
                    "Synapse did not start: " + (self._folder / "output.log").read_text()[-2000:]
                )
            time.sleep(0.1)
        self._admin = self.register("admin", admin=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._output.close()
        self._http.close()

    def _healthy(self) -> bool:
        try:
            return self._http.get("/health", timeout=1).status_code == 200
        except httpx.TransportError:
            return False

    def register(self, name: str, *, admin: bool = False) -> "Person":
        """A new user; a random suffix makes the name unique."""
        name = f"{name}-{secrets.token_hex(4)}"
        register = "/_synapse/admin/v1/register"
        nonce = self._http.get(register).json()["nonce"]
        password = secrets.token_hex(8)
        sealed = "\0".join((nonce, name, password, "admin" if admin else "notadmin"))
        mac = hmac.new(self._secret.encode(), sealed.encode(), hashlib.sha1).hexdigest()
        answer = self._http.post(
            register,
            json={
                "nonce": nonce,
                "username": name,
                "password": password,
                "admin": admin,
                "mac": mac,
            },
        ).raise_for_status()
        created = answer.json()
        return Person(self._http, created["user_id"], created["access_token"], password)

    def limit(self, person: "Person", per_second: int, burst: int) -> None:
        """Set the rate limit of one user's messages."""
        self._admin.call(
            "POST",
            f"/_synapse/admin/v1/users/{quote(person.id)}/override_ratelimit",
            {"messages_per_second": per_second, "burst_count": burst},
        )

    def deactivate(self, person: "Person") -> None:
        self._admin.call("POST", f"/_synapse/admin/v1/deactivate/{quote(person.id)}", {})


class Person:
    """A user of the homeserver and their client."""

    def __init__(self, http: httpx.Client, user_id: str, token: str, password: str) -> None:
        self._http = http
        self.password = password
        self.id = user_id
        self.token = token

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Raises unless the answer is 2xx."""
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = self._http.request(method, path, json=body, headers=headers)
        return answer.raise_for_status().json()

    def _v3(self, method: str, path: str, body: Any = None) -> Any:
        return self.call(method, f"/_matrix/client/v3/{path}", body)

    def create_room(
        self, *, public: bool = False, invite: tuple[str, ...] = (), alias: str = "", **more: Any
    ) -> str:
        """Returns the room's id."""
        body = {"preset": "public_chat" if public else "private_chat", "invite": list(invite)}
        if alias:
            body["room_alias_name"] = alias
        return str(self._v3("POST", "createRoom", body | more)["room_id"])

    def invite(self, room: str, user_id: str) -> None:
        self._v3("POST", f"rooms/{quote(room)}/invite", {"user_id": user_id})

    def join(self, room: str) -> None:
        self._v3("POST", f"join/{quote(room)}", {})

    def kick(self, room: str, user_id: str) -> None:
        self._v3("POST", f"rooms/{quote(room)}/kick", {"user_id": user_id})

    def set_state(self, room: str, kind: str, content: Any) -> None:
        self._v3("PUT", f"rooms/{quote(room)}/state/{kind}/", content)

    def point_alias(self, alias: str, room: str) -> None:
        path = f"directory/room/{quote(alias, safe='')}"
        self._v3("DELETE", path)
        self._v3("PUT", path, {"room_id": room})

    def logout(self) -> None:
        """Invalidates the token."""
        self._v3("POST", "logout", {})

    def messages(self, room: str) -> list[Any]:
        """The room's messages, oldest first, as events."""
        path = f"rooms/{quote(room)}/messages?dir=b&limit=1000"
        page = self._v3("GET", path)
        found = page["chunk"]
        while page["chunk"] and "end" in page:
            page = self._v3("GET", f"{path}&from={quote(page['end'])}")
            found += page["chunk"]
        return [event for event in reversed(found) if event["type"] == "m.room.message"]

    def sees(self, room: str) -> dict[str, str]:
        """What a client shows: each message's text by its id, edited ones with their last text,
        redacted ones not at all."""
        shown = {}
        for event in self.messages(room):
            content = event["content"]
            if content.get("m.relates_to", {}).get("rel_type") == "m.replace":
                continue
            by_now = event["unsigned"].get("m.relations", {}).get("m.replace")
            new = by_now["content"]["m.new_content"] if by_now else content
            shown[event["event_id"]] = new.get("body", "")
        return shown

    def pings(self) -> list[Any]:
        """The user's highlight notifications."""
        return list(self._v3("GET", "notifications?only=highlight")["notifications"])
