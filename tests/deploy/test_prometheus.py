"""The alert rules, as promtool judges and runs them, and the dashboard."""

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from relay.cli import main
from relay.store.records import DELIVERY_STATES, EVENT_STATES
from tests.documents import OPERATOR, in_code, table_rows
from tests.exported_metrics import exported_metrics

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy/prometheus/relay.rules.yaml"
DASHBOARD = ROOT / "deploy/prometheus/relay.dashboard.json"
UNIT_TESTS = Path(__file__).with_name("relay.rules.test.yaml")
COLUMNS = 24  # of Grafana's grid
OF_PROMETHEUS = {"job", "namespace", "le"}  # labels

alerts: list[dict[str, Any]] = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"][0][
    "rules"
]
board: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))

needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool is missing: on Debian, apt install prometheus"
)


def _promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)


def _queries() -> Iterator[str]:
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


@needs_promtool
def test_prometheus_accepts_the_rules() -> None:
    outcome = _promtool("check", "rules", "--lint-fatal", RULES)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert f"{len(alerts)} rules found" in outcome.stdout


@needs_promtool
def test_the_alerts_fire_when_they_should_and_only_then() -> None:
    outcome = _promtool("test", "rules", UNIT_TESTS)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@needs_promtool
def test_an_alert_that_never_fires_fails_the_tests(tmp_path: Path) -> None:
    rules = RULES.read_text(encoding="utf-8")
    mute = rules.replace("relay_queue_dead) > 0", "relay_queue_dead) > 99")
    assert mute != rules
    (tmp_path / RULES.name).write_text(mute, encoding="utf-8")
    tests = yaml.safe_load(UNIT_TESTS.read_text(encoding="utf-8")) | {"rule_files": [RULES.name]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(tests), encoding="utf-8")
    outcome = _promtool("test", "rules", tmp_path / "test.yaml")
    assert outcome.returncode != 0
    assert "RelayDeadLetters" in outcome.stdout + outcome.stderr


def test_every_alert_is_seen_to_fire_and_to_keep_quiet() -> None:
    fires, quiet = set(), set()
    for group in yaml.safe_load(UNIT_TESTS.read_text(encoding="utf-8"))["tests"]:
        for case in group["promql_expr_test"]:
            (name,) = re.findall(r'alertname="(\w+)"', case["expr"])
            (fires if case.get("exp_samples") else quiet).add(name)
        for case in group.get("alert_rule_test", ()):
            fires.add(case["alertname"])
    names = {alert["alert"] for alert in alerts}
    assert fires == names
    assert quiet == names


def test_every_alert_says_what_to_do() -> None:
    for alert in alerts:
        assert alert["labels"]["severity"] in {"warning", "critical"}
        assert alert["annotations"].keys() == {"summary", "description"}
        for command in re.findall(r"`relay (\w+)", alert["annotations"]["description"]):
            assert command in main.commands


def test_the_guide_names_every_alert() -> None:
    rows = table_rows(OPERATOR, "| alert | fires when |")
    named = [name for row in rows for name in in_code(row[0])]
    assert named == [alert["alert"] for alert in alerts]


@pytest.mark.parametrize(
    "query", [*[alert["expr"] for alert in alerts], *dict.fromkeys(_queries())]
)
def test_every_metric_and_label_exists(query: str) -> None:
    known = exported_metrics()
    used = re.findall(r"\b(relay_\w+)(?:\{([^}]*)\})?", query)
    assert used
    grouped = {
        label.strip()
        for labels in re.findall(r"\bby \(([^)]*)\)", query)
        for label in labels.split(",")
    }
    labels = set(OF_PROMETHEUS)
    for name, selector in used:
        metric = re.sub(r"_(bucket|sum|count)$", "", name) if name not in known else name
        assert metric in known
        labels |= known[metric][1]
        for label, values in re.findall(r'(\w+)[=!~]+"([^"]*)"', selector):
            assert label in known[metric][1] | {"job"}
            if label == "state":
                assert values in {*EVENT_STATES, *DELIVERY_STATES, "undecided"}
    assert grouped <= labels


@needs_promtool
def test_prometheus_can_read_every_query_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(_queries())
    ]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    outcome = _promtool("check", "rules", file)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_the_dashboard_shows_every_metric() -> None:
    shown = set(re.findall(r"\brelay_\w+", " ".join(_queries())))
    for name in exported_metrics():
        assert shown & {name, f"{name}_bucket"}, name


def test_the_dashboard_uses_the_variables_that_it_has() -> None:
    variables = {each["name"] for each in board["templating"]["list"]}
    text = DASHBOARD.read_text(encoding="utf-8")
    used = set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval", "__all"}
    assert used == variables
    for each in board["templating"]["list"]:
        for name in re.findall(r"\brelay_\w+", each.get("definition", "")):
            assert name in exported_metrics()


def test_the_panels_fit_the_grid_without_overlap() -> None:
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"]) > 10
    cells: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        assert panel["title"]
        assert panel["description"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        across = range(place["x"], place["x"] + place["w"])
        own = set(itertools.product(across, range(place["y"], place["y"] + place["h"])))
        assert not own & cells
        cells |= own
