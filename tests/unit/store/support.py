"""Records for the tests, with as little noise as possible."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from component.core.journey.model import (
    Access,
    ContactState,
    Journey,
    JourneyContact,
    JourneyState,
    Kind,
)
from component.core.model import Divert, Reason, RosterItem, Subscription
from component.core.records import Change, MoveState, NewRecord, Settlement, VerdictRecord

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
OLD = RosterItem(
    "romeo@old.example", Subscription.BOTH, False, 'Rómeo "R" 🌹', ("Friends", "Verona, Old")
)
NEW = RosterItem("romeo@new.example", Subscription.NONE, True)
EVIDENCE = "item current of romeo@old.example"


def after(seconds: float) -> datetime:
    """A moment so many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def record(
    request_id: str = "r1",
    *,
    at: datetime = NOON,
    contact: str = "juliet@capulet.example",
    old: str = "romeo@old.example",
    new: str = "romeo@new.example",
    instance: str = "i1",
) -> NewRecord:
    """A diverted request."""
    return NewRecord(
        at,
        Divert(
            request_id, instance, contact, old, new, OLD, None, f"<presence id='{request_id}'/>"
        ),
    )


def verdict(reason: Reason = Reason.VERIFIED, *, at: datetime = NOON) -> VerdictRecord:
    """A decision to follow."""
    return VerdictRecord(at, reason, EVIDENCE, '{"steps":[]}')


def settlement(
    state: MoveState = MoveState.DONE,
    reason: Reason = Reason.VERIFIED,
    *,
    at: datetime = NOON,
    changes: tuple[Change, ...] = (),
    detail: str | None = None,
    notice: bool = False,
) -> Settlement:
    """An end."""
    return Settlement(at, state, reason, changes, detail, notice)


def journey(
    state: JourneyState = JourneyState.NOTIFYING,
    *,
    kind: Kind = Kind.BOTH,
    old: str = "romeo@old.example",
    new: str = "romeo@new.example",
    owner: str = "romeo@old.example",
    access: Access | None = Access.WHITELIST,
    created_at: datetime = NOON,
    started_at: datetime | None = None,
    ended_at: datetime | None = None,
    told: str | None = None,
) -> Journey:
    """A user's own move, not stored yet."""
    return Journey(
        0,
        kind,
        old,
        new,
        owner,
        state,
        access,
        created_at,
        started_at=started_at,
        ended_at=ended_at,
        told=told,
    )


def contact(
    number: int = 0, state: ContactState = ContactState.QUEUED, *, attempts: int = 0
) -> JourneyContact:
    """One of a mover's contacts; a greater number sorts later."""
    return JourneyContact(
        f"contact{number:05}@capulet.example",
        None,
        (),
        Subscription.BOTH,
        state,
        attempts=attempts,
    )


def url_of(path: Path) -> str:
    """The database URL of an SQLite file."""
    return f"sqlite+aiosqlite:///{path}"
