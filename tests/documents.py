"""The repository's documents, their tables, and what they quote in code marks."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "deploy/README.md", "templates/README.md", "tests/bench/README.md")
}
README, OPERATOR, TEMPLATES, BENCH = DOCUMENTS.values()


def table_rows(text: str, head: str) -> list[list[str]]:
    """The cells of the table that begins with this line."""
    lines = iter(text[text.index(head) :].splitlines()[2:])
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))])
    assert rows
    return rows


def in_code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)
