"""What to do with a journalled request after a loss: the component's, the link's or the server's.

The server releases what it holds when our stream is lost, when it stops in order and after its
own time-out.  Only a server, or a node of its cluster, that died has forgotten requests: the
instance of the hook that held them is no more.
"""

from __future__ import annotations

from dataclasses import dataclass

from component.core.contact import HandBack, PutBack, Settle, carried_out, done
from component.core.model import Divert, Reason, RosterItem, SendPlan
from component.core.records import MoveRecord, MoveState
from component.core.roster import Carry, follow_plan

_LATER = "settled later"


@dataclass(frozen=True, slots=True)
class RepeatPlan:
    """Send the journalled plan once more: the roster has it, its presences may not have left."""


RecoveryEffect = RepeatPlan | HandBack | PutBack | Settle


def divert_of(record: MoveRecord) -> Divert:
    """The request that a record was made from."""
    return Divert(
        request_id=record.request_id,
        instance=record.instance,
        contact=record.contact,
        old=record.old,
        new=record.new,
        old_item=record.old_item,
        new_item=record.new_item,
        stanza=record.stanza,
    )


def recover(
    record: MoveRecord,
    alive: bool,
    items: tuple[RosterItem, ...],
    *,
    plan: SendPlan | None = None,
    earlier: MoveRecord | None = None,
    notify: bool = True,
) -> tuple[RecoveryEffect, ...]:
    """The effects that bring an unsettled record to a true end.

    A :class:`PutBack` comes last: what it brings about goes into :func:`put_back`.

    :param alive: whether the hook instance that held the request still serves.
    :param items: the contact's entries of old and new JID as they are now.
    :param plan: what was journalled to be sent.
    :param earlier: the move that this one takes back, if it does.
    :param notify: whether contacts are told of what was done for them.
    """
    divert = divert_of(record)
    sent = plan or follow_plan(divert, Carry())
    if record.state is MoveState.TAKING and carried_out(divert, sent, items):
        end: RecoveryEffect = done(divert, items, _LATER, notify, None)
        if earlier is not None:
            end = PutBack(earlier)
        # A server that lives has sent what it saved; one that died between the two may not have.
        return (end,) if alive else (RepeatPlan(), end)
    if alive:
        return (Settle(MoveState.RELEASED, record.reason or Reason.SERVER, (), _LATER),)
    return (HandBack(), Settle(MoveState.HANDED_BACK, Reason.RESTARTED))


def put_back(
    record: MoveRecord, earlier: MoveRecord, items: tuple[RosterItem, ...], *, notify: bool
) -> Settle:
    """The end of a record whose move took an ``earlier`` one back, which is done now.

    :param items: the contact's entries of old and new JID as they are now.
    """
    return done(divert_of(record), items, _LATER, notify, earlier)
