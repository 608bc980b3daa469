"""The README matches the code."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

import click
import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from relay.channels import CHANNEL_TYPES
from relay.channels.base import ChannelSettings
from relay.channels.email.settings import SmtpSettings
from relay.cli import main
from relay.config.environment import known_variables
from relay.config.load import load
from relay.config.secret import Secret
from relay.config.settings import Config, people_model
from relay.config.types import SettingsModel
from relay.doctor import template_problems
from relay.messages.environments import MarkdownEnvironment, TemplateFiles
from relay.messages.sets import InProcessTemplates
from relay.messages.templates import builtin_folder
from relay.metrics import Metrics
from relay.penpot.catalogue import CATALOGUE, GROUPS
from relay.penpot.selection import DEFAULT

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECRET = "x" * 24


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def _prose(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def _section(heading: str) -> str:
    level = heading.partition(" ")[0]
    text = README.split(f"\n{heading}\n")[1]
    return re.split(rf"^#{{2,{len(level)}}} ", text, maxsplit=1, flags=re.MULTILINE)[0]


def _rows(text: str, head: str) -> list[list[str]]:
    """The cells of the table that begins with this line."""
    lines = iter(text[text.index(head) :].splitlines()[2:])
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    assert rows
    return rows


def _code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# The config


def _config_keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        inner = field.annotation
        if name in ("teams", "people"):
            inner = get_args(inner)[1] if name == "teams" else people_model()
            key = "teams.NAME" if name == "teams" else "people.WHO"
        if isinstance(inner, type) and issubclass(inner, SettingsModel):
            yield from _config_keys(inner, f"{key}.")
        else:
            yield key, field


def _channel_keys() -> Iterator[tuple[str, str, Any]]:
    shared = ChannelSettings.model_fields
    for key, field in shared.items():
        yield "all", key, field
    for kind, channel_type in CHANNEL_TYPES.items():
        for key, field in channel_type.settings.model_fields.items():
            if field.annotation is SmtpSettings:
                yield from ((kind, *entry) for entry in _config_keys(SmtpSettings, f"{key}."))
            elif key not in shared:
                yield kind, key, field


def _check_default(cell: str, field: Any) -> None:
    """Compare a cell of the column "default" with the field."""
    if field.is_required():
        assert cell == "required"
    elif isinstance(field.default, Secret):
        assert _code(cell) == [f'"{field.default.reveal()}"']
    elif (literal := re.fullmatch(r"`(.+)`", cell)) is not None:
        value = literal[1].strip('"')
        model = type(
            "One", (SettingsModel,), {"__annotations__": {"x": field.rebuild_annotation()}}
        )
        raw: Any = int(value) if value.isdigit() and field.annotation is int else value
        raw = {"true": True, "false": False}.get(value, raw)
        assert model(x=raw).x == field.default, cell
    else:
        assert field.default in (None, "", ()), cell
        assert field.default is not PydanticUndefined


def test_every_key_of_the_config_has_its_row_and_default() -> None:
    rows = _rows(README, "| key | default | meaning |")
    documented = {_code(row[0])[0]: row[1] for row in rows}
    fields = dict(_config_keys(Config))
    assert documented.keys() == fields.keys()
    for key, cell in documented.items():
        if key != "teams.NAME.channels":
            _check_default(cell, fields[key])


def test_every_key_of_a_channel_has_its_row_and_default() -> None:
    rows = _rows(README, "| type | key | default | meaning |")
    documented = {(row[0], _code(row[1])[0]): row[2] for row in rows}
    fields = {(kind, key): field for kind, key, field in _channel_keys()}
    assert documented.keys() == fields.keys()
    for key, cell in documented.items():
        if key not in {("all", "events"), ("all", "pace"), ("email", "smtp.port")}:
            _check_default(cell, fields[key])


def _example(parts: list[str], folder: Path) -> Config:
    text = "\n".join(parts).replace("/run/secrets/smtp", str(folder / "smtp"))
    (folder / "smtp").write_text("password")
    (folder / "relay.toml").write_text(text, encoding="utf-8")
    environ = dict.fromkeys(re.findall(r'env = "(\w+)"', text), SECRET)
    environ["SLACK_WEBHOOK_URL"] = "https://hooks.slack.com/services/T000/B000/x"
    return load(str(folder / "relay.toml"), environ)


def test_the_examples_form_one_config(tmp_path: Path) -> None:
    config = _example(_blocks("toml"), tmp_path)
    types = {channel.type for channel in config.teams["acme"].channels}
    assert types == {"slack", "matrix", "email", "stdout"}


def test_each_channels_example_works_alone(tmp_path: Path) -> None:
    begin, *others = _blocks("toml")
    channels = [block for block in others if "[[teams.acme.channels]]" in block]
    for channel in channels:
        assert len(_example([begin, channel], tmp_path).teams["acme"].channels) == 1


def test_every_variable_has_its_row_and_secret_mark() -> None:
    rows = _rows(README, "| variable | secret | meaning |")
    documented = {name: row[1] for row in rows for name in _code(row[0])}
    twins = {name.removesuffix("_FILE") for name in known_variables() if name.endswith("_FILE")}
    assert documented.keys() == known_variables() - {f"{name}_FILE" for name in twins}
    assert {name for name, secret in documented.items() if secret == "yes"} == twins


def test_every_named_variable_exists() -> None:
    assert set(re.findall(r"\bRELAY_[A-Z_]+[A-Z]", README)) <= known_variables()


def test_the_default_events_and_the_groups_are_those_of_the_code() -> None:
    text = _section("### Choosing events")
    (default,) = re.findall(r"^By default (.*?)\. ", text, re.MULTILINE | re.DOTALL)
    assert ["*", *(f"!{name}" for name in _code(default))] == list(DEFAULT)
    (groups,) = re.findall(r"names groups \((.*?)\)", text, re.DOTALL)
    assert _code(groups) == list(GROUPS)
    assert f"the {sum(not kind.synthetic for kind in CATALOGUE.values())} kinds" in text
    own = [name for name, kind in CATALOGUE.items() if kind.synthetic]
    assert set(own) <= set(_code(text))


# The command line


def _commands() -> Iterator[str]:
    shown = re.findall(r"^\$ (relay .*?)(?: +#.*)?$", "\n".join(_blocks("console")), re.MULTILINE)
    yield from shown
    yield from re.findall(r"`(relay [a-z][^`]*)`", _prose(README))


@pytest.mark.parametrize("line", sorted(set(_commands())))
def test_every_shown_command_line_is_valid(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("body.json").write_text("{}")
    _, name, *arguments = shlex.split(line)
    parsed = main.commands[name].make_context(name, arguments).params  # refuses what is not known
    assert parsed.get("event") in {None, *CATALOGUE}
    if "ids" in parsed and arguments:
        assert parsed["ids"] or parsed["dead"]


def test_the_table_of_commands_is_complete() -> None:
    rows = _rows(_section("## Commands"), "| command | does |")
    documented = [_code(row[0])[0].split()[1] for row in rows]
    assert sorted(documented) == sorted(main.commands)


def test_the_commands_without_a_config_are_named() -> None:
    without = {
        name
        for name, command in main.commands.items()
        if not isinstance(command, click.Group)  # its commands do
        if "path" not in {parameter.name for parameter in command.params}
    }
    (said,) = re.findall(r"^All but (.*?) take `--config FILE`", README, re.MULTILINE)
    assert set(_code(said)) == without


# Templates


def test_the_shown_templates_have_no_problems(tmp_path: Path) -> None:
    shown = re.findall(
        r"^`(templates/\S+\.j2)`\n\n```jinja\n(.*?)^```$", README, re.MULTILINE | re.DOTALL
    )
    assert len(shown) == len(_blocks("jinja")) == 2
    for name, text in shown:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "relay.toml").write_text(
        f'[templates]\npath = "{tmp_path}/templates"\n[teams.acme]\nsecret = "{SECRET}"\n'
    )
    config = load(str(tmp_path / "relay.toml"), {})
    assert template_problems(config, config.teams) == []


def test_the_filters_exist(tmp_path: Path) -> None:
    (line,) = re.findall(r"^- \*\*Filters:\*\* (.*?)Jinja's own", README, re.MULTILINE | re.DOTALL)
    expressions = _code(line)
    assert len(expressions) == 4
    environment = MarkdownEnvironment(TemplateFiles((), builtin_folder()))
    for expression in expressions:
        environment.from_string(expression)  # a filter that is not known is an error


def test_the_named_builtin_templates_exist() -> None:
    files = InProcessTemplates((), builtin_folder()).files
    text = _prose(_section("## Your own words"))
    named = [name for name in _code(text) if name.endswith(".md.j2") and "<" not in name]
    assert {"base.md.j2", "_words.md.j2"} <= set(named)
    for name in named:
        assert files.find(Path(name).name), name


# The service


def test_the_responses_of_the_hook_are_complete() -> None:
    rows = _rows(README, "| request | answer |")
    documented = {int(status) for row in rows for status in re.findall(r"`(\d{3})`", row[1])}
    source = (ROOT / "relay" / "intake.py").read_text(encoding="utf-8")
    given = {
        int(status)
        for status in re.findall(r"(?:_RequestRefused\(\s*|_respond\(send, )(\d{3})\b", source)
    }
    assert given >= {200, 204, 400, 404, 413, 415, 503}
    assert documented == given | {405}  # Starlette's, see tests/test_intake.py


def test_the_table_of_metrics_is_complete() -> None:
    documented = {_code(row[0])[0] for row in _rows(README, "| metric | counts |")}
    text = Metrics().text().decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE))
    given = {name for name in kinds if not name.endswith("_created")}
    assert documented == given


# Links


def test_every_relative_link_has_a_target() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(links) >= 10
    for link in links:
        assert (ROOT / unquote(link)).exists(), link


def test_every_anchor_has_a_heading() -> None:
    headings = {
        re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= headings


def test_the_pictures_are_small() -> None:
    for picture in (ROOT / "tests" / "pictures").glob("*.png"):
        assert picture.stat().st_size < 200_000, picture.name


def test_the_changelog_has_this_version() -> None:
    from relay import __version__

    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(__version__)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.M)
