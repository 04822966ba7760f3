"""Back to what was: the roster entries of a contact as they were before a move was followed.

Pure: what the entries were (the journal says it) and what they are now (the server says it) come
in; presences to be sent as the contact, entries to be set and entries to be removed come out.
Restoring twice changes nothing, and restoring what is half restored does the other half, so a
crash in the middle needs no memory of its own.

Only the contact's side can be restored exactly.  Where the other side has taken something away
meanwhile (the contact's view of it), it is asked for again and then for the other side to grant.

Two things are nobody's to take back.  What the contact has changed since by their own hand stays as
they made it, and is named (:class:`Difference`).  And records that share an address are taken back
newest first (:func:`newer`): the older one's entries are then what the newer one left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from component.core.model import (
    Divert,
    PresenceKind,
    Reason,
    RosterItem,
    SendPlan,
    Step,
    Subscription,
)
from component.core.records import AuditRecord, MoveRecord, MoveState
from component.core.roster import Entry, outbound

Before = Mapping[str, RosterItem | None]
"""What the entries were, by JID; None: there was none."""

# Granting comes before revoking: somebody who may see the contact under both addresses is not
# left without either if the second half is lost.  Asking comes last, as in XEP-0283 4.4.
_ORDER = (
    PresenceKind.SUBSCRIBED,
    PresenceKind.UNSUBSCRIBED,
    PresenceKind.UNSUBSCRIBE,
    PresenceKind.SUBSCRIBE,
)


@dataclass(frozen=True, slots=True)
class Restoration:
    """What brings the entries back, in this order."""

    send: SendPlan | None
    """Presences to be sent as the contact, in one roster save."""
    entries: tuple[RosterItem, ...]
    """Entries whose name and groups are to be set (RFC 6121 2.3 and 2.4)."""
    remove: tuple[str, ...]
    """Entries to be removed (RFC 6121 2.5); nothing is granted or asked by them any more."""
    expected: Mapping[str, RosterItem | None]
    """The entries as they should be afterwards."""
    left: frozenset[str] = frozenset()
    """Entries of which something stays as their owner made it after the move."""

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        return not self.jids

    @property
    def jids(self) -> frozenset[str]:
        """The entries that have to change."""
        sent = {step.to for step in self.send.steps} if self.send is not None else set()
        return frozenset(sent | {item.jid for item in self.entries} | set(self.remove))


class Cause(StrEnum):
    """Why an entry is not what it was; kept stable, since the control socket tells it."""

    CHANGED = "changed"
    """It has changed since the move, not by us, and was left so."""
    GONE = "gone"
    """Its account does not exist any more: what it had is not given to whoever gets the name."""
    ASKED = "asked"
    """Its address was asked to let itself be seen again, and has not answered."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry that is not as it was before a move that was taken back."""

    jid: str
    cause: Cause


@dataclass(frozen=True, slots=True)
class Undone:
    """What came of taking a record back: the record as it is now, and what is not as before."""

    record: MoveRecord
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Deed:
    """A record that was followed, and what that left of the entries."""

    record: MoveRecord
    left: Before
    by_order: bool = False
    """Taken back by the contact or an admin, and not because the mover returned."""

    @property
    def stands(self) -> bool:
        """Its effect is in force, or lies below that of a return."""
        return not self.by_order


def before(record: MoveRecord) -> Before:
    """What the contact's entries were before this record's move was followed."""
    return {record.old: record.old_item, record.new: record.new_item}


def deed(record: MoveRecord, audit: Iterable[AuditRecord]) -> Deed:
    """A record with what its audit says of it: an entry without a line there did not change."""
    lines = tuple(audit)
    changed = {line.jid: line.after for line in lines if line.reason is not Reason.UNDONE}
    by_order = any(line.reason is Reason.UNDONE for line in lines)
    return Deed(record, {**before(record), **changed}, by_order)


def newer(record: MoveRecord, others: Iterable[Deed]) -> MoveRecord | None:
    """The newest record that stands on what this one did: the same contact, an address of both.

    One whose verdict may have left already counts, though nothing is known of it yet.
    """
    shared = {record.old, record.new}
    found = [
        other.record
        for other in others
        if other.record.id != record.id
        and other.record.state in (MoveState.TAKING, MoveState.DONE)
        and other.record.undone_at is None
        and shared & {other.record.old, other.record.new}
        and _order(other.record) > _order(record)
    ]
    return max(found, key=_order, default=None)


def worked_out(record: MoveRecord, others: Sequence[Deed]) -> Before:
    """What the entries were before this record, where others have changed them meanwhile.

    What a record says is of the time at which its request came.  Another one that was followed
    between then and its own end is not in it; one that was taken back since is still in it.
    """
    older = [o for o in others if o.record.id != record.id and _order(o.record) < _order(record)]
    older.sort(key=lambda other: _order(other.record))
    was: dict[str, RosterItem | None] = {}
    for jid, item in before(record).items():
        mine = [other for other in older if jid in other.left]
        done = [o for o in mine if o.stands and _settled(o.record) > record.at]
        gone = [o.record for o in mine if not o.stands and _undone(o.record) >= record.at]
        if done:
            item = done[-1].left[jid]
        elif gone:
            item = worked_out(gone[0], older)[jid]
        was[jid] = item
    return was


def taken_back_by(record: MoveRecord, others: Iterable[Deed]) -> MoveRecord | None:
    """The move that this record, a return, took back: it stands again once the return does not."""
    found = [
        other.record
        for other in others
        if (other.record.old, other.record.new) == (record.new, record.old)
        and other.record.undone_at is not None
        and not other.by_order
        and _order(other.record) < _order(record)
        and record.at <= other.record.undone_at <= _settled(record)
    ]
    return max(found, key=_order, default=None)


def _order(record: MoveRecord) -> tuple[bool, datetime, int]:
    """In which order records changed the roster; those of which no end is known come last."""
    return record.settled_at is None, _settled(record), record.id


def _settled(record: MoveRecord) -> datetime:
    return record.settled_at or record.at


def _undone(record: MoveRecord) -> datetime:
    return record.undone_at or _settled(record)


def restore(was: Before, now: Iterable[RosterItem], left: Before | None = None) -> Restoration:
    """What is to be done so that the entries become what they were.

    :param left: what the move left of them; what differs from that now is the contact's own later
        change, and stays.  None: everything becomes what it was.
    """
    present = {item.jid: item for item in now}
    steps: list[Step] = []
    entries: list[RosterItem] = []
    remove: list[str] = []
    expected: dict[str, RosterItem | None] = {}
    kept: set[str] = set()
    for jid, wanted in was.items():
        item = present.get(jid)
        if left is not None:
            target = _target(wanted, left[jid], item)
            if target is not wanted:
                kept.add(jid)
            wanted = target
        mine = _steps(jid, wanted, item)
        steps += mine
        if wanted is None:
            expected[jid] = None
            if item is not None:
                remove.append(jid)
            continue
        state = Entry() if item is None else Entry(item.subscription, item.ask)
        for step in mine:
            state = outbound(state, step.kind)
        target = RosterItem(jid, state.subscription, state.ask, wanted.name, wanted.groups)
        expected[jid] = target
        made = item or (RosterItem(jid, Subscription.NONE) if mine else None)
        if made is None or _label(made) != _label(target):
            entries.append(target)
    steps.sort(key=lambda step: _ORDER.index(step.kind))
    send = SendPlan(tuple(steps)) if steps else None
    return Restoration(send, tuple(entries), tuple(remove), expected, frozenset(kept))


def _target(
    wanted: RosterItem | None, left: RosterItem | None, item: RosterItem | None
) -> RosterItem | None:
    """What an entry is to become: ``wanted`` itself, unless its owner has changed it by hand.

    Half of a restoration is no such change: each of its parts is as the move left it, or as it was.
    That the contact no longer sees the address may be the other side's doing, so it is asked again.
    """
    if item is None:
        # Removed by hand, unless the move left none.
        return None if left is not None else wanted
    grants = _by_hand(_grants(wanted), _grants(left), _grants(item))
    sees = _sees(wanted) or _by_hand(False, _sees(left), _sees(item))
    ours = left is not None and _label(item) == _label(left)
    if wanted is None:
        if ours and not grants and not sees:
            return None
        label = item
    else:
        label = wanted if ours or _label(item) == _label(wanted) else item
        if label is wanted and (grants, sees) == (_grants(wanted), _sees(wanted)):
            return wanted
    subscription = _SUBSCRIPTION[grants, sees]
    return RosterItem(item.jid, subscription, False, label.name, label.groups)


def _by_hand(wanted: bool, left: bool, now: bool) -> bool:
    """What the move did not change is as it is now: if that differs, it was changed by hand."""
    return now if wanted is left else wanted


def without(was: Before, gone: str | None) -> Before:
    """The same, but nothing is granted to, or asked of, an account that does not exist any more.

    Its name is anybody's, and its entry would say that they are let in already.
    """
    item = was.get(gone) if gone is not None else None
    if item is None:
        return was
    return {**was, item.jid: RosterItem(item.jid, Subscription.NONE, False, item.name, item.groups)}


def differences(
    was: Before, now: Iterable[RosterItem], plan: Restoration, gone: str | None = None
) -> tuple[Difference, ...]:
    """What is not as it was, after a restoration.

    :param now: the entries as they were read afterwards.
    :param plan: what had still to be done then (nothing), and what was left.
    :param gone: whose account does not exist any more (:func:`without`).
    """
    present = {item.jid: item for item in now}
    found = []
    for jid, wanted in was.items():
        item = present.get(jid)
        unanswered = wanted is not None and wanted.subscription.receives
        if jid == gone and (_grants(wanted) or _sees(wanted)):
            found.append(Difference(jid, Cause.GONE))
        elif jid in plan.left or _state(item) != _state(wanted):
            found.append(Difference(jid, Cause.CHANGED))
        elif unanswered and item is not None and not item.subscription.receives:
            found.append(Difference(jid, Cause.ASKED))
    return tuple(found)


def restore_entry(jid: str, was: RosterItem | None, now: RosterItem | None) -> Restoration:
    """As :func:`restore`, for a single entry."""
    return restore({jid: was}, () if now is None else (now,))


def move_back_plan(divert: Divert, earlier: MoveRecord) -> SendPlan:
    """The presences for a mover who returns to the address they once left (verified).

    The sender's request is answered in any case: it is swallowed, and RFC 6121 3.1.3 has the
    contact's server answer it also where nothing changes.
    """
    now = [item for item in (divert.old_item, divert.new_item) if item is not None]
    plan = restore(before(earlier), now).send
    answer = Step(PresenceKind.SUBSCRIBED, divert.new)
    rest = () if plan is None else tuple(step for step in plan.steps if step != answer)
    return SendPlan((answer, *rest))


def regain_plan(record: MoveRecord, entry: RosterItem | None) -> SendPlan | None:
    """What the old account sends to see the contact again, or None where nothing is to be done.

    Following the move revoked the old account's view of the contact.  Restored, the contact
    grants it, and the contact's server answers a request by itself (RFC 6121 3.1.3).

    :param entry: the old account's entry for the contact as it is now.
    """
    if not record.old_item.subscription.grants:
        return None
    if entry is None or entry.subscription.receives or entry.ask:
        return None
    return SendPlan((Step(PresenceKind.SUBSCRIBE, record.contact),))


_SUBSCRIPTION = {
    (False, False): Subscription.NONE,
    (False, True): Subscription.TO,
    (True, False): Subscription.FROM,
    (True, True): Subscription.BOTH,
}
"""By whether an entry grants, and whether its owner sees or has asked to."""


def _grants(item: RosterItem | None) -> bool:
    return item is not None and item.subscription.grants


def _sees(item: RosterItem | None) -> bool:
    return item is not None and (item.subscription.receives or item.ask)


def _steps(jid: str, wanted: RosterItem | None, item: RosterItem | None) -> list[Step]:
    kinds: list[PresenceKind] = []
    if _grants(wanted) != _grants(item):
        kinds.append(PresenceKind.SUBSCRIBED if _grants(wanted) else PresenceKind.UNSUBSCRIBED)
    if _sees(wanted) != _sees(item):
        kinds.append(PresenceKind.SUBSCRIBE if _sees(wanted) else PresenceKind.UNSUBSCRIBE)
    return [Step(kind, jid) for kind in kinds]


def _label(item: RosterItem) -> tuple[str | None, frozenset[str]]:
    return item.name, frozenset(item.groups)


def _state(item: RosterItem | None) -> tuple[object, ...] | None:
    """What is the owner's own of an entry: what others have answered is not."""
    return None if item is None else (_grants(item), _sees(item), *_label(item))
