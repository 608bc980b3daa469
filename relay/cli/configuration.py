"""The commands that check what is configured: check, doctor."""

import sys
from itertools import zip_longest

import click

from relay.cli.command import CONFIG, NO_FILE, ConfigReport, config_place, in_user_terms, report
from relay.cli.output import AS_JSON, print_document
from relay.cli.store import store_of, store_place
from relay.config.load import load, warnings
from relay.config.settings import Config
from relay.delivery.decisions import describe_channel
from relay.store.records import StoreUnusable
from relay.sync.webhooks import WebhookFix


class _Findings:
    """Printed at once, or as a document at the end."""

    def __init__(self, path: str | None, config: Config, *, as_json: bool) -> None:
        self._as_json = as_json
        self._places = {"config": config_place(path), "store": store_place(config)}
        self._findings: list[dict[str, str]] = []
        self._problem_count = 0

    def add_places(self) -> None:
        if not self._as_json:
            for subject, place in self._places.items():
                report("ok", subject, place or NO_FILE)

    def add(self, status: str, subject: str, text: str) -> None:
        """``status`` is that of a ``Finding``."""
        self._problem_count += status == "FAIL"
        if self._as_json:
            finding = {"status": status.lower(), "subject": subject, "text": in_user_terms(text)}
            self._findings.append(finding)
        else:
            report(status, subject, text)

    def end(self, fixed_count: int = 0) -> None:
        """``fixed_count``: of the problems."""
        ok = self._problem_count <= fixed_count
        if self._as_json:
            print_document({**self._places, "findings": self._findings}, ok=ok)
        if not ok:
            sys.exit(1)


@click.command(cls=ConfigReport)
@CONFIG
@AS_JSON
def check(path: str | None, as_json: bool) -> None:
    """Check config and templates, and print the hook URLs.

    With --json the secrets in the hook URLs are left out.
    """
    from relay.doctor import template_notes, template_problems

    config = load(path)
    findings = _Findings(path, config, as_json=as_json)
    findings.add_places()
    for problem in template_problems(config, config.teams):
        findings.add("FAIL", "templates", str(problem))
    try:
        store_of(config)
    except StoreUnusable as error:
        findings.add("FAIL", "store", str(error))
    for note in template_notes(config):
        findings.add("note", "templates", note)
    for warning in warnings(config):
        findings.add("note", "config", warning)
    is_off = config.inspector_access == "off"
    findings.add("note" if is_off else "ok", "inspector", config.describe_inspector())
    for name, team in config.teams.items():
        paths = config.hook_paths(name)
        if as_json:  # it ends up in logs
            paths = [f"/hooks/{name}/***"] * len(paths)
        for text, hook in zip_longest(["hook"], paths, fillvalue="old hook, accepted too:"):
            findings.add("ok", name, f"{text} {config.server.shown_url}{hook}")
        for channel in team.channels:
            findings.add("ok", f"{name}/{channel.name}", describe_channel(team, channel))
    findings.end()


@click.command(cls=ConfigReport)
@CONFIG
@click.option("--fix", is_flag=True, help="Offer to apply each available fix.")
@AS_JSON
async def doctor(path: str | None, fix: bool, as_json: bool) -> None:
    """Check the config, the store, Penpot and all channels. Sends no messages."""
    from relay.doctor import apply_fix, examine

    if fix and as_json:
        raise click.UsageError("--fix asks questions: use it without --json")
    config, fixed_count = load(path), 0
    findings = _Findings(path, config, as_json=as_json)
    fixes: list[WebhookFix] = []
    async for subject, finding in examine(config, fixes):
        findings.add(finding.status, subject, finding.text)
    if fixes and not fix and not as_json:
        click.echo("`relay doctor --fix` can fix some of these problems")
    for offered in fixes if fix else ():
        if click.confirm(offered.question):
            finding = await apply_fix(config, offered)
            report(finding.status, offered.team, finding.text)
            fixed_count += finding.ok
    findings.end(fixed_count)
