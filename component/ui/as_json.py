"""Moves as JSON.  The keys are stable: later releases may add some, never rename any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from component.core.journey.model import ContactState, Journey, JourneyContact, count
from component.core.records import AuditRecord, MoveRecord
from component.ops.control_json import (
    contact_dict,
    counts_dict,
    item_dict,
    journey_dict,
    record_dict,
    time_text,
)
from component.ui.words import journey_name, reason_words


def moves_dict(
    journeys: Sequence[tuple[Journey, Mapping[ContactState, int]]],
    followed: Sequence[MoveRecord],
    *,
    paused: bool,
) -> dict[str, Any]:
    """What ``moves --json`` prints: users' own moves, and contacts who were followed.

    :param paused: whether an admin has paused all of users' own
    """
    return {
        "paused": paused,
        "journeys": [journey_row(journey, counts) for journey, counts in journeys],
        "followed": [move_dict(move) for move in followed],
    }


def journey_row(journey: Journey, counts: Mapping[ContactState, int]) -> dict[str, Any]:
    """A user's own move; its id is as the commands take it (``m7``)."""
    return {
        **journey_dict(journey),
        "id": journey_name(journey.id),
        "counts": counts_dict(counts),
        "total": sum(counts.values()),
    }


def journey_story_dict(journey: Journey, contacts: Sequence[JourneyContact]) -> dict[str, Any]:
    """A user's own move as ``show mID --json`` tells it: the above, and its contacts."""
    return {
        **journey_row(journey, count(contact.state for contact in contacts)),
        "contacts": [contact_dict(contact) for contact in contacts],
    }


def move_dict(move: MoveRecord) -> dict[str, Any]:
    """One followed contact as ``moves --json`` lists it."""
    return {**record_dict(move), "reason_text": reason_words(move.reason)}


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
                "at": time_text(change.at),
                "jid": change.jid,
                "reason": change.reason.value,
                "evidence": change.evidence,
                "before": item_dict(change.before),
                "after": item_dict(change.after),
            }
            for change in audit
        ],
    }
