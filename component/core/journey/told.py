"""What the owner of a journey has been told, as it is noted with the journey."""

from __future__ import annotations

from component.core.journey.model import Journey, JourneyState

ENDED = "all-followed"
"""That it is done, in whatever way."""
RETIRED = "statement-withdrawn"
"""Noted of a journey whose owner knows its end, once its statement is withdrawn."""
UNDONE = "undone"
STOPPED = "stopped"
"""Begins what is noted of one that stopped: paused, or cancelled."""


UNSAID = f"{STOPPED}-unsaid"
"""Noted of a journey that stopped and has nobody left who could be told."""


def knows_stop(journey: Journey) -> bool:
    """Whether the owner was told that the journey had stopped."""
    return (journey.told or "").startswith(STOPPED)


def owes_end(journey: Journey) -> bool:
    """Whether the owner has still to hear that the journey ended or stopped."""
    if journey.started_at is None:
        return False
    match journey.state:
        case JourneyState.DONE:
            return journey.told not in (ENDED, RETIRED)
        case JourneyState.UNDONE:
            return journey.told != UNDONE
        case JourneyState.PAUSED | JourneyState.CANCELLED:
            return not knows_stop(journey)
        case _:
            return False
