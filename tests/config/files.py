"""Config files of the tests, and the problems that they have."""

from pathlib import Path

import pytest

from relay.config.load import ConfigError, load

SECRET = "a-secret-of-24-characters"


def write(folder: Path, text: str) -> str:
    path = folder / "relay.toml"
    path.write_text(text)
    return str(path)


def problems_of(path: str | None, environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    return [str(problem).removeprefix(f"{path}: ") for problem in caught.value.problems]


TEAM = f'[teams.acme]\nsecret = "{SECRET}"\n'
CHANNEL = TEAM + '[[teams.acme.channels]]\nname = "a"\n'
SLACK = CHANNEL + 'type = "slack"\n'
MATRIX = CHANNEL + 'type = "matrix"\nhomeserver = "https://m.example.org"\naccess_token = "t"\n'
MAIL = CHANNEL + 'type = "email"\nsender = "p@example.com"\nto = ["d@example.com"]\n'
SMTP = '\nsmtp = { host = "h" }\n'


def slips(word: str) -> list[str]:
    """A word with a letter too few, two of them swapped, one doubled, or its parts joined."""
    slips = {word[:i] + word[i + 1 :] for i in range(len(word))}
    slips |= {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)}
    slips |= {word[:i] + word[i] + word[i:] for i in range(len(word))}
    slips |= {word.replace("_", ""), word.replace("_", "-"), word.upper(), word.split("_")[0]}
    return sorted(slips - {word})
