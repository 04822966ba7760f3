"""What several commands need: the configuration, and failures as sentences."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from component.ui.exits import CommandFailed, Exit

if TYPE_CHECKING:
    from component.config import Config

NAME = "xmpp-moved"

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def load_config(file: Path | None, log_level: str = "warning", *, secret: bool = True) -> Config:
    """The configuration; logging is set up so that standard output stays the command's.

    :param file: as given with ``--config``; None: the default place
    :param secret: whether the command needs the secret, which only root may be able to read
    :raises CommandFailed: it cannot be used; with the exit code for that
    """
    from component.config import ConfigError, load
    from component.ops import log

    log.configure(log_level)

    def warn(sentence: str) -> None:
        print(f"{NAME}: warning: {sentence}", file=sys.stderr)

    try:
        return load(file, warn=warn, secret=secret)
    except ConfigError as error:
        raise CommandFailed(str(error), Exit.CONFIG) from error


@contextmanager
def store_failures() -> Iterator[None]:
    """Turns an error of the database into the sentence that ends the command."""
    from component.store import StoreError

    try:
        yield
    except StoreError as error:
        raise CommandFailed(str(error)) from error


def bare_address(option: str, given: str | None) -> str | None:
    """The address of an option in the form that the journal holds.

    :raises typer.BadParameter: it is not the address of a user
    """
    if given is None:
        return None
    from component.core import jids

    prepared = jids.bare(given)
    if prepared is None:
        raise typer.BadParameter(
            f"{given!r} is not the address of a user (name@domain)", param_hint=option
        )
    return prepared
