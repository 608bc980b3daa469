"""The commands that check what is configured: check, doctor."""

import sys

import click

from relay.cli.command import CONFIG, ConfigReport, report
from relay.cli.store import store_of
from relay.config.load import load, warnings
from relay.delivery.decisions import describe_channel
from relay.store.records import StoreUnusable
from relay.sync.webhooks import WebhookFix


@click.command(cls=ConfigReport)
@CONFIG
def check(path: str | None) -> None:
    """Check config and templates, and print the hook URLs."""
    from relay.doctor import template_notes, template_problems

    config = load(path)
    problems = [("templates", str(each)) for each in template_problems(config, config.teams)]
    try:
        store_of(config)
    except StoreUnusable as error:
        problems.append(("store", str(error)))
    for subject, problem in problems:
        report("FAIL", subject, problem)
    for note in template_notes(config):
        report("note", "templates", note)
    for warning in warnings(config):
        report("note", "config", warning)
    is_off = config.inspector_access == "off"
    report("note" if is_off else "ok", "inspector", config.describe_inspector())
    for name, team in config.teams.items():
        path, *old_paths = config.hook_paths(name)
        report("ok", name, f"hook {config.server.shown_url}{path}")
        for old in old_paths:
            report("ok", name, f"old hook, accepted too: {config.server.shown_url}{old}")
        for channel in team.channels:
            report("ok", f"{name}/{channel.name}", describe_channel(team, channel))
    if problems:
        sys.exit(1)


@click.command(cls=ConfigReport)
@CONFIG
@click.option("--fix", is_flag=True, help="Offer to apply each available fix.")
async def doctor(path: str | None, fix: bool) -> None:
    """Check the config, the store, Penpot and all channels. Sends no messages."""
    from relay.doctor import apply_fix, examine

    config, problems = load(path), 0
    fixes: list[WebhookFix] = []
    async for subject, finding in examine(config, fixes):
        report(finding.status, subject, finding.text)
        problems += not finding.ok
    if fixes and not fix:
        click.echo("`relay doctor --fix` can fix some of these problems")
    for offered in fixes if fix else ():
        if click.confirm(offered.question):
            finding = await apply_fix(config, offered)
            report(finding.status, offered.team, finding.text)
            problems -= finding.ok
    if problems:
        sys.exit(1)
