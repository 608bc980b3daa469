"""The steps of ``relay init``: each asks, and tries the answer before the next one."""

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from relay.channels import CHANNEL_TYPES
from relay.channels.base import Finding, failed, noted, passed
from relay.config.listeners import AdminSettings, ServerSettings
from relay.config.questions import Question, problems, with_answers
from relay.config.settings import AnyChannel, Config, PenpotSettings, TeamSettings
from relay.config.write import require_new, secrets_folder
from relay.doctor import check_addresses, check_channel
from relay.penpot.client import PenpotError
from relay.penpot.records import TeamRecord
from relay.preview import send_test
from relay.server import AddressUnavailable
from relay.setup.channel import ChannelAnswers
from relay.setup.dialog import Dialog
from relay.setup.draft import SetupDraft
from relay.setup.tries import create_hook, token_teams, unusable_ports
from relay.store.records import StoreUnusable

_URL = Question(
    "url", "Address of Penpot", "as people open it in the browser", default=PenpotSettings().url
)
_API_URL = Question(
    "api_url",
    "Address at which Relay itself reaches Penpot",
    "such as http://penpot-frontend:8080; Enter for the same",
    is_optional=True,
)
_TOKEN = Question(
    "access_token",
    "Access token",
    "Penpot: Your account, Access tokens; Enter for none",
    is_secret=True,
    is_optional=True,
)
_TEAM = Question("name", "Name of the team in Penpot")
_PUBLIC_URL = Question(
    "public_url",
    "Address at which Penpot reaches Relay",
    "such as http://relay:8080; Enter if it is not known yet",
    is_optional=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupOptions:
    """Answers that were given as options. None: the question is asked."""

    penpot_url: str | None = None
    penpot_api_url: str | None = None
    token: str | None = None
    team: str | None = None
    """Its name or its id."""
    kind: str | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    """Of the channel."""
    server: Mapping[str, str] = field(default_factory=dict)
    """Keys of ``[server]``, and of ``[admin]`` below."""
    admin: Mapping[str, str] = field(default_factory=dict)
    creates_hook: bool | None = None
    sends: bool | None = None


class Setup:
    def __init__(self, path: Path, dialog: Dialog, options: SetupOptions) -> None:
        self._path = path
        self._dialog = dialog
        self._options = options
        self._draft = SetupDraft()
        self._answers: dict[str, dict[str, str]] = {
            "server": dict(options.server),
            "admin": dict(options.admin),
            "penpot": {},
        }
        self._teams: list[TeamRecord] = []

    def run(self) -> bool:
        """Ask, write the config, and send the first message; whether all of it worked. Raises
        ``RelayError`` and click's exceptions, before anything is written."""
        require_new(self._path)
        self._require_options()
        if not self._dialog.silent:
            click.echo(
                "Enter accepts what is in [ ]. Ctrl-C ends this, and leaves no config behind.\n"
            )
        self._listeners()
        self._penpot()
        self._token()
        self._team()
        channel = self._channel()
        self._public_url()
        has_hook = self._hook()
        config = self._config()
        names = self._draft.write(self._path)
        self._report("init", passed(f"{self._path} is written"))
        folder = secrets_folder(self._path)
        self._report("init", passed(f"the secrets are in {folder}: {', '.join(names)}"))
        is_sent = self._first_message(config, channel)
        self._next_steps(config, has_hook=bool(has_hook))
        return is_sent and has_hook is not False

    def _require_options(self) -> None:
        """Before the first question, and without questions all that has no default."""
        options, is_silent = self._options, self._dialog.silent
        rules = [
            f"{name}.{each.key}: {each.rule}"
            for name, model in (("server", ServerSettings), ("admin", AdminSettings))
            for each in problems(model, with_answers(model, self._answers[name]))
        ]
        if options.kind is not None:
            answers = ChannelAnswers(options.kind, options.keys)
            answers.create_missing()
            rules += answers.problems() if is_silent else answers.broken()
        elif is_silent:
            rules.append(f"--kind is required: one of {', '.join(CHANNEL_TYPES)}")
        if is_silent and options.team is None and options.token is None:
            rules.append("--team is required, or --penpot-token-file")
        can_create = options.token and options.server.get("public_url")
        if is_silent and options.creates_hook and not can_create:
            rules.append("--hook needs --penpot-token-file and --public-url")
        if rules:
            raise click.UsageError("\n".join(rules))

    def _config(self) -> Config:
        """Raises ``ConfigError``."""
        draft, answers = self._draft, self._answers
        draft.server = with_answers(ServerSettings, answers["server"])
        draft.admin = with_answers(AdminSettings, answers["admin"])
        draft.penpot = with_answers(PenpotSettings, answers["penpot"])
        return draft.config(os.environ, str(self._path))

    def _tried(self, ask: Callable[[bool], None], attempt: Callable[[], bool], keep: str) -> bool:
        """Ask and try until the answer works, or is kept; whether it works. ``ask`` gets whether
        it was asked before, ``keep`` says what it means to keep the answer."""
        ask(False)
        while not attempt():
            match self._dialog.after_failure(keep):
                case "keep":
                    return False
                case "change":
                    ask(True)
        return True

    def _report(self, subject: str, *findings: Finding) -> bool:
        return self._dialog.report(subject, findings)

    def _listeners(self) -> None:
        answers = self._answers
        while unusable := unusable_ports(
            ServerSettings.model_validate(with_answers(ServerSettings, answers["server"])),
            AdminSettings.model_validate(with_answers(AdminSettings, answers["admin"])),
        ):
            for table, error in unusable.items():
                self._report("init", failed(str(error)))
                option = "--port" if table == "server" else "--admin-port"
                if self._dialog.silent:
                    raise click.ClickException(f"nothing was written: set another {option}")
                another = Question("port", f"Another {table}.port")
                model = ServerSettings if table == "server" else AdminSettings
                answers[table].pop("port", None)
                self._dialog.fill(another, model, answers[table], option)

    def _penpot(self) -> None:
        options, answers = self._options, self._answers["penpot"]

        def ask_api_url(again: bool) -> None:
            given = None if again else options.penpot_api_url
            self._dialog.fill(_API_URL, PenpotSettings, answers, "--penpot-api-url", given)

        def ask_url(again: bool) -> None:
            given = None if again else options.penpot_url
            self._dialog.fill(_URL, PenpotSettings, answers, "--penpot-url", given)

        if options.penpot_api_url:
            ask_api_url(False)
        is_reached = self._tried(
            ask_url, self._reaches_penpot, "people open it, but Relay does not reach it"
        )
        if not is_reached and not options.penpot_api_url:
            ask_api_url(False)
            if "api_url" in answers:
                self._tried(_if_again(ask_api_url), self._reaches_penpot, "to fix it later")

    def _reaches_penpot(self) -> bool:
        async def findings() -> list[Finding]:
            return [each async for each in check_addresses(self._penpot_settings())]

        return self._report("penpot", *asyncio.run(findings()))

    def _penpot_settings(self) -> PenpotSettings:
        raw = with_answers(PenpotSettings, self._answers["penpot"])
        return PenpotSettings.model_validate(raw)

    def _token(self) -> None:
        answers = self._answers["penpot"]

        def ask(again: bool) -> None:
            given = None if again else self._options.token
            self._dialog.fill(_TOKEN, PenpotSettings, answers, "--penpot-token-file", given)

        self._tried(ask, self._token_works, "Penpot may know it later")

    def _token_works(self) -> bool:
        settings = self._penpot_settings()
        if settings.access_token is None:
            text = "without a token messages name less, and the webhook is added by hand"
            return self._report("penpot", noted(text))
        try:
            finding, self._teams = asyncio.run(
                token_teams(settings.call_url, settings.access_token.reveal())
            )
        except PenpotError as error:
            finding = failed(f"Penpot's API failed: {error}")
        return self._report("penpot", finding)

    def _team(self) -> None:
        options, draft = self._options, self._draft
        if not self._teams:
            answers: dict[str, str] = {}
            self._dialog.fill(_TEAM, TeamSettings, answers, "--team", options.team)
            draft.team_name = answers["name"]
            return
        names = {
            team.id: f"{team.name} (your own)" if team.is_default else team.name
            for team in self._teams
        }
        if options.team is not None:
            chosen = _named(options.team, self._teams)
        elif len(shared := [team for team in self._teams if not team.is_default]) == 1 and (
            self._dialog.silent or len(names) == 1
        ):
            chosen = shared[0]
        else:
            id_ = self._dialog.choose("Team in Penpot", list(names), "--team", names)
            chosen = next(team for team in self._teams if team.id == id_)
        draft.team_name, draft.team_id = chosen.name, chosen.id

    def _channel(self) -> AnyChannel:
        """Of which everything is asked that it needs, and which is checked."""
        options, dialog = self._options, self._dialog
        kinds = {name: each.label for name, each in CHANNEL_TYPES.items()}
        kind = options.kind or dialog.choose("Channel", list(kinds), "--kind", kinds)
        answers = ChannelAnswers(kind, options.keys)

        def attempt() -> bool:
            if wrong := answers.problems():
                return self._report(answers.kind, *map(failed, wrong))
            findings = asyncio.run(check_channel(answers.settings(), None))
            return self._report(answers.kind, *findings)

        self._tried(lambda again: answers.ask(dialog, again=again), attempt, "to fix it later")
        self._draft.channel = answers.raw()
        return answers.settings()

    def _public_url(self, again: bool = False) -> None:
        answers = self._answers["server"]
        given = None if again else self._options.server.get("public_url")
        self._dialog.fill(_PUBLIC_URL, ServerSettings, answers, "--public-url", given)

    def _hook(self) -> bool | None:
        """Whether the webhook was created; None if nobody wants that, or nobody can."""
        options, draft = self._options, self._draft

        def attempt() -> bool:
            try:
                return self._report(
                    draft.team, asyncio.run(create_hook(self._config(), draft.team, draft.team_id))
                )
            except (AddressUnavailable, StoreUnusable) as error:
                return self._report(draft.team, failed(str(error)))

        can = bool(draft.team_id and self._answers["server"].get("public_url"))
        text = f"Create the webhook in Penpot, in the team “{draft.team_name}”, now?"
        if not can or not self._dialog.confirm(text, options.creates_hook):
            return None
        if self._dialog.silent:
            return attempt()
        return self._tried(_if_again(self._public_url), attempt, "to add it by hand")

    def _first_message(self, config: Config, channel: AnyChannel) -> bool:
        if not self._dialog.confirm("Send a first message now?", self._options.sends):
            return True
        team = self._draft.team
        is_sent, text = asyncio.run(send_test(config, team, channel))
        return self._report(
            f"{team}/{channel.name}", (passed if is_sent else failed)(f"first message: {text}")
        )

    def _next_steps(self, config: Config, *, has_hook: bool) -> None:
        team = self._draft.team
        if not has_hook:
            hook = f"{config.server.shown_url}{config.hook_path(team)}"
            text = f"add this webhook in Penpot, type application/json, and tick Active: {hook}"
            self._report(team, noted(text))
            if config.server.public_url and self._draft.team_id:
                self._report(team, noted("or run `relay doctor --fix` while Relay runs"))
            if not config.server.public_url:
                text = "replace http://localhost by the address at which Penpot reaches Relay"
                self._report(team, noted(f"{text}, and set server.public_url"))
        option = "" if str(self._path) == "relay.toml" else f" --config {self._path}"
        click.echo(f"\nStart Relay: relay serve{option}")
        click.echo(f"Inspector: {config.describe_inspector()}")


def _if_again(ask: Callable[[bool], None]) -> Callable[[bool], None]:
    """For an answer that was given before."""
    return lambda again: ask(again) if again else None


def _named(name: str, teams: Iterable[TeamRecord]) -> TeamRecord:
    """The team with this name or id. Raises ``click.UsageError``."""
    matches = [team for team in teams if name.lower() in (team.id, team.name.lower())]
    if len(matches) == 1:
        return matches[0]
    names = ", ".join(f"{team.name!r} ({team.id})" for team in matches or teams)
    rule = "names several, use the id" if matches else "is none of the token's teams"
    raise click.UsageError(f"--team {name!r}: {rule}: {names}")
