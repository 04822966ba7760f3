"""How far the hand-over of a journey is, as it is stored (docs/handover.md)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from component.core.journey.model import Journey, JourneyState
from component.core.journey.told import RETIRED

GRACE = timedelta(days=1)
"""How long something may still stand after its time: a server may be down for a while."""


class HandoverState(StrEnum):
    """Where a hand-over stands; stored, so keep the values stable."""

    OFFERING = "offering"
    """At the old account: to be offered, or only in part."""
    TROUBLED = "troubled"
    """The same, after a refusal that its owner knows of; it is tried again."""
    OFFERED = "offered"
    """A parcel stands in the old account."""
    FETCHED = "fetched"
    """At the new account: the parcel is here and is being copied."""
    COPIED = "copied"
    """It is in the account; its receipt has still to be given."""
    ACKNOWLEDGED = "acknowledged"
    """A receipt stands in the new account."""
    RECEIVED = "received"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    """The account cannot be packed; or, at the new one, the parcel is not as it has to be."""

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return self in _ENDED


_ENDED = frozenset(
    {
        HandoverState.RECEIVED,
        HandoverState.EXPIRED,
        HandoverState.CANCELLED,
        HandoverState.REFUSED,
    }
)
_TAKEN_BACK = frozenset({JourneyState.CANCELLED, JourneyState.UNDOING, JourneyState.UNDONE})


@dataclass(frozen=True, slots=True)
class Handover:
    """The hand-over of one journey: of an offer where it leads away, else of a fetch.

    :ivar until: from when on nobody may use the parcel.
    :ivar parcel: SHA-256 of the file, in hexadecimal; None before it is known.
    """

    journey: int
    state: HandoverState
    until: datetime
    parcel: str | None = None


def withdrawn(journey: Journey) -> bool:
    """Whether the old account has no reason any more to offer anything for this journey."""
    return journey.state in _TAKEN_BACK or journey.told == RETIRED


def overdue(handover: Handover, journey: Journey, now: datetime) -> bool:
    """Whether something of it should have been gone for a while."""
    if handover.state.ended:
        return False
    ended = journey.ended_at if withdrawn(journey) else None
    return now >= min(handover.until, ended or handover.until) + GRACE
