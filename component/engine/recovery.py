"""Brings journalled requests to a true end after the stream, the server or we came back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from component.core import jids
from component.core.contact import PutBack, Settle
from component.core.limits import Followed
from component.core.model import Reason
from component.core.records import MoveRecord, MoveState, Settlement
from component.core.recovery import HandBack, RecoveryEffect, RepeatPlan, put_back, recover
from component.engine import plans
from component.engine.hook import Hook
from component.engine.ports import Clock, Journal
from component.engine.telling import ContactNotices
from component.engine.undo import Restorer
from component.xmpp.errors import LinkError, LinkLost, RemoteError

log = structlog.get_logger(__name__)


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
    ) -> None:
        """``is_open(request_id)``: whether a request is being worked on in this session;
        ``unfinished()``: how many were given up so far, with their records open."""
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

    @property
    def left(self) -> bool:
        """Whether another run may settle what no running request will."""
        return bool(self._failed) or self._unfinished() != self._seen

    async def run(self, instances: Mapping[str, str]) -> int:
        """Settle what can be settled; returns how many records were.

        :param instances: the hook instance that serves each host now.
        :raises LinkLost: the stream went down again; the next run goes on.
        """
        settled, seen = 0, self._unfinished()
        failed: set[int] = set()
        for record in await self._journal.unsettled():
            instance = instances.get(jids.domain(record.contact))
            if instance is None or self._is_open(record.request_id):
                continue
            try:
                await self._settle(record, instance)
                settled += 1
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

    async def _settle(self, record: MoveRecord, instance: str) -> None:
        for effect in await self._effects(record, instance):
            match effect:
                case RepeatPlan():
                    if record.plan is not None:
                        await self._hook.send(record.contact, plans.load(record.plan))
                case HandBack():
                    await self._hook.hand_back(record.contact, record.stanza)
                case PutBack(earlier):
                    _, items = await self._restorer.put_back(earlier)
                    on = self._notices.on
                    await self._close(record, put_back(record, earlier, items, notify=on))
                case Settle():
                    await self._close(record, effect)

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

    async def _effects(self, record: MoveRecord, instance: str) -> tuple[RecoveryEffect, ...]:
        try:
            items = await self._hook.entries(record.contact, (record.old, record.new))
        except RemoteError as error:
            if error.condition != "item-not-found":
                raise
            # The contact's account is gone, and with it whoever the request was for.
            return (Settle(MoveState.RELEASED, Reason.SERVER, (), "no such user any more"),)
        taking = record.state is MoveState.TAKING
        return recover(
            record,
            instance,
            items,
            plan=plans.load(record.plan) if record.plan is not None else None,
            earlier=await self._restorer.earlier_than(record) if taking else None,
            notify=self._notices.on,
        )
