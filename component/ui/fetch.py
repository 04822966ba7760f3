"""``xmpp-moved fetch``: the work, its progress, and what is said at its end."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from component.account import carried, model
from component.account.write import write
from component.client.account import OwnAccount, Published, publish
from component.client.errors import ClientFailed, Trouble
from component.client.login import Server, login
from component.core.journey.model import Access
from component.engine.belongings.read import Reading
from component.ui.exits import CommandFailed, Exit
from component.ui.keep import new_file
from component.ui.terminal import make_console, printable

_COUNTED: dict[type[model.Piece], tuple[str, str]] = {
    model.Contact: ("contact", "contacts"),
    model.Blocked: ("blocked address", "blocked addresses"),
    model.VcardTemp: ("profile", "profiles"),
    model.PrivateXml: ("private setting", "private settings"),
    model.PepNode: ("PEP node", "PEP nodes"),
    model.PepItem: ("PEP item", "PEP items"),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be fetched, and where to.

    :ivar private: names and namespaces of private XML beside those that are known.
    :ivar new: the address that the account moves to, where that is to be published.
    """

    account: str
    target: Path
    force: bool = False
    server: Server = field(default_factory=Server)
    private: Sequence[tuple[str, str]] = ()
    new: str | None = None
    access: Access = Access.PRESENCE


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of it."""

    reading: Reading
    left: Sequence[str]
    cut_short: Sequence[str]
    published: Published | None
    trouble: ClientFailed | None
    """Why the statement was not published, the file being there."""


def fetch(wanted: Wanted, password: str) -> Fetched:
    """Fetch an account into a file.

    :raises CommandFailed: it did not succeed; then there is no file
    """
    try:
        return asyncio.run(_stoppable(wanted, password))
    except ClientFailed as failure:
        code = Exit.REFUSED if failure.trouble is Trouble.REFUSED else Exit.FAILURE
        raise CommandFailed(printable(str(failure)), code) from failure
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise CommandFailed(f"stopped; {wanted.target} was not written") from None


async def _stoppable(wanted: Wanted, password: str) -> Fetched:
    """SIGTERM ends it as control and C do."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await _fetch(wanted, password)
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def _fetch(wanted: Wanted, password: str) -> Fetched:
    with _shown(f"Reading {wanted.account}") as show:
        async with login(wanted.account, password, wanted.server) as connection:
            own = OwnAccount(connection, show)
            reading = await own.everything(wanted.private)
            with new_file(wanted.target, force=wanted.force) as file:
                write(file, reading.pieces)
            published, trouble = None, None
            if wanted.new is not None:
                try:
                    published = await publish(
                        own, wanted.account, wanted.new, wanted.access, reading
                    )
                except ClientFailed as failure:
                    trouble = failure
                except asyncio.CancelledError:
                    raise CommandFailed(
                        f"stopped; {wanted.target} is there, but the statement may not be: "
                        "give the same command again, with --force"
                    ) from None
            return Fetched(reading, own.left, own.cut_short, published, trouble)


class _Show:
    """The bar; on a terminal only."""

    def __init__(self, bar: Progress, what: str) -> None:
        self._bar = bar
        self._task = bar.add_task(printable(what), total=None)

    def __call__(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total)


@contextmanager
def _shown(what: str) -> Iterator[_Show]:
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()
    console = make_console(sys.stderr)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        yield _Show(bar, what)


def report(wanted: Wanted, fetched: Fetched) -> Iterator[str]:
    """Lines for the user."""
    pieces = fetched.reading.pieces
    yield f"{wanted.target} holds {wanted.account} as it was now; only you may read it."
    yield f"  {_counts(pieces)}"
    for node in fetched.left:
        rule = carried.node(node)
        yield f"Not taken along: {rule.what} ({node}): {rule.reason}."
    for unread in fetched.reading.unread:
        yield f"The server refuses: {unread.what} ({unread.condition})."
    for what in fetched.cut_short:
        yield f"The server did not hand out all of: {what}."
    published = fetched.published
    if published is not None:
        yield f"{wanted.account} says now that it moved to {wanted.new}; read back, and right."
        if published.refused:
            yield f"The server does not let these read it: {', '.join(published.refused)}."
        if not published.new_can_read:
            yield (
                f"Only its contacts can read that, and {wanted.new} is none of them: where a "
                f"server there is to see the proof, publish again with --access whitelist."
            )


def _counts(pieces: Sequence[model.Piece]) -> str:
    counts = Counter(type(piece) for piece in pieces)
    parts = [f"{counts[kind]} {_COUNTED[kind][counts[kind] != 1]}" for kind in _COUNTED]
    return ", ".join(parts)
