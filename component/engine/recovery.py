"""Brings journalled requests to a true end after the stream, the server or we came back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from component.core import jids
from component.core.contact import Settle
from component.core.limits import Followed
from component.core.model import Reason
from component.core.records import MoveRecord, MoveState, Settlement
from component.core.recovery import HandBack, RecoveryEffect, RepeatPlan, recover
from component.engine import plans
from component.engine.hook import Hook
from component.engine.ports import Clock, Journal
from component.xmpp.errors import LinkError, LinkLost, RemoteError

log = structlog.get_logger(__name__)


class Recovery:
    """Settles every record that no running request will settle."""

    def __init__(
        self,
        hook: Hook,
        journal: Journal,
        followed: Followed,
        clock: Clock,
        is_open: Callable[[str], bool],
    ) -> None:
        """``is_open(request_id)``: whether a request is being worked on in this session."""
        self._hook = hook
        self._journal = journal
        self._followed = followed
        self._clock = clock
        self._is_open = is_open

    async def run(self, instances: Mapping[str, str]) -> int:
        """Settle what can be settled; returns how many records were.

        :param instances: the hook instance that serves each host now.
        :raises LinkLost: the stream went down again; the next run goes on.
        """
        settled = 0
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
                log.warning("cannot settle a record yet", id=record.id, error=str(error))
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
                case Settle():
                    settlement = Settlement(
                        self._clock.now(),
                        effect.state,
                        effect.reason,
                        effect.changes,
                        effect.detail,
                    )
                    await self._journal.settle(record.id, settlement)
                    if effect.state is MoveState.DONE:
                        self._followed.note(record.old, record.new, self._clock.now().timestamp())

    async def _effects(self, record: MoveRecord, instance: str) -> tuple[RecoveryEffect, ...]:
        try:
            items = await self._hook.entries(record.contact, (record.old, record.new))
        except RemoteError as error:
            if error.condition != "item-not-found":
                raise
            # The contact's account is gone, and with it whoever the request was for.
            return (Settle(MoveState.RELEASED, Reason.SERVER, (), "no such user any more"),)
        return recover(record, instance, items)
