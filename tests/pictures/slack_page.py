"""The messages that the Slack stand-in took, as a page that looks like Slack.

There is no Slack to ask here. Blocks are drawn after https://docs.slack.dev/reference/block-kit;
one that is not known is an error, so that nothing is left out in silence.
"""

import re
import subprocess
from base64 import b64encode
from html import escape
from pathlib import Path
from typing import Any

from tests.servers.slack import Slack

WIDTH = 600

_PAGE = """\
<!doctype html>
<meta charset="utf-8">
<style>
body { margin: 0; background: #fff; color: #1d1c1d; font: 15px/1.46668 Lato, Inter, sans-serif; }
header { padding: 13px 20px; border-bottom: 1px solid #ddd; font-size: 18px; font-weight: 800; }
header span { color: #616061; font-weight: 400; font-size: 13px; margin-left: 6px; }
.replies { margin: 6px 20px; color: #616061; font-size: 13px; display: flex; gap: 12px; }
.replies::after { content: ""; flex: 1; height: 1px; margin: auto; background: #ddd; }
.user { padding: 0 2px 1px; border-radius: 3px; background: #f2c74466; color: #1264a3; }
img { display: block; width: 240px; margin: 6px 0; border-radius: 8px; }
article { position: relative; padding: 10px 20px 4px 72px; }
article:last-child { padding-bottom: 18px; }
.icon { position: absolute; left: 20px; top: 13px; width: 36px; height: 36px; border-radius: 8px;
  background: #31efb8; color: #18181a; font-weight: 700; text-align: center; line-height: 36px; }
.name { font-weight: 800; }
.app { padding: 0 3px; border-radius: 2px; background: #1d1c1d14; color: #616061; font-size: 10px;
  font-weight: 700; line-height: 14px; display: inline-block; vertical-align: 1px; }
.time { color: #616061; font-size: 12px; }
a { color: #1264a3; text-decoration: none; }
.quote { position: relative; padding-left: 16px; margin: 4px 0; }
.quote::before { content: ""; position: absolute; left: 0; top: 0; bottom: 0; width: 4px;
  border-radius: 8px; background: #ddd; }
.context { color: #616061; font-size: 13px; line-height: 1.38463; padding: 4px 0; }
</style>
<header>Thread <span>#design</span></header>
"""

_TAGS = {"bold": "b", "italic": "i", "strike": "s", "code": "code"}


def picture(slack: Slack, folder: Path, path: Path) -> None:
    """Take a picture of a thread in headless Chromium, at twice the size."""
    page = folder / "slack.html"
    first, *replies = (_message(message, slack) for message in slack.messages)
    divider = f'<div class="replies">{len(replies)} replies</div>\n'
    page.write_text(_PAGE + first + divider + "".join(replies), encoding="utf-8")
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
    blocks = "".join(_block(block, slack) for block in message["blocks"])
    return (
        '<article><div class="icon">P</div><span class="name">Penpot</span> '
        f'<span class="app">APP</span> <span class="time">9:30 AM</span>{blocks}</article>\n'
    )


def _block(block: Any, slack: Slack) -> str:
    match block["type"]:
        case "image":
            content = b64encode(slack.files[block["slack_file"]["id"]]).decode()
            words = escape(block["alt_text"])
            return f'<img src="data:image/png;base64,{content}" alt="{words}">'
        case "rich_text":
            return "".join(map(_part, block["elements"]))
        case "context":
            return f'<div class="context">{" ".join(map(_text_object, block["elements"]))}</div>'
    raise ValueError(f"no drawing for the block {block['type']}")


def _part(part: Any) -> str:
    inner = "".join(map(_element, part["elements"]))
    match part["type"]:
        case "rich_text_section":
            return f"<div>{inner}</div>"
        case "rich_text_quote":
            return f'<div class="quote">{inner}</div>'
    raise ValueError(f"no drawing for {part['type']}")


def _element(element: Any) -> str:
    if element["type"] == "user":
        return '<span class="user">@Ada Lovelace</span>'
    text = escape(element["text"]).replace("\n", "<br>")
    for style in element.get("style", {}):
        text = f"<{_TAGS[style]}>{text}</{_TAGS[style]}>"
    match element["type"]:
        case "text":
            return text
        case "link":
            return f'<a href="{escape(element["url"])}">{text}</a>'
    raise ValueError(f"no drawing for the element {element['type']}")


def _text_object(text: Any) -> str:
    match text["type"]:
        case "plain_text":
            return escape(text["text"])
        case "mrkdwn":  # its text is escaped already
            return re.sub(r"<(http[^|>]+)\|([^>]+)>", r'<a href="\1">\2</a>', text["text"])
    raise ValueError(f"no drawing for the text {text['type']}")
