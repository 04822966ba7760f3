"""What the control socket carries, as JSON objects, and back into values.

The keys are stable: later releases may add some, never rename any.  Times are RFC 3339 in UTC to
the millisecond, absence is null, states are the values of their enumerations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from component.core.journey.model import (
    Access,
    ContactState,
    Journey,
    JourneyContact,
    JourneyState,
    Kind,
    Progress,
)
from component.core.model import RosterItem
from component.core.records import MoveRecord


class Unreadable(Exception):
    """An object that is not what :func:`progress_dict` makes."""


def time_text(at: datetime | None) -> str | None:
    """A time as RFC 3339 has it, or null."""
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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


def record_dict(move: MoveRecord) -> dict[str, Any]:
    """A contact of ours who was followed."""
    return {
        "id": move.id,
        "at": time_text(move.at),
        "contact": move.contact,
        "old": move.old,
        "new": move.new,
        "state": move.state.value,
        "reason": move.reason.value if move.reason else None,
        "detail": move.detail,
        "evidence": move.evidence,
        "decided_at": time_text(move.decided_at),
        "settled_at": time_text(move.settled_at),
        "old_item": item_dict(move.old_item),
        "new_item": item_dict(move.new_item),
        "noticed_at": time_text(move.noticed_at),
        "undone_at": time_text(move.undone_at),
    }


def journey_dict(journey: Journey) -> dict[str, Any]:
    """A user's own move."""
    return {
        "id": journey.id,
        "kind": journey.kind.value,
        "old": journey.old,
        "new": journey.new,
        "owner": journey.owner,
        "state": journey.state.value,
        "access": journey.access.value if journey.access else None,
        "created_at": time_text(journey.created_at),
        "started_at": time_text(journey.started_at),
        "ended_at": time_text(journey.ended_at),
        "resume_to": journey.resume_to.value if journey.resume_to else None,
        "detail": journey.detail,
    }


def contact_dict(contact: JourneyContact) -> dict[str, Any]:
    """One contact of a user's own move."""
    return {
        "jid": contact.jid,
        "name": contact.name,
        "groups": list(contact.groups),
        "subscription": contact.subscription.value,
        "state": contact.state.value,
        "attempts": contact.attempts,
        "sent_at": time_text(contact.sent_at),
        "due_at": time_text(contact.due_at),
        "error": contact.error,
        "before": item_dict(contact.before),
    }


def counts_dict(counts: Mapping[ContactState, int]) -> dict[str, int]:
    """How many contacts are in each state; states without any are left out."""
    return {state.value: counts[state] for state in ContactState if counts.get(state)}


def progress_dict(progress: Progress) -> dict[str, Any]:
    """How far a user's own move is."""
    left = progress.seconds_left
    return {
        "journey": journey_dict(progress.journey),
        "counts": counts_dict(progress.counts),
        "total": progress.total,
        "seconds_left": left if left is not None and math.isfinite(left) else None,
        "by_hand": list(progress.by_hand),
        "unanswered": list(progress.unanswered),
        "taken_back": list(progress.taken_back),
        "waits": progress.waits,
        "again": progress.again,
        "all_paused": progress.all_paused,
    }


def progress_from(given: object) -> Progress:
    """The value that :func:`progress_dict` was given, as far as it tells.

    Unknown keys are passed over.

    :raises Unreadable: a key is missing, or a value is none that this release knows.
    """
    try:
        return _progress(given)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def _progress(given: Any) -> Progress:
    left = given["seconds_left"]
    return Progress(
        journey=_journey(given["journey"]),
        counts={ContactState(state): int(n) for state, n in given["counts"].items()},
        total=int(given["total"]),
        seconds_left=None if left is None else float(left),
        by_hand=tuple(str(jid) for jid in given["by_hand"]),
        unanswered=tuple(str(jid) for jid in given.get("unanswered", ())),
        taken_back=tuple(str(jid) for jid in given.get("taken_back", ())),
        waits=bool(given.get("waits", False)),
        again=int(given.get("again", 0)),
        all_paused=bool(given.get("all_paused", False)),
    )


def _journey(given: Any) -> Journey:
    created = _time(given["created_at"])
    if created is None:
        raise ValueError("created_at is null")
    return Journey(
        id=int(given["id"]),
        kind=Kind(given["kind"]),
        old=str(given["old"]),
        new=str(given["new"]),
        owner=str(given["owner"]),
        state=JourneyState(given["state"]),
        access=None if given["access"] is None else Access(given["access"]),
        created_at=created,
        started_at=_time(given["started_at"]),
        ended_at=_time(given["ended_at"]),
        resume_to=None if given["resume_to"] is None else JourneyState(given["resume_to"]),
        detail=None if given["detail"] is None else str(given["detail"]),
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
