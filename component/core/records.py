"""Rows of the journal and the audit, as values: what the store keeps and the interfaces show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from component.core.model import Divert, Reason, RosterItem


class MoveState(StrEnum):
    """Where a diverted request stands in the journal."""

    DIVERTED = "diverted"
    """The server holds it; nothing is decided."""
    TAKING = "taking"
    """Verified; the verdict may have left, its outcome is not known yet."""
    DONE = "done"
    """The roster has changed and the audit says how."""
    RELEASED = "released"
    """Processed as an ordinary subscription request."""
    HANDED_BACK = "handed-back"
    """The server had forgotten it (restart); we returned it from the journal."""

    @property
    def final(self) -> bool:
        """True once nothing is left to do."""
        return self in (MoveState.DONE, MoveState.RELEASED, MoveState.HANDED_BACK)


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A diverted request, to be journalled before anything else happens."""

    at: datetime
    divert: Divert


@dataclass(frozen=True, slots=True)
class VerdictRecord:
    """A decision to follow, to be journalled before it leaves (TAKING).

    ``evidence`` says on whose statement.
    """

    at: datetime
    reason: Reason
    evidence: str | None = None
    plan: str | None = None
    """The send plan as JSON: recovery repeats it, which changes nothing twice."""
    old_account: str | None = None
    """The token of the old account, where it is on a served host."""
    new_account: str | None = None
    """The same of the new account."""


@dataclass(frozen=True, slots=True)
class Change:
    """One roster entry before and after; ``None`` is absence."""

    jid: str
    before: RosterItem | None
    after: RosterItem | None


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of a record."""

    at: datetime
    state: MoveState
    reason: Reason
    changes: tuple[Change, ...] = ()
    detail: str | None = None
    notice: bool = False
    """Whether the contact is being told: kept as ``noticed_at``."""


@dataclass(frozen=True, slots=True)
class MoveRecord:
    """A journal row as stored."""

    id: int
    at: datetime
    state: MoveState
    reason: Reason | None
    detail: str | None
    evidence: str | None
    plan: str | None
    decided_at: datetime | None
    settled_at: datetime | None
    request_id: str
    instance: str
    contact: str
    old: str
    new: str
    old_item: RosterItem
    new_item: RosterItem | None
    stanza: str
    """The request as it came; empty once the record is final."""
    noticed_at: datetime | None = None
    """When the contact was told of the change."""
    undone_at: datetime | None = None
    """When the change was taken back."""
    account: str | None = None
    """The token of the contact's account then: whoever has the name now may be somebody else."""
    old_account: str | None = None
    """The token of the old account then, where it is on a served host."""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One roster change, explained: whose roster, when, why, on whose statement."""

    id: int
    move_id: int
    at: datetime
    contact: str
    jid: str
    reason: Reason
    evidence: str | None
    before: RosterItem | None
    after: RosterItem | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """An old JID that was followed to a new one.

    ``old_account`` and ``new_account`` are the tokens of then, each where it is on a served host.
    """

    old: str
    new: str
    at: datetime
    old_account: str | None = None
    new_account: str | None = None


@dataclass(frozen=True, slots=True)
class FollowedBy:
    """A contact whom an account followed, or may be about to follow (``open``)."""

    id: int
    contact: str
    """The account that followed."""
    old: str
    new: str
    new_item: RosterItem | None
    """Its entry of the new JID before."""
    at: datetime
    open: bool


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One line of ``xmpp-moved check``."""

    name: str
    ok: bool
    found: str
    remedy: str | None = None
