"""What to do with a journalled request after a loss: the component's, the link's or the server's.

The server releases what it holds when our stream is lost, when it stops in order and after its
own time-out.  Only a server that died (another instance answers now) has forgotten requests.
"""

from __future__ import annotations

from dataclasses import dataclass

from component.core.contact import Settle, changes, followed
from component.core.model import Divert, Reason, RosterItem
from component.core.records import MoveRecord, MoveState


@dataclass(frozen=True, slots=True)
class RepeatPlan:
    """Send the journalled plan once more: the roster has it, its presences may not have left."""


@dataclass(frozen=True, slots=True)
class HandBack:
    """Give the stanza back to the server (hook protocol 4.4)."""


RecoveryEffect = RepeatPlan | HandBack | Settle


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
    record: MoveRecord, instance: str, items: tuple[RosterItem, ...]
) -> tuple[RecoveryEffect, ...]:
    """The effects that bring an unsettled record to a true end.

    :param instance: the hook instance that serves the contact's host now.
    :param items: the contact's entries of old and new JID as they are now.
    """
    divert = divert_of(record)
    if record.state is MoveState.TAKING and followed(divert, items):
        done = Settle(MoveState.DONE, Reason.VERIFIED, changes(divert, items), "settled later")
        # A server that lives has sent what it saved; one that died between the two may not have.
        return (done,) if record.instance == instance else (RepeatPlan(), done)
    if record.instance == instance:
        return (Settle(MoveState.RELEASED, record.reason or Reason.SERVER, (), "settled later"),)
    return (HandBack(), Settle(MoveState.HANDED_BACK, Reason.RESTARTED))
