"""Send plans as journalled: JSON that recovery can read back."""

from __future__ import annotations

import json

from component.core.model import PresenceKind, RosterItem, SendPlan, Step, Subscription


def dump(plan: SendPlan) -> str:
    """A plan as JSON text."""
    item = plan.item
    return json.dumps(
        {
            "steps": [[step.kind.value, step.to] for step in plan.steps],
            "item": None if item is None else [item.jid, item.name, list(item.groups)],
        }
    )


def load(text: str) -> SendPlan:
    """A plan from the journal."""
    data = json.loads(text)
    item = None
    if data["item"] is not None:
        jid, name, groups = data["item"]
        item = RosterItem(jid, Subscription.NONE, False, name, tuple(groups))
    return SendPlan(tuple(Step(PresenceKind(kind), to) for kind, to in data["steps"]), item)
