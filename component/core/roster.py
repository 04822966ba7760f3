"""Roster states as RFC 6121 has them, and what following a mover should make of them.

The hook changes rosters, not we; this table says beforehand what must come out, so that the
audit can tell when a server did something else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from component.core.model import (
    Divert,
    PresenceKind,
    RosterItem,
    SendPlan,
    Step,
    Subscription,
)

_NONE, _TO, _FROM, _BOTH = Subscription

# RFC 6121 appendix A.2, outbound, by what was sent and the entry's subscription.  In A.2.3
# "subscribed" needs a pending request: a request that we hold counts as one.
OUTBOUND: dict[PresenceKind, dict[Subscription, Subscription]] = {
    PresenceKind.SUBSCRIBE: {_NONE: _NONE, _TO: _TO, _FROM: _FROM, _BOTH: _BOTH},
    PresenceKind.UNSUBSCRIBE: {_NONE: _NONE, _TO: _NONE, _FROM: _FROM, _BOTH: _FROM},
    PresenceKind.SUBSCRIBED: {_NONE: _FROM, _TO: _BOTH, _FROM: _FROM, _BOTH: _BOTH},
    PresenceKind.UNSUBSCRIBED: {_NONE: _NONE, _TO: _TO, _FROM: _NONE, _BOTH: _TO},
}


@dataclass(frozen=True, slots=True)
class Entry:
    """The state half of a roster item: subscription and pending out (``ask``)."""

    subscription: Subscription = Subscription.NONE
    ask: bool = False


def outbound(entry: Entry, kind: PresenceKind) -> Entry:
    """The entry after its owner sends a presence of this kind (RFC 6121 appendix A.2)."""
    subscription = OUTBOUND[kind][entry.subscription]
    ask = entry.ask
    if kind is PresenceKind.SUBSCRIBE and not subscription.receives:
        ask = True
    elif kind is PresenceKind.UNSUBSCRIBE:
        ask = False
    return Entry(subscription, ask)


@dataclass(frozen=True, slots=True)
class Carry:
    """What the new entry inherits from the old one where it has nothing of its own."""

    name: bool = True
    groups: bool = True


def follow_plan(divert: Divert, carry: Carry) -> SendPlan:
    """The presences that follow a verified mover (XEP-0283 4.4), in the order of the XEP.

    Approve the new JID, revoke the old one, and where the old entry was ``both`` ask for the way
    back.  Where the new JID is approved already, ``subscribed`` changes nothing and is the
    answer that RFC 6121 3.1.3 has the contact's server give to a request we swallow.
    """
    steps = [
        Step(PresenceKind.SUBSCRIBED, divert.new),
        Step(PresenceKind.UNSUBSCRIBED, divert.old),
    ]
    mutual_already = divert.new_item is not None and divert.new_item.subscription.receives
    if divert.old_item.subscription is Subscription.BOTH and not mutual_already:
        steps.append(Step(PresenceKind.SUBSCRIBE, divert.new))
    name = divert.old_item.name if carry.name else None
    groups = divert.old_item.groups if carry.groups else ()
    item = None
    if name or groups:
        item = RosterItem(divert.new, Subscription.NONE, False, name, groups)
    return SendPlan(tuple(steps), item)


def expect(divert: Divert, plan: SendPlan) -> dict[str, RosterItem]:
    """The entries of old and new JID as the plan should leave them."""
    blank = RosterItem(divert.new, Subscription.NONE)
    items = {divert.old: divert.old_item, divert.new: divert.new_item or blank}
    for step in plan.steps:
        item = items[step.to]
        state = outbound(Entry(item.subscription, item.ask), step.kind)
        items[step.to] = replace(item, subscription=state.subscription, ask=state.ask)
    if plan.item is not None:
        item = items[plan.item.jid]
        items[plan.item.jid] = replace(
            item,
            name=item.name or plan.item.name,
            groups=item.groups or plan.item.groups,
        )
    return items
