"""Contact sheets: every kind of message in Slack, Matrix, Mattermost, Rocket.Chat, Discord,
Microsoft Teams, by apprise, as a webhook's document and as a mail, and what a phone shows of it.

    .venv/bin/python -m tests.pictures.sheets FOLDER

needs ``make test``'s environment and ``apt install chromium fonts-inter fonts-lato
fonts-noto-color-emoji``. The payloads are what the channels post. ``--dump FILE`` writes them as
JSON, and ``--from FILE`` draws such a file: so two versions of Relay can be compared in the same
pages. ``--language es`` makes the sheets in that language, ``--guide`` the smaller pictures of the
operator's guide, with ImageMagick.
"""

import argparse
import asyncio
import email
import email.policy
import json
import shutil
import subprocess
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup
from playwright.sync_api import Page, sync_playwright

from relay.channels.apprise.preview import draw as draw_apprise
from relay.channels.discord.preview import draw as draw_discord
from relay.channels.discord.preview import posted as posted_in_discord
from relay.channels.matrix.preview import sanitized
from relay.channels.mattermost.preview import draw as draw_mattermost
from relay.channels.mattermost.preview import posted as posted_in_mattermost
from relay.channels.preview import image as placeholder
from relay.channels.rocketchat.preview import draw as draw_rocketchat
from relay.channels.rocketchat.preview import posted as posted_in_rocketchat
from relay.channels.slack.blocks import unescape
from relay.channels.slack.preview import draw
from relay.channels.teams.preview import draw as draw_teams
from relay.channels.teams.preview import posted as posted_in_teams
from relay.messages.locale import ENGLISH, LANGUAGES, Locale
from tests.penpot.paint import board
from tests.pictures.payloads import Rows, payloads, recorder

MAIL_WIDTHS = {"light": 560, "dark": 320}  # pixels
CHAT_WIDTH = 600
GUIDE = {
    name: Path(__file__).parent / f"sheet-{name}.webp"
    for name in (
        "slack",
        "matrix",
        "mattermost",
        "rocketchat",
        "discord",
        "teams",
        "apprise",
        "mail-light-560",
        "notifications",
    )
}
_QUIET = ("--disable-quic", "--no-first-run", "--disable-background-networking")
_DISCORD_NAMES = {"<@80351110224678912>": "Ada Lovelace", "<@80351110224678913>": "Grace Hopper"}
_NAMES = {"U0ADA0000": "Ada Lovelace", "U0GRACE00": "Grace Hopper"}
_PHONE = 160  # characters of a notification, about four lines
_INBOX = 110  # characters of a mail's text after its subject in a list of mails

_CSS = """\
{preview}
:root {{ color-scheme: {scheme}; }}
body {{ margin: 20px; background: light-dark(#e9ebee, #0b0c0e); font: 14px/1.4 Inter, sans-serif; }}
h1 {{ margin: 0 0 16px; font-size: 20px; }}
main {{ columns: {columns}; column-gap: 20px; width: {total}px; }}
figure {{ break-inside: avoid; margin: 0 0 20px; width: {width}px; border-radius: 6px;
  overflow: hidden; background: light-dark(#fff, #18181a); }}
figcaption {{ padding: 4px 12px; font: 12px/1.5 monospace; color: #fff; background: #4c3d7a; }}
figcaption b {{ color: #ffd479; }}
.preview {{ padding-bottom: 8px; }}
.preview-slack a {{ text-decoration: none; }}
.shown {{ margin: 0; padding: 6px 12px; font-size: 12px; white-space: pre-wrap;
  overflow-wrap: anywhere; color: light-dark(#8a4b00, #e8a33d);
  border-top: 1px dashed light-dark(#ddd, #444); }}
iframe {{ display: block; width: 100%; border: 0; }}
table {{ border-collapse: collapse; background: #fff; width: {total}px; table-layout: fixed; }}
td, th {{ padding: 6px 10px; border: 1px solid #d5d8dd; text-align: left; vertical-align: top;
  overflow-wrap: anywhere; font-size: 13px; }}
td:first-child {{ font: 12px/1.5 monospace; color: #4c3d7a; }}
th:first-child {{ width: 10%; }}
.rest {{ color: #767a82; }}
"""
_Drawing = Callable[[Any], Markup]


def slack(message: dict[str, Any]) -> Markup:
    """As the inspector draws it, with the picture."""
    html = draw(message, _NAMES)
    for block in message.get("blocks", ()):
        if block["type"] == "image":
            box = placeholder(block["alt_text"])
            html = Markup(html.replace(box, _picture(block["alt_text"]), 1))
    name = message.get("username") or "Penpot"
    article = Markup(
        '<article class="preview preview-slack"><span class="preview-icon">{}</span>'
        '<div class="preview-who"><b>{}</b> <span class="preview-app">APP</span> '
        '<span class="preview-time">9:30 AM</span></div>{}</article>{}'
    )
    return article.format(name[:1], name, html, _shown(unescape(message["text"])[:_PHONE]))


def matrix(content: dict[str, Any]) -> Markup:
    """As Element shows it."""
    html = sanitized(content.get("formatted_body", content["body"]))
    if "mxc://" in content.get("formatted_body", ""):
        box = html[html.index('<span class="preview-image"') :]
        box = box[: box.index("</span>") + len("</span>")]
        html = Markup(html.replace(box, _picture("picture"), 1))
    article = Markup(
        '<article class="preview preview-matrix"><span class="preview-icon">P</span>'
        '<div class="preview-who"><b>Penpot</b> <span class="preview-time">{}</span></div>'
        '<div class="preview-body">{}</div></article>{}'
    )
    return article.format(content["msgtype"], html, _shown(content["body"][:_PHONE]))


def mattermost(post: dict[str, Any]) -> Markup:
    """As the inspector draws it, with its files."""
    html = draw_mattermost(post["message"], {"@ada": "ada", "@grace": "grace"})
    picture = _picture("picture") if post.get("file_ids") else Markup("")
    return posted_in_mattermost(html + picture, Markup("9:30 AM"))


def rocketchat(message: dict[str, Any]) -> Markup:
    """As the inspector draws it."""
    html = draw_rocketchat(message["msg"], {"@ada": "ada", "@grace": "grace"})
    return posted_in_rocketchat(html, Markup("9:30 AM"))


def discord(body: dict[str, Any]) -> Markup:
    """The people to ping and the embed, as the inspector draws them."""
    (embed,) = body["embeds"]
    picture = _picture("picture") if "image" in embed else Markup("")
    html = draw_discord(embed["description"], _DISCORD_NAMES)
    pings = draw_discord(body["content"], _DISCORD_NAMES)
    return posted_in_discord(pings, html + picture, Markup("9:30 AM"))


def teams(card: dict[str, Any]) -> Markup:
    """As the inspector draws it."""
    return posted_in_teams(draw_teams(card), Markup("9:30 AM"))


def apprise(sent: dict[str, Any]) -> Markup:
    """As the inspector draws it."""
    return draw_apprise(sent.get("title", ""), sent["message"])


def webhook(document: dict[str, Any]) -> Markup:
    """The JSON that a program gets."""
    text = json.dumps(document, indent=1, ensure_ascii=False)
    return Markup('<pre class="preview preview-terminal">{}</pre>').format(text)


def mail(source: str) -> Markup:
    """Its headers, and its HTML in a frame whose height the browser fits to it."""
    parts = email.message_from_string(source, policy=email.policy.default)
    html = parts.get_body(("html",)).get_content()
    for part in parts.walk():
        if cid := part.get("Content-ID"):
            data = b64encode(part.get_payload(decode=True)).decode()
            url = f"data:{part.get_content_type()};base64,{data}"
            html = html.replace(f"cid:{cid.strip('<>')}", url)
    headers = Markup("").join(
        Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(name, str(parts[name]))
        for name in ("From", "To", "Cc", "Subject")
        if parts[name]
    )
    frame = Markup('<dl class="preview preview-mail">{}</dl><iframe srcdoc="{}"></iframe>')
    return frame.format(headers, html)


def _picture(alt_text: str) -> Markup:
    data = b64encode(board()).decode()
    picture = '<span class="preview-picture"><img src="data:image/png;base64,{}" alt="{}"></span>'
    return Markup(picture).format(data, alt_text)


def _shown(text: str) -> Markup:
    return Markup('<p class="shown">🔔 {}</p>').format(text)


def _figures(rows: Rows, kind: str, drawn: _Drawing) -> Markup:
    return Markup("\n").join(
        Markup("<figure><figcaption>{}</figcaption>{}</figure>").format(name, drawn(sent[kind]))
        for name, sent in rows.items()
        if kind in sent
    )


DRAWINGS: dict[str, _Drawing] = {
    "slack": slack,
    "matrix": matrix,
    "mattermost": mattermost,
    "rocketchat": rocketchat,
    "discord": discord,
    "teams": teams,
    "apprise": apprise,
    "webhook": webhook,
    "email": mail,
}
"""By kind of channel."""


def _words(*html: Markup) -> str:
    """Of chats whose notifications have the message without its form."""
    return "\n".join(part.replace("<br", "\n<br").striptags() for part in html if part)


_NOTIFICATIONS: dict[str, Callable[[Any], str]] = {
    "Slack: text": lambda sent: unescape(sent["slack"]["text"]),
    "Matrix: body": lambda sent: str(sent["matrix"]["body"]),
    "Mattermost": lambda sent: _words(draw_mattermost(sent["mattermost"]["message"], {})),
    "Rocket.Chat": lambda sent: _words(draw_rocketchat(sent["rocketchat"]["msg"], {})),
    "Discord": lambda sent: _words(
        draw_discord(sent["discord"]["content"], _DISCORD_NAMES),
        draw_discord(sent["discord"]["embeds"][0]["description"], _DISCORD_NAMES),
    ),
    "apprise": lambda sent: "\n".join(
        filter(None, (sent["apprise"].get("title"), sent["apprise"]["message"]))
    ),
}
"""The text of each by its column, from what was sent of a message."""


def _notifications(rows: Rows) -> Markup:
    """What a phone, a screen reader and a list of mails show first."""
    columns = Markup("").join(map(Markup("<th>{}</th>").format, (*_NOTIFICATIONS, "mail: list")))
    body = Markup("\n").join(
        Markup("<tr><td>{}</td>{}</tr>").format(
            name, Markup("").join(Markup("<td>{}</td>").format(cell) for cell in _cells(sent))
        )
        for name, sent in rows.items()
    )
    return Markup("<table><tr><th>kind</th>{}</tr>{}</table>").format(columns, body)


def _cells(sent: dict[str, Any]) -> Iterator[Markup]:
    for column, text_of in _NOTIFICATIONS.items():
        is_sent = column.partition(":")[0].lower().replace(".", "") in sent
        first, _, rest = (text_of(sent).strip() if is_sent else "").partition("\n")
        rest = " ".join(rest.split())[: max(0, _PHONE - len(first))]
        yield Markup('{} <span class="rest">{}</span>').format(first[:_PHONE], rest)
    if "email" not in sent:
        yield Markup("")
        return
    parts = email.message_from_string(sent["email"], policy=email.policy.default)
    html = parts.get_body(("html",)).get_content()
    text = " ".join(Markup(_without_head(html).replace("<", " <")).striptags().split())
    line = Markup('{} <b>{}</b> <span class="rest">{}</span>')
    yield line.format(str(parts["From"]).partition("<")[0], str(parts["Subject"]), text[:_INBOX])


def _without_head(html: str) -> str:
    return html.partition("</head>")[2] or html


def draw_sheets(rows: Rows, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(_QUIET)
        )
        page = chromium.new_page(viewport={"width": 800, "height": 600}, device_scale_factor=1)
        for kind, drawn in DRAWINGS.items():
            if kind != "email":
                columns = 6 if kind == "webhook" else 3  # documents are long
                path = folder / f"{kind}.png"
                _take(page, path, _figures(rows, kind, drawn), CHAT_WIDTH, columns)
        for scheme, width in MAIL_WIDTHS.items():
            columns = 3 if width > 400 else 5
            path = folder / f"mail-{scheme}-{width}.png"
            _take(page, path, _figures(rows, "email", mail), width, columns, scheme)
        _take(page, folder / "notifications.png", _notifications(rows), 2400, 1)
        chromium.close()


def _take(
    page: Page, path: Path, content: Markup, width: int, columns: int, scheme: str = "light"
) -> None:
    preview = (files("relay.inspector") / "static" / "preview.css").read_text()
    total = width * columns + 20 * (columns - 1)
    css = _CSS.format(preview=preview, scheme=scheme, width=width, columns=columns, total=total)
    page.set_viewport_size({"width": total + 40, "height": 900})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_content(
        f'<!doctype html><meta charset="utf-8"><style>{css}</style>'
        f"<h1>{path.stem}</h1><main>{content}</main>"
    )
    wide = page.evaluate(_FIT_FRAMES)
    page.screenshot(path=path, full_page=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    for name, needed in wide:
        print(f"  {name} is {needed} px wide")


# Fits each frame to its document; returns those that have to be scrolled sideways.
_FIT_FRAMES = """() => {
  const wide = [];
  for (const frame of document.querySelectorAll("iframe")) {
    const root = frame.contentDocument.documentElement;
    if (root.scrollWidth > frame.clientWidth) {
      const caption = frame.closest("figure").querySelector("figcaption");
      wide.push([caption.textContent, root.scrollWidth]);
      caption.insertAdjacentHTML("beforeend", ` <b>${root.scrollWidth} px wide</b>`);
    }
    frame.style.height = `${root.scrollHeight}px`;
  }
  return wide;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="gets the pictures")
    parser.add_argument("--language", choices=LANGUAGES, default=ENGLISH, help="of the messages")
    parser.add_argument("--guide", action="store_true", help="make the guide's pictures")
    parser.add_argument("--dump", type=Path, help="write the payloads to this file")
    parser.add_argument("--from", dest="source", type=Path, help="draw the payloads of this file")
    options = parser.parse_args()
    if options.source:
        rows: Rows = json.loads(options.source.read_bytes())
    else:
        with recorder() as to:
            rows = asyncio.run(payloads(to, Locale(options.language)))
    if options.dump:
        options.dump.write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")
    if options.folder:
        draw_sheets(rows, options.folder)
    if options.guide:
        with tempfile.TemporaryDirectory() as folder:
            draw_sheets(rows, Path(folder))
            for name, path in GUIDE.items():
                small = ("-resize", "1400x", "-strip", "-quality", "55")
                command = ["convert", f"{folder}/{name}.png", *small]
                subprocess.run([*command, str(path)], check=True)


if __name__ == "__main__":
    main()
