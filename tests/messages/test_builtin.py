"""The built-in templates give the same in their own way as they do as a user's."""

from pathlib import Path
from typing import Any

import pytest

from relay.delivery.notices import notice_samples
from relay.messages.builtin import BuiltinFiles, BuiltinTemplates
from relay.messages.environments import TemplateFiles
from relay.messages.lint import OutputError
from relay.messages.locale import Locale, builtin_folder, using
from relay.messages.rendering import InProcessTemplates
from relay.penpot.catalogue import CATALOGUE
from tests.messages.clock import clock_at
from tests.messages.samples import known, subject, unknown

AS_A_USERS = InProcessTemplates(TemplateFiles((), builtin_folder()))
BUILTIN = BuiltinTemplates(builtin_folder())
OPTIONS: list[dict[str, Any]] = [
    {},
    {"direct": True},
    {"emoji": "🎨", "several_teams": True},
    {"as_sender": True},
]


@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.parametrize("language", ["en", "de"])
def test_an_event_gives_the_same_sections(name: str, language: str) -> None:
    nasty = known(name, actor="**\\*_Ö", file=subject("<!-- body -->"))
    for variables in (known(name), unknown(name), nasty):
        for options in OPTIONS:
            values = {"emoji": "", **variables, **options}
            with using(Locale(language)), clock_at("2026-07-25T12:00Z"):
                sections = AS_A_USERS.sections(f"{name}.md.j2", values, True)
                assert BUILTIN.sections(f"{name}.md.j2", values, True) == sections
                content = BUILTIN.sections(f"{name}.md.j2", values, content_only=True)
                assert (content.body, content.footer) == (sections.body, sections.footer)
                assert BUILTIN.title(f"{name}.md.j2", values) == sections.title


def test_a_notice_gives_the_same_sections() -> None:
    for variables in notice_samples():
        name = f"{variables['event']['name']}.md.j2"
        with using(Locale()), clock_at("2026-07-25T12:00Z"):
            assert BUILTIN.sections(name, variables) == AS_A_USERS.sections(name, variables)


def test_a_block_is_rendered_once(tmp_path: Path) -> None:
    (tmp_path / "base.md.j2").write_text(
        "<!-- title -->\n{% block title %}{% endblock %}"
        "{% block notice %}{{ self.title() }}{% endblock %}"
        "{% block subject %}{{ self.title() }}{% endblock %}{% block body %}{% endblock %}"
        "{% block footer %}{% endblock %}"
    )
    (tmp_path / "a.md.j2").write_text(
        '{% extends "base.md.j2" %}{% block title %}{{ count() }}{% endblock %}'
        "{% block body %}{{ self.title() }} of {{ self.title() }}{% endblock %}"
        "{% block notice %}{{ super() }}, {{ super() }}{% endblock %}"
    )
    calls: list[int] = []

    def count() -> str:
        calls.append(1)
        return f"render {len(calls)}"

    sections = BuiltinTemplates(tmp_path).sections("a.md.j2", {"count": count})
    assert (sections.title, sections.notice) == ("render 1", "render 1, render 1")
    assert sections.body == "render 1 of render 1"


def test_a_block_without_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "base.md.j2").write_text(
        "".join(f"{{% block {name} %}}{{% endblock %}}" for name in ("title", "body", "footer"))
    )
    with pytest.raises(OutputError, match="gives no text for the block body"):
        BuiltinTemplates(tmp_path).sections("base.md.j2", {})


def test_only_files_of_the_folder_are_templates() -> None:
    files = BuiltinFiles(builtin_folder())
    path = f"{builtin_folder()}/create-file.md.j2"
    assert files.find("create-file.md.j2") == files.find("builtin/create-file.md.j2") == path
    for name in ("languages", "new-thing.md.j2", "../README.md", "acme/create-file.md.j2", ""):
        assert files.find(name) is None
