"""README and guides match the code."""

import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from urllib.parse import unquote

import click
import pytest
import yaml

from relay.channels import CHANNEL_TYPES
from relay.cli import main
from relay.config.environment import known_variables
from relay.config.load import ConfigError, load
from relay.config.settings import Config
from relay.delivery.notices import NOTICES
from relay.doctor import template_problems
from relay.messages import payload
from relay.messages.environments import MAX_TEMPLATE_SIZE, MarkdownEnvironment, TemplateFiles
from relay.messages.locale import LANGUAGES, builtin_folder
from relay.messages.sandbox import MAX_GROWTH_BYTES, QUARANTINE_TTL, TEMPLATE_TIMEOUT
from relay.penpot.catalogue import CATALOGUE, GROUPS, EventKind
from relay.penpot.selection import Selection
from relay.reference import OPTIONS, VARIABLES
from tests.bench.__main__ import BENCHES
from tests.channels.builders import SIGNING_SECRET
from tests.documents import BENCH, DOCUMENTS, OPERATOR, README, ROOT, TEMPLATES, in_code, table_rows
from tests.exported_metrics import exported_metrics
from tests.servers.teams import WEBHOOK_PATH as TEAMS_PATH

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


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 250
    assert len(README.split()) <= 2000


# The config


def _example(parts: list[str], folder: Path) -> Config:
    text = "\n".join(parts).replace("/run/secrets/smtp", str(folder / "smtp"))
    (folder / "smtp").write_text("password")
    (folder / "relay.toml").write_text(text, encoding="utf-8")
    environ = dict.fromkeys(re.findall(r'env = "(\w+)"', text), SECRET)
    environ["MATTERMOST_WEBHOOK_URL"] = "https://mattermost.example/hooks/xxx"
    environ["ROCKETCHAT_WEBHOOK_URL"] = "https://chat.example/hooks/a/b"
    environ["DISCORD_WEBHOOK_URL"] = "https://discord.com/api/webhooks/1/x"
    environ["TEAMS_WEBHOOK_URL"] = f"https://teams.example{TEAMS_PATH}"
    hook = "https://hooks.slack.com/services/T000/B000/x"
    environ |= {"SLACK_WEBHOOK_URL": hook, "CHAT_WEBHOOK_URL": hook}
    environ["APPRISE_URL"] = "ntfys://ntfy.example/penpot"
    environ |= {"PIPELINE_URL": "https://ci.example.com/x", "PIPELINE_SECRET": SIGNING_SECRET}
    return load(str(folder / "relay.toml"), environ)


def test_the_readmes_example_loads(tmp_path: Path) -> None:
    channels = _example(_blocks(README, "toml"), tmp_path).teams["acme"].channels
    assert [channel.type for channel in channels] == ["matrix", "email", "slack", "slack"]


def test_a_newcomers_first_event_arrives_in_every_example(tmp_path: Path) -> None:
    (name,) = re.findall(r'-d \'\{"name": "([a-z-]+)"', README)
    guide = OPERATOR.split("\n## Channels\n")[1].split("\n### Choosing events\n")[0]
    every_key = (ROOT / "deploy" / "relay.toml").read_text(encoding="utf-8")
    for parts in (_blocks(README, "toml"), _blocks(guide, "toml"), [every_key]):
        channels = _example(parts, tmp_path).teams["acme"].channels
        shared = [channel for channel in channels if not channel.is_direct]
        assert len(shared) >= 4
        for channel in shared:
            assert Selection.of(channel.events).takes(name, CATALOGUE[name].group), channel.name


def test_the_operators_examples_form_one_config(tmp_path: Path) -> None:
    config = _example(_blocks(OPERATOR, "toml"), tmp_path)
    types = {channel.type for channel in config.teams["acme"].channels}
    assert types == CHANNEL_TYPES.keys()


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
        count = channel.count("[[teams.acme.channels]]")
        assert len(_example([begin, channel], tmp_path).teams["acme"].channels) == count


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
    "Mattermost, bot": """type = "mattermost"\nurl = "https://m.example"\ntoken = "t"
channel = "acme/design\"""",
    "Mattermost, incoming webhook": """type = "mattermost"
webhook_url = "https://m.example/hooks/x\"""",
    "Rocket.Chat": """type = "rocketchat"\nwebhook_url = "https://c.example/hooks/a/b\"""",
    "Discord": """type = "discord"\nwebhook_url = "https://discord.com/api/webhooks/1/x\"""",
    "Microsoft Teams": f"""type = "teams"\nwebhook_url = "https://teams.example{TEAMS_PATH}\"""",
    "email": """type = "email"\nto = ["a@example.com"]\nsender = "b@example.com"
smtp = { host = "localhost" }""",
    "webhook of a program": f"""type = "webhook"\nurl = "https://ci.example.com/x"
secret = "{SIGNING_SECRET}\"""",
    "apprise (any other service)": """type = "apprise"\nurl = "ntfys://ntfy.example/penpot\"""",
    "standard output": """type = "stdout\"""",
}


@pytest.mark.parametrize("name", CHANNELS)
def test_the_capabilities_of_a_channel_are_those_of_thein_code(name: str, tmp_path: Path) -> None:
    def is_accepted(key: str) -> bool:
        place = re.compile("^(channel|room) = .*$" if key.startswith("direct") else "^$", re.M)
        try:
            _example([begin, place.sub("", CHANNELS[name]), key], tmp_path)
        except ConfigError:
            return False
        return True

    rows = table_rows(README, "| | threads | edits in place | pings | pictures | direct messages |")
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
    rows = table_rows(OPERATOR, "| variable | secret | meaning |")
    documented = {name: row[1] for row in rows for name in in_code(row[0])}
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
    types = {tuple(kind.split(".")) for kind in (payload.EVENT, payload.CHANGE)}
    for table, key in set(named) - types:
        rest = example.split(f"\n[{table}]")[1].split("\n[")[0]
        assert re.search(rf"^#?{key} = ", rest, re.MULTILINE), f"{table}.{key}"


def _by_default(kind: EventKind) -> str:
    if not kind.is_default:
        return "no"
    return "in a daily line" if kind.is_activity else "yes"


def test_the_default_events_and_the_groups_are_those_of_thein_code() -> None:
    text = _section(OPERATOR, "### Choosing events")
    rows = table_rows(OPERATOR, "| event | group | by default | activity |")
    assert [(*in_code(name), *cells) for name, *cells in rows] == [
        (kind.name, kind.group, _by_default(kind), "yes" if kind.is_activity else "")
        for kind in CATALOGUE.values()
    ]
    (groups,) = re.findall(r"contains groups \((.*?)\)", text, re.DOTALL)
    assert in_code(groups) == list(GROUPS)
    own = [name for name, kind in CATALOGUE.items() if kind.synthetic]
    assert set(own) <= set(in_code(text))
    assert len(own) == 5
    assert "five more" in text
    count = len(CATALOGUE) - len(own)
    assert f"the {count} kinds" in text
    assert f"All {count} webhook events" in README


# The command line


def _commands() -> Iterator[str]:
    """Those in the documents, the files of ``deploy/`` and the texts of the package; also after
    ``docker exec``, a folder or a variable."""
    shown = "\n".join(_blocks(ALL, "console")).replace("\\\n", " ").splitlines()
    files = (ROOT / "relay").rglob("*.py")
    texts = [_prose(ALL), *(path.read_text(encoding="utf-8") for path in files)]
    for text in texts:
        shown += [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]
    shown += [
        line
        for path in (ROOT / "deploy").rglob("*")
        if path.is_file() and path.suffix != ".md"
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.match(r"#  |ExecStart=", line)
    ]
    for line in shown:
        yield from re.findall(r"(?:^|[\s/=])(relay (?!relay\b)[a-z].*?)(?: +[#|] .*)?$", line)


@pytest.mark.parametrize("line", sorted(set(_commands())))
def test_every_shown_command_line_is_valid(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("body.json").write_text("{}")
    for token in ("penpot.token", "matrix.token"):
        Path(token).write_text("secret")
    _, name, *arguments = shlex.split(line)
    command = main.commands[name]
    if isinstance(command, click.Group):
        name, *arguments = arguments
        command = command.commands[name]
    if not arguments:  # the command's name
        return
    parsed = command.make_context(name, arguments).params  # refuses what is not known
    assert parsed.get("event") in {None, "NAME", *CATALOGUE, *NOTICES}
    if "ids" in parsed:
        assert parsed["ids"] or parsed["dead"]


def test_the_guide_names_the_languages() -> None:
    (sentence,) = re.findall(
        r"by default in English: (.*?)\.", _section(OPERATOR, "## Language"), re.S
    )
    assert tuple(in_code(sentence)) == LANGUAGES


def test_every_named_file_exists() -> None:
    for name in ("README.md", "deploy/README.md"):
        text = re.sub(r"kubectl (?:exec|rollout restart) \S+", "", DOCUMENTS[name])
        named = re.findall(
            r"(?<![\w./~:-])(?:deploy|relay|tests|templates)/[\w./-]+(?![\w<])", text
        )
        assert named
        for path in named:
            assert (ROOT / path.rstrip(".")).exists(), path
    installed = re.findall(
        r"(?:chart/examples/)?[\w.]+\.(?:yaml|toml|service|txt)\b",
        "\n".join(_blocks(OPERATOR, "console")),
    )
    assert len(installed) >= 5
    for file in installed:
        assert (ROOT / "deploy" / file).is_file(), file


def test_the_table_of_commands_is_complete() -> None:
    rows = table_rows(_section(OPERATOR, "## Commands"), "| command | does |")
    documented = [in_code(row[0])[0].split()[1] for row in rows]
    assert sorted(documented) == sorted(main.commands)


def test_the_commands_without_a_config_are_named() -> None:
    without = {
        name
        for name, command in main.commands.items()
        if not isinstance(command, click.Group)  # its commands do
        if "path" not in {parameter.name for parameter in command.params}
    }
    (said,) = re.findall(r"^All but (.*?) take `--config FILE`", OPERATOR, re.MULTILINE)
    assert set(in_code(said)) == without


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
    assert set(in_code(said)) == without


def test_every_named_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    named = set(re.findall(r"(?:`|^\$ (?:\S+=\S+ )?)make ([a-z-]+)", ALL, re.MULTILINE))
    assert {"demo", "test", "bench", "wheel"} <= named <= targets


def test_the_table_of_benchmarks_is_complete() -> None:
    rows = [line for line in BENCH.splitlines() if line.startswith("| ")]
    named = {name for line in rows for name in in_code(line.split("|")[-2])}
    named |= set(re.findall(r"ARGS=([a-z-]+)", BENCH)) | {"inspector-postgres"}
    assert named - {"make bench ARGS=…"} == BENCHES.keys()
    assert "`inspector-postgres`" in BENCH


# Templates


def test_the_shown_templates_have_no_problems(tmp_path: Path) -> None:
    shown = re.findall(
        r"^`(templates/\S+\.j2)`\n\n```jinja\n(.*?)^```$", TEMPLATES, re.MULTILINE | re.DOTALL
    )
    assert len(shown) == len(_blocks(ALL, "jinja")) == 5
    for name, text in shown:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    key = in_code(TEMPLATES.split("has no file per event. Its key ")[1])[0]
    body = f'[[teams.acme.channels]]\nname = "ci"\n{CHANNELS["webhook of a program"]}\n{key}\n'
    assert _problems(tmp_path, body) == []


def _problems(folder: Path, channels: str = "") -> list[str]:
    (folder / "relay.toml").write_text(
        f'[templates]\npath = "{folder}/templates"\n[teams.acme]\nsecret = "{SECRET}"\n{channels}'
    )
    config = load(str(folder / "relay.toml"), {})
    return [str(problem) for problem in template_problems(config, config.teams)]


def test_the_filters_exist() -> None:
    rows = table_rows(TEMPLATES, "| filter | gives |")
    expressions = [code.replace("\\|", "|") for row in rows for code in in_code(row[0])]
    expressions += re.findall(r"\{\{.*?\}\}", rows[0][1].replace("\\|", "|"))
    assert len(expressions) == 7
    environment = MarkdownEnvironment(TemplateFiles((), builtin_folder()))
    for expression in expressions:
        environment.from_string(expression)  # a filter that is not known is an error
    (without,) = re.findall(r"exist too, except\s(.*?)\. ", TEMPLATES, re.DOTALL)
    assert len(in_code(without)) == 5
    assert not environment.filters.keys() & set(in_code(without))


def test_the_named_builtin_templates_exist() -> None:
    files = TemplateFiles((), builtin_folder())
    named = [name for name in in_code(_prose(TEMPLATES)) if re.fullmatch(r"[\w/-]+\.md\.j2", name)]
    assert {"base.md.j2", "_words.md.j2", "event.md.j2"} <= set(named)
    for name in named:
        assert files.find(Path(name).name), name


def test_the_table_of_blocks_is_complete() -> None:
    documented = {
        in_code(row[0])[0] for row in table_rows(TEMPLATES, "| block | contains | default |")
    }
    base = (builtin_folder() / "base.md.j2").read_text(encoding="utf-8")
    assert documented == set(re.findall(r"\{% block (\w+) ", base))


def test_the_table_of_variables_is_complete() -> None:
    rows = table_rows(TEMPLATES, "| variable | is |")
    assert sorted(name for row in rows for name in in_code(row[0])) == sorted(VARIABLES | OPTIONS)


def test_the_suffixes_of_overrides_are_complete(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "create-file.txt.j2").touch()
    (problem,) = _problems(tmp_path)
    suffixes = problem.rpartition(": ")[2].split(", ")
    rows = table_rows(TEMPLATES, "| file | output |")
    documented = [in_code(row[0])[0].removeprefix("<event>") for row in rows]
    assert sorted([".md.j2", *documented]) == sorted(suffixes)


def test_the_limits_of_the_sandbox_are_those_of_thein_code() -> None:
    text = _section(TEMPLATES, "## Limits of the sandbox")
    assert ("one second" in text) == (TEMPLATE_TIMEOUT == 1)
    assert f"{MAX_GROWTH_BYTES >> 20} MB" in text
    assert f"{MAX_TEMPLATE_SIZE // 1_000_000} MB of text" in text
    assert ("ten minutes" in text) == (QUARANTINE_TTL == 600)


# The service


def test_the_responses_of_the_hook_are_complete() -> None:
    rows = table_rows(OPERATOR, "| request | response |")
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
    actors = {row[0] for row in table_rows(text, "| who | has | can |")}
    assert actors == {"stranger", "hook holder", "server", "template author", "viewer"}
    rows = table_rows(text, "| who | cannot | shown by |")
    assert actors <= {who for who, _, _ in rows}
    for _, cannot, shown_by in rows:
        assert in_code(shown_by), cannot
        for test in in_code(shown_by):
            path, _, function = test.partition("::")
            source = (ROOT / path).read_text(encoding="utf-8")
            assert re.search(rf"^(?:async )?def {function}\(", source, re.MULTILINE), test


def test_the_table_of_metrics_is_complete() -> None:
    rows = table_rows(OPERATOR, "| metric | type | labels | meaning |")
    documented = {in_code(row[0])[0]: (row[1], set(in_code(row[2]))) for row in rows}
    assert documented == exported_metrics()
    assert all(row[3] for row in rows)


def test_every_named_metric_exists() -> None:
    assert set(re.findall(r"\brelay_[a-z_]+(?=[\s`=>\[])", ALL)) <= exported_metrics().keys()
    for block in _blocks(OPERATOR, "yaml"):
        assert yaml.safe_load(block)


# Links


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
    for picture in (ROOT / "tests" / "pictures").iterdir():
        limit = 500_000 if picture.name.startswith("sheet-") else 200_000
        assert picture.stat().st_size < limit, picture.name
