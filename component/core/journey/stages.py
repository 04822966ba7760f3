"""A journey as a machine: from a draft to its end, and back.

Rules: nobody is notified before the statement stands and was read back; a pause keeps everything
as it is; cancelling withdraws what nobody has answered; undoing brings back what was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum, auto

from component.core.journey.model import Journey, JourneyState, Kind

S = JourneyState


class Word(Enum):
    """What happens to a journey as a whole."""

    CONFIRMED = auto()
    READABLE = auto()
    """The statement stands and was read back as a contact would."""
    UNPUBLISHABLE = auto()
    BEGUN = auto()
    ALL_NOTIFIED = auto()
    ALL_SETTLED = auto()
    PAUSE = auto()
    RESUME = auto()
    CANCEL = auto()
    LOST = auto()
    """One of its accounts is gone for good: nothing can be done in its name any more."""
    UNDO = auto()
    UNDONE = auto()


W = Word

_AT_WORK = (S.PREFLIGHTED, S.PUBLISHED, S.NOTIFYING, S.SETTLING)

TABLE: Mapping[tuple[JourneyState, Word], JourneyState] = {
    (S.DRAFT, W.CONFIRMED): S.PREFLIGHTED,
    (S.PREFLIGHTED, W.READABLE): S.PUBLISHED,
    (S.PREFLIGHTED, W.UNPUBLISHABLE): S.CANCELLED,
    (S.PUBLISHED, W.BEGUN): S.NOTIFYING,
    (S.NOTIFYING, W.ALL_NOTIFIED): S.SETTLING,
    (S.SETTLING, W.ALL_SETTLED): S.DONE,
    **{(state, W.PAUSE): S.PAUSED for state in _AT_WORK},
    **{(state, W.CANCEL): S.CANCELLED for state in (S.DRAFT, S.PAUSED, *_AT_WORK)},
    **{(state, W.LOST): S.CANCELLED for state in (S.PAUSED, S.UNDOING, *_AT_WORK)},
    **{
        (state, W.UNDO): S.UNDOING
        for state in (S.PUBLISHED, S.NOTIFYING, S.SETTLING, S.DONE, S.PAUSED, S.CANCELLED)
    },
    (S.UNDOING, W.UNDONE): S.UNDONE,
}


def allows(journey: Journey, word: Word) -> bool:
    """Whether this can happen to the journey as it is."""
    if word is W.RESUME:
        return journey.state is S.PAUSED and journey.resume_to is not None
    if word is W.UNDO and journey.started_at is None:
        return False
    return (journey.state, word) in TABLE


def after(journey: Journey, word: Word, now: datetime, detail: str | None = None) -> Journey:
    """The journey after a word that :func:`allows` it; unchanged after any other."""
    if not allows(journey, word):
        return journey
    if word is W.RESUME:
        assert journey.resume_to is not None
        return replace(journey, state=journey.resume_to, resume_to=None, detail=None)
    state = TABLE[journey.state, word]
    return replace(
        journey,
        state=state,
        detail=detail,
        resume_to=journey.state if word is W.PAUSE else None,
        started_at=now if word is W.CONFIRMED else journey.started_at,
        ended_at=now if state.final else None,
    )


def undo_until(journey: Journey, hours: float) -> datetime | None:
    """Until when its owner may undo it; None: it never began."""
    return journey.started_at + timedelta(hours=hours) if journey.started_at else None


def over(journey: Journey, statement: timedelta, now: datetime) -> bool:
    """Whether a move has had its time: from its start on, the old account says where it went."""
    return journey.started_at is not None and journey.started_at + statement <= now


def publishes(journey: Journey) -> bool:
    """Whether the statement is ours to publish: the old account is here."""
    return journey.kind is not Kind.ARRIVE


def notifies(journey: Journey) -> bool:
    """Whether the notifications are ours to send: the new account is here."""
    return journey.kind is not Kind.AWAY


def in_the_way(other: Journey, journey: Journey) -> bool:
    """Whether another journey of its accounts must come to its end before this one begins.

    One that settles only waits for answers: the accounts may go on to others, or back.  The same
    way once more would tell its contacts twice.
    """
    if other.state is S.SETTLING:
        return (other.old, other.new) == (journey.old, journey.new)
    return other.state.running or other.state is S.PAUSED


def cooldown_until(
    journeys: tuple[Journey, ...], *, success: timedelta, failure: timedelta
) -> datetime | None:
    """When the next move may begin, by the journeys of an account; None: now.

    Only success costs the long wait; one that was cancelled, undone or failed costs the short one.
    """
    ends = [
        (journey.started_at + success)
        if journey.state in (S.SETTLING, S.DONE)
        else ((journey.ended_at or journey.started_at) + failure)
        for journey in journeys
        if journey.started_at is not None
    ]
    return max(ends, default=None)
