"""Renders deploy/chart with Helm's own engine, and validates what comes of it.

Runs in ``.venv-helm``. Reads ``[{"values": YAML, "name": …, "namespace": …}, …]`` from standard
input, and writes for each ``{"manifests": {path: text}, "problems": [text, …]}``; ``manifests`` is
empty where Helm refuses the values.
"""

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from helm_python import Chart, HelmError, lint, values_from_yaml
from kubernetes_validate import utils

CHART = Path(__file__).resolve().parents[2] / "deploy" / "chart"
WARNING = 2  # a severity of helm lint

utils.schema_contents = cache(utils.schema_contents)  # otherwise read for each resource


def render(case: dict[str, str]) -> dict[str, Any]:
    try:
        values = values_from_yaml(case["values"])
        with Chart.load(CHART) as chart:
            chart.validate_schema(values)
            manifests = chart.render(values, name=case["name"], namespace=case["namespace"])
    except HelmError as error:
        return {"manifests": {}, "problems": [str(error)]}
    report = lint(CHART, values, strict=True, namespace=case["namespace"])
    problems = [each["error"] for each in report["messages"] if each["severity"] >= WARNING]
    problems += [found for text in manifests.values() for found in invalid(text)]
    return {"manifests": manifests, "problems": problems}


def invalid(text: str) -> Iterator[str]:
    """What the oldest and the newest Kubernetes would refuse: unknown keys too."""
    versions = utils.all_versions()
    resources = [] if text.startswith("Relay ") else filter(None, yaml.safe_load_all(text))
    for resource in resources:
        if resource["apiVersion"].startswith("monitoring.coreos.com/"):
            continue  # not Kubernetes' own: test_chart.py has its schema
        for version in (versions[0], versions[-1]):
            try:
                utils.validate(resource, version, strict=True)
            except utils.ValidationError as error:
                place = ".".join(map(str, error.path))
                yield f"{resource['kind']}: {place}: {error.message} (Kubernetes {version})"


if __name__ == "__main__":
    json.dump([render(case) for case in json.load(sys.stdin)], sys.stdout)
