"""A virtual screen for a desktop program: Xvfb, with keys, clicks and screenshots."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Screen:
    """A virtual screen; ``environ`` is what a program needs to appear on it."""

    def __init__(self, display: str, home: Path) -> None:
        runtime = home / "run"
        runtime.mkdir(mode=0o700, parents=True)
        self.environ = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "DISPLAY": display,
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(runtime),
            "LIBGL_ALWAYS_SOFTWARE": "1",
        }

    @contextlib.contextmanager
    def program(self, *command: str, **environ: str) -> Iterator[None]:
        """Run a program during the block, with a separate session bus."""
        process = subprocess.Popen(
            ["dbus-run-session", "--", *command],
            env=self.environ | environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            process.wait(20)

    def do(self, *arguments: str | int) -> None:
        """Keys and mouse, as arguments of xdotool."""
        subprocess.run(["xdotool", *map(str, arguments)], env=self.environ, check=True)

    def picture(self, path: Path) -> None:
        """The whole screen."""
        subprocess.run(["import", "-window", "root", str(path)], env=self.environ, check=True)

    def settled(self, path: Path, *, quiet: float = 1.5, timeout: float = 40) -> None:
        """Wait until nothing on the screen has changed for ``quiet`` seconds."""
        end, last, since = time.monotonic() + timeout, b"", time.monotonic()
        while time.monotonic() < end:
            self.picture(path)
            seen = subprocess.run(
                ["identify", "-format", "%#", str(path)], capture_output=True, check=True
            ).stdout
            if seen != last:
                last, since = seen, time.monotonic()
            elif time.monotonic() - since > quiet:
                return
            time.sleep(0.2)
        raise TimeoutError("the screen did not settle")


@contextlib.contextmanager
def screen(folder: Path, size: tuple[int, int]) -> Iterator[Screen]:
    """``size`` is in pixels; ``folder`` gets the programs' files."""
    reader, writer = os.pipe()
    with open(reader) as display:
        server: Any = subprocess.Popen(
            [
                "Xvfb",
                "-displayfd",
                str(writer),
                "-screen",
                "0",
                f"{size[0]}x{size[1]}x24",
                "-nolisten",
                "tcp",
            ],
            pass_fds=(writer,),
            stderr=subprocess.DEVNULL,
        )
        os.close(writer)
        try:
            yield Screen(f":{display.readline().strip()}", folder)
        finally:
            server.terminate()
            server.wait(10)
