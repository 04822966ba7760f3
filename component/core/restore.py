"""Back to what was: the roster entries of a contact as they were before a move was followed.

Pure: what the entries were (the journal says it) and what they are now (the server says it) come
in; presences to be sent as the contact, entries to be set and entries to be removed come out.
Restoring twice changes nothing, and restoring what is half restored does the other half, so a
crash in the middle needs no memory of its own.

Only the contact's side can be restored exactly.  Where the other side has taken something away
meanwhile (the contact's view of it), it is asked for again and then for the other side to grant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from component.core.model import Divert, PresenceKind, RosterItem, SendPlan, Step, Subscription
from component.core.records import MoveRecord
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

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        return not self.jids

    @property
    def jids(self) -> frozenset[str]:
        """The entries that have to change."""
        sent = {step.to for step in self.send.steps} if self.send is not None else set()
        return frozenset(sent | {item.jid for item in self.entries} | set(self.remove))


def before(record: MoveRecord) -> Before:
    """What the contact's entries were before this record's move was followed."""
    return {record.old: record.old_item, record.new: record.new_item}


def restore(was: Before, now: Iterable[RosterItem]) -> Restoration:
    """What is to be done so that the entries become what they were."""
    present = {item.jid: item for item in now}
    steps: list[Step] = []
    entries: list[RosterItem] = []
    remove: list[str] = []
    expected: dict[str, RosterItem | None] = {}
    for jid, wanted in was.items():
        item = present.get(jid)
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
    return Restoration(send, tuple(entries), tuple(remove), expected)


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


def _steps(jid: str, wanted: RosterItem | None, item: RosterItem | None) -> list[Step]:
    grant = wanted is not None and wanted.subscription.grants
    see = wanted is not None and (wanted.subscription.receives or wanted.ask)
    grants = item is not None and item.subscription.grants
    sees = item is not None and (item.subscription.receives or item.ask)
    kinds: list[PresenceKind] = []
    if grant != grants:
        kinds.append(PresenceKind.SUBSCRIBED if grant else PresenceKind.UNSUBSCRIBED)
    if see != sees:
        kinds.append(PresenceKind.SUBSCRIBE if see else PresenceKind.UNSUBSCRIBE)
    return [Step(kind, jid) for kind in kinds]


def _label(item: RosterItem) -> tuple[str | None, frozenset[str]]:
    return item.name, frozenset(item.groups)
