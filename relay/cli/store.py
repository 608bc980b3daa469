"""The store as commands open it, and the command that copies it: store backup."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import click

from relay.cli.command import CONFIG, Commands
from relay.config.load import load
from relay.config.settings import Config
from relay.store import store_at
from relay.store.base import Store


def store_of(config: Config) -> Store:
    return store_at(config.store.url.reveal())


def store_place(config: Config) -> str:
    """The full path of the file, or the database without user and password."""
    url = config.store.url.reveal()
    if config.store.postgres is not None:
        return config.store.display_url
    return str(Path(url.removeprefix("sqlite:///")).absolute())


@contextlib.asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Store]:
    store = store_of(config)
    await store.open(service=False)
    try:
        yield store
    finally:
        await store.close()


@click.group("store", cls=Commands)
def store() -> None:
    """Maintain the store."""


@store.command()
@CONFIG
@click.argument("file", type=click.Path(path_type=Path))
async def backup(path: str | None, file: Path) -> None:
    """Copy the store to FILE. The service may be running."""
    config = load(path, secrets=False)
    async with opened(config) as store:
        await store.backup(file)
    click.echo(f"{config.store.display_url} is copied to {file}")
