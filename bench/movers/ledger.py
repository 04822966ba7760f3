"""Journeys that are kept in memory: what the journal is to the engine, without disk and threads.

What was saved outlives the engine, so that a simulated restart begins with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import TypeAlias

from component.core.journey import contacts as machine
from component.core.journey import stages
from component.core.journey.model import ContactState, Journey, JourneyContact, JourneyState
from component.core.journey.told import ENDED

Found: TypeAlias = list[Journey]


class Ledger:
    """Implements ``JourneyStore`` and, as the only instance there is, ``Claims``."""

    def __init__(self) -> None:
        self.journeys: dict[int, Journey] = {}
        self.people: dict[int, dict[str, JourneyContact]] = {}
        self.saves = 0
        """How many transactions were asked for."""
        self._ids = count(1)
        self._newest: dict[str, int] = {}

    async def create(self, journey: Journey, contacts: Sequence[JourneyContact]) -> Journey:
        """Keep a draft under a new id."""
        kept = replace(journey, id=next(self._ids))
        self.journeys[kept.id] = kept
        self.people[kept.id] = {contact.jid: contact for contact in contacts}
        self._newest[kept.old] = kept.id
        return kept

    async def get(self, id: int) -> Journey | None:
        """One journey."""
        return self.journeys.get(id)

    async def contacts(self, id: int) -> list[JourneyContact]:
        """Its contacts by JID."""
        return sorted(self.people[id].values(), key=lambda contact: contact.jid)

    async def unfollowed(self, id: int) -> list[JourneyContact]:
        """Its contacts who may follow yet."""
        return [contact for contact in self.people[id].values() if machine.to_follow(contact)]

    async def contact(self, id: int, jid: str) -> JourneyContact | None:
        """One of them."""
        return self.people[id].get(jid)

    async def watched(self, since: datetime) -> Sequence[Journey]:
        """Journeys under way or paused, and those away that are done and began after ``since``."""
        return [
            journey
            for journey in self.journeys.values()
            if journey.state.running
            or journey.state is JourneyState.PAUSED
            or (_done_away(journey) and not stages.over(journey, timedelta(0), since))
        ]

    async def with_work(self, holder: str | None = None) -> Sequence[int]:
        """See :class:`JourneyStore`."""
        return sorted(id for id, journey in self.journeys.items() if journey.state.running)

    async def had_time(self, until: datetime) -> Sequence[Journey]:
        """Journeys away that are done and began until then, the owner knowing it."""
        return [
            journey
            for journey in self.journeys.values()
            if _done_away(journey)
            and journey.told == ENDED
            and stages.over(journey, timedelta(0), until)
        ]

    async def list(
        self, *, account: str | None = None, running: bool = False, limit: int = 200
    ) -> Found:
        """Journeys, newest first, without drafts."""
        return [
            journey
            for journey in reversed(self.journeys.values())
            if journey.state is not JourneyState.DRAFT
            and (account is None or account in (journey.old, journey.new, journey.owner))
            and not (running and journey.state.final)
        ][:limit]

    async def counts(self, ids: Sequence[int]) -> dict[int, Counter[ContactState]]:
        """How many contacts of these journeys are in each state."""
        return {id: Counter(c.state for c in self.people.get(id, {}).values()) for id in ids}

    async def save(
        self,
        journey: Journey | None = None,
        contacts: Sequence[JourneyContact] = (),
        *,
        id: int | None = None,
        expect: Collection[JourneyState] = (),
    ) -> bool:
        """Keep a journey and contacts; False where ``expect`` fails."""
        number = journey.id if journey is not None else id
        assert number is not None
        if expect and self.journeys[number].state not in expect:
            return False
        self.saves += 1
        if journey is not None:
            self.journeys[number] = journey
        self.people[number].update((contact.jid, contact) for contact in contacts)
        return True

    async def replace_contacts(self, id: int, contacts: Sequence[JourneyContact]) -> None:
        """Give a draft these contacts."""
        self.people[id] = {contact.jid: contact for contact in contacts}

    async def drop_drafts(self, before: datetime) -> int:
        """Nobody leaves drafts behind."""
        return 0

    async def disown(self, jid: str, *, left: str | None, led: str | None) -> None:
        """Nobody deletes an account here."""

    async def successor(self, old: str) -> Journey | None:
        """The move that led away from this account, once its statement stands."""
        journey = self.journeys.get(self._newest.get(old, 0))
        return journey if journey is not None and journey.state in _PUBLISHED else None

    async def read_by(self, contact: str) -> Sequence[Journey]:
        """Nobody's account is deleted here."""
        return ()

    async def left(self) -> Collection[str]:
        """The accounts that have a successor."""
        return {old for old in self._newest if await self.successor(old) is not None}

    async def last_started(self, old_or_new: str) -> Sequence[Journey]:
        """Journeys of an account that were started, newest first."""
        found = await self.list(account=old_or_new, limit=len(self.journeys))
        return [journey for journey in found if journey.started_at is not None]

    async def may_answer(self, old: str, sender: str, at: datetime, every: timedelta) -> bool:
        """Nobody writes messages."""
        return False

    # As Claims ------------------------------------------------------------------------------------

    async def claim(self) -> tuple[Sequence[int], frozenset[int]]:
        """All that a start takes up."""
        work = [id for id, journey in self.journeys.items() if journey.state in _WORK]
        return work, frozenset()

    async def obtain(self, id: int) -> bool:
        """There is no other instance."""
        return False


def _done_away(journey: Journey) -> bool:
    return journey.state is JourneyState.DONE and stages.publishes(journey)


_PUBLISHED = frozenset(
    {JourneyState.PUBLISHED, JourneyState.NOTIFYING, JourneyState.SETTLING, JourneyState.DONE}
)
_WORK = frozenset(
    {
        JourneyState.PREFLIGHTED,
        JourneyState.PUBLISHED,
        JourneyState.NOTIFYING,
        JourneyState.SETTLING,
        JourneyState.PAUSED,
    }
)
