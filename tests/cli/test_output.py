"""The schema of the documents, and the colours."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from relay.cli import main
from relay.cli.output import DOCUMENT_VERSION, schema
from tests.cli.commands import LOG, config_file, document, invoke, validate
from tests.service import relay

SCHEMA = json.loads(schema())
PRINTS_DOCUMENTS = {
    name
    for name, command in main.commands.items()
    if "as_json" in {each.name for each in command.params}
}


def test_the_schema_is_valid_and_describes_each_key(tmp_path: Path) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(relay("--json-schema", folder=tmp_path).stdout) == SCHEMA
    assert SCHEMA["properties"]["version"]["const"] == DOCUMENT_VERSION
    assert SCHEMA["$id"].endswith(f":{DOCUMENT_VERSION}")

    undescribed = []

    def look(place: str, part: Any) -> None:
        if isinstance(part, dict):
            for key, value in part.get("properties", {}).items():
                if not place.endswith("if") and not value.keys() & {"description", "$ref"}:
                    undescribed.append(f"{place}.{key}")
            for key, value in part.items():
                look(f"{place}.{key}", value)

    look("", SCHEMA)
    assert undescribed == []


def test_the_schema_has_all_commands_that_print_documents() -> None:
    assert set(SCHEMA["properties"]["command"]["enum"]) == PRINTS_DOCUMENTS
    assert len(PRINTS_DOCUMENTS) == 7


@pytest.mark.parametrize("command", ["check", "doctor", "log", "send", "resend", "dismiss"])
def test_an_invalid_config_is_a_document_too(tmp_path: Path, command: str) -> None:
    config = config_file(tmp_path, "nonsense = 1\n" + LOG + "pace = 0\n")
    arguments = ["1"] if command in ("resend", "dismiss") else []
    printed = document(invoke(config, command, *arguments, "--json"), 1)
    assert [error.partition(": must")[0].rpartition(" ")[0] for error in printed["errors"]]
    assert len(printed["errors"]) == 2
    assert "teams.acme.nonsense: unknown key" in str(printed["errors"])
    assert printed.keys() == {"version", "command", "ok", "errors"}


def test_a_wrong_option_is_a_document_too(tmp_path: Path) -> None:
    config = config_file(tmp_path)
    assert document(invoke(config, "check", "--json", "--nope"), 2)["errors"] == [
        "No such option '--nope'."
    ]
    assert invoke(config, "health", "--json").stdout == ""


def test_the_schema_refuses_unknown_and_missing_keys(tmp_path: Path) -> None:
    printed = document(invoke(config_file(tmp_path), "check", "--json"))
    for wrong in (
        printed | {"events": []},
        printed | {"command": "log"},
        printed | {"version": 2},
        {key: value for key, value in printed.items() if key != "findings"},
        printed | {"findings": [{"status": "FAIL", "subject": "a", "text": "b"}]},
    ):
        with pytest.raises(ValidationError):
            validate(wrong)


def test_colours_are_for_terminals_and_can_be_switched_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_file(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" not in invoke(config, "check").stdout
    shown = invoke(config, "check", color=True).stdout
    assert "\x1b[32mok  \x1b[0m  config: " in shown
    assert "\x1b[33mnote\x1b[0m  config: " in shown
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in invoke(config, "check", color=True).stdout
