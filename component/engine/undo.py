"""Takes back what was done for a contact: restores roster entries exactly as they were.

Records that share an address are taken back newest first, and what the contact has changed by hand
meanwhile stays.  The plan is :mod:`component.core.restore`'s; here it is carried out and read back.
Used for an undo that the contact or an admin orders, and for a mover who returns to the address
they left.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol
from weakref import WeakValueDictionary

import structlog

from component.core import jids
from component.core.conditions import Condition
from component.core.journey.model import Problem, Refused
from component.core.limits import Declined, Followed
from component.core.model import (
    NOBODYS,
    Divert,
    Reason,
    RosterItem,
    SendPlan,
    Step,
    Subscription,
    same_account,
)
from component.core.records import AuditRecord, Change, MoveRecord, MoveState
from component.core.restore import (
    Before,
    Deed,
    Difference,
    Restoration,
    Undone,
    before,
    deed,
    differences,
    newer,
    regain_plan,
    restore,
    taken_back_by,
    without,
    worked_out,
)
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

    async def related(
        self, contact: str, jids: Collection[str]
    ) -> list[tuple[MoveRecord, list[AuditRecord]]]:
        """Records of the contact with one of these JIDs that are TAKING or DONE, with audits."""

    async def undone(
        self,
        id: int,
        at: datetime,
        changes: tuple[Change, ...],
        reason: Reason,
        *,
        reopens: int | None = None,
    ) -> bool:
        """Durable on return; False where the record is not DONE, or undone already.

        :param reopens: a record that stands again with it.
        """


@dataclass(eq=False, slots=True)
class _Watch:
    """A restoration under way, and whether its entries have become somebody else's business."""

    jids: Collection[str]
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class PutBack:
    """A restoration that was carried out."""

    found: tuple[RosterItem, ...]
    """The entries as they were until now."""
    now: tuple[RosterItem, ...]
    foreign: frozenset[str] = frozenset()
    """Entries that are not the contact's to change: an admin's, from a shared group."""


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
        """A new request that may be followed has come: from now on its verdict says what the
        entries are to be."""
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

        :returns: the record, with the entries as they truly were before it.
        :raises StoreError: the journal cannot be read.
        """
        if divert.new_item is None:
            return None
        return await self._earlier(divert, old=divert.new, new=divert.old)

    async def earlier_than(self, record: MoveRecord) -> MoveRecord | None:
        """As :meth:`earlier`, for a request in the journal."""
        if record.new_item is None:
            return None
        return await self._earlier(record, old=record.new, new=record.old)

    async def _earlier(
        self, asked: Divert | MoveRecord, *, old: str, new: str
    ) -> MoveRecord | None:
        found = await self._past.latest_done(asked.contact, old=old, new=new)
        if found is None or not _of_one_owner(found, asked):
            return None
        was = worked_out(found, await self.related(found))
        old_item = was[old] or RosterItem(old, Subscription.NONE)
        return replace(found, old_item=old_item, new_item=was[new])

    async def related(self, record: MoveRecord) -> list[Deed]:
        """The contact's records with one of this record's addresses, this one too.

        :raises StoreError: the journal cannot be read.
        """
        found = await self._past.related(record.contact, (record.old, record.new))
        return [deed(*one) for one in found if _of_one_owner(one[0], record)]

    async def taken_back(
        self,
        record: MoveRecord,
        at: datetime,
        changes: tuple[Change, ...] = (),
        *,
        reopens: int | None = None,
    ) -> bool:
        """Make durable that a record was undone; False where it was before.

        :raises StoreError: the journal cannot be written.
        """
        return await self._past.undone(record.id, at, changes, Reason.UNDONE, reopens=reopens)

    async def put_back(self, contact: str, was: Before, left: Before | None = None) -> PutBack:
        """Bring the contact's entries to what they were.

        What one entry's server or the user's block list refuses is left out and shows in what is
        read back.

        :param left: what the move left of them (:func:`component.core.restore.restore`).
        :raises LinkError: the stream was lost, or the user is gone; doing it again goes on.
        """
        with self._watching(contact, was) as watch:
            found = await self._hook.entries(contact, was)
            plan = restore(was, found, left)
            if plan.nothing:
                return PutBack(found, found)
            foreign = await self._carry_out(contact, plan, watch)
            return PutBack(found, await self._hook.entries(contact, was), foreign)

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
            known = await self._past.get(earlier.id)
            left = None if known is None else deed(*known).left
            later = await self._past.has_later(contact, record_id, was)
            found = await self._hook.entries(contact, was)
            overtaken = superseded or watch.superseded or later
            wanted = _seen_by(item for item in was.values() if item is not None)
            if overtaken or _seen_by(found) != wanted:
                log.info("a later state stands: nothing is put back", id=record_id)
                return found
            plan = restore(was, found, left)
            if plan.nothing:
                return found
            await self._carry_out(contact, plan, watch)
            return await self._hook.entries(contact, was)

    async def _carry_out(self, contact: str, plan: Restoration, watch: _Watch) -> frozenset[str]:
        """Returns the entries that are not the user's to change."""
        foreign: set[str] = set()
        if plan.send is not None and not watch.superseded:
            await self._send(contact, plan.send)
        for item in plan.entries:
            if watch.superseded:
                return frozenset(foreign)
            try:
                await self._hook.set_entry(contact, item)
            except RemoteError as error:
                _refused("set", contact, item.jid, error, foreign)
        for jid in plan.remove:
            if watch.superseded:
                return frozenset(foreign)
            try:
                await self._hook.remove_entry(contact, jid)
            except RemoteError as error:
                _refused("remove", contact, jid, error, foreign)
        return frozenset(foreign)

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

    async def undo(self, asker: str, record_id: int) -> Undone:
        """Take back a change of the asker's own roster.

        :param asker: the prepared bare JID that gave the order.
        :returns: the record as it is now, and what is not as it was before.
        :raises Refused: NO_SUCH_RECORD, NOT_YOURS, WRONG_STATE (nothing was changed, or it was
            undone before), TOO_LATE, NEWER (another move of one of the addresses stands on this
            one), UNAVAILABLE (the rest is done by asking again).
        """
        return await self._undo(record_id, asker)

    async def undo_any(self, record_id: int) -> Undone:
        """As :meth:`undo`, by an admin: for any user, and whatever the time.

        The contact is told; one who orders it in person has the order's answer.
        """
        return await self._undo(record_id, None)

    async def _undo(self, record_id: int, asker: str | None) -> Undone:
        record, _ = await self._get(record_id)
        if asker is not None and jids.key(asker) != jids.key(record.contact):
            raise Refused(Problem.NOT_YOURS, id=str(record_id))
        gone = await self._same_owners(record, asker)
        async with self._locks.setdefault(record.contact, asyncio.Lock()):
            record, audit = await self._get(record_id)
            if record.state is not MoveState.DONE or record.undone_at is not None:
                state = "undone" if record.undone_at is not None else record.state.value
                raise Refused(Problem.WRONG_STATE, id=str(record_id), state=state)
            if asker is not None and self._too_late(record):
                raise Refused(Problem.TOO_LATE, id=str(record_id))
            accounts = {record.contact: record.account, record.old: record.old_account}
            with explained(), acting_for(accounts):
                found = await self._take_back(record, audit, gone)
            log.info("undone", id=record.id, by="the contact" if asker else "an admin")
        if asker is None:
            self._notices.restored(
                record_id=record.id,
                contact=record.contact,
                name=record.old_item.name,
                old=record.old,
                new=record.new,
                differences=found,
            )
        return Undone((await self._get(record_id))[0], found)

    async def _same_owners(self, record: MoveRecord, asker: str | None) -> str | None:
        """Both accounts of then have to be whose names they have now, as far as they are here.

        :returns: the old address, if it is here and nobody's.
        :raises Refused: NOT_YOURS where the asker has only the contact's name; OTHER_OWNER.
        """
        if not same_account(record.account, await self._account(record.contact)):
            if asker is not None:
                raise Refused(Problem.NOT_YOURS, id=str(record.id))
            raise Refused(Problem.OTHER_OWNER, jid=record.contact)
        if jids.domain(record.old) not in self._hosts:
            return None
        now = await self._account(record.old)
        if now is None:
            return record.old
        if not same_account(record.old_account, now):
            raise Refused(Problem.OTHER_OWNER, jid=record.old)
        return None

    async def _account(self, jid: str) -> str | None:
        with explained():
            return await self._hook.account_now(jid)

    async def _take_back(
        self, record: MoveRecord, audit: Sequence[AuditRecord], gone: str | None
    ) -> tuple[Difference, ...]:
        """Returns what is not as it was.

        :param gone: whose name anybody may have the next moment: it is granted nothing.
        """
        others = await self._restorer.related(record)
        standing = newer(record, others)
        if standing is not None:
            raise Refused(Problem.NEWER, id=str(standing.id), old=standing.old, new=standing.new)
        before_it, left = worked_out(record, others), deed(record, audit).left
        was = without(before_it, gone)
        # From now on, and not once it is done: else whoever asks again and again could prevent it.
        self._declined.note(record.contact, record.old, record.new)
        back = await self._restorer.put_back(record.contact, was, left)
        now, plan = back.now, restore(was, back.now, left)
        plan = replace(plan, left=plan.left | back.foreign)
        if plan.jids - back.foreign:
            kept = ", ".join(sorted(plan.jids - back.foreign))
            raise Refused(Problem.UNAVAILABLE, why=f"the server did not change {kept}")
        granted = any(i.jid == record.old and i.subscription.grants for i in now)
        if granted and jids.domain(record.old) in self._hosts:
            await self._restorer.regain(record)
        again = taken_back_by(record, others)
        await self._restorer.taken_back(
            record,
            self._clock.now(),
            _changes(record, audit, back.found, now, plan.left),
            reopens=None if again is None else again.id,
        )
        self._followed.forget(record.old, record.new)
        if again is not None:
            settled = again.settled_at or again.at
            self._followed.note(again.old, again.new, settled.timestamp())
        return differences(before_it, now, plan, gone)

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
    left: Collection[str],
) -> tuple[Change, ...]:
    """What the undo changed.  Where a crash hid the first half, the audit of the move knows it,
    unless the entry was left as the contact had made it.

    At least one line, also where the contact had done it all by hand: it was undone by order.
    """
    after = {item.jid: item for item in now}
    until_now = {item.jid: item for item in was}
    left_by_move = {entry.jid: entry.after for entry in audit}
    changes = []
    for jid in before(record):
        earlier = until_now.get(jid)
        if earlier == after.get(jid) and jid not in left:
            earlier = left_by_move.get(jid, earlier)
        if earlier != after.get(jid):
            changes.append(Change(jid, earlier, after.get(jid)))
    if not changes:
        changes.append(Change(record.old, after.get(record.old), after.get(record.old)))
    return tuple(changes)


def _of_one_owner(other: MoveRecord, record: Divert | MoveRecord) -> bool:
    """Whether both are of one account, and not of two who had its name one after the other."""
    return record.account is None or same_account(other.account, record.account)


def _seen_by(items: Iterable[RosterItem]) -> set[str]:
    """The JIDs that see the user's presence (RFC 6121 2.1.2.5: from, both)."""
    return {item.jid for item in items if item.subscription.grants}


def _refused(
    what: str, contact: str, jid: str, error: RemoteError, foreign: set[str] | None = None
) -> None:
    """Log it; an entry from a shared group is the admin's (hook protocol 5)."""
    if foreign is not None and error.condition == Condition.NOT_ALLOWED:
        foreign.add(jid)
    log.warning(
        "the server refuses a part of a restoration",
        part=what,
        contact=contact,
        jid=jid,
        condition=error.condition,
    )
