"""The pins: what is installed, and that only files with a known hash are."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = ROOT / "deploy/requirements.txt"
BUILD = ROOT / "deploy/build-requirements.txt"
DEV = ROOT / "tests/requirements.txt"
HELM = ROOT / "tests/deploy/helm-requirements.txt"
FUZZ = ROOT / "tests/fuzz/requirements.txt"
SYNAPSE = ROOT / "tests/servers/synapse-requirements.txt"
NODE = ROOT / "tests/servers/node/requirements.txt"
NPM = ROOT / "tests/servers/node"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
GROUPS = PROJECT["dependency-groups"]
DEPENDENCIES = [
    *PROJECT["project"]["dependencies"],
    *PROJECT["project"]["optional-dependencies"]["postgres"],
]


def pins(path: Path) -> dict[str, tuple[Requirement, list[str]]]:
    """The packages of a file, each with its requirement and hashes."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    entries = [line for line in text.splitlines() if line and not line.startswith("#")]
    parsed = {}
    for entry in entries:
        text, *hashes = re.split(r"\s+--hash=", entry.strip())
        requirement = Requirement(text)
        parsed[canonicalize_name(requirement.name)] = (requirement, hashes)
    assert len(parsed) == len(entries) > 0
    return parsed


ALL = [RUNTIME, BUILD, DEV, HELM, FUZZ, SYNAPSE, NODE]


@pytest.mark.parametrize("path", ALL, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_package_has_one_version_and_its_hashes(path: Path) -> None:
    for name, (requirement, hashes) in pins(path).items():
        assert [item.operator for item in requirement.specifier] == ["=="], name
        assert hashes, name
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", value) for value in hashes), name


@pytest.mark.parametrize(
    ("path", "required"),
    [
        (RUNTIME, DEPENDENCIES),
        (BUILD, [*GROUPS["build"], *PROJECT["build-system"]["requires"]]),
        (DEV, [*DEPENDENCIES, *[item for item in GROUPS["dev"] if isinstance(item, str)]]),
        (HELM, GROUPS["helm"]),
        (FUZZ, GROUPS["fuzz"]),
        (SYNAPSE, GROUPS["synapse"]),
        (NODE, GROUPS["node"]),
    ],
    ids=["runtime", "build", "dev", "helm", "fuzz", "synapse", "node"],
)
def test_the_pins_fit_the_project(path: Path, required: list[str]) -> None:
    pinned = pins(path)
    for text in required:
        requirement = Requirement(text)
        (version,) = pinned[canonicalize_name(requirement.name)][0].specifier
        assert requirement.specifier.contains(version.version), f"{text}: run make lock"


def test_the_image_has_no_apprise() -> None:
    """An extra for those who need it, with packages of its own."""
    assert "apprise" in PROJECT["project"]["optional-dependencies"]
    assert not {"apprise", "requests"} & pins(RUNTIME).keys()


def test_every_package_of_npm_has_one_version_and_its_hash() -> None:
    wanted = json.loads((NPM / "package.json").read_text(encoding="utf-8"))["dependencies"]
    locked = json.loads((NPM / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert locked.pop("")["dependencies"] == wanted
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    for name, package in locked.items():
        assert package["integrity"].startswith("sha512-"), name
    assert {f"node_modules/{name}" for name in wanted} <= locked.keys()


@pytest.mark.parametrize("path", [RUNTIME, BUILD], ids=lambda path: path.name)
def test_the_tests_use_what_is_deployed(path: Path) -> None:
    tested = pins(DEV)
    for name, (requirement, hashes) in pins(path).items():
        assert tested[name] == (requirement, hashes), "run make lock"


@pytest.mark.parametrize("name", ["Makefile", "deploy/Dockerfile"])
def test_nothing_is_installed_without_a_hash(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    commands = [command for line in text.splitlines() for command in line.split("&&")]
    installs = [
        command
        for command in commands
        if re.search(r"\bpip\b.* (?:install|wheel)\b|\(PIP_INSTALL\)|-m build", command)
        and not command.startswith("PIP_INSTALL")
    ]
    assert len(installs) >= 3
    for command in installs:
        assert re.search("--require-hashes|--no-isolation|--no-build-isolation|--no-index", command)


def test_the_bill_of_materials_lists_what_relay_runs_on(tmp_path: Path) -> None:
    subprocess.run(
        [
            "make",
            "--assume-old=.venv/.dev",
            f"BIN={Path(sys.prefix) / 'bin'}",
            f"DIST={tmp_path}",
            "sbom",
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    bill = json.loads((tmp_path / "penpot-relay.cdx.json").read_text(encoding="utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == PROJECT["project"]["name"]
    listed = {(canonicalize_name(part["name"]), part["version"]) for part in bill["components"]}
    pinned = pins(RUNTIME)
    assert listed == {
        (name, next(iter(requirement.specifier)).version)
        for name, (requirement, _) in pinned.items()
    }
