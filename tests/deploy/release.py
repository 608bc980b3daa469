#!/usr/bin/env python3
"""A release: its version, and whether it would be complete.

The version is in ``relay/__init__.py`` alone; the build reads it there. The changelog's top
section, the chart and the tag repeat it: ``version`` writes the first two, and ``check`` compares
all of them.

Only the standard library: ``notes`` runs without an environment.
"""

import argparse
import contextlib
import datetime
import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VERSION = re.compile(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?")
PACKAGE = Path("relay/__init__.py")
CHANGELOG = Path("CHANGELOG.md")
CHART = Path("deploy/chart/Chart.yaml")
UNRELEASED = "## [Unreleased]\n"
SOURCES = ("relay", "templates", "tests", "deploy")
QUICK_TESTS = (
    "tests/deploy/test_release.py",
    "tests/deploy/test_requirements.py",
    "tests/test_bodies.py",
    "tests/test_metrics.py",
    "tests/test_protocol.py",
)
"""What of the sdist's tests runs here; all the others are imported. ``--all`` makes an environment
for the sdist and runs them all."""


class Incomplete(Exception):
    """A release with a fault; the message names file, value and remedy."""


def version(root: Path) -> str:
    (found,) = re.findall(r'^__version__ = "(.*)"$', _read(root / PACKAGE), re.MULTILINE)
    return str(found)


def sections(root: Path) -> dict[str, str]:
    """The changelog's text by version, the newest first."""
    parts = re.split(r"^## \[([^\]]+)\].*\n", _read(root / CHANGELOG), flags=re.MULTILINE)[1:]
    return {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}


def problems(root: Path, tag: str = "") -> Iterator[str]:
    """Where version, changelog, chart and tag disagree. Without a tag nothing is released yet: the
    changelog may have unreleased changes."""
    ours = version(root)
    remedy = f"run make version VERSION={ours}"
    if not VERSION.fullmatch(ours):
        yield f"{PACKAGE}: __version__: {ours} is no version such as 1.2.0 or 1.2.0rc1"
    changes = sections(root)
    newest = next((name for name in changes if name != "Unreleased"), "none")
    if newest != ours:
        yield f"{CHANGELOG}: the top section is [{newest}], the version {ours}: {remedy}"
    elif not changes[newest]:
        yield f"{CHANGELOG}: the section [{newest}] is empty"
    for key, value in re.findall(r'^(version|appVersion): "?(.*?)"?$', _read(root / CHART), re.M):
        if value != ours:
            yield f"{CHART}: {key}: {value}, the version is {ours}: {remedy}"
    if tag:
        if tag != f"v{ours}":
            yield f"tag {tag}: the version is {ours}: the tag is v{ours}"
        if changes.get("Unreleased"):
            yield f"{CHANGELOG}: [Unreleased] has changes: run make version VERSION=…, and tag that"


def set_version(root: Path, new: str, day: datetime.date) -> None:
    """Give the unreleased changes a version. Raises ``Incomplete``."""
    if not VERSION.fullmatch(new):
        raise Incomplete(f"VERSION: {new} is no version such as 1.2.0 or 1.2.0rc1")
    if new in sections(root):
        raise Incomplete(f"{CHANGELOG}: has a section [{new}] already")
    if not sections(root).get("Unreleased"):
        raise Incomplete(f"{CHANGELOG}: [Unreleased] has no changes")
    _replace(root / PACKAGE, f'__version__ = "{version(root)}"', f'__version__ = "{new}"')
    _replace(root / CHANGELOG, UNRELEASED, f"{UNRELEASED}\n## [{new}] - {day}\n")
    chart = re.sub(r"^version: .*$", f"version: {new}", _read(root / CHART), flags=re.MULTILINE)
    chart = re.sub(r"^appVersion: .*$", f'appVersion: "{new}"', chart, flags=re.MULTILINE)
    (root / CHART).write_text(chart, encoding="utf-8")


def check(root: Path, dist: Path, tag: str, *, every_test: bool) -> None:
    """Build the release and try it. Raises ``Incomplete``."""
    with _step("version, changelog, chart and tag agree"):
        if found := list(problems(root, tag)):
            raise Incomplete("\n".join(found))
        if not tag and sections(root).get("Unreleased"):
            print("no TAG is given, and the changelog has unreleased changes", end="; ")
    with _step("the image's packages have wheels for arm64"):
        _download_wheels(root, "aarch64")
    with _step("sdist, and the wheel from it"):
        _remove(dist.glob("penpot_relay-*"))
        _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, root)
        sdist = _only(dist, f"penpot_relay-{version(root)}.tar.gz")
        wheel = _only(dist, f"penpot_relay-{version(root)}-py3-none-any.whl")
    with _step("nothing is missing in them"):
        _check_contents(root, sdist, wheel)
    with tempfile.TemporaryDirectory(prefix="relay-release-") as folder:
        with _step("the wheel in a fresh environment runs the demo"):
            _try_wheel(root, wheel, Path(folder) / "venv")
        with _step(
            "the sdist's tests pass"
            if every_test
            else "the sdist has all tests, and quick ones pass"
        ):
            _try_sdist(sdist, Path(folder), every_test=every_test)
    sums = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in (sdist, wheel)
    ]
    (dist / "SHA256SUMS").write_text("\n".join(sums) + "\n", encoding="utf-8")
    print(*sums, sep="\n")


def _download_wheels(root: Path, machine: str) -> None:
    """Each pin has a wheel for the image's Python, and its hash is that of the pins."""
    (python,) = re.findall(r"python:(\d+\.\d+)-slim", _read(root / "deploy/Dockerfile"))
    # pip does not know that a machine with glibc 2.28 also runs what was built for 2.17
    tags = [f"{tag}_{machine}" for tag in ("manylinux_2_28", "manylinux_2_17", "manylinux2014")]
    platforms = [argument for tag in tags for argument in ("--platform", tag)]
    with tempfile.TemporaryDirectory() as folder:
        for pins in ("deploy/requirements.txt", "deploy/build-requirements.txt"):
            _run(
                *(sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-qq"),
                *("--only-binary", ":all:", "--no-deps", "--require-hashes", *platforms),
                *("--python-version", python, "--dest", folder, "-r", root / pins),
            )


def _check_contents(root: Path, sdist: Path, wheel: Path) -> None:
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    for folder in SOURCES:
        if not any(name.startswith(f"{folder}/") for name in packed):
            raise Incomplete(f"{sdist.name}: has no {folder}/")
    if (root / ".git").exists():
        listed = _run("git", "-C", root, "ls-files", "-z", "--cached").split("\0")
        tracked = {name for name in listed if name and (root / name).exists()}
        if missing := sorted(tracked - packed):
            raise Incomplete(f"{sdist.name}: lacks {', '.join(missing)}: see pyproject.toml")
    modules = {name for name in packed if name.startswith("relay/")}
    templates = {f"relay/{name}" for name in packed if name.startswith("templates/")}
    with zipfile.ZipFile(wheel) as archive:
        installed = set(archive.namelist())
    if missing := sorted((modules | templates) - installed):
        raise Incomplete(f"{wheel.name}: lacks {', '.join(missing)}: see pyproject.toml")
    foreign = {name.partition("/")[0] for name in installed} - {"relay"}
    if foreign != {f"{wheel.name.partition('-py3')[0]}.dist-info"}:
        raise Incomplete(f"{wheel.name}: has {', '.join(sorted(foreign))} beside relay/")


def _try_wheel(root: Path, wheel: Path, folder: Path) -> None:
    """As a person installs it, with the pins."""
    venv.create(folder, with_pip=True)
    pip = (folder / "bin/python", "-m", "pip", "--disable-pip-version-check")
    _run(*pip, "install", "-qq", "--require-hashes", "-r", root / "deploy/requirements.txt")
    _run(*pip, "install", "-qq", "--no-deps", "--no-index", wheel)
    _run(*pip, "check")
    relay = folder / "bin/relay"
    said = _run(relay, "--version", cwd=folder)
    if version(root) not in said:
        raise Incomplete(f"{wheel.name}: relay --version says {said.strip()}")
    if "Penpot" not in _run(relay, "demo", "--once", cwd=folder):
        raise Incomplete(f"{wheel.name}: relay demo --once shows no message")


def _try_sdist(sdist: Path, folder: Path, *, every_test: bool) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    root = folder / sdist.name.removesuffix(".tar.gz")
    if every_test:
        _run("make", "test", cwd=root)
        return
    where = _run(sys.executable, "-c", "import relay; print(relay.__file__)", cwd=root, path=root)
    if Path(where.strip()) != root / PACKAGE:
        raise Incomplete(f"the tests would run {where.strip()}, not the sdist's")
    pytest = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
    for arguments in (("--collect-only", "tests"), QUICK_TESTS):
        output = _run(sys.executable, *pytest, *arguments, cwd=root, path=root)
        print(output.splitlines()[-1], end="; ")


def _run(*command: str | Path, cwd: Path | None = None, path: Path | None = None) -> str:
    """Its output. Raises ``Incomplete`` with that where it fails."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
    environ.pop("PYTHONPATH", None)
    if path is not None:
        environ["PYTHONPATH"] = str(path)
    done = subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Incomplete(f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def _step(name: str) -> Iterator[None]:
    started = time.monotonic()
    print(f"{name}: ", end="", flush=True)
    yield
    print(f"{time.monotonic() - started:.0f} s")


def _only(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise Incomplete(f"{folder}: the build made no {name}")
    return folder / name


def _remove(paths: Iterator[Path]) -> None:
    for path in paths:
        path.unlink()


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _replace(path: Path, old: str, new: str) -> None:
    text = _read(path)
    if text.count(old) != 1:
        raise Incomplete(f"{path}: has {old.strip()!r} {text.count(old)} times, not once")
    path.write_text(text.replace(old, new), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Relay's releases")
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="build a release and prove that it is complete")
    checking.add_argument("--tag", default="", help="the tag that releases it, such as v1.2.0")
    checking.add_argument("--dist", type=Path, default=ROOT / "dist", help="where to build it")
    checking.add_argument("--all", action="store_true", help="run all tests of the sdist")
    setting = commands.add_parser("version", help="give the unreleased changes a version")
    setting.add_argument("version")
    commands.add_parser("notes", help="print the changelog's newest section")
    given = parser.parse_args(arguments)
    try:
        if given.command == "check":
            check(ROOT, given.dist, given.tag, every_test=given.all)
        elif given.command == "version":
            set_version(ROOT, given.version, datetime.datetime.now(datetime.UTC).date())
            print(
                f"next: commit, tag v{given.version}, and make release-check TAG=v{given.version}"
            )
        else:
            print(sections(ROOT)[version(ROOT)])
    except Incomplete as fault:
        sys.exit(f"\n{fault}")


if __name__ == "__main__":
    main()
