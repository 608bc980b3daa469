"""Makes the two pictures of the inspector in README and operator's guide:

    .venv/bin/python -m tests.pictures.inspector

It needs ``make test``'s environment, and Debian's Chromium. A real Relay receives the samples
of Penpot's events; its Slack is a stand-in, and its mail server is down.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from relay.penpot.catalogue import CATALOGUE
from relay.penpot.samples import SAMPLE_NAMES, sample
from tests.inspector.conftest import QUIET
from tests.servers.loopback import in_thread
from tests.servers.slack import TOKEN, Slack
from tests.service import Service, free_port, running, wait_until

HERE = Path(__file__).parent
SIZE = {"width": 1000, "height": 600}
WORDS = """\
{% extends "builtin/create-comment-thread.md.j2" %}

{% block body %}
**{{ actor }}** has a question about {{ file | link }}

{{ comment.text | quote }}
{% endblock %}
"""


@contextlib.contextmanager
def relay_with_samples() -> Iterator[Service]:
    """A Relay that has received the samples: Slack messages are sent, mails wait."""
    slack = Slack()
    with (
        tempfile.TemporaryDirectory(prefix="relay-pictures-") as folder,
        in_thread(slack.handle) as server,
    ):
        channels = f"""
name = "Acme"
[[teams.acme.channels]]
name = "design"
type = "slack"
token = "{TOKEN}"
channel = "#design"
api_url = "{server.url}/api"
pace = 6000
digest_after = 0
activity = "each"
events = ["*", "!*-project-pin", "!export-*"]
[[teams.acme.channels]]
name = "mail"
type = "email"
to = ["design@example.com"]
sender = "Penpot <penpot@example.com>"
smtp = {{ host = "127.0.0.1", port = {free_port()}, tls = "none" }}
events = ["comments", "*-file", "*-project"]
"""
        with running(Path(folder), channels, penpot='url = "https://design.example.com"') as relay:
            names = [name for name in SAMPLE_NAMES if not CATALOGUE[name].synthetic]
            for name in names:
                assert relay.post(sample(name)) == 204
            wait_until(lambda: len(slack.messages) == len(names) - 2, 60)
            yield relay


def pictures(folder: Path) -> None:
    """Take both."""
    with relay_with_samples() as relay, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        page = chromium.new_page(
            viewport=SIZE,  # type: ignore[arg-type]
            device_scale_factor=1.25,
            locale="en-GB",
            timezone_id="UTC",
        )
        page.goto(f"{relay.admin}/inspector")
        page.locator("time").first.wait_for()
        _take(page, folder / "events.png")
        page.goto(f"{relay.admin}/inspector/templates/create-comment-thread")
        page.locator("#text").fill(WORDS)
        page.locator("#message", has_text="has a question about").wait_for()
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        _take(page, folder / "editor.png")
        chromium.close()


def _take(page: Page, path: Path) -> None:
    page.wait_for_timeout(500)
    page.screenshot(path=path)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    pictures(HERE)
