"""What several instances on one PostgreSQL tell each other, and how work passes between them.

An instance is a running component; its name is the component's own JID.  Each *beats* every
:data:`BEAT_SECONDS`; one that has not for :data:`LEASE_SECONDS` by the clock of the database is
*dead*, one that ended well has *left*.  A request or journey is worked on by its *holder* alone;
what a dead one, or one that left, holds may be *claimed*, by one of the others.  Every write to a
request or journey asks in its own transaction who the holder is, so an instance that slept beyond
its lease changes nothing that others have claimed meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from component.core.notices import Settings
from component.core.records import Accepted, MoveRecord

BEAT_SECONDS = 1.0
"""How often an instance should beat."""
LEASE_SECONDS = 15.0
"""How long an instance that does not beat keeps what it holds."""
CHANGES_KEPT_SECONDS = 600.0
"""How far back :meth:`Shared.changes` can tell every single change."""


@dataclass(frozen=True, slots=True)
class WantedJourney:
    """A journey of ours that another instance asks for."""

    id: int
    by: str


@dataclass(frozen=True, slots=True)
class Beat:
    """What an instance learns when it beats."""

    alive: frozenset[str]
    """Names of the instances that live, this one included."""
    wanted: tuple[WantedJourney, ...] = ()
    """To be given away by :meth:`Shared.hand_over`."""
    lapsed: bool = False
    """The last beat of this process was longer ago than a lease: others may have claimed what it
    held, so nothing that is remembered of requests and journeys can be relied on."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A moment in the life of the database, exact to the transaction; opaque."""

    snapshot: str
    """``pg_current_snapshot()``; empty for SQLite."""
    at: datetime
    """By the clock of the database."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What became different; each says how things are now, so taking it in twice does no harm."""

    followed: tuple[Accepted, ...] = ()
    """Verified moves that were followed, as :meth:`Store.accepted_since` has them."""
    undone: tuple[Accepted, ...] = ()
    """Followed moves that were taken back; ``at`` says when."""
    declined: tuple[tuple[str, str, str], ...] = ()
    """Those of ``undone`` that people took back: (contact, old, new)."""
    settings: Mapping[str, Settings] = field(default_factory=dict)
    """What users chose, by prepared bare JID."""
    run_time: Mapping[str, object] | None = None
    """All that an admin has set; None: that did not change."""
    everything: bool = False
    """True: too long ago to tell one by one (all else is empty); load all as at a start."""


class Shared(Protocol):
    """The other instances, as one of them sees them.

    Every method raises StoreError, and StoreClosed where the store was opened for reading or,
    on PostgreSQL, without a ``holder``; writes are durable on return.  They use a connection of
    their own, so that a long queue of writes does not cost the lease.  With SQLite, which is one
    process's own, everything is this process's and nothing is ever written.
    """

    async def beat(self) -> Beat:
        """Say that this instance lives.  ``Store.open`` beats once; call it every BEAT_SECONDS.

        :raises LeaseLost: another, newer process beats under this name: end this one.
        """

    async def leave(self) -> None:
        """Give up the lease, as the last thing of a clean stop: others claim all at once."""

    async def claim_moves(self) -> list[MoveRecord]:
        """Claim open requests whose holder is dead or left; all open ones held now, oldest first.

        Of several instances that claim at once each row goes to one.  ``Store.unsettled`` has the
        same rows, without claiming.
        """

    async def claim_journeys(self) -> list[int]:
        """Claim journeys with work to do whose holder is dead or left; the ids of *all* with work
        to do that are held now, in order.

        Those are what a start takes up: neither a draft nor at an end, or cancelled with something
        to withdraw.  All are told and not only the newly claimed, because an answer can get lost
        after the claim was committed: start those that do not run, end runs of those not named.
        """

    async def want(self, id: int) -> str | None:
        """Ask for a journey, in whatever state.

        :returns: None if it is held by this instance (perhaps as of now, because its holder is
            dead or left), or if there is no such journey; otherwise the name of its holder, who
            learns of it at its next beat.  Call again to learn whether it was handed over.
        """

    async def hand_over(self, id: int, to: str) -> bool:
        """Make another instance the holder of a journey; False where it was not held.

        What was saved of it must have returned: from now on :meth:`Journeys.save` here raises
        LeaseLost.
        """

    async def changes(self, since: Cursor | None) -> tuple[Cursor, Changes]:
        """What other instances did since an earlier call.

        :param since: what the last call returned; None: only say what moment it is, before all is
            loaded at a start.
        """
