"""The messages that the Slack stand-in received, as a page that resembles Slack.

Uses the inspector's preview of blocks. An unknown block is an error, so that none is omitted
silently.
"""

import subprocess
from base64 import b64encode
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from relay.channels.preview import image as placeholder
from relay.channels.slack.preview import draw, posted
from tests.servers.slack import Slack

WIDTH = 600

_PAGE = """\
<!doctype html>
<meta charset="utf-8">
<style>
{css}
body {{ margin: 0; background: #fff; color: #1d1c1d; font: 15px/1.46668 Lato, Inter, sans-serif; }}
header {{ padding: 13px 20px; border-bottom: 1px solid #ddd; font-size: 18px; font-weight: 800; }}
header span {{ color: #616061; font-weight: 400; font-size: 13px; margin-left: 6px; }}
.replies {{ margin: 6px 20px; color: #616061; font-size: 13px; display: flex; gap: 12px; }}
.replies::after {{ content: ""; flex: 1; height: 1px; margin: auto; background: #ddd; }}
.preview a {{ text-decoration: none; }}
article:last-child {{ padding-bottom: 18px; }}
</style>
<header>Thread <span>#design</span></header>
"""
_NAMES = {"U0ADA0000": "Ada Lovelace"}


def picture(slack: Slack, folder: Path, path: Path) -> None:
    """Take a picture of a thread in headless Chromium, at twice the size."""
    page = folder / "slack.html"
    first, *replies = (_message(message, slack) for message in slack.messages)
    divider = f'<div class="replies">{len(replies)} replies</div>\n'
    css = (files("relay.inspector") / "static" / "preview.css").read_text()
    page.write_text(_PAGE.format(css=css) + first + divider + "".join(replies), encoding="utf-8")
    subprocess.run(
        [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--force-device-scale-factor=2",
            f"--window-size={WIDTH},900",
            f"--user-data-dir={folder / 'chromium'}",
            f"--screenshot={path}",
            page.as_uri(),
        ],
        check=True,
        capture_output=True,
    )


def _message(message: Any, slack: Slack) -> str:
    html = posted(draw(message, _NAMES), "9:30 AM")
    assert "preview-unknown" not in html
    for block in message["blocks"]:
        if block["type"] == "image":
            content = b64encode(slack.files[block["slack_file"]["id"]]).decode()
            image = Markup('<img src="data:image/png;base64,{}" alt="{}">')
            box = placeholder(block["alt_text"])
            html = html.replace(box, image.format(content, block["alt_text"]), 1)
    return str(html)
