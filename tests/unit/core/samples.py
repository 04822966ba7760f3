"""Values that the core's tests share."""

from __future__ import annotations

from datetime import UTC, datetime

from component.core.model import Divert, Reason, RosterItem, Subscription
from component.core.records import MoveRecord, MoveState
from component.core.statement import Answer, Item, ItemsRead, read

ROMEO = "romeo@montague.example"
OLD = "juliet@im.example.net"
NEW = "juliet@capulet.example"


def divert(
    *,
    old: str = OLD,
    new: str = NEW,
    subscription: Subscription = Subscription.BOTH,
    new_item: RosterItem | None = None,
    name: str | None = "Juliet",
    groups: tuple[str, ...] = ("Verona",),
    contact: str = ROMEO,
    stanza: str = "<presence/>",
) -> Divert:
    """A request of the mover ``new``, once ``old``, to Romeo."""
    return Divert(
        request_id="d1",
        instance="i1",
        contact=contact,
        old=old,
        new=new,
        old_item=RosterItem(old, subscription, False, name, groups),
        new_item=new_item,
        stanza=stanza,
    )


def naming(jid: str) -> Answer:
    """What a well-formed statement naming ``jid`` comes to."""
    return read(ItemsRead((Item("current", ((jid,),)),)), OLD)


def record(asked: Divert, state: MoveState = MoveState.DONE, *, id: int = 1) -> MoveRecord:
    """A journal row of a request."""
    settled = state is MoveState.DONE
    return MoveRecord(
        id=id,
        at=datetime(2026, 1, 1, tzinfo=UTC),
        state=state,
        reason=Reason.VERIFIED if state in (MoveState.TAKING, MoveState.DONE) else None,
        detail=None,
        evidence=None,
        plan=None,
        decided_at=None,
        settled_at=datetime(2026, 1, 1, tzinfo=UTC) if settled else None,
        request_id=asked.request_id,
        instance=asked.instance,
        contact=asked.contact,
        old=asked.old,
        new=asked.new,
        old_item=asked.old_item,
        new_item=asked.new_item,
        stanza=asked.stanza,
    )
