"""Moves as JSON.  The keys are stable: later releases may add some, never rename any."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from component.core.model import RosterItem
from component.core.records import AuditRecord, MoveRecord
from component.ui.words import reason_words


def move_dict(move: MoveRecord) -> dict[str, Any]:
    """One move as ``moves --json`` lists it.  Times are RFC 3339 in UTC, absence is null."""
    return {
        "id": move.id,
        "at": _time(move.at),
        "contact": move.contact,
        "old": move.old,
        "new": move.new,
        "state": move.state.value,
        "reason": move.reason.value if move.reason else None,
        "reason_text": reason_words(move.reason),
        "detail": move.detail,
        "evidence": move.evidence,
        "decided_at": _time(move.decided_at),
        "settled_at": _time(move.settled_at),
        "old_item": item_dict(move.old_item),
        "new_item": item_dict(move.new_item),
    }


def story_dict(move: MoveRecord, audit: Sequence[AuditRecord]) -> dict[str, Any]:
    """One move as ``show --json`` tells it: the above, the request, the plan and the changes."""
    return {
        **move_dict(move),
        "request_id": move.request_id,
        "instance": move.instance,
        "plan": move.plan,
        "stanza": move.stanza,
        "changes": [
            {
                "at": _time(change.at),
                "jid": change.jid,
                "reason": change.reason.value,
                "evidence": change.evidence,
                "before": item_dict(change.before),
                "after": item_dict(change.after),
            }
            for change in audit
        ],
    }


def item_dict(item: RosterItem | None) -> dict[str, Any] | None:
    """A roster entry, or null where there is none."""
    if item is None:
        return None
    return {
        "jid": item.jid,
        "subscription": item.subscription.value,
        "ask": item.ask,
        "name": item.name,
        "groups": list(item.groups),
    }


def _time(at: datetime | None) -> str | None:
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
