"""A mail in Thunderbird, opened from the bytes that the mail server received."""

import time
from pathlib import Path

from tests.pictures.desktop import screen
from tests.servers.smtp import Mail

WIDTH, HEIGHT = 660, 560  # of its window, in points

_SETTINGS = {
    "layout.css.devPixelsPerPx": '"2.0"',
    "mail.provider.suppress_dialog_on_startup": "true",
    "mail.spotlight.firstRunDone": "true",
    "mail.shell.checkDefaultClient": "false",
    "mail.rights.version": "1",
    "mailnews.start_page.enabled": "false",
    "mailnews.headers.showSender": "false",
    "datareporting.policy.dataSubmissionEnabled": "false",
    "datareporting.healthreport.uploadEnabled": "false",
    "toolkit.telemetry.enabled": "false",
    "app.update.enabled": "false",
    "app.donation.eoy.version.viewed": "99",
    "extensions.update.enabled": "false",
    "network.proxy.type": "0",
    "mail.inappnotifications.enabled": "false",
    "ui.systemUsesDarkTheme": "0",
    "mail.accounthub.enabled": "false",
}


def picture(mail: Mail, folder: Path, path: Path) -> None:
    """Open the mail in a window and take a picture of it, at twice the size."""
    profile = folder / "profile"
    profile.mkdir(parents=True)
    lines = [f'user_pref("{name}", {value});\n' for name, value in _SETTINGS.items()]
    (profile / "user.js").write_text("".join(lines))
    file = folder / "message.eml"
    file.write_bytes(mail.content)
    with (
        screen(folder, (2 * WIDTH, 2 * HEIGHT)) as display,
        display.program(
            "thunderbird", "--no-remote", "--profile", str(profile), "-file", str(file)
        ),
    ):
        time.sleep(12)
        display.settled(path)
