"""Brings journalled requests to a true end after the stream, the server or we came back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping

import structlog

from component.core import jids
from component.core.conditions import Condition
from component.core.contact import HandBack, PutBack, Settle
from component.core.limits import Followed
from component.core.model import Reason
from component.core.records import MoveRecord, MoveState, Settlement
from component.core.recovery import RecoveryEffect, RepeatPlan, put_back, recover
from component.engine import plans
from component.engine.acting import acting_for
from component.engine.hook import Hook
from component.engine.ports import Clock, Journal
from component.engine.telling import ContactNotices
from component.engine.undo import Restorer
from component.xmpp.errors import LinkError, LinkLost, RemoteError

log = structlog.get_logger(__name__)

HELD_SECONDS = 60.0
"""How long a hook holds a request, where it did not say."""
MARGIN_SECONDS = 5.0
"""For the hook's word to become an entry of the roster."""


class Recovery:
    """Settles every record that no running request will settle."""

    def __init__(
        self,
        hook: Hook,
        journal: Journal,
        followed: Followed,
        restorer: Restorer,
        notices: ContactNotices,
        clock: Clock,
        is_open: Callable[[str], bool],
        unfinished: Callable[[], int] = lambda: 0,
        *,
        claim: Callable[[], Awaitable[list[MoveRecord]]] | None = None,
        taken_over: Callable[[int], None] = lambda _: None,
    ) -> None:
        """``is_open(request_id)``: whether a request is being worked on in this session;
        ``unfinished()``: how many were given up so far, with their records open; ``claim()``: makes
        this instance the holder of what dead ones held, and gives all that it holds; None: there
        are no others; ``taken_over(number)`` is told of how many were another's."""
        self._hook = hook
        self._journal = journal
        self._followed = followed
        self._restorer = restorer
        self._notices = notices
        self._clock = clock
        self._is_open = is_open
        self._unfinished = unfinished
        self._seen = 0
        self._failed: set[int] = set()
        self._claim = claim
        self._taken_over = taken_over
        self._claimed: dict[int, float] = {}
        self._urgent = False

    @property
    def left(self) -> bool:
        """Whether another run may settle what no running request will."""
        # Another instance may die at any time, also one that nobody has seen alive.
        others = self._claim is not None
        return others or bool(self._failed) or self._unfinished() != self._seen

    @property
    def urgent(self) -> bool:
        """Whether somebody who held requests has just died: what is left has to be settled."""
        return self._urgent

    def hurry(self) -> None:
        """Another instance has just died, or this one was taken for dead, or a node of the server's
        cluster is gone."""
        self._urgent = True

    async def run(
        self, instances: Mapping[str, Collection[str]], held: Mapping[str, float] | None = None
    ) -> int:
        """Settle what can be settled; returns how many records were.

        :param instances: the hook instances that serve each host now, on whatever node.
        :param held: for how many seconds the hook of each host holds a request.
        :raises LinkLost: the stream went down again; the next run goes on.
        """
        settled, seen = 0, self._unfinished()
        failed: set[int] = set()
        self._urgent = False
        for record in await self._mine():
            host = jids.domain(record.contact)
            serving = instances.get(host)
            if serving is None or self._is_open(record.request_id):
                continue
            claimed_at = self._claimed.get(record.id, float("-inf"))
            until = claimed_at + (held or {}).get(host, HELD_SECONDS) + MARGIN_SECONDS
            try:
                with acting_for({record.contact: record.account}):
                    settled += await self._settle(record, serving, until <= self._clock.tick())
            except LinkLost:
                raise
            except LinkError as error:
                failed.add(record.id)
                say = log.debug if record.id in self._failed else log.warning
                say("cannot settle a record yet", id=record.id, error=str(error))
        self._failed, self._seen = failed, seen
        if settled:
            log.info("recovered", records=settled)
        return settled

    async def _mine(self) -> list[MoveRecord]:
        """Open records that nobody else settles."""
        mine = await self._journal.unsettled()
        if self._claim is None:
            return mine
        known = {record.id for record in mine}
        claimed = await self._claim()
        others = [record.id for record in claimed if record.id not in known]
        self._claimed = {
            record.id: self._claimed[record.id] for record in mine if record.id in self._claimed
        }
        self._claimed.update(dict.fromkeys(others, self._clock.tick()))
        if others:
            self._taken_over(len(others))
            log.warning("requests of other instances are taken over", requests=len(others))
        return claimed

    async def _settle(
        self, record: MoveRecord, serving: Collection[str], surely_ended: bool
    ) -> bool:
        """Bring a record to its end; False: not yet.

        ``surely_ended``: the hook does not hold the request any more.  It may hold that of another
        instance which only sleeps, and which may wake up and answer: its journal refuses all that
        it would write, but a verdict that was written already can still leave.
        """
        effects = await self._effects(record, record.instance in serving)
        if not surely_ended and all(
            isinstance(effect, Settle) and effect.state is MoveState.RELEASED for effect in effects
        ):
            return False
        for effect in effects:
            match effect:
                case RepeatPlan():
                    if record.plan is not None:
                        await self._hook.send(record.contact, plans.load(record.plan))
                case HandBack():
                    await self._hook.hand_back(record.contact, record.stanza)
                case PutBack(earlier):
                    items = await self._restorer.complete_return(record.id, earlier)
                    on = self._notices.on
                    await self._close(record, put_back(record, earlier, items, notify=on))
                case Settle():
                    await self._close(record, effect)
        return True

    async def _close(self, record: MoveRecord, end: Settle) -> None:
        at = self._clock.now()
        if end.undoes is not None:
            await self._restorer.taken_back(end.undoes, at)
        settlement = Settlement(
            at, end.state, end.reason, end.changes, end.detail, notice=end.note is not None
        )
        kept = await self._journal.settle(record.id, settlement)
        if end.state is MoveState.DONE:
            self._followed.note(record.old, record.new, at.timestamp())
        if kept and end.note is not None:
            self._notices.note(
                end.note,
                record_id=record.id,
                contact=record.contact,
                name=record.old_item.name,
                old=record.old,
                new=record.new,
                at=at,
            )

    async def _effects(self, record: MoveRecord, alive: bool) -> tuple[RecoveryEffect, ...]:
        try:
            items = await self._hook.entries(record.contact, (record.old, record.new))
        except RemoteError as error:
            if error.condition != Condition.ITEM_NOT_FOUND:
                raise
            # The contact's account is gone, and with it whoever the request was for.
            return (Settle(MoveState.RELEASED, Reason.SERVER, (), "no such user any more"),)
        taking = record.state is MoveState.TAKING
        return recover(
            record,
            alive,
            items,
            plan=plans.load(record.plan) if record.plan is not None else None,
            earlier=await self._restorer.earlier_than(record) if taking else None,
            notify=self._notices.on,
        )
