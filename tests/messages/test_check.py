from pathlib import Path

from relay.channels import override_formats
from relay.delivery.notices import notice_samples
from relay.messages.check import check
from relay.messages.templates import Templates
from relay.penpot.catalogue import CATALOGUE
from tests.messages.samples import known, unknown

SAMPLES = [
    *(variables(name) for name in CATALOGUE for variables in (known, unknown)),
    *notice_samples(),
]


def test_the_built_in_templates_have_no_problems() -> None:
    assert check(Templates(None, override_formats()), [*SAMPLES, known("new-thing")]) == []


def test_all_problems_are_reported(tmp_path: Path) -> None:
    for name in ("create-file", "rename-file"):
        (tmp_path / f"{name}.md.j2").write_text("{{ a }}\n{{ b }}")
    problems = check(Templates(tmp_path, override_formats()), SAMPLES)
    assert sorted((Path(problem.file).name, problem.line) for problem in problems) == [
        ("create-file.md.j2", 1),
        ("create-file.md.j2", 2),
        ("rename-file.md.j2", 1),
        ("rename-file.md.j2", 2),
    ]


def test_a_missing_attribute_is_reported_once(tmp_path: Path) -> None:
    (tmp_path / "create-file.md.j2").write_text("{{ file.nme.foo }}")
    (problem,) = check(Templates(tmp_path, override_formats()), SAMPLES)
    assert problem.text == "'file' has no 'nme'; did you mean \"name\"?"


def test_folders_are_checked_against_the_teams_of_the_config(tmp_path: Path) -> None:
    for name in ("acme", "acmee", "builtin"):
        (tmp_path / name).mkdir()
    problems = check(Templates(tmp_path, override_formats()), SAMPLES, teams=["acme"])
    assert [(Path(problem.file).name, problem.text) for problem in problems] == [
        ("acmee", 'no team is called "acmee"; did you mean "acme"?'),
        ("builtin", 'the name "builtin" is reserved'),
    ]


def test_a_missing_folder_is_a_problem(tmp_path: Path) -> None:
    (problem,) = check(Templates(tmp_path / "none", override_formats()), SAMPLES)
    assert problem.text == "there is no such folder"
