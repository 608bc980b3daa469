"""The release's one version, and what `make release-check` refuses."""

import datetime
import io
import re
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from relay import __version__
from tests.deploy import release
from tests.deploy.release import Incomplete, problems, sections, set_version, version

ROOT = Path(__file__).resolve().parents[2]
DAY = datetime.date(2026, 12, 1)
FILES = (release.PACKAGE, release.CHANGELOG, release.CHART)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files with the version, beside a changelog that has unreleased changes."""
    for file in FILES:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    changelog = (
        f"# Changelog\n\n## [Unreleased]\n\n- New.\n\n## [{__version__}] - 2026-11-23\n\n- Old.\n"
    )
    (tmp_path / release.CHANGELOG).write_text(changelog, encoding="utf-8")
    return tmp_path


def _edit(root: Path, file: Path, old: str, new: str) -> None:
    text = (root / file).read_text(encoding="utf-8")
    assert old in text
    (root / file).write_text(text.replace(old, new), encoding="utf-8")


def test_version_changelog_and_chart_agree() -> None:
    assert version(ROOT) == __version__
    assert list(problems(ROOT)) == []


def test_every_section_of_the_changelog_has_a_version_and_a_date() -> None:
    headings = re.findall(r"^## .*$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert headings[0] == "## [Unreleased]"
    for heading in headings[1:]:
        assert re.fullmatch(rf"## \[{release.VERSION.pattern}\] - \d{{4}}-\d\d-\d\d", heading)


def test_a_new_version_is_set_everywhere_and_can_be_tagged(copy: Path) -> None:
    assert "[Unreleased] has changes" in "\n".join(problems(copy, f"v{__version__}"))
    set_version(copy, "9.8.7", DAY)
    assert list(problems(copy, "v9.8.7")) == []
    assert version(copy) == "9.8.7"
    assert sections(copy) == {"Unreleased": "", "9.8.7": "- New.", __version__: "- Old."}
    assert "## [9.8.7] - 2026-12-01\n" in (copy / release.CHANGELOG).read_text(encoding="utf-8")
    chart = (copy / release.CHART).read_text(encoding="utf-8")
    assert 'version: 9.8.7\nappVersion: "9.8.7"\n' in chart


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (release.PACKAGE, f'"{__version__}"', '"soon"', "soon is no version such as 1.2.0"),
        (release.PACKAGE, f'"{__version__}"', '"9.9.9"', f"top section is [{__version__}]"),
        (release.CHANGELOG, f"[{__version__}]", "[9.9.9]", "top section is [9.9.9]"),
        (release.CHANGELOG, "- Old.", "", "is empty"),
        (release.CHART, f"\nversion: {__version__}", "\nversion: 9.9.9", "version: 9.9.9"),
        (release.CHART, f'"{__version__}"', '"9.9.9"', "appVersion: 9.9.9"),
    ],
)
def test_what_disagrees_is_named(copy: Path, file: Path, old: str, new: str, said: str) -> None:
    _edit(copy, file, old, new)
    assert said in "\n".join(problems(copy))


def test_a_tag_of_another_version_is_refused(copy: Path) -> None:
    _edit(copy, release.CHANGELOG, "- New.", "")
    assert list(problems(copy, f"v{__version__}")) == []
    assert list(problems(copy, __version__)) != []
    assert list(problems(copy, "v9.9.9")) == [
        f"tag v9.9.9: the version is {__version__}: the tag is v{__version__}"
    ]


@pytest.mark.parametrize(
    ("new", "said"), [("1.2", "no version such as"), (__version__, "has a section")]
)
def test_a_wrong_version_changes_nothing(copy: Path, new: str, said: str) -> None:
    before = [(copy / file).read_bytes() for file in FILES]
    with pytest.raises(Incomplete, match=said):
        set_version(copy, new, DAY)
    assert [(copy / file).read_bytes() for file in FILES] == before


def test_no_version_without_changes(copy: Path) -> None:
    _edit(copy, release.CHANGELOG, "- New.", "")
    with pytest.raises(Incomplete, match="has no changes"):
        set_version(copy, "9.8.7", DAY)


def _archives(folder: Path, sources: set[str], installed: set[str]) -> tuple[Path, Path]:
    sdist, wheel = folder / "penpot_relay-1.tar.gz", folder / "penpot_relay-1-py3-none-any.whl"
    with tarfile.open(sdist, "w:gz") as archive:
        for name in sources:
            archive.addfile(tarfile.TarInfo(f"penpot_relay-1/{name}"), io.BytesIO())
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in installed:
            archive.writestr(name, "")
    return sdist, wheel


SOURCES = {"relay/a.py", "templates/a.j2", "tests/a.py", "deploy/a.toml"}
INSTALLED = {"relay/a.py", "relay/templates/a.j2", "penpot_relay-1.dist-info/METADATA"}


@pytest.mark.parametrize(
    ("sources", "installed", "said"),
    [
        (SOURCES - {"tests/a.py"}, INSTALLED, "has no tests/"),
        (SOURCES, INSTALLED - {"relay/templates/a.j2"}, "lacks relay/templates/a.j2"),
        (SOURCES, INSTALLED - {"relay/a.py"}, "lacks relay/a.py"),
        (SOURCES, INSTALLED | {"tests/a.py"}, "tests beside relay/"),
    ],
)
def test_incomplete_archives_are_refused(
    tmp_path: Path, sources: set[str], installed: set[str], said: str
) -> None:
    with pytest.raises(Incomplete, match=said):
        release._check_contents(tmp_path, *_archives(tmp_path, sources, installed))


def test_complete_archives_are_accepted(tmp_path: Path) -> None:
    release._check_contents(tmp_path, *_archives(tmp_path, SOURCES, INSTALLED))


def test_a_tracked_file_that_the_sdist_lacks_is_named(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "NOTES").touch()
    subprocess.run(["git", "-C", tmp_path, "add", "NOTES"], check=True)
    with pytest.raises(Incomplete, match=r"lacks NOTES: see pyproject\.toml"):
        release._check_contents(tmp_path, *_archives(tmp_path, SOURCES, INSTALLED))


def test_a_failing_command_is_shown_with_its_output() -> None:
    with pytest.raises(Incomplete, match=r"sh -c .*:\nout\nerr"):
        release._run("sh", "-c", "echo out; echo err >&2; exit 3")


def test_the_notes_are_the_newest_section() -> None:
    said = subprocess.run(
        ["python3", ROOT / "tests/deploy/release.py", "notes"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.strip() == sections(ROOT)[__version__]
