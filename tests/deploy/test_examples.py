"""The files of deploy/ that an administrator copies."""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

import pytest
import trustme
import yaml
from pydantic import BaseModel, TypeAdapter

from relay.app import STOP_TIMEOUT
from relay.channels import CHANNEL_TYPES, people_keys
from relay.channels.base import ChannelSettings
from relay.config.environment import known_variables
from relay.config.settings import AnyPerson, Config, people_model
from relay.server import GRACEFUL_STOP_TIMEOUT
from tests.channels.builders import SIGNING_SECRET
from tests.documents import OPERATOR, README
from tests.servers.teams import WEBHOOK_PATH as TEAMS_PATH

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
EXAMPLE = (DEPLOY / "relay.toml").read_text(encoding="utf-8")
COMPLETE = re.sub(r'^#(?=[\["a-z_])', "", EXAMPLE, flags=re.MULTILINE)
"""With all optional settings."""


@pytest.mark.parametrize("text", [EXAMPLE, COMPLETE], ids=["as-it-is", "uncommented"])
def test_the_example_config_passes_the_check(tmp_path: Path, text: str) -> None:
    config = tmp_path / "relay.toml"
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    text = text.replace("/etc/ssl/private-ca.pem", str(tmp_path / "ca.pem"))
    config.write_text(text, encoding="utf-8")
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "deploy.json.j2").write_text("{}")
    secrets = dict.fromkeys(re.findall(r'env = "([A-Z_]+)"', text), "x" * 24)
    secrets["MATTERMOST_WEBHOOK_URL"] = "https://mattermost.example/hooks/xxx"
    secrets["ROCKETCHAT_WEBHOOK_URL"] = "https://chat.example/hooks/a/b"
    secrets["DISCORD_WEBHOOK_URL"] = "https://discord.com/api/webhooks/1/x"
    secrets["TEAMS_WEBHOOK_URL"] = f"https://teams.example{TEAMS_PATH}"
    secrets["SLACK_WEBHOOK_URL"] = "https://hooks.slack.com/services/T000/B000/x"
    secrets["APPRISE_URL"] = "ntfys://ntfy.example/penpot"
    secrets |= {"PIPELINE_URL": "https://ci.example.com/x", "PIPELINE_SECRET": SIGNING_SECRET}
    outcome = subprocess.run(
        [sys.executable, "-m", "relay", "check", "--config", str(config)],
        env={**os.environ, **secrets},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "https://relay.example.com/hooks/acme/" in outcome.stdout


def test_the_example_config_has_every_key() -> None:
    given = {(key.model, key.name) for key in _keys(Config, tomllib.loads(COMPLETE))}
    missing = [
        f"{model.__name__}.{name}"
        for model in _reachable(Config)
        for name in model.model_fields
        if not any((sharing, name) in given for sharing in _sharing(model, name))
    ]
    assert missing == []


def test_a_commented_key_shows_its_default() -> None:
    plain = {key.path: key for key in _keys(Config, tomllib.loads(EXAMPLE))}
    checked = set()
    for key in _keys(Config, tomllib.loads(COMPLETE)):
        field = key.model.model_fields[key.name]
        default = field.get_default(call_default_factory=True)
        if field.is_required() or default in (None, "", (), {}) or isinstance(default, BaseModel):
            continue
        value = TypeAdapter(field.rebuild_annotation()).validate_python(key.value)
        if key.path not in plain:
            assert value == default, key.path
            checked.add(key.name)
        elif value != default:
            assert f"default: {default}" in EXAMPLE, key.path
    assert {"port", "max_body", "url", "retention", "digest_after", "tls"} <= checked


def test_the_comment_of_a_key_is_its_description_in_the_code() -> None:
    shown = re.findall(r"^#?(\w+) = .*? # (.*?)(?:; default: .*)?$", EXAMPLE, re.MULTILINE)
    described = {
        (name, (field.description or "no docstring").lower().removesuffix("."))
        for model in _reachable(Config)
        if model.__name__ != "PersonAddresses"
        for name, field in model.model_fields.items()
        if not any(_models(field.annotation))
    }
    assert {(key, comment.lower()) for key, comment in shown} == described


def test_compose_joins_penpots_network_with_a_name_that_penpot_can_call() -> None:
    compose = _yaml("compose.yaml")
    (name,) = compose["services"]
    relay = compose["services"][name]
    (network,) = relay["networks"]
    assert compose["networks"][network]["external"] is True
    assert "_" not in name
    assert relay["environment"]["RELAY_PUBLIC_URL"] == f"http://{name}:8080"
    assert relay["read_only"] is True
    assert relay["cap_drop"] == ["ALL"]
    assert relay["security_opt"] == ["no-new-privileges:true"]
    build = relay["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()


def test_the_override_gives_penpot_the_flags_and_the_right_to_call() -> None:
    services = _yaml("penpot.override.yaml")["services"]
    for service in ("penpot-frontend", "penpot-backend"):
        flags = services[service]["environment"]["PENPOT_FLAGS"]
        assert flags.startswith("${PENPOT_FLAGS:?"), "the flags that are there must stay"
        assert flags.endswith("} enable-webhooks enable-access-tokens")
    allowed = services["penpot-backend"]["environment"]["PENPOT_SSRF_ALLOWED_HOSTS"]
    assert allowed in _yaml("compose.yaml")["services"]


def test_kubernetes_runs_one_replica_on_a_volume_and_hides_service_links() -> None:
    text = (DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")
    parts = {part["kind"]: part for part in yaml.safe_load_all(text) if not _is_admin(part)}
    spec = parts["Deployment"]["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")
    pod = spec["template"]["spec"]
    assert pod["enableServiceLinks"] is False
    assert spec["template"]["metadata"]["labels"] == parts["Service"]["spec"]["selector"]
    (container,) = pod["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "admin"}
    (mount,), (volume,) = container["volumeMounts"], pod["volumes"]
    assert mount["name"] == volume["name"]
    claim = volume["persistentVolumeClaim"]["claimName"]
    assert claim == parts["PersistentVolumeClaim"]["metadata"]["name"]
    assert f"VOLUME {mount['mountPath']}\n" in _dockerfile()
    assert f"USER {pod['securityContext']['runAsUser']}:" in _dockerfile()


def _is_admin(part: dict[str, Any]) -> bool:
    return bool(part["metadata"]["name"] == "relay-admin")


def test_only_the_monitoring_reaches_the_admin_port_in_kubernetes() -> None:
    text = (DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")
    parts = list(yaml.safe_load_all(text))
    services = {part["metadata"]["name"]: part for part in parts if part["kind"] == "Service"}
    (pod,) = (part["spec"]["template"] for part in parts if part["kind"] == "Deployment")
    ports = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
    settings = Config.model_validate({"teams": {"acme": {"secret": "x" * 24}}})
    assert ports == {"http": settings.server.port, "admin": settings.admin.port}
    assert [port["targetPort"] for port in services["relay"]["spec"]["ports"]] == ["http"]
    (admin,) = services["relay-admin"]["spec"]["ports"]
    assert (admin["name"], admin["targetPort"]) == ("admin", "admin")
    assert services["relay-admin"]["spec"]["selector"] == pod["metadata"]["labels"]
    (policy,) = (part["spec"] for part in parts if part["kind"] == "NetworkPolicy")
    assert policy["podSelector"]["matchLabels"] == pod["metadata"]["labels"]
    open_to_all = [rule["ports"] for rule in policy["ingress"] if "from" not in rule]
    assert open_to_all == [[{"port": "http"}]]
    monitor = yaml.safe_load(
        re.findall(r"(?:^#     .*\n|^#\n)+", text, re.M)[-1].replace("#     ", "")
    )
    assert monitor["spec"]["endpoints"] == [{"port": admin["name"]}]
    assert (
        monitor["spec"]["selector"]["matchLabels"] == services["relay-admin"]["metadata"]["labels"]
    )


def test_the_container_opens_the_admin_port_beside_any_config() -> None:
    text = _dockerfile()
    assert "RELAY_ADMIN_HOST=0.0.0.0" in text
    (port,) = re.findall(r"RELAY_ADMIN_PORT=(\d+)", text)
    assert f"EXPOSE 8080 {port}\n" in text


def test_compose_opens_the_admin_port_to_its_machine_alone_and_asks_for_a_password() -> None:
    (service,) = _yaml("compose.yaml")["services"].values()
    assert service["ports"] == ["127.0.0.1:8081:8081"]
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    (step,) = re.findall(r"create relay\.env: .*?\n((?:#(?: {8}.*)?\n)+)", text)
    named = re.findall(r"^# +(RELAY_\w+)=", step, re.MULTILINE)
    assert {"RELAY_SECRET", "RELAY_INSPECTOR_PASSWORD"} <= set(named) <= known_variables()


def _shown(command: str) -> list[list[str]]:
    """The arguments of each such command in the guides."""
    blocks = re.findall(r"^```console\n(.*?)^```", README + OPERATOR, re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    found = [line.removeprefix("$ ") for line in lines if line.startswith(f"$ {command} ")]
    return [shlex.split(line.removeprefix(command), comments=True) for line in found]


def test_docker_run_keeps_data_and_the_admin_port_at_home() -> None:
    shown = _shown("docker run")
    assert len(shown) == 2
    for arguments in shown:
        parser = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
        for switch in ("-d", "--rm", "--read-only"):
            parser.add_argument(switch, action="store_true")
        parser.add_argument("-p", action="append")
        parser.add_argument("-e", action="append", default=[])
        for option in ("--name", "--restart", "--cap-drop", "--security-opt", "--env-file", "-v"):
            parser.add_argument(option)
        parser.add_argument("--stop-timeout", type=int)
        parser.add_argument("image")
        given = parser.parse_args(arguments)
        assert given.image == "relay"
        assert given.v.endswith(":/data")
        assert given.stop_timeout >= STOP_TIMEOUT + GRACEFUL_STOP_TIMEOUT + 5
        assert given.p[0] == "8080:8080"
        assert given.p[1:] in ([], ["127.0.0.1:8081:8081"])
        assert {name.partition("=")[0] for name in given.e} <= known_variables()
        assert given.e or given.env_file
    assert (given.read_only, given.cap_drop) == (True, "ALL")
    assert given.p[1:]


def test_pipx_installs_the_checkout_or_the_package() -> None:
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    for (what,) in _shown("pipx install"):
        name, _, extra = what.removesuffix("]").partition("[")
        assert name in {".", project["project"]["name"]}
        assert not extra or extra in extras
    assert len(_shown("pipx install")) >= 2


def test_who_stops_it_waits_for_the_messages_under_way() -> None:
    (service,) = _yaml("compose.yaml")["services"].values()
    text = (DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")
    deployment = list(yaml.safe_load_all(text))[-1]
    unit = (DEPLOY / "relay.service").read_text(encoding="utf-8")
    waits = [
        service["stop_grace_period"].removesuffix("s"),
        deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"],
        *re.findall(r"^TimeoutStopSec=(\d+)s$", unit, re.MULTILINE),
    ]
    assert len(waits) == 3
    assert all(int(wait) >= STOP_TIMEOUT + GRACEFUL_STOP_TIMEOUT + 5 for wait in waits)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs Debian's systemd")
def test_systemd_takes_the_unit_and_rates_it_as_well_confined(tmp_path: Path) -> None:
    unit = tmp_path / "relay.service"
    text = (DEPLOY / "relay.service").read_text(encoding="utf-8")
    unit.write_text(text.replace("/opt/relay/bin/relay", sys.executable), encoding="utf-8")
    for command in (["verify", "--man=no"], ["security", "--offline=yes", "--threshold=15"]):
        outcome = subprocess.run(
            ["systemd-analyze", *command, str(unit)], capture_output=True, text=True, check=False
        )
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr


class _Key(NamedTuple):
    """A key of the file; a list's tables are known by their ``name`` in ``path``."""

    path: str
    model: type[BaseModel]
    name: str
    value: Any


def _keys(model: type[BaseModel], table: dict[str, Any], path: str = "") -> Iterator[_Key]:
    for name, value in table.items():
        field = model.model_fields[name]  # a KeyError: the code does not have this key
        yield _Key(f"{path}.{name}", model, name, value)
        inner = list(_models(field.annotation))
        if not inner:
            continue
        if isinstance(value, list):
            tables = {item["name"]: item for item in value}
        elif get_origin(field.annotation) is dict:
            tables = value
        else:
            tables = {"": value}
        for key, item in tables.items():
            chosen = CHANNEL_TYPES[item["type"]].settings if "type" in item else inner[0]
            yield from _keys(chosen, item, f"{path}.{name}.{key}")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if annotation is ChannelSettings:
        yield from (kind.settings for kind in CHANNEL_TYPES.values())
    elif annotation == AnyPerson:
        yield people_model(**people_keys())
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _reachable(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for inner in _models(field.annotation):
            yield from _reachable(inner)


def _sharing(model: type[BaseModel], name: str) -> list[type[BaseModel]]:
    """The models of which one has to show the key: all channels for a key that all share."""
    channels = [kind for kind in _reachable(Config) if "type" in kind.model_fields]
    is_shared = all(name in kind.model_fields for kind in channels)
    return channels if model in channels and is_shared else [model]


def _yaml(name: str) -> dict[str, Any]:
    document = yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def _dockerfile() -> str:
    return (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
