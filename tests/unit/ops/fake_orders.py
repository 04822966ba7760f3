"""A small AdminOrders that keeps its moves in memory, and values to fill it with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from component.core.journey.model import (
    Access,
    ContactState,
    Journey,
    JourneyContact,
    JourneyState,
    Kind,
    Problem,
    Progress,
    Refused,
)
from component.core.model import Reason, RosterItem, Subscription
from component.core.records import MoveRecord, MoveState
from component.core.restore import Difference, Undone
from component.engine.movers.leaving import Withdrawal
from component.engine.movers.orders import RunTime

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
CONTACTS = (
    JourneyContact(
        "juliet@capulet.example",
        "Ju\x1bliet",
        ("Friends",),
        Subscription.BOTH,
        ContactState.MUTUAL,
        attempts=1,
        sent_at=NOON,
        before=RosterItem("juliet@capulet.example", Subscription.NONE),
    ),
    JourneyContact(
        "nurse@capulet.example", None, (), Subscription.TO, ContactState.QUEUED, due_at=NOON
    ),
)


def journey(id: int = 7, state: JourneyState = JourneyState.NOTIFYING) -> Journey:
    """A move of Romeo's."""
    return Journey(
        id=id,
        kind=Kind.BOTH,
        old="romeo@old.example",
        new="romeo@new.example",
        owner="romeo@old.example",
        state=state,
        access=Access.PRESENCE,
        created_at=NOON,
        started_at=NOON,
    )


def progress(
    id: int = 7,
    state: JourneyState = JourneyState.NOTIFYING,
    *,
    queued: int = 18,
    mutual: int = 12,
    left: float | None = 300.0,
) -> Progress:
    """A move of thirty contacts, unless told otherwise."""
    counts = {ContactState.QUEUED: queued, ContactState.MUTUAL: mutual}
    return Progress(journey(id, state), counts, queued + mutual, left)


def followed(id: int = 3) -> MoveRecord:
    """Juliet's roster followed Romeo."""
    return MoveRecord(
        id=id,
        at=NOON,
        state=MoveState.DONE,
        reason=Reason.VERIFIED,
        detail=None,
        evidence="item current",
        plan=None,
        decided_at=NOON,
        settled_at=NOON,
        request_id="r1",
        instance="i1",
        contact="juliet@capulet.example",
        old="romeo@old.example",
        new="romeo@new.example",
        old_item=RosterItem("romeo@old.example", Subscription.BOTH),
        new_item=None,
        stanza="<presence/>",
    )


_RUNS = (JourneyState.NOTIFYING, JourneyState.PAUSED)
_STAND = (*_RUNS, JourneyState.UNDOING)


class FakeOrders:
    """Does what it is ordered to its own moves, and tells its watchers."""

    def __init__(self, *moves: Progress) -> None:
        self.moves = {move.journey.id: move for move in moves}
        self.settings = RunTime(overall_per_second=20.0, allow_domains=(), deny_domains=("x.y",))
        self.records = {3: followed(3)}
        self.differences: tuple[Difference, ...] = ()
        self.watchers: set[asyncio.Queue[Progress | None]] = set()
        self.watchers_changed = asyncio.Condition()
        self.undoing = 1
        self.fault: Exception | None = None
        """Raised by all_journeys and watch: the journal is gone."""

    def is_admin(self, jid: str) -> bool:
        return False

    async def all_journeys(self, *, running_only: bool = False) -> Sequence[Progress]:
        if self.fault:
            raise self.fault
        found = sorted(self.moves.values(), key=lambda move: -move.journey.id)
        return [m for m in found if not (running_only and m.journey.state.final)]

    async def show_any(self, journey: int) -> tuple[Progress, Sequence[JourneyContact]]:
        return self._get(journey), CONTACTS

    async def pause_any(self, journey: int) -> Progress:
        move = self._get(journey)
        if not move.journey.state.running:
            raise Refused(Problem.WRONG_STATE, state=move.journey.state.value)
        return self.change(journey, JourneyState.PAUSED)

    async def resume_any(self, journey: int) -> Progress:
        return self.change(journey, JourneyState.NOTIFYING)

    async def undo_any(self, journey: int) -> Progress:
        return self.change(journey, JourneyState.UNDOING)

    async def undo_any_followed(self, record: int) -> Undone:
        if record not in self.records:
            raise Refused(Problem.NO_SUCH_RECORD, id=str(record))
        return Undone(self.records[record], self.differences)

    async def standing(self) -> Sequence[Journey]:
        return [m.journey for m in self.moves.values() if m.journey.state in _STAND]

    async def withdraw_all(self) -> Withdrawal:
        """What runs is cancelled; what is undone takes as many orders as ``undoing`` says."""
        running = [id for id, move in self.moves.items() if move.journey.state in _RUNS]
        for id in running:
            self.change(id, JourneyState.CANCELLED)
        left = {j.id: j.state.value for j in await self.standing()}
        self.undoing -= 1
        if self.undoing == 0:
            for id in left:
                self.change(id, JourneyState.UNDONE)
        return Withdrawal((), tuple(running), (), left)

    async def run_time(self) -> RunTime:
        return self.settings

    async def set_run_time(self, settings: RunTime) -> None:
        self.settings = settings

    async def watch(self) -> AsyncIterator[Progress]:
        if self.fault:
            raise self.fault
        changes: asyncio.Queue[Progress | None] = asyncio.Queue()
        self.watchers.add(changes)
        await self._tell_count()
        try:
            while (change := await changes.get()) is not None:
                yield change
        finally:
            self.watchers.discard(changes)
            # In a task, because an await could be cancelled here.
            self._told = asyncio.create_task(self._tell_count())

    async def watched_by(self, count: int) -> None:
        """Wait until there are so many watchers."""
        async with self.watchers_changed:
            await self.watchers_changed.wait_for(lambda: len(self.watchers) == count)

    def change(self, id: int, state: JourneyState) -> Progress:
        """Bring a move to a state, and tell the watchers."""
        move = self._get(id)
        return self.put(replace(move, journey=replace(move.journey, state=state)))

    def put(self, move: Progress) -> Progress:
        """Replace a move, and tell the watchers."""
        self.moves[move.journey.id] = move
        for watcher in self.watchers:
            watcher.put_nowait(move)
        return move

    def end(self) -> None:
        """End every watch, as an engine that stops does."""
        for watcher in self.watchers:
            watcher.put_nowait(None)

    async def _tell_count(self) -> None:
        async with self.watchers_changed:
            self.watchers_changed.notify_all()

    def _get(self, id: int) -> Progress:
        if id not in self.moves:
            raise Refused(Problem.NO_SUCH_JOURNEY, id=str(id))
        return self.moves[id]
