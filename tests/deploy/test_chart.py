"""The Helm chart: what Helm makes of it, and that Kubernetes and Relay accept that."""

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from relay import __version__
from relay.app import STOP_TIMEOUT
from relay.config.environment import known_variables
from relay.config.load import load
from relay.config.settings import Config
from relay.server import GRACEFUL_STOP_TIMEOUT

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "chart"
HELM = ROOT / ".venv-helm" / "bin" / "python"
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))
NAMES = [path.stem for path in EXAMPLES]
SECRET = "secret: {values: {RELAY_SECRET: a-secret-of-24-characters, RELAY_STDOUT: '1'}}\n"

VARIANTS = {
    "other-names": "secret: {existing: mine}\npersistence: {existingClaim: disk}\n"
    "image: {repository: registry.example.com/relay, tag: '9'}\n"
    "podAnnotations: {a: b}\nimagePullSecrets: [{name: pull}]\nnodeSelector: {disk: ssd}\n"
    "tolerations: [{key: k, operator: Exists}]\naffinity: {nodeAffinity: {}}\n"
    "volumes: [{name: ca, configMap: {name: ca}}]\n"
    "volumeMounts: [{name: ca, mountPath: /etc/ssl/private}]\nnetworkPolicy: {enabled: false}\n"
    "ingress: {enabled: true, host: a.example, tls: false}\n",
    "url-in-the-secret": "postgresql: {enabled: true}\nreplicas: 2\nsecret:\n  values:\n"
    "    RELAY_SECRET: a-secret-of-24-characters\n    RELAY_STDOUT: '1'\n"
    "    RELAY_STORE_URL: postgresql://u:p@h/d\n",
    "secret": SECRET,
    "other-secret": SECRET.replace("24", "25"),
    "quotes": SECRET + 'env: {RELAY_TEAM_NAME: "a \\"b\\" #c: {d}"}\n',
    "other-config": SECRET + "config: |\n  [server]\n",
}
WRONG = {
    "replica: 2": "additional properties 'replica' not allowed",
    "secret: {}": "secret.existing: missing: name a Secret",
    "secret: {existing: a, values: {RELAY_SECRET: b}}": "existing and values exclude each other",
    "secret: {values: {RELAY_STDOUT: '1'}}": "secret.values.RELAY_SECRET: missing",
    SECRET + "replicas: 2": "replicas: 2 needs postgresql.enabled",
    SECRET + "postgresql: {enabled: true}": "postgresql.existingSecret: missing",
    SECRET + "ingress: {enabled: true}": "ingress.host: missing",
    SECRET + "ingress: {enabled: true, host: a_b.example}": "underscore",
    SECRET + "env: {RELAY_PORT: '80'}": "invalid propertyName 'RELAY_PORT'",
    SECRET + "env: {RELAY_RETENTION: 30}": "got number, want string",
    SECRET + "image: {pullPolicy: Sometimes}": "'/image/pullPolicy'",
}

MONITOR: dict[str, Any] = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
    "properties": {
        "apiVersion": {"const": "monitoring.coreos.com/v1"},
        "kind": {"const": "ServiceMonitor"},
        "metadata": {"required": ["name"]},
        "spec": {
            "type": "object",
            "required": ["endpoints", "selector"],
            "additionalProperties": False,
            "properties": {
                "selector": {
                    "additionalProperties": False,
                    "properties": {"matchLabels": {"additionalProperties": {"type": "string"}}},
                },
                "endpoints": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {
                            "port": {"type": "string"},
                            "interval": {
                                "pattern": r"^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?"
                                r"(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$"
                            },
                        },
                    },
                },
            },
        },
    },
}
"""Those of the operator's rules that concern the keys in use:
https://github.com/prometheus-operator/prometheus-operator, in
example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml."""


@dataclass(frozen=True)
class Rendered:
    """What Helm made of some values."""

    manifests: dict[str, str]
    problems: list[str]

    @cached_property
    def resources(self) -> list[dict[str, Any]]:
        texts = [text for path, text in self.manifests.items() if path.endswith(".yaml")]
        return [part for text in texts for part in yaml.safe_load_all(text) if part]

    def one(self, kind: str, name: str = "relay") -> dict[str, Any]:
        (found,) = self.all(kind, name)
        return found

    def all(self, kind: str, name: str = "relay") -> list[dict[str, Any]]:
        parts = [part for part in self.resources if part["kind"] == kind]
        return [part for part in parts if part["metadata"]["name"] == name]

    @property
    def pod(self) -> dict[str, Any]:
        return dict(self.one("Deployment")["spec"]["template"]["spec"])

    @property
    def container(self) -> dict[str, Any]:
        (container,) = self.pod["containers"]
        return dict(container)

    @property
    def annotations(self) -> dict[str, str]:
        return dict(self.one("Deployment")["spec"]["template"]["metadata"]["annotations"])


def _values(name: str) -> str:
    return (CHART / "examples" / f"{name}.yaml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def charts() -> dict[str, Rendered]:
    """All values that these tests use, rendered by one process."""
    if not HELM.exists():
        pytest.skip(f"Helm is missing: in {ROOT}: make .venv-helm/.installed")
    texts = {name: _values(name) for name in NAMES} | VARIANTS | {text: text for text in WRONG}
    cases = [{"values": text, "name": "relay", "namespace": "chat"} for text in texts.values()]
    cases.append({"values": SECRET, "name": "acme", "namespace": "chat"})
    done = subprocess.run(
        [HELM, Path(__file__).with_name("render_chart.py")],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {
        name: Rendered(**each)
        for name, each in zip([*texts, "acme"], json.loads(done.stdout), strict=True)
    }


@pytest.fixture(params=NAMES)
def example(request: pytest.FixtureRequest, charts: dict[str, Rendered]) -> Rendered:
    return charts[request.param]


def test_there_is_an_example_of_each_kind_of_installation() -> None:
    assert NAMES == ["ingress", "postgresql", "sqlite"]


@pytest.mark.parametrize("name", [*NAMES, *VARIANTS, "acme"])
def test_helm_and_kubernetes_find_no_fault(charts: dict[str, Rendered], name: str) -> None:
    assert charts[name].problems == []
    assert len(charts[name].resources) >= 3


@pytest.mark.parametrize("values", WRONG)
def test_wrong_values_are_refused_with_key_and_reason(
    charts: dict[str, Rendered], values: str
) -> None:
    refused = charts[values]
    assert refused.manifests == {}
    assert WRONG[values] in refused.problems[0]


def test_the_pod_has_neither_rights_nor_a_writable_root(example: Rendered) -> None:
    pod, container = example.pod, example.container
    assert pod["securityContext"]["runAsNonRoot"] is True
    user = pod["securityContext"]["runAsUser"]
    assert f"USER {user}:" in (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["terminationGracePeriodSeconds"] >= STOP_TIMEOUT + GRACEFUL_STOP_TIMEOUT + 5


def test_every_probe_asks_the_admin_port(example: Rendered) -> None:
    container = example.container
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    settings = Config.model_validate({"teams": {"acme": {"secret": "x" * 24}}})
    assert ports == {"http": settings.server.port, "admin": settings.admin.port}
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness")}
    assert set(map(json.dumps, probes.values())) == {'{"path": "/healthz", "port": "admin"}'}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "admin"}


def test_every_selector_matches_the_pods(example: Rendered) -> None:
    labels = example.one("Deployment")["spec"]["template"]["metadata"]["labels"].items()
    selectors = [part["spec"] for part in example.resources if "spec" in part]
    found = [
        spec.get("podSelector", spec.get("selector", {}))
        for spec in selectors
        if {"podSelector", "selector"} & spec.keys() and "endpoints" not in spec
    ]
    assert len(found) >= 4
    for selector in found:
        wanted = selector.get("matchLabels", selector)
        assert wanted
        assert wanted.items() <= labels


def test_sqlite_has_one_pod_on_a_volume(charts: dict[str, Rendered]) -> None:
    for name in ("sqlite", "ingress"):
        spec = charts[name].one("Deployment")["spec"]
        assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
        (volume,) = charts[name].pod["volumes"]
        claim = charts[name].one("PersistentVolumeClaim")
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        assert not charts[name].all("PodDisruptionBudget")
    storage = charts["ingress"].one("PersistentVolumeClaim")["spec"]
    assert storage["storageClassName"] == "fast"
    assert storage["resources"]["requests"] == {"storage": "5Gi"}
    other = charts["other-names"]
    assert not other.all("PersistentVolumeClaim")
    assert {"persistentVolumeClaim": {"claimName": "disk"}}.items() <= other.pod["volumes"][
        0
    ].items()


def test_postgresql_has_replicas_and_the_url_of_a_secret(charts: dict[str, Rendered]) -> None:
    chart = charts["postgresql"]
    spec = chart.one("Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (3, {"type": "RollingUpdate"})
    assert chart.one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert not chart.all("PersistentVolumeClaim")
    assert not chart.all("Secret")
    variables = {each["name"]: each for each in chart.container["env"]}
    source = {"secretKeyRef": {"name": "relay-database", "key": "url"}}
    assert variables["RELAY_STORE_URL"]["valueFrom"] == source
    assert chart.container["envFrom"] == [{"secretRef": {"name": "relay-secrets"}}]
    assert "RELAY_STORE_URL" not in [
        each["name"] for each in charts["url-in-the-secret"].container["env"]
    ]


def test_the_ingress_leads_to_the_hook_alone(charts: dict[str, Rendered]) -> None:
    spec = charts["ingress"].one("Ingress")["spec"]
    (rule,) = spec["rules"]
    (path,) = rule["http"]["paths"]
    assert (path["path"], path["pathType"]) == ("/hooks", "Prefix")
    service = charts["ingress"].one("Service")
    assert path["backend"]["service"]["name"] == service["metadata"]["name"]
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]
    assert spec["tls"] == [{"hosts": [rule["host"]], "secretName": "relay-tls"}]
    assert "tls" not in charts["other-names"].one("Ingress")["spec"]


def test_only_the_monitoring_reaches_the_admin_port(charts: dict[str, Rendered]) -> None:
    chart = charts["ingress"]
    policy = chart.one("NetworkPolicy")["spec"]
    free = [rule["ports"] for rule in policy["ingress"] if "from" not in rule]
    assert free == [[{"port": "http"}]]
    monitor = chart.one("ServiceMonitor")
    jsonschema.validate(monitor, MONITOR)
    admin = chart.one("Service", "relay-admin")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    assert wanted <= admin["metadata"]["labels"].items()
    assert not wanted <= chart.one("Service")["metadata"]["labels"].items()
    (port,) = admin["spec"]["ports"]
    assert (port["name"], port["targetPort"]) == ("admin", "admin")
    assert [each["port"] for each in monitor["spec"]["endpoints"]] == ["admin"]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_a_changed_secret_or_config_restarts_the_pods(charts: dict[str, Rendered]) -> None:
    first, second = charts["secret"].annotations, charts["other-secret"].annotations
    assert first["checksum/secret"] != second["checksum/secret"]
    assert first["checksum/config"] == second["checksum/config"]
    config = charts["other-config"].annotations["checksum/config"]
    assert config == hashlib.sha256(b"[server]\n").hexdigest()


def test_no_secret_is_anywhere_but_in_the_secret(charts: dict[str, Rendered]) -> None:
    chart = charts["secret"]
    holders = [path for path, text in chart.manifests.items() if "a-secret-of-24" in text]
    assert [Path(path).name for path in holders] == ["settings.yaml"]
    assert chart.one("Secret")["stringData"]["RELAY_SECRET"] == "a-secret-of-24-characters"


def test_a_release_of_another_name_is_called_by_it(charts: dict[str, Rendered]) -> None:
    chart = charts["acme"]
    assert chart.all("Service", "acme-relay")
    assert "http://acme-relay.chat:8080" in chart.manifests["relay/templates/NOTES.txt"]
    assert (
        "PENPOT_SSRF_ALLOWED_HOSTS=acme-relay.chat\n"
        in chart.manifests["relay/templates/NOTES.txt"]
    )


@pytest.mark.parametrize("name", [*NAMES, "quotes", "url-in-the-secret"])
def test_relay_accepts_what_the_pod_gets(
    charts: dict[str, Rendered], name: str, tmp_path: Path
) -> None:
    chart = charts[name]
    environ = dict(_environ(chart))
    path = None
    if chart.all("ConfigMap"):
        mounts = {mount["name"]: mount["mountPath"] for mount in chart.container["volumeMounts"]}
        assert environ.pop("RELAY_CONFIG") == f"{mounts['config']}/relay.toml"
        file = tmp_path / "relay.toml"
        file.write_text(chart.one("ConfigMap")["data"]["relay.toml"], encoding="utf-8")
        path = str(file)
    config = load(path, environ)
    hosts = {"ingress": "https://relay.example.com", "postgresql": "http://relay.default:8080"}
    assert config.server.public_url == hosts.get(name, "http://relay.chat:8080")
    if name == "quotes":
        assert config.teams["default"].name == 'a "b" #c: {d}'
    is_replicated = "postgresql://" in config.store.url.reveal()
    assert is_replicated == (name in {"postgresql", "url-in-the-secret"})


def _environ(chart: Rendered) -> Iterator[tuple[str, str]]:
    """As in the pod. Of a secret that exists in the cluster: what its example says it holds."""
    kept = {
        "relay": {"RELAY_SECRET": "x" * 24, "RELAY_STDOUT": "1"},
        "relay-secrets": {
            "ACME_HOOK_SECRET": "x" * 24,
            "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T000/B000/x",
            "RELAY_INSPECTOR_PASSWORD": "correct horse battery staple",
        },
        "relay-database": {"url": "postgresql://u:p@h/d"},
    }
    kept |= {part["metadata"]["name"]: part["stringData"] for part in chart.all("Secret")}
    for source in chart.container["envFrom"]:
        yield from kept[source["secretRef"]["name"]].items()
    for variable in chart.container["env"]:
        if "value" in variable:
            yield variable["name"], variable["value"]
        else:
            reference = variable["valueFrom"]["secretKeyRef"]
            yield variable["name"], kept[reference["name"]][reference["key"]]


def test_every_variable_that_the_chart_names_exists() -> None:
    files = [path for path in CHART.rglob("*") if path.is_file()]
    named = {name for path in files for name in re.findall(r"\bRELAY_[A-Z_]+\b", path.read_text())}
    assert named
    assert named <= known_variables() | {"RELAY_"}


def test_the_chart_has_relays_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["version"] == chart["appVersion"] == __version__


def test_the_schema_knows_every_value_and_its_default() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(values, schema)
    for place, table in ((values, schema), *_tables(values, schema)):
        assert place.keys() == table["properties"].keys() - {"global"}


def _tables(
    values: dict[str, Any], schema: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for name, part in schema["properties"].items():
        if "properties" in part:
            yield values[name], part
