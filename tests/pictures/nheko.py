"""The Matrix room in nheko, logged in as a member of the room."""

import time
from pathlib import Path

from tests.pictures.desktop import screen
from tests.pictures.stage import Story

WIDTH, HEIGHT = 860, 413  # of its window, in points

_SETTINGS = """\
[General]
run_without_secure_secrets_service=true

[auth]
access_token={token}
device_id={device}
home_server={homeserver}
user_id={user}

[user]
theme=light
bubbles_enabled=true

[window]
width={width}
height={height}
"""


def picture(story: Story, folder: Path, path: Path) -> None:
    """Open the room in nheko and take a picture of the window, at twice the size."""
    device = story.reader.call("GET", "/_matrix/client/v3/account/whoami")["device_id"]
    settings = folder / ".config" / "nheko" / "nheko.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text(
        _SETTINGS.format(
            token=story.reader.token,
            device=device,
            homeserver=story.homeserver,
            user=story.reader.id,
            width=WIDTH,
            height=HEIGHT,
        )
    )
    with (
        screen(folder, (2 * WIDTH, 2 * HEIGHT)) as display,
        display.program("nheko", QT_SCALE_FACTOR="2", QT_QUICK_BACKEND="software"),
    ):
        time.sleep(5)
        display.settled(path)
        # No to its questions about encryption, then the only room.
        display.do("mousemove", 2 * WIDTH - 140, 2 * HEIGHT - 79, "click", 1)
        display.settled(path)
        display.do("mousemove", 300, 235, "click", 1)
        time.sleep(4)  # a cursor blinks from now on
        display.do("mousemove", 2 * WIDTH - 2, 2 * HEIGHT - 2)
        time.sleep(1)
        display.picture(path)
