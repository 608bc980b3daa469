"""The files of deploy/ that an administrator copies."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from relay.app import STOP_TIMEOUT
from relay.server import GRACEFUL_STOP_TIMEOUT

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@pytest.mark.parametrize("uncommented", [False, True])
def test_the_example_config_passes_the_check(tmp_path: Path, uncommented: bool) -> None:
    text = (DEPLOY / "relay.toml").read_text(encoding="utf-8")
    if uncommented:
        text, count = re.subn(r"^#(?=[a-z_]+ = )", "", text, flags=re.MULTILINE)
        assert count >= 8
    config = tmp_path / "relay.toml"
    config.write_text(text, encoding="utf-8")
    (tmp_path / "templates").mkdir()
    secrets = dict.fromkeys(re.findall(r'env = "([A-Z_]+)"', text), "x" * 24)
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
    parts = {part["kind"]: part for part in yaml.safe_load_all(text)}
    spec = parts["Deployment"]["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")
    pod = spec["template"]["spec"]
    assert pod["enableServiceLinks"] is False
    assert spec["template"]["metadata"]["labels"] == parts["Service"]["spec"]["selector"]
    (container,) = pod["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    (mount,), (volume,) = container["volumeMounts"], pod["volumes"]
    assert mount["name"] == volume["name"]
    claim = volume["persistentVolumeClaim"]["claimName"]
    assert claim == parts["PersistentVolumeClaim"]["metadata"]["name"]
    assert f"VOLUME {mount['mountPath']}\n" in _dockerfile()
    assert f"USER {pod['securityContext']['runAsUser']}:" in _dockerfile()


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


def _yaml(name: str) -> dict[str, Any]:
    document = yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def _dockerfile() -> str:
    return (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
