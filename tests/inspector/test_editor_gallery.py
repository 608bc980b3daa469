"""The gallery of previews, in a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.penpot.samples import SAMPLE_NAMES
from tests.inspector.conftest import STDOUT, Open, accessibility_problems, keep_picture
from tests.service import Service, running


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service without templates of its own."""
    with running(tmp_path_factory.mktemp("relay"), STDOUT) as started:
        yield started


@pytest.mark.parametrize("kind", ["slack", "matrix", "email", "webhook", "stdout"])
def test_every_event_has_a_preview(service: Service, open_page: Open, kind: str) -> None:
    page = open_page(f"{service.admin}/inspector/templates?kind={kind}")
    assert page.locator(".sample").count() == len(SAMPLE_NAMES)
    assert page.locator(".preview-unknown").count() == 0
    words = "the headline is hard to read"  # of a mail in the subject
    assert words in page.locator(".sample", has_text="create-comment-thread").inner_text()
    keep_picture(page, f"gallery-{kind}")
    if kind in ("slack", "matrix"):  # the others have no other elements
        assert accessibility_problems(page) == []


def test_a_failing_template_is_reported_beside_its_preview(tmp_path: Path, open_page: Open) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "rename-file.md.j2").write_text("{{ nothing }}")
    settings = f'[templates]\npath = "{tmp_path}/own"\n'
    with running(tmp_path, STDOUT + settings) as started:
        page = open_page(f"{started.admin}/inspector/templates")
        card = page.locator(".sample", has_text="rename-file")
        assert "rename-file.md.j2:1: 'nothing' is undefined" in card.inner_text()
        assert "renamed the file" in card.inner_text()
