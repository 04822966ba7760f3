"""Values that the core's tests share."""

from __future__ import annotations

from component.core.model import Divert, RosterItem, Subscription
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
) -> Divert:
    """A request of the mover ``new``, once ``old``, to Romeo."""
    return Divert(
        request_id="d1",
        instance="i1",
        contact=ROMEO,
        old=old,
        new=new,
        old_item=RosterItem(old, subscription, False, name, groups),
        new_item=new_item,
        stanza="<presence/>",
    )


def naming(jid: str) -> Answer:
    """What a well-formed statement naming ``jid`` comes to."""
    return read(ItemsRead((Item("current", ((jid,),)),)))
