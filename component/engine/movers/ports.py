"""What the mover's side needs around it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from component.core.journey.handover import Handover
from component.core.journey.model import ContactState, Journey, JourneyContact, JourneyState
from component.core.model import Reason
from component.core.records import Accepted, Change, FollowedBy


class MoverGauges(Protocol):
    """Figures that the mover's side reports as it goes."""

    def notified(self, *, again: bool, left: bool) -> None:
        """A notification was sent (``left``), or could not be; ``again``: not the first one."""

    def way_back(self, verdict: str) -> None:
        """A held request to a mover was answered: ``take`` or ``release``."""


class NoGauges:
    """Nobody wants the figures."""

    def notified(self, *, again: bool, left: bool) -> None:
        """See :class:`MoverGauges`."""

    def way_back(self, verdict: str) -> None:
        """See :class:`MoverGauges`."""


class JourneyStore(Protocol):
    """Journeys as durable records; every write is durable on return and raises StoreError."""

    async def create(self, journey: Journey, contacts: Sequence[JourneyContact]) -> Journey:
        """Store a draft under a new id; older drafts of its owner go."""

    async def get(self, id: int) -> Journey | None:
        """One journey."""

    async def contacts(self, id: int) -> list[JourneyContact]:
        """Its contacts by JID."""

    async def unfollowed(self, id: int) -> Sequence[JourneyContact]:
        """Its contacts who may follow yet, some of them after the old account is gone."""

    async def contact(self, id: int, jid: str) -> JourneyContact | None:
        """One of them."""

    async def watched(self, since: datetime) -> Sequence[Journey]:
        """Journeys under way or paused, and those away that are done and began after ``since``."""

    async def had_time(self, until: datetime) -> Sequence[Journey]:
        """Journeys away that are done and began until then, the owner knowing it.

        Without those whose statement is withdrawn (``told``).
        """

    async def with_work(self, holder: str | None = None) -> Sequence[int]:
        """Ids of those that a start takes up (of one holder only, if given), the oldest first."""

    async def list(
        self, *, account: str | None = None, running: bool = False, limit: int = 200
    ) -> Sequence[Journey]:
        """Journeys, newest first, without drafts."""

    async def counts(self, ids: Sequence[int]) -> dict[int, Counter[ContactState]]:
        """How many contacts of these journeys are in each state."""

    async def save(
        self,
        journey: Journey | None = None,
        contacts: Sequence[JourneyContact] = (),
        *,
        id: int | None = None,
        expect: Collection[JourneyState] = (),
    ) -> bool:
        """Write a journey and contacts in one transaction; False where ``expect`` fails."""

    async def replace_contacts(self, id: int, contacts: Sequence[JourneyContact]) -> None:
        """Give a draft these contacts."""

    async def drop_drafts(self, before: datetime) -> int:
        """Forget drafts that were begun before."""

    async def disown(self, jid: str, *, left: str | None, led: str | None) -> None:
        """A name has lost its owner: journeys of earlier owners are marked as nobody's.

        :param left: the account whose journeys away from the name stand; None: none do.
        :param led: the account to which journeys may have led, and which is a contact of others;
            None: there is none.
        """

    async def successor(self, old: str) -> Journey | None:
        """The move that led away from this account, if one did and stands."""

    async def read_by(self, contact: str) -> Sequence[Journey]:
        """Moves whose statement stands, on a whitelist that this contact is on."""

    async def left(self) -> Collection[str]:
        """The accounts that have a :meth:`successor`."""

    async def last_started(self, old_or_new: str) -> Sequence[Journey]:
        """Journeys of an account that were started, newest first."""

    async def may_answer(self, old: str, sender: str, at: datetime, every: timedelta) -> bool:
        """Whether a sender may be answered again; if so it is noted."""


class FollowJournal(Protocol):
    """The contact side's journal, as far as the mover's side uses it; raises StoreError."""

    async def accepted_since(self, since: datetime) -> Sequence[Accepted]:
        """Moves verified and followed since then, and not undone."""

    async def followed_by(self, contact: str, since: datetime) -> Sequence[FollowedBy]:
        """Whom an account has followed since then, and not taken back, or may follow; by id."""

    async def newest_to(self, old: str, new: str, account: str | None) -> int | None:
        """The newest record of a follow to the new account that has this token."""

    async def led_to(self, old: str, new: str, old_account: str | None) -> str | None:
        """The token of the account that the old one was last known to lead to."""

    async def leading_to(self, new: str) -> Sequence[Accepted]:
        """Moves to this address that were followed: once for each pair of accounts."""

    async def explained(
        self, old: str, new: str, account: str | None, jid: str, reason: Reason
    ) -> bool:
        """Whether this was done to the new account's entry of ``jid`` because of a move.

        :param account: the new account's token; the same name may have had another owner.
        """

    async def explain(
        self, id: int, at: datetime, user: str, changes: tuple[Change, ...], reason: Reason
    ) -> bool:
        """Add to a record what was done to the list of another user because of it; durable."""


class HandoverStore(Protocol):
    """Hand-overs as durable records; every write is durable on return and raises StoreError."""

    async def put(self, handover: Handover) -> None:
        """Write how far it is."""

    async def get(self, journey: int) -> Handover | None:
        """That of one journey."""

    async def open(self, old: str | None = None) -> Sequence[Handover]:
        """Those that have not ended; of one old account only, if given."""


class Carrier(Protocol):
    """Brings an account's things along; raises LinkError and StoreError: call again, later."""

    async def carry(self, journey: Journey, left_out: Collection[str]) -> None:
        """Bring the old account's things into the new one, once; returns when all is done.

        :param left_out: contacts whose entries are not made: those who are told come with their
            notification, the others were not chosen, or are blocked.
        """

    async def blocked(self, journey: Journey) -> Collection[str]:
        """Whom the old account blocked when the copy was made, whatever became of that."""

    async def take_back(self, journey: Journey) -> None:
        """Undo it; returns when all is done."""
