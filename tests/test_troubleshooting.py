"""The tables of troubleshooting in the operator's guide match what Relay prints and does."""

import ast
import re
import socket
import ssl
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from aiosmtplib import SMTPResponseException, SMTPSenderRefused

from relay.channels.email.errors import error_from_smtp
from relay.channels.errors import error_from_exception, error_from_status
from relay.channels.matrix.errors import error_from_answer as error_from_matrix
from relay.channels.slack.errors import error_from_answer as error_from_slack
from relay.config.environment import known_variables
from relay.config.load import ConfigError, load, warnings
from relay.doctor import template_problems
from relay.messages.templates import Templates
from relay.penpot.client import PenpotError, RpcResponse
from relay.penpot.events import Subject
from relay.penpot.records import WebhookRecord
from relay.penpot.samples import sample
from relay.penpot.selection import Selection
from relay.reference import UnknownEvent
from relay.sync.webhooks import off_reason
from tests.documents import OPERATOR, ROOT, in_code, table_rows
from tests.penpot.standin import TOKEN, StandIn
from tests.penpot.world import Webhook
from tests.service import SECRET, Service, running, wait_until

ID = "00000000-0000-4000-8000-000000000001"
PRINTED = table_rows(OPERATOR, "| symptom | cause | remedy |")
OBSERVED = table_rows(OPERATOR, "| observation | cause | remedy |")

SHOWN_ELSEWHERE = {
    "can't write the output: No space left on device": (
        "tests/cli/test_command.py::test_output_that_can_not_be_written_is_an_error_in_one_line"
    ),
    "404: the URL has another secret than the config": (
        "tests/test_intake.py::test_each_kind_of_404_shares_a_line_of_the_log_without_the_url"
    ),
    "404: the URL names a team that the config does not have": (
        "tests/test_intake.py::test_each_kind_of_404_shares_a_line_of_the_log_without_the_url"
    ),
    "404: the URL is not of the form /hooks/<team>/<secret>": (
        "tests/test_intake.py::test_each_kind_of_404_shares_a_line_of_the_log_without_the_url"
    ),
    "Content-Encoding is not supported": "tests/test_intake.py::test_a_compressed_body_is_415",
    "waiting up to 10 s for … message": (
        "tests/scenarios/test_stop.py::"
        "test_a_send_in_progress_finishes_and_the_others_wait_for_the_next_start"
    ),
    "servers speak TLS at once at port 465": (
        "tests/channels/email/test_settings.py::test_a_port_for_tls_at_once_is_named"
    ),
    "through the proxy …": "tests/test_doctor.py::test_a_response_through_a_proxy_is_reported",
    "is on but silent: …": (
        "tests/sync/test_silence.py::test_a_comment_after_the_last_call_is_reported"
    ),
    "Penpot sends a HEAD request to the address first": (
        "tests/test_doctor.py::test_a_missing_webhook_can_be_created"
    ),
    "the queue is stopped: …": "tests/cli/test_log.py::test_a_stopped_queue_is_reported",
    "a message is dead: …": (
        "tests/scenarios/test_dead_letters.py::"
        "test_a_server_that_rejects_every_mail_is_reported_everywhere"
    ),
    "messages are dead, the last one: …": (
        "tests/scenarios/test_dead_letters.py::"
        "test_a_server_that_rejects_every_mail_is_reported_everywhere"
    ),
    "Slack has no channel …: messages go to …": (
        "tests/channels/slack/test_channel.py::test_a_renamed_channel_is_followed_with_a_note"
    ),
    "Only people in [people] are found in Slack": (
        "tests/channels/slack/test_check.py::test_check_names_the_scopes_of_the_settings"
    ),
    "was replaced by …: invite the bot there": (
        "tests/channels/matrix/test_rooms.py::test_a_private_replacement_waits_for_an_invitation"
    ),
    "the homeserver knows no room …": (
        "tests/channels/matrix/test_rooms.py::"
        "test_a_deleted_alias_is_reported_by_the_queue_as_by_the_doctor"
    ),
    "was closed, and names no new room": (
        "tests/channels/matrix/test_rooms.py::test_a_closed_room_is_reported"
    ),
    "does not name it as its predecessor": (
        "tests/channels/matrix/test_rooms.py::"
        "test_a_room_without_the_predecessor_is_reported_and_gets_nothing"
    ),
    "names no homeserver": "tests/channels/matrix/test_discovery.py::UNUSABLE",
    "can't be written by user …": (
        "tests/test_doctor.py::test_an_unwritable_data_directory_is_a_problem"
    ),
    "is on a network file system": (
        "tests/store/test_sqlite_files.py::test_a_network_file_system_is_refused"
    ),
    "is a connection pooler in transaction mode": (
        "tests/test_doctor.py::test_a_postgresql_is_checked"
    ),
    "has the encoding …, which lacks most characters": (
        "tests/store/test_postgres_pool.py::test_an_encoding_that_lacks_characters_is_refused"
    ),
    "may not create the schema relay: …": (
        "tests/store/test_postgres_pool.py::"
        "test_the_service_and_the_commands_name_a_right_that_is_missing"
    ),
    "may not create tables in the schema relay: …": (
        "tests/store/test_postgres_pool.py::"
        "test_the_service_and_the_commands_name_a_right_that_is_missing"
    ),
    "the server's certificate is not accepted": (
        "tests/store/test_postgres_pool.py::test_tls_is_verified"
    ),
}
"""By text: the test that has Relay print it, with a server or a user that is not here."""

SHOWN_BY = {
    "Penpot has no page *Webhooks*": (
        "tests/deploy/test_examples.py::"
        "test_the_override_gives_penpot_the_flags_and_the_right_to_call",
    ),
    "Penpot shows an error when it saves the webhook": (
        "tests/penpot/test_standin.py::test_a_webhook_is_not_created_if_head_returns_anything_else",
        "tests/test_intake.py::test_unknown_team_and_wrong_secret_get_the_same_response",
        "tests/test_intake.py::test_head_with_the_right_secret_is_200_and_empty",
    ),
    "no message about an edited file": (
        "tests/test_troubleshooting.py::test_the_example_of_events_takes_edited_files",
    ),
    'a message says "a file" or "Someone"': (
        "tests/test_troubleshooting.py::test_each_text_is_printed",
        "tests/delivery/test_lookups.py::test_who_deleted_a_file_is_named",
    ),
    "links in messages do not open": (
        "tests/penpot/test_links.py::test_the_base_may_end_in_a_slash_or_hash",
        "tests/test_doctor.py::test_the_addresses_of_penpot_are_checked",
    ),
    "no message about a resolved or edited comment": (
        "tests/sync/test_changes.py::test_a_resolve_in_a_quiet_file_is_sent_with_the_next_poll",
        "tests/sync/test_changes.py::test_edits_contain_the_previous_text",
    ),
    "your template changes nothing": (
        "tests/messages/test_templates.py::"
        "test_a_failing_user_template_gives_the_built_in_message_and_a_problem",
        "tests/cli/test_configuration.py::test_check_prints_template_problems_with_file_and_line",
    ),
    "the inspector responds `404`": (
        "tests/inspector/test_auth.py::test_beyond_loopback_the_inspector_is_off_without_a_login",
        "tests/inspector/test_auth.py::"
        "test_without_a_login_other_sites_get_the_response_of_an_unknown_path",
        "tests/inspector/test_auth.py::test_with_a_login_the_inspector_is_on_at_any_host",
    ),
    "a login or a button of the inspector responds `404`": (
        "tests/inspector/test_auth.py::test_with_a_login_only_forms_must_come_from_a_page",
    ),
    "no core dump of `relay serve`; `py-spy` and `gdb` can't attach": (
        "tests/test_server.py::"
        "test_a_process_of_the_same_user_reads_neither_environment_nor_memory",
        "tests/test_server.py::test_serve_denies_tracing_before_it_reads_secrets",
    ),
}
"""By observation: the tests that show its cause and its remedy."""

FOREIGN_WORDS = frozenset(
    {
        "#",
        "--config",
        "/invite",
        "CREATE DATABASE relay ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0;",
        "Host",
        "HEAD",
        "cd",
        "chown",
        "docker exec",
        "docker run --env-file",
        "env -u ALL_PROXY relay serve",
        "export",
        "localhost",
        "relay.env",
        "ss -ltnp",
        ">",
        "_",
    }
)
"""Quoted in a cause or a remedy, of other programs, or shown by a test above."""


# Texts


def _load_problems(text: str | None, folder: Path, **environ: str) -> Iterator[str]:
    """What the config in ``relay.toml`` has; None: there is no file."""
    (folder / "relay.toml").unlink(missing_ok=True)
    if text is not None:
        encoding = "utf-16" if "UTF-16" in text else "utf-8"
        (folder / "relay.toml").write_text(text, encoding=encoding)
    try:
        config = load(None, environ)
    except ConfigError as error:
        yield from error.problems
    else:
        yield from (*warnings(config), config.describe_inspector())


def _of_config(folder: Path) -> Iterator[str]:
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
        f'{team}[[teams.acme.channels]]\nname = "a"\ntype = "slack"\n'
        'webhook_url = "https://hooks.slack.com/triggers/T0/1/x"',
    ):
        yield from _load_problems(text, folder)
    valid = {"RELAY_SECRET": SECRET, "RELAY_STDOUT": "1"}
    for environ in (
        {"RELAY_SECRET": f'"{SECRET}"'},
        {"RELAY_SECRET": f"{SECRET}\N{ZERO WIDTH SPACE}"},
        {"RELAY_SECRET": ""},
        {"RELAY_PORT": "tcp://10.0.0.1:8080"},
        {"ALL_PROXY": "socks5://127.0.0.1:9"},
        {"HTTPS_PROXY": "ftp://proxy"},
        *({name: "/missing/file"} for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")),
    ):
        yield from _load_problems(None, folder, **valid | environ)


def _tls_error(kind: type[ssl.SSLError], **attributes: str) -> ssl.SSLError:
    error = kind()
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


def _of_servers() -> Iterator[str]:
    for error in (
        ConnectionRefusedError(),
        ConnectionResetError(),
        TimeoutError(),
        socket.gaierror(),
        _tls_error(ssl.SSLError, reason="WRONG_VERSION_NUMBER"),
        _tls_error(ssl.SSLCertVerificationError, verify_message="expired"),
    ):
        yield str(error_from_exception(error, "the server"))
    yield str(error_from_status(404, "the server"))
    for code in ("not_in_channel", "channel_not_found", "missing_scope"):
        yield str(error_from_slack(code, 200, {}, secret=""))
    for code, status in (
        ("M_UNKNOWN_TOKEN", 401),
        ("M_FORBIDDEN", 403),
        ("M_UNKNOWN", 404),
        ("M_NOT_FOUND", 404),
    ):
        yield str(error_from_matrix({"errcode": code}, status, {}, secret=""))
    for code, reply in (
        (530, "5.7.0 Authentication required"),
        (535, "5.7.8 bad credentials"),
        (554, "Sending suspended for this account"),
        (550, "5.7.133 no"),
        (504, "5.5.2 <relay>: Helo command rejected: need fully-qualified hostname"),
    ):
        yield str(error_from_smtp(SMTPResponseException(code, reply), secret=""))
    for reply in ("Sender not allowed", "no"):
        refused = SMTPSenderRefused(550, reply, "p@example.com")
        yield str(error_from_smtp(refused, secret=""))
    page = {"content-type": "text/html"}
    for headers in ({"www-authenticate": 'Basic realm="x"'}, page):
        with pytest.raises(PenpotError) as caught:
            RpcResponse(401, headers, b"").read("get-profile", RpcResponse.values)
        yield str(caught.value)
    for code in ("connection-error", "timeout", "blocked-request:uri", "ssl-validation-error"):
        yield off_reason(WebhookRecord(ID, error_code=code))


def _of_templates(folder: Path) -> Iterator[str]:
    yield str(UnknownEvent("create-fil"))
    (folder / "templates").mkdir()
    for name, text in (
        ("create-fil", ""),
        ("create-file", "{{ fil }}"),
        ("rename-file", "{{ file.nam() }}"),
    ):
        (folder / "templates" / f"{name}.md.j2").write_text(text)
    table = f'[templates]\npath = "{folder}/templates"\n'
    (folder / "relay.toml").write_text(f'{table}[teams.acme]\nsecret = "{SECRET}"\n')
    config = load(str(folder / "relay.toml"), {})
    yield from map(str, template_problems(config, config.teams))
    rendered = Templates(folder / "templates").render(
        "rename-file", {"file": Subject(name="x")}, team="acme", channel_kind=""
    )
    yield from map(str, rendered.problems)


def _of_the_service(folder: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        service = Service(folder, "")
        text = service.config.read_text()
        port = occupied.getsockname()[1]
        service.config.write_text(text.replace(f"port = {service.port}\n", f"port = {port}\n"))
        yield service.run("serve").stderr
    channel = (
        '[[teams.acme.channels]]\nname = "out"\ntype = "stdout"\n'
        'events = ["*", "!update-file"]\nactivity = "each"\n'
    )
    with running(folder, channel) as service:
        yield service.run("serve").stderr
        yield service.run("log").stdout
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            connection.recv(1000)
        assert service.post(sample("update-file")) == 204
        assert service.post(b"{") == 400
        assert service.post(b'{"name": "rename-file", "props": {}}') == 204
        wait_until(lambda: "a file" in service.output.read_text(), 20)
        yield service.run("log").stdout
    yield service.output.read_text()
    yield service.log.read_text()


def _of_the_doctor(folder: Path) -> Iterator[str]:
    with StandIn() as penpot:
        world, keys = penpot.world, f'url = "{penpot.url}"\naccess_token = "{TOKEN}"'
        service = Service(folder, "", penpot=keys)
        uri = f"https://relay.example.com/hooks/acme/{SECRET}"
        hook = Webhook(ID, world.by_name("teams", "acme"), uri, is_active=False, profile=world.me)
        world.webhooks[hook.id] = hook
        yield service.run("doctor").stdout


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Texts that Relay prints, each from the code that makes it."""
    folder = tmp_path_factory.mktemp("printed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        texts = [*_of_config(folder), *_of_servers(), *_of_templates(folder)]
        texts += [*_of_the_service(folder), *_of_the_doctor(folder)]
    return "\n".join(texts)


@cache
def _definition(test: str) -> ast.stmt:
    """The function, or the constant with its cases, of ``path::name``."""
    path, _, name = test.partition("::")
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef(name=found) | ast.AsyncFunctionDef(name=found) if found == name:
                return node
            case ast.Assign(targets=[ast.Name(id=found)]) if found == name:
                return node
    pytest.fail(f"{test} does not exist")


def _strings(node: ast.AST) -> Iterator[str]:
    """The literals in it; "…" is in place of what differs."""
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value
        elif isinstance(each, ast.JoinedStr):
            parts = each.values
            yield "".join(str(p.value) if isinstance(p, ast.Constant) else "…" for p in parts)


@pytest.mark.parametrize("symptom", [row[0] for row in PRINTED])
def test_each_text_is_printed(symptom: str, printed: str) -> None:
    texts = in_code(symptom)
    assert symptom == ", ".join(f"`{text}`" for text in texts)
    for text in texts:
        pattern = re.escape(text).replace("…", ".+")
        if text in SHOWN_ELSEWHERE:
            strings = [*_strings(_definition(SHOWN_ELSEWHERE[text]))]
            assert any(re.search(pattern, each) for each in strings), text
        else:
            assert re.search(pattern, printed), text


def test_each_text_has_one_row() -> None:
    texts = [text for row in PRINTED for text in in_code(row[0])]
    assert len(texts) == len(set(texts)) > 60
    assert SHOWN_ELSEWHERE.keys() <= set(texts)


# Observations


def test_each_observation_is_shown_by_tests() -> None:
    assert [row[0] for row in OBSERVED] == [*SHOWN_BY]
    for tests in SHOWN_BY.values():
        for test in tests:
            assert _definition(test)


def test_the_example_of_events_takes_edited_files() -> None:
    (example,) = (
        code for row in OBSERVED for code in in_code(row[2]) if code.startswith("events = ")
    )
    assert not Selection.of(()).takes("update-file", "files")
    assert Selection.of(tomllib.loads(example)["events"]).takes("update-file", "files")


# What causes and remedies name


@cache
def _sources() -> str:
    """Of the package, and the examples beside the guide."""
    beside = [path for path in (ROOT / "deploy").rglob("*") if path.is_file()]
    examples = {*beside} - {ROOT / "deploy/README.md"}
    files = [*(ROOT / "relay").rglob("*.py"), *examples]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def _exists(code: str) -> bool:
    """A key with or without its table and value, a variable, or a word that Relay knows."""
    name = code.partition("=")[0].strip()
    if name.startswith("RELAY_"):
        return name in known_variables()
    if re.match(r"[a-z._]+ = ", code) or re.fullmatch(r"[a-z]+[._][a-z._]+", name):
        keys = (ROOT / "deploy/relay.toml").read_text(encoding="utf-8")
        return re.search(rf"^#?{name.rpartition('.')[2]} = ", keys, re.MULTILINE) is not None
    return re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", _sources()) is not None


@pytest.mark.parametrize("row", [*PRINTED, *OBSERVED], ids=lambda row: row[0])
def test_all_that_a_row_names_exists(row: list[str]) -> None:
    _, cause, remedy = row
    assert cause
    assert remedy
    for code in in_code(f"{cause} {remedy}"):
        is_command = code.startswith("relay ")  # which tests/test_readme.py parses
        assert is_command or code in FOREIGN_WORDS or _exists(code), code


def test_each_foreign_word_is_used() -> None:
    cells = [cell for row in (*PRINTED, *OBSERVED) for cell in row[1:]]
    assert {code for cell in cells for code in in_code(cell)} >= FOREIGN_WORDS
