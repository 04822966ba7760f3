"""Takes back what was done for a contact: restores roster entries exactly as they were.

The plan is :mod:`component.core.restore`'s; here it is carried out and read back.  Used for an
undo that the contact or an admin orders, and for a mover who returns to the address they left.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from weakref import WeakValueDictionary

import structlog

from component.core import jids
from component.core.conditions import Condition
from component.core.journey.model import Problem, Refused
from component.core.limits import Declined, Followed
from component.core.model import NOBODYS, Divert, Reason, RosterItem, SendPlan, Step, same_account
from component.core.records import AuditRecord, Change, MoveRecord, MoveState
from component.core.restore import Before, Restoration, before, regain_plan, restore
from component.engine.acting import acting_for
from component.engine.hook import Hook
from component.engine.movers.orders import explained
from component.engine.ports import Clock
from component.engine.telling import ContactNotices
from component.xmpp.errors import LinkError, LinkLost, RemoteError

log = structlog.get_logger(__name__)

SHOWN = 200
"""How many records a contact is offered to undo at most."""


class Past(Protocol):
    """The journal's records of what was done, and that it was taken back."""

    async def get(self, id: int) -> tuple[MoveRecord, list[AuditRecord]] | None:
        """One record with its audit in order."""

    async def list_moves(
        self, *, limit: int = 50, contact: str | None = None, state: str | None = None
    ) -> list[MoveRecord]:
        """The newest records, newest first."""

    async def has_later(self, contact: str, after: int, jids: Collection[str]) -> bool:
        """Whether a record of the contact newer than ``after`` names one of these JIDs."""

    async def latest_done(self, contact: str, old: str, new: str) -> MoveRecord | None:
        """The newest record of this move that is DONE and not undone."""

    async def undone(
        self, id: int, at: datetime, changes: tuple[Change, ...], reason: Reason
    ) -> bool:
        """Durable on return; False where the record is not DONE, or undone already."""


@dataclass(eq=False, slots=True)
class _Watch:
    """A restoration under way, and whether its entries have become somebody else's business."""

    jids: Collection[str]
    superseded: bool = False


class Restorer:
    """Carries restorations out.

    The server works on our orders and on new requests in the order in which they reach it.  What
    is known of the entries may be seconds old when the answers come late; so a new request between
    the same addresses (:meth:`arrived`) ends a restoration before its next order: whatever the
    verdict on that request, it leaves after all orders of the restoration.
    """

    def __init__(self, hook: Hook, past: Past) -> None:
        self._hook = hook
        self._past = past
        self._watches: defaultdict[str, list[_Watch]] = defaultdict(list)
        """By contact."""

    def arrived(self, divert: Divert) -> None:
        """A new request has come: from now on its verdict says what the entries are to be."""
        for watch in self._watches.get(divert.contact, ()):
            if divert.old in watch.jids or divert.new in watch.jids:
                watch.superseded = True

    @contextmanager
    def _watching(self, contact: str, jids: Collection[str]) -> Iterator[_Watch]:
        watch = _Watch(jids)
        self._watches[contact].append(watch)
        try:
            yield watch
        finally:
            self._watches[contact].remove(watch)
            if not self._watches[contact]:
                del self._watches[contact]

    async def earlier(self, divert: Divert) -> MoveRecord | None:
        """The move that this one takes back: the same contact, the other way round.

        Without an entry of the new JID there is nothing left of an earlier move, and nothing is
        read: of nearly all moves that is so.

        :raises StoreError: the journal cannot be read.
        """
        if divert.new_item is None:
            return None
        return await self._past.latest_done(divert.contact, old=divert.new, new=divert.old)

    async def earlier_than(self, record: MoveRecord) -> MoveRecord | None:
        """As :meth:`earlier`, for a request in the journal."""
        if record.new_item is None:
            return None
        return await self._past.latest_done(record.contact, old=record.new, new=record.old)

    async def taken_back(
        self, record: MoveRecord, at: datetime, changes: tuple[Change, ...] = ()
    ) -> bool:
        """Make durable that a record was undone; False where it was before.

        :raises StoreError: the journal cannot be written.
        """
        return await self._past.undone(record.id, at, changes, Reason.UNDONE)

    async def put_back(
        self, record: MoveRecord
    ) -> tuple[tuple[RosterItem, ...], tuple[RosterItem, ...]]:
        """Bring the contact's entries to what they were before a record.

        What one entry's server or the user's block list refuses is left out and shows in what is
        read back.

        :returns: the entries of both JIDs as they were until now, and as they are now.
        :raises LinkError: the stream was lost, or the user is gone; doing it again goes on.
        """
        was = before(record)
        with self._watching(record.contact, was) as watch:
            found = await self._hook.entries(record.contact, was)
            return found, await self._restore(record.contact, was, found, watch)

    async def _restore(
        self, contact: str, was: Before, found: tuple[RosterItem, ...], watch: _Watch
    ) -> tuple[RosterItem, ...]:
        """Make of the entries that were found those that were; returns them as they are now."""
        plan = restore(was, found)
        if plan.nothing:
            return found
        await self._carry_out(contact, plan, watch)
        return await self._hook.entries(contact, was)

    async def complete_return(
        self, record_id: int, earlier: MoveRecord, *, superseded: bool = False
    ) -> tuple[RosterItem, ...]:
        """Put back what the presences of a return that was taken (``record_id``) cannot restore.

        The presences have restored who sees whom.  Where that has changed since, or the contact
        has had a newer request between the two addresses (which may be waiting for them), the
        entries are of a later state, and nothing is put back.

        :param superseded: such a request is known, though the journal may not know it yet.
        :returns: the entries of both JIDs as they are now.
        :raises LinkError: as :meth:`put_back`.
        :raises StoreError: the journal cannot be read.
        """
        contact, was = earlier.contact, before(earlier)
        with self._watching(contact, was) as watch:
            later = await self._past.has_later(contact, record_id, was)
            found = await self._hook.entries(contact, was)
            newer = superseded or watch.superseded or later
            wanted = _seen_by(item for item in was.values() if item is not None)
            if newer or _seen_by(found) != wanted:
                log.info("a later state stands: nothing is put back", id=record_id)
                return found
            return await self._restore(contact, was, found, watch)

    async def _carry_out(self, contact: str, plan: Restoration, watch: _Watch) -> None:
        if plan.send is not None and not watch.superseded:
            await self._send(contact, plan.send)
        for item in plan.entries:
            if watch.superseded:
                return
            try:
                await self._hook.set_entry(contact, item)
            except RemoteError as error:
                _refused("set", contact, item.jid, error)
        for jid in plan.remove:
            if watch.superseded:
                return
            try:
                await self._hook.remove_entry(contact, jid)
            except RemoteError as error:
                _refused("remove", contact, jid, error)

    async def _send(self, contact: str, plan: SendPlan) -> None:
        """All in one roster save; where that is refused, each address for itself.

        A user who blocks the new address before they undo makes the server refuse all of it.
        """
        try:
            await self._hook.send(contact, plan)
            return
        except RemoteError as error:
            if error.condition != Condition.NOT_ACCEPTABLE:
                raise
        by_jid: dict[str, list[Step]] = {}
        for step in plan.steps:
            by_jid.setdefault(step.to, []).append(step)
        for jid, steps in by_jid.items():
            try:
                await self._hook.send(contact, SendPlan(tuple(steps)))
            except RemoteError as error:
                _refused("send", contact, jid, error)

    async def regain(self, record: MoveRecord) -> None:
        """Let the old account see the contact again; it has to be a user of this server.

        Whoever has its name since gets nothing; nor does it where its token was not kept.

        :raises LinkLost: the stream is down.
        """
        if record.old_account in (None, NOBODYS):
            return
        try:
            items = await self._hook.entries(record.old, (record.contact,))
            plan = regain_plan(record, items[0] if items else None)
            if plan is not None:
                await self._hook.send(record.old, plan)
        except LinkLost:
            raise
        except LinkError as error:
            # Deleted, or it blocks the contact: the contact's own entries are right all the same.
            log.info("the old account does not see the contact", id=record.id, error=str(error))


class ContactUndo:
    """Orders to take a followed move back, by the contact or by an admin."""

    def __init__(
        self,
        *,
        hosts: Collection[str],
        hook: Hook,
        restorer: Restorer,
        past: Past,
        followed: Followed,
        declined: Declined,
        notices: ContactNotices,
        clock: Clock,
    ) -> None:
        """``hosts``: where the hook lets us act for users."""
        self._hosts = frozenset(hosts)
        self._hook = hook
        self._restorer = restorer
        self._past = past
        self._followed = followed
        self._declined = declined
        self._notices = notices
        self._clock = clock
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By contact: one undo at a time, so that the second sees what the first has done."""

    async def undoable(self, contact: str) -> Sequence[MoveRecord]:
        """What the contact may still take back, newest first.

        :raises Refused: UNAVAILABLE.
        """
        with_state = MoveState.DONE.value
        with explained():
            found = await self._past.list_moves(limit=SHOWN, contact=contact, state=with_state)
            now = await self._hook.account(contact) if found else None
        return [
            r
            for r in found
            if r.undone_at is None and not self._too_late(r) and same_account(r.account, now)
        ]

    async def undo(self, asker: str, record_id: int) -> MoveRecord:
        """Take back a change of the asker's own roster.

        :param asker: the prepared bare JID that gave the order.
        :returns: the record as it is now.
        :raises Refused: NO_SUCH_RECORD, NOT_YOURS, WRONG_STATE (nothing was changed, or it was
            undone before), TOO_LATE, UNAVAILABLE (the rest is done by asking again).
        """
        return await self._undo(record_id, asker)

    async def undo_any(self, record_id: int) -> MoveRecord:
        """As :meth:`undo`, by an admin: for any user, and whatever the time.

        The contact is told; one who orders it in person has the order's answer.
        """
        return await self._undo(record_id, None)

    async def _undo(self, record_id: int, asker: str | None) -> MoveRecord:
        record, _ = await self._get(record_id)
        if asker is not None and jids.key(asker) != jids.key(record.contact):
            raise Refused(Problem.NOT_YOURS, id=str(record_id))
        await self._same_owners(record, asker)
        async with self._locks.setdefault(record.contact, asyncio.Lock()):
            record, audit = await self._get(record_id)
            if record.state is not MoveState.DONE or record.undone_at is not None:
                state = "undone" if record.undone_at is not None else record.state.value
                raise Refused(Problem.WRONG_STATE, id=str(record_id), state=state)
            if asker is not None and self._too_late(record):
                raise Refused(Problem.TOO_LATE, id=str(record_id))
            accounts = {record.contact: record.account, record.old: record.old_account}
            with explained(), acting_for(accounts):
                await self._take_back(record, audit)
            log.info("undone", id=record.id, by="the contact" if asker else "an admin")
        if asker is None:
            self._notices.restored(
                record_id=record.id,
                contact=record.contact,
                name=record.old_item.name,
                old=record.old,
                new=record.new,
            )
        return (await self._get(record_id))[0]

    async def _same_owners(self, record: MoveRecord, asker: str | None) -> None:
        """Both accounts of then have to be whose names they have now, as far as they are here.

        :raises Refused: NOT_YOURS where the asker has only the contact's name; OTHER_OWNER.
        """
        if not same_account(record.account, await self._account(record.contact)):
            if asker is not None:
                raise Refused(Problem.NOT_YOURS, id=str(record.id))
            raise Refused(Problem.OTHER_OWNER, jid=record.contact)
        # One that is gone may come back to nothing; one that is another's must not be let in.
        if record.old_account is not None and jids.domain(record.old) in self._hosts:
            now = await self._account(record.old)
            if now is not None and now != record.old_account:
                raise Refused(Problem.OTHER_OWNER, jid=record.old)

    async def _account(self, jid: str) -> str | None:
        with explained():
            try:
                return await self._hook.account(jid)
            except RemoteError as error:
                if error.condition != Condition.ITEM_NOT_FOUND:
                    raise
                return None

    async def _take_back(self, record: MoveRecord, audit: Sequence[AuditRecord]) -> None:
        was, now = await self._restorer.put_back(record)
        left = restore(before(record), now)
        if not left.nothing:
            kept = ", ".join(sorted(left.jids))
            raise Refused(Problem.UNAVAILABLE, why=f"the server did not change {kept}")
        if jids.domain(record.old) in self._hosts:
            await self._restorer.regain(record)
        changes = _changes(record, audit, was, now)
        await self._restorer.taken_back(record, self._clock.now(), changes)
        self._followed.forget(record.old, record.new)
        self._declined.note(record.contact, record.old, record.new)

    def _too_late(self, record: MoveRecord) -> bool:
        settled = record.settled_at or record.at
        return self._clock.now() > self._notices.undo_until(settled)

    async def _get(self, record_id: int) -> tuple[MoveRecord, list[AuditRecord]]:
        with explained():
            found = await self._past.get(record_id)
        if found is None:
            raise Refused(Problem.NO_SUCH_RECORD, id=str(record_id))
        return found


def _changes(
    record: MoveRecord,
    audit: Sequence[AuditRecord],
    was: Sequence[RosterItem],
    now: Sequence[RosterItem],
) -> tuple[Change, ...]:
    """What the undo changed.  Where a crash hid the first half, the audit of the move knows it."""
    after = {item.jid: item for item in now}
    until_now = {item.jid: item for item in was}
    left_by_move = {entry.jid: entry.after for entry in audit}
    changes = []
    for jid in before(record):
        earlier = until_now.get(jid)
        if earlier == after.get(jid):
            earlier = left_by_move.get(jid, earlier)
        if earlier != after.get(jid):
            changes.append(Change(jid, earlier, after.get(jid)))
    return tuple(changes)


def _seen_by(items: Iterable[RosterItem]) -> set[str]:
    """The JIDs that see the user's presence (RFC 6121 2.1.2.5: from, both)."""
    return {item.jid for item in items if item.subscription.grants}


def _refused(what: str, contact: str, jid: str, error: RemoteError) -> None:
    log.warning(
        "the server refuses a part of a restoration",
        part=what,
        contact=contact,
        jid=jid,
        condition=error.condition,
    )
