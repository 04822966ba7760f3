"""What copies need around them, and what may be ordered of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from component.account.model import Piece
from component.core.belongings.model import Entry, Job, JobState, Mark, Pick, Result
from component.core.belongings.report import Report
from component.core.journey.model import Journey


class Parcels(Protocol):
    """What old accounts elsewhere hand over (docs/handover.md)."""

    async def pieces(self, journey: Journey) -> Iterable[Piece] | None:
        """What came for a move to us; None where there is nothing to be had, or no use of it.

        It is to be iterated over once, in a thread.

        :raises LinkLost, StoreError: call again, later.
        """


class CopyStore(Protocol):
    """Copies as durable records; every write is durable on return and raises StoreError."""

    async def create(self, job: Job) -> Job:
        """Store a copy under a new id; one that is to be filled replaces its asker's earlier."""

    async def add(self, id: int, entries: Sequence[Entry]) -> bool:
        """Put down more things of a copy that is being filled; False where there is none."""

    async def drop(self, id: int) -> None:
        """Forget a copy that was being filled."""

    async def save(self, job: Job, *, expect: Collection[JobState]) -> bool:
        """Update a copy; False where it is in none of these states."""

    async def mark(self, id: int, entries: Iterable[Entry]) -> None:
        """Write down what became of things."""

    async def get(self, id: int) -> Job | None:
        """One copy."""

    async def of(self, account: str, limit: int = 20) -> Sequence[Job]:
        """An account's copies, newest first, without drafts."""

    async def of_journey(self, journey: int) -> Job | None:
        """The copy of a move."""

    async def at_work(self) -> Sequence[Job]:
        """Copies of this instance that were cut off, and belong to no move."""

    async def page(
        self,
        id: int,
        pick: Pick,
        *,
        after: int | None = None,
        most: int = ...,
        backwards: bool = False,
    ) -> Sequence[Entry]:
        """Some of its things in their order, from after a number; none at the end alone."""

    async def tally(self, id: int) -> Mapping[Mark, int]:
        """How many of its things there are of each mark."""

    async def counts(self, ids: Collection[int]) -> Mapping[int, Mapping[Result, int]]:
        """Things of these copies by what became of them; results without any are left out."""


@dataclass(frozen=True, slots=True)
class FromMove:
    """The old account of a move between two accounts here, both proven to be the asker's."""

    journey: int


@dataclass(frozen=True, slots=True)
class FromPieces:
    """An account as a file has it, or whatever else yields pieces; read to its end before use.

    ``pieces`` is iterated over once, in a thread, and only a few are kept at a time; what it
    raises, ``preview`` raises.
    """

    pieces: Iterable[Piece]
    name: str
    """What reports call it."""


Source = FromMove | FromPieces


class CopyOrders(Protocol):
    """Orders of a user about bringing things into an account of theirs.

    The authority is the ``asker``, as for :class:`~component.engine.movers.orders.DraftOrders`;
    what cannot be done raises :class:`~component.core.journey.model.Refused`.
    """

    async def preview(self, asker: str, source: Source) -> Report:
        """What would be added, changed and left alone; nothing is written to the account.

        The job's id is what :meth:`start` takes.  An older preview of the asker is forgotten.
        """

    async def start(self, asker: str, id: int, *, overwrite: bool = False) -> Report:
        """Write it, in the background; the plan is made anew from what is there by then.

        :param overwrite: what is there and says something else is replaced.
        """

    async def report(self, asker: str, id: int) -> Report:
        """What became of each thing until now."""

    async def copies(self, asker: str) -> Mapping[Job, Mapping[Result, int]]:
        """The asker's copies, newest first, without previews; and how many things of each have
        come, or are to come, to which result."""

    async def done(self, id: int) -> None:
        """Wait until nothing works on a copy any more; an undone wait leaves the work alone."""

    async def undo(self, asker: str, id: int) -> Report:
        """Bring back what was before, in the background; subscriptions are not touched."""
