"""Puts the things of an account into the journal, a few at a time, and reads them so again.

A file may have a hundred megabytes: neither all its things nor all lines are ever in memory.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from threading import Event

from component.account.model import Piece
from component.core.belongings.model import Entry, Line, Pick, Result, Sort, place
from component.core.journey.model import Problem, Refused
from component.engine.belongings.ports import CopyStore
from component.engine.belongings.things import entry_of, lines_of, thing_of

AT_ONCE = 500
"""Things that are stored together, and read together."""
_SIZE = 1 << 20
"""Characters of them."""
Numbered = Sequence[tuple[int, Line]]


async def fill(store: CopyStore, id: int, pieces: Iterable[Piece]) -> None:
    """Put down a line for each thing that comes, as if nothing were there yet.

    :param pieces: read to their end in a thread of their own, and only as fast as they are stored.
    :raises Refused: the copy is not being filled any more.
    :raises StoreError: and whatever reading the pieces raises.
    """
    loop = asyncio.get_running_loop()
    left = Event()

    def work() -> None:
        # One thread to the end: lxml's parsers are not to be handed from one to another.
        for part in _parts(pieces):
            if left.is_set():
                return
            if not asyncio.run_coroutine_threadsafe(store.add(id, part), loop).result():
                raise Refused(Problem.NO_SUCH_COPY, id=str(id))

    try:
        await asyncio.to_thread(work)
    finally:
        left.set()


def _parts(pieces: Iterable[Piece]) -> Iterator[list[Entry]]:
    """The things as entries, numbered so that they come in the order in which they are carried."""
    numbers: Counter[Sort] = Counter()
    part: list[Entry] = []
    room = _SIZE
    for piece in pieces:
        thing = thing_of(piece)
        if thing is None:
            continue
        number = place(thing.sort, numbers[thing.sort])
        numbers[thing.sort] += 1
        part.append(entry_of(number, Line(thing, Result.ADDED)))
        room -= len(thing.text)
        if room < 0 or len(part) == AT_ONCE:
            yield part
            part, room = [], _SIZE
    if part:
        yield part


async def pages(
    store: CopyStore,
    id: int,
    pick: Pick,
    *,
    most: int | None = None,
    backwards: bool = False,
) -> AsyncIterator[Numbered]:
    """The lines of a copy with their numbers, a few at a time; they may be marked meanwhile.

    :raises StoreError: and ValueError where no release wrote what is there.
    """
    after: int | None = None
    most = most or AT_ONCE
    while page := await store.page(id, pick, after=after, most=most, backwards=backwards):
        after = page[-1].number
        yield await asyncio.to_thread(lines_of, page)
