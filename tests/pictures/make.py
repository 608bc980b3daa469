"""Makes the README's pictures:

    .venv/bin/python -m tests.pictures.make

It needs ``make test``'s environments (Synapse is in the second one) and these Debian packages:

    apt install chromium dbus imagemagick nheko thunderbird xdotool xvfb fonts-inter fonts-noto-core

A real Relay posts samples of Penpot's events into a real Synapse and a real mail server. The
Matrix room is then opened in nheko, the mail in Thunderbird. For Slack the payloads that the
Slack stand-in received are drawn in Chromium. The pictures are cropped, not retouched.
"""

import subprocess
import tempfile
from pathlib import Path

from tests.pictures import nheko, slack_page, thunderbird
from tests.pictures.stage import deliver_story

HERE = Path(__file__).parent
CUTS = {
    "matrix.png": ("-crop", "+528+0"),  # the list of rooms, which is one room
    "mail.png": ("-crop", "1320x784+0+124"),  # the menu, and the emptiness below
    "slack.png": ("-trim", "-bordercolor", "white", "-border", "0x24"),
}


def main() -> None:
    """Make all three."""
    with tempfile.TemporaryDirectory(prefix="relay-pictures-") as place, deliver_story() as story:
        folder = Path(place)
        nheko.picture(story, folder / "nheko", folder / "matrix.png")
        thunderbird.picture(story.mails[0], folder / "thunderbird", folder / "mail.png")
        slack_page.picture(story.slack, folder, folder / "slack.png")
        for name, cuts in CUTS.items():
            small = ("+repage", "-strip", "-define", "png:compression-level=9")
            command = ["convert", str(folder / name), *cuts, *small, str(HERE / name)]
            subprocess.run(command, check=True)
            print(f"{HERE / name}: {(HERE / name).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
