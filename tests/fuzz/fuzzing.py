"""Runs a target of ``atheris``."""

import logging
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import atheris


def fuzz(one_input: Callable[[bytes], None], seeds: Iterable[bytes] = (), *options: str) -> None:
    """With libFuzzer's options from the command line. A directory given there keeps new inputs."""
    logging.disable()
    with tempfile.TemporaryDirectory() as directory:
        for number, seed in enumerate(dict.fromkeys(seeds)):
            (Path(directory) / f"{number}").write_bytes(seed)
        corpus = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
        given = [argument for argument in sys.argv[1:] if argument.startswith("-")]
        # libFuzzer writes new inputs into the first directory; a file is an input to repeat.
        seeded = [] if any(Path(place).is_file() for place in corpus) else [directory]
        atheris.Setup([sys.argv[0], *options, *given, *corpus, *seeded], one_input)
        atheris.Fuzz()
