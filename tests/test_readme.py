"""README and guides match the code."""

import inspect
import re
import shlex
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from urllib.parse import unquote

import click
import pytest
import yaml
from aiosmtplib import SMTPResponseException, SMTPSenderRefused
from prometheus_client.parser import text_string_to_metric_families

from relay.channels.email.errors import error_from_smtp
from relay.channels.errors import error_from_exception, error_from_status
from relay.channels.matrix.errors import ERRORS as MATRIX_ERRORS
from relay.channels.slack.errors import ERRORS as SLACK_ERRORS
from relay.cli import main
from relay.config.environment import known_variables
from relay.config.load import ConfigError, load, warnings
from relay.config.settings import Config
from relay.doctor import template_problems
from relay.messages.environments import MAX_TEMPLATE_SIZE, MarkdownEnvironment, TemplateFiles
from relay.messages.sandbox import MAX_GROWTH_BYTES, QUARANTINE_TTL, TEMPLATE_TIMEOUT
from relay.messages.templates import Templates, builtin_folder
from relay.metrics import Metrics
from relay.penpot.catalogue import CATALOGUE, GROUPS
from relay.penpot.events import Subject
from relay.penpot.selection import DEFAULT
from relay.reference import VARIABLES, UnknownEvent
from tests.bench.__main__ import BENCHES
from tests.service import Service, running

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "deploy/README.md", "templates/README.md", "tests/bench/README.md")
}
README, OPERATOR, TEMPLATES, BENCH = DOCUMENTS.values()
ALL = "\n".join(DOCUMENTS.values())
SECRET = "x" * 24


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def _prose(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def _section(document: str, heading: str) -> str:
    level = heading.partition(" ")[0]
    text = document.split(f"\n{heading}\n")[1]
    return re.split(rf"^#{{2,{len(level)}}} ", text, maxsplit=1, flags=re.MULTILINE)[0]


def _rows(text: str, head: str) -> list[list[str]]:
    """The cells of the table that begins with this line."""
    lines = iter(text[text.index(head) :].splitlines()[2:])
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))])
    assert rows
    return rows


def _code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 250
    assert len(README.split()) <= 2000


# The config


def _example(parts: list[str], folder: Path) -> Config:
    text = "\n".join(parts).replace("/run/secrets/smtp", str(folder / "smtp"))
    (folder / "smtp").write_text("password")
    (folder / "relay.toml").write_text(text, encoding="utf-8")
    environ = dict.fromkeys(re.findall(r'env = "(\w+)"', text), SECRET)
    environ["SLACK_WEBHOOK_URL"] = "https://hooks.slack.com/services/T000/B000/x"
    return load(str(folder / "relay.toml"), environ)


def test_the_readmes_example_loads(tmp_path: Path) -> None:
    (channel,) = _example(_blocks(README, "toml"), tmp_path).teams["acme"].channels
    assert channel.type == "slack"


def test_the_operators_examples_form_one_config(tmp_path: Path) -> None:
    config = _example(_blocks(OPERATOR, "toml"), tmp_path)
    types = {channel.type for channel in config.teams["acme"].channels}
    assert types == {"slack", "matrix", "email", "stdout"}


def test_the_example_of_two_secrets_loads(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", _section(OPERATOR, "## Change a secret"), re.S)
    (tmp_path / "relay.toml").write_text(dedent(example))
    environ = {"ACME_NEW_SECRET": SECRET, "ACME_HOOK_SECRET": f"{SECRET}-old"}
    config = load(str(tmp_path / "relay.toml"), environ)
    assert config.hook_path("acme") == f"/hooks/acme/{SECRET}"


def test_each_channels_example_works_alone(tmp_path: Path) -> None:
    begin, *others = _blocks(OPERATOR, "toml")
    channels = [block for block in others if "[[teams.acme.channels]]" in block]
    assert len(channels) >= 7
    for channel in channels:
        assert len(_example([begin, channel], tmp_path).teams["acme"].channels) == 1


def test_the_templates_folder_is_configured_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("templates").mkdir()
    (shown,) = _blocks(TEMPLATES, "toml")
    config = _example([_blocks(OPERATOR, "toml")[0], shown], tmp_path)
    assert config.templates.path == Path("templates")


CHANNELS = {
    "Slack, bot": """type = "slack"\nchannel = "#design"\ntoken = "xoxb-token\"""",
    "Slack, incoming webhook": """type = "slack"\nwebhook_url = "https://slack.example/hook\"""",
    "Matrix": """type = "matrix"\nroom = "!a:b.org"\nhomeserver = "https://b.org"
access_token = "token\"""",
    "email": """type = "email"\nto = ["a@example.com"]\nsender = "b@example.com"
smtp = { host = "localhost" }""",
    "standard output": """type = "stdout\"""",
}


@pytest.mark.parametrize("name", CHANNELS)
def test_the_capabilities_of_a_channel_are_those_of_the_code(name: str, tmp_path: Path) -> None:
    def is_accepted(key: str) -> bool:
        place = re.compile("^(channel|room) = .*$" if key.startswith("direct") else "^$", re.M)
        try:
            _example([begin, place.sub("", CHANNELS[name]), key], tmp_path)
        except ConfigError:
            return False
        return True

    rows = _rows(README, "| | threads | edits in place | pings | pictures | direct messages |")
    assert {row[0] for row in rows} == CHANNELS.keys()
    _, threads, edits, _, pictures, direct, _ = next(row for row in rows if row[0] == name)
    begin = f'[penpot]\naccess_token = "token"\n[teams.acme]\nsecret = "{SECRET}"\n'
    begin += '[[teams.acme.channels]]\nname = "one"'
    (channel,) = _example([begin, CHANNELS[name]], tmp_path).teams["acme"].channels
    assert channel.in_threads == (threads == "yes")
    assert is_accepted('edits = "in-place"') == channel.can_edit == (edits == "yes")
    assert is_accepted("thumbnails = true") == (pictures == "yes")
    assert is_accepted('direct = "mentioned"') == (direct == "yes")


def test_every_variable_has_its_row_and_secret_mark() -> None:
    rows = _rows(OPERATOR, "| variable | secret | meaning |")
    documented = {name: row[1] for row in rows for name in _code(row[0])}
    twins = {name.removesuffix("_FILE") for name in known_variables() if name.endswith("_FILE")}
    assert documented.keys() == known_variables() - {f"{name}_FILE" for name in twins}
    assert {name for name, secret in documented.items() if secret == "yes"} == twins


def test_every_named_variable_exists() -> None:
    named = set(re.findall(r"\bRELAY_[A-Z_]+[A-Z]", ALL))
    assert {name for name in named if not name.startswith("RELAY_BENCH_")} <= known_variables()


def test_every_named_key_is_in_the_example_config() -> None:
    example = (ROOT / "deploy" / "relay.toml").read_text(encoding="utf-8")
    tables = set(re.findall(r"^\[(\w+)\]", example, re.MULTILINE))
    assert tables >= {"server", "store", "penpot", "sync", "templates", "inspector", "log"}
    named = re.findall(rf"`({'|'.join(tables)})\.(\w+)`", ALL)
    assert len(named) >= 20
    for table, key in named:
        rest = example.split(f"\n[{table}]")[1].split("\n[")[0]
        assert re.search(rf"^#?{key} = ", rest, re.MULTILINE), f"{table}.{key}"


def test_the_default_events_and_the_groups_are_those_of_the_code() -> None:
    text = _section(OPERATOR, "### Choosing events")
    (default,) = re.findall(r"^By default (.*?)\. ", text, re.MULTILINE | re.DOTALL)
    assert ["*", *(f"!{name}" for name in _code(default))] == list(DEFAULT)
    (groups,) = re.findall(r"contains groups \((.*?)\)", text, re.DOTALL)
    assert _code(groups) == list(GROUPS)
    own = [name for name, kind in CATALOGUE.items() if kind.synthetic]
    assert set(own) <= set(_code(text))
    assert len(own) == 5
    assert "five more" in text
    count = len(CATALOGUE) - len(own)
    assert f"the {count} kinds" in text
    assert f"All {count} webhook events" in README


# The command line


def _commands() -> Iterator[str]:
    shown = re.findall(
        r"^\$ (relay .*?)(?: +#.*)?$", "\n".join(_blocks(ALL, "console")), re.MULTILINE
    )
    yield from shown
    yield from re.findall(r"`(relay [a-z][^`]*)`", _prose(ALL))


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
    rows = _rows(_section(OPERATOR, "## Commands"), "| command | does |")
    documented = [_code(row[0])[0].split()[1] for row in rows]
    assert sorted(documented) == sorted(main.commands)


def test_the_commands_without_a_config_are_named() -> None:
    without = {
        name
        for name, command in main.commands.items()
        if not isinstance(command, click.Group)  # its commands do
        if "path" not in {parameter.name for parameter in command.params}
    }
    (said,) = re.findall(r"^All but (.*?) take `--config FILE`", OPERATOR, re.MULTILINE)
    assert set(_code(said)) == without


def test_the_commands_without_secrets_are_named() -> None:
    commands = dict(main.commands)
    (group,) = (command for command in commands.values() if isinstance(command, click.Group))
    commands |= {f"{group.name} {name}": command for name, command in group.commands.items()}
    without = {
        name
        for name, command in commands.items()
        if command.callback and "secrets=False" in inspect.getsource(command.callback)
    }
    (said,) = re.findall(r"FILE`\. (.*?) read none of\s+the secrets", OPERATOR, re.DOTALL)
    assert set(_code(said)) == without


def test_every_named_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE))
    named = set(re.findall(r"(?:`|^\$ (?:\S+=\S+ )?)make ([a-z]+)", ALL, re.MULTILINE))
    assert {"demo", "test", "bench", "wheel"} <= named <= targets


def test_the_table_of_benchmarks_is_complete() -> None:
    rows = [line for line in BENCH.splitlines() if line.startswith("| ")]
    named = {name for line in rows for name in _code(line.split("|")[-2])}
    named |= set(re.findall(r"ARGS=([a-z-]+)", BENCH)) | {"inspector-postgres"}
    assert named - {"make bench ARGS=…"} == BENCHES.keys()
    assert "`inspector-postgres`" in BENCH


# Templates


def test_the_shown_templates_have_no_problems(tmp_path: Path) -> None:
    shown = re.findall(
        r"^`(templates/\S+\.j2)`\n\n```jinja\n(.*?)^```$", TEMPLATES, re.MULTILINE | re.DOTALL
    )
    assert len(shown) == len(_blocks(ALL, "jinja")) == 2
    for name, text in shown:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert _problems(tmp_path) == []


def _problems(folder: Path) -> list[str]:
    (folder / "relay.toml").write_text(
        f'[templates]\npath = "{folder}/templates"\n[teams.acme]\nsecret = "{SECRET}"\n'
    )
    config = load(str(folder / "relay.toml"), {})
    return [str(problem) for problem in template_problems(config, config.teams)]


def test_the_filters_exist() -> None:
    rows = _rows(TEMPLATES, "| filter | gives |")
    expressions = [code.replace("\\|", "|") for row in rows for code in _code(row[0])]
    expressions += re.findall(r"\{\{.*?\}\}", rows[0][1].replace("\\|", "|"))
    assert len(expressions) == 5
    environment = MarkdownEnvironment(TemplateFiles((), builtin_folder()))
    for expression in expressions:
        environment.from_string(expression)  # a filter that is not known is an error
    (without,) = re.findall(r"exist too, except\s(.*?)\. ", TEMPLATES, re.DOTALL)
    assert len(_code(without)) == 5
    assert not environment.filters.keys() & set(_code(without))


def test_the_named_builtin_templates_exist() -> None:
    files = TemplateFiles((), builtin_folder())
    named = [name for name in _code(_prose(TEMPLATES)) if re.fullmatch(r"[\w/-]+\.md\.j2", name)]
    assert {"base.md.j2", "_words.md.j2", "event.md.j2"} <= set(named)
    for name in named:
        assert files.find(Path(name).name), name


def test_the_table_of_blocks_is_complete() -> None:
    documented = {_code(row[0])[0] for row in _rows(TEMPLATES, "| block | contains | default |")}
    base = (builtin_folder() / "base.md.j2").read_text(encoding="utf-8")
    assert documented == set(re.findall(r"\{% block (\w+) ", base))


def test_the_table_of_variables_is_complete() -> None:
    rows = _rows(TEMPLATES, "| variable | is |")
    assert sorted(name for row in rows for name in _code(row[0])) == sorted(VARIABLES)


def test_the_suffixes_of_overrides_are_complete(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "create-file.txt.j2").touch()
    (problem,) = _problems(tmp_path)
    suffixes = problem.rpartition(": ")[2].split(", ")
    rows = _rows(TEMPLATES, "| file | output |")
    documented = [_code(row[0])[0].removeprefix("<event>") for row in rows]
    assert sorted([".md.j2", *documented]) == sorted(suffixes)


def test_the_limits_of_the_sandbox_are_those_of_the_code() -> None:
    text = _section(TEMPLATES, "## Limits of the sandbox")
    assert ("one second" in text) == (TEMPLATE_TIMEOUT == 1)
    assert f"{MAX_GROWTH_BYTES >> 20} MB" in text
    assert f"{MAX_TEMPLATE_SIZE // 1_000_000} MB of text" in text
    assert ("ten minutes" in text) == (QUARANTINE_TTL == 600)


# The service


def test_the_responses_of_the_hook_are_complete() -> None:
    rows = _rows(OPERATOR, "| request | response |")
    documented = {int(status) for row in rows for status in re.findall(r"`(\d{3})`", row[1])}
    modules = ("intake", "bodies", "protocol")
    source = "".join((ROOT / f"relay/{name}.py").read_text(encoding="utf-8") for name in modules)
    places = r"RequestRefused\(|_respond\(send, |_refuse\(|\bstatus(?:, reason)? = "
    given_at = rf"(?:{places})\s*(\d{{3}})\b"
    given = {int(status) for status in re.findall(given_at, source)}
    assert given >= {200, 204, 400, 404, 408, 413, 415, 503}
    assert documented == given | {405}  # Starlette's, see tests/test_intake.py


def test_every_cannot_is_shown_by_tests_that_exist() -> None:
    text = _section(OPERATOR, "## Who can do what")
    actors = {row[0] for row in _rows(text, "| who | has | can |")}
    assert actors == {"stranger", "hook holder", "server", "template author", "viewer"}
    rows = _rows(text, "| who | cannot | shown by |")
    assert actors <= {who for who, _, _ in rows}
    for _, cannot, shown_by in rows:
        assert _code(shown_by), cannot
        for test in _code(shown_by):
            path, _, function = test.partition("::")
            source = (ROOT / path).read_text(encoding="utf-8")
            assert re.search(rf"^(?:async )?def {function}\(", source, re.MULTILINE), test


def _metrics() -> dict[str, tuple[str, set[str]]]:
    """Type and labels by name."""
    metrics = Metrics()
    metrics.request("acme", 204)
    metrics.connection_refused("hook", "all connections in use")
    metrics.event("acme", "create-file", "stored")
    metrics.sent("acme/room", 0.1)
    metrics.failed("acme/room", "timeout")
    metrics.dead("acme/room", "timeout")
    metrics.skipped("acme/room", "no_address")
    metrics.stopped("acme/room", is_stopped=True)
    metrics.digest("acme/room")
    metrics.template_problem("create-file.md.j2")
    metrics.lookup("get-team", "found")
    metrics.sync_call("get-team", "found")
    metrics.sync_event("acme", "update-comment")
    metrics.webhook("acme", is_active=True)
    metrics.webhook_reactivated("acme")
    metrics.set_deliveries({}, {}, ["acme/room"])
    metrics.set_store_size(1, 2, {"acme": 3})
    by_name = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert family.samples, f"{family.name} has no value here"
        by_name[family.name + "_total" * (family.type == "counter")] = family.type, labels
    return by_name


def test_the_table_of_metrics_is_complete() -> None:
    rows = _rows(OPERATOR, "| metric | type | labels | meaning |")
    documented = {_code(row[0])[0]: (row[1], set(_code(row[2]))) for row in rows}
    assert documented == _metrics()
    assert all(row[3] for row in rows)


def test_every_named_metric_exists() -> None:
    assert set(re.findall(r"\brelay_[a-z_]+(?=[\s`=>\[])", ALL)) <= _metrics().keys()
    for block in _blocks(OPERATOR, "yaml"):
        assert yaml.safe_load(block)


def test_the_named_error_codes_are_in_the_tables_of_the_channels() -> None:
    rows = _rows(OPERATOR, "| symptom | cause and fix |")
    for service, errors in (("Slack", SLACK_ERRORS), ("Matrix", MATRIX_ERRORS)):
        codes = [code for row in rows if row[0].startswith(f"{service}:") for code in _code(row[0])]
        assert codes
        assert set(codes) <= errors.keys()


# Troubleshooting


def _load_problems(text: str | None, folder: Path) -> Iterator[str]:
    """What the config in ``relay.toml`` has; None: there is no file."""
    (folder / "relay.toml").unlink(missing_ok=True)
    if text is not None:
        encoding = "utf-16" if "UTF-16" in text else "utf-8"
        (folder / "relay.toml").write_text(text, encoding=encoding)
    try:
        config = load(None, {})
    except ConfigError as error:
        yield from error.problems
    else:
        yield from (*warnings(config), config.describe_inspector())


def _printed(folder: Path) -> Iterator[str]:
    """Texts that Relay prints, each from the code that makes it."""
    team = f'[teams.acme]\nsecret = "{SECRET}"\n'
    for text in (
        None,
        "# UTF-16",
        "port = x",
        f"{team}[server]\nprot = 1",
        '[teams.acme]\nsecret = { env = "NOT_SET" }',
        f'{team}[server]\nhost = "a:1"',
        f"{team}[admin]\nport = 8080",
        f'{team}[admin]\nhost = "0.0.0.0"',
    ):
        yield from _load_problems(text, folder)
    for error in (
        ConnectionRefusedError(),
        TimeoutError(),
        socket.gaierror(),
        _tls_error(ssl.SSLError, reason="WRONG_VERSION_NUMBER"),
        _tls_error(ssl.SSLCertVerificationError, verify_message="expired"),
    ):
        yield str(error_from_exception(error, "the server"))
    yield str(error_from_status(404, "the server"))
    for code, reply in (
        (530, "5.7.0 Authentication required"),
        (535, "5.7.8 bad credentials"),
        (554, "Sending suspended for this account"),
        (550, "5.7.133 no"),
    ):
        yield str(error_from_smtp(SMTPResponseException(code, reply), secret=""))
    refused = SMTPSenderRefused(550, "Sender not allowed", "p@example.com")
    yield str(error_from_smtp(refused, secret=""))
    yield str(UnknownEvent("create-fil"))
    (folder / "templates").mkdir()
    for name, text in (
        ("create-fil", ""),
        ("create-file", "{{ fil }}"),
        ("rename-file", "{{ file.nam() }}"),
    ):
        (folder / "templates" / f"{name}.md.j2").write_text(text)
    yield from _problems(folder)
    rendered = Templates(folder / "templates").render(
        "rename-file", {"file": Subject(name="x")}, team="acme", channel_kind=""
    )
    yield from map(str, rendered.problems)
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        service = Service(folder, "")
        text = service.config.read_text()
        port = occupied.getsockname()[1]
        service.config.write_text(text.replace(f"port = {service.port}\n", f"port = {port}\n"))
        yield service.run("serve").stderr
    with running(folder, ""):
        yield service.run("serve").stderr


SHOWN_ELSEWHERE = {
    "can't write the output: No space left on device": "tests/test_cli.py",
    "waiting up to 10 s for … message": "tests/scenarios/test_stop.py",
    "servers speak TLS at once at port 465": "tests/channels/email/test_settings.py",
}
"""Texts that another test produces."""


def test_every_text_in_the_table_of_troubleshooting_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = list(_printed(tmp_path))
    rows = _rows(OPERATOR, "| symptom | cause | remedy |")
    assert len(rows) > 20
    for symptom, cause, remedy in rows:
        (text,) = _code(symptom)
        assert cause
        assert remedy
        pattern = re.escape(text).replace("…", ".+")
        texts = printed
        if text in SHOWN_ELSEWHERE:
            texts = [(ROOT / SHOWN_ELSEWHERE[text]).read_text(encoding="utf-8")]
        assert any(re.search(pattern, each) for each in texts), text


# Links


def _tls_error(kind: type[ssl.SSLError], **attributes: str) -> ssl.SSLError:
    error = kind()
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


def _slug(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")


def _headings(text: str) -> set[str]:
    return {_slug(line) for line in re.findall(r"^#+ (.*)$", _prose(text), re.MULTILINE)}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_has_a_target(name: str) -> None:
    links = re.findall(r"\]\(([^)#:\s]*)(?:#([^)]+))?\)", _prose(DOCUMENTS[name]))
    assert links
    for path, anchor in links:
        target = (ROOT / name).parent / unquote(path) if path else ROOT / name
        assert target.exists(), path
        if anchor:
            assert anchor in _headings(target.read_text(encoding="utf-8")), anchor


def test_the_readme_links_to_every_guide() -> None:
    for name in DOCUMENTS.keys() - {"README.md"}:
        assert f"]({name})" in README


def test_the_pictures_are_small() -> None:
    for picture in (ROOT / "tests" / "pictures").glob("*.png"):
        assert picture.stat().st_size < 200_000, picture.name


def test_the_changelog_has_this_version() -> None:
    from relay import __version__

    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(__version__)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.M)
