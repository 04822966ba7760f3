"""One journey in memory: its contacts, which of them are due, and what is to be saved."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import count as numbers

from component.core import jids
from component.core.journey import contacts as machine
from component.core.journey.model import (
    ContactState,
    Journey,
    JourneyContact,
    Kind,
    Progress,
)
from component.core.journey.pace import Pace
from component.core.model import NOBODYS

_TIMED = frozenset(
    {
        ContactState.QUEUED,
        ContactState.SENT,
        ContactState.ACCEPTED,
        ContactState.MUTUAL,
        ContactState.PENDING,
        ContactState.UNREACHABLE,
    }
)
_AWAITED = frozenset({ContactState.SENT, ContactState.ACCEPTED, ContactState.MUTUAL})
"""What becomes due there is a silence, or an approval that is owed: nobody is notified."""
_ANSWERED = frozenset({ContactState.ACCEPTED, ContactState.MUTUAL, ContactState.REFUSED})
_BY_HAND = frozenset({ContactState.GIVEN_UP, ContactState.REFUSED})


class Book:
    """The contacts of one journey, indexed by what is due next.

    ``counts`` always adds up to the number of contacts.
    """

    def __init__(self, journey: Journey, contacts: Iterable[JourneyContact]) -> None:
        self.journey = journey
        self.waits = False
        """Nobody is told while the old account, elsewhere, cannot be asked."""
        self.counts: Counter[ContactState] = Counter()
        self._contacts: dict[str, JourneyContact] = {}
        self._ready: dict[str, deque[str]] = {}
        self._later: list[tuple[datetime, int, str]] = []
        self._order = numbers()
        self._dirty: set[str] = set()
        self._unsent: Counter[str] = Counter()
        """How many wait to be told, by domain."""
        self._again: Counter[str] = Counter()
        """How many wait to be told again, as what they were told may have been dropped."""
        self._answered: Counter[str] = Counter()
        self._tried: set[str] = set()
        """Domains where one was told again before its turn: whether it drops is best known soon."""
        self._by_hand: set[str] = set()
        self._taken_back: set[str] = set()
        unanswered: list[str] = []
        for contact in contacts:
            self._contacts[contact.jid] = contact
            if contact.error == machine.UNANSWERED:
                unanswered.append(contact.jid)
            self._count(contact, 1)
            self._schedule(contact)
        self._unanswered = tuple(sorted(unanswered))

    def __len__(self) -> int:
        return len(self._contacts)

    def __iter__(self) -> Iterator[JourneyContact]:
        return iter(list(self._contacts.values()))

    def get(self, jid: str) -> JourneyContact | None:
        """A contact by its JID."""
        return self._contacts.get(jid)

    def add(self, contact: JourneyContact) -> None:
        """Take up one more contact, who has moved on from the address of another."""
        self._contacts[contact.jid] = contact
        self._count(contact, 1)
        self._dirty.add(contact.jid)
        self._schedule(contact)

    def put(self, contact: JourneyContact) -> bool:
        """Take note of a contact as it is now; whether it changed."""
        before = self._contacts[contact.jid]
        if contact == before:
            return False
        self._count(before, -1)
        self._count(contact, 1)
        self._contacts[contact.jid] = contact
        self._dirty.add(contact.jid)
        self._schedule(contact)
        return True

    def _count(self, contact: JourneyContact, number: int) -> None:
        """Kept as it changes: a look at all contacts for each of them would be quadratic."""
        # Under this address nobody is there whom the mover could write to.
        nobodys = contact.error == machine.MOVED_ON or contact.account == NOBODYS
        self.counts[contact.state] += number
        if contact.state in machine.UNSENT:
            self._unsent[jids.domain(contact.jid)] += number
        elif machine.maybe_dropped(contact) and contact.state is ContactState.PENDING:
            self._again[jids.domain(contact.jid)] += number
        if contact.state in _ANSWERED:
            self._answered[jids.domain(contact.jid)] += number
        if contact.state is ContactState.SKIPPED and contact.error == machine.TAKEN_BACK:
            (self._taken_back.add if number > 0 else self._taken_back.discard)(contact.jid)
        if contact.state in _BY_HAND and contact.error != machine.MOVED_ON and not nobodys:
            (self._by_hand.add if number > 0 else self._by_hand.discard)(contact.jid)

    def apply(
        self, jid: str, event: machine.Event, now: datetime, schedule: machine.Schedule
    ) -> bool:
        """Feed an event to a contact's machine; whether it changed."""
        contact = self._contacts.get(jid)
        return contact is not None and self.put(machine.step(contact, event, now, schedule))

    def take_dirty(self) -> list[JourneyContact]:
        """What has changed since the last call and is to be saved."""
        changed = [self._contacts[jid] for jid in sorted(self._dirty)]
        self._dirty.clear()
        return changed

    def mark_dirty(self, contacts: Iterable[JourneyContact]) -> None:
        """A save failed: these are to be saved still."""
        self._dirty.update(contact.jid for contact in contacts)

    # What is due --------------------------------------------------------------------------------

    def ripen(self, now: datetime) -> list[str]:
        """Move what has become due to the queue; returns contacts whose silence is over.

        Among them are those to whom an approval is owed.
        """
        silent: list[str] = []
        while self._later and self._later[0][0] <= now:
            at, _, jid = heapq.heappop(self._later)
            contact = self._contacts[jid]
            if contact.due_at != at or contact.state not in _TIMED:
                continue
            if contact.state in _AWAITED:
                silent.append(jid)
            else:
                self._queue(jid)
        return silent

    def next_due(self) -> datetime | None:
        """When the next contact becomes due; None: never by itself."""
        while self._later:
            at, _, jid = self._later[0]
            contact = self._contacts[jid]
            if contact.due_at == at and contact.state in _TIMED:
                return at
            heapq.heappop(self._later)
        return None

    def domains(self) -> list[str]:
        """Domains at which somebody is due now."""
        return list(self._ready)

    def pop(self, domain: str, now: datetime) -> JourneyContact | None:
        """The next contact due at a domain, taken off the queue."""
        waiting = self._ready.pop(domain, None)
        while waiting:
            contact = self._contacts[waiting.popleft()]
            if machine.due(contact, now):
                if waiting:
                    self._ready[domain] = waiting  # the last in turn: the others come first
                return contact
        return None

    def _schedule(self, contact: JourneyContact) -> None:
        if contact.state is ContactState.QUEUED and contact.due_at is None:
            self._queue(contact.jid)
        elif contact.due_at is not None and contact.state in _TIMED:
            heapq.heappush(self._later, (contact.due_at, next(self._order), contact.jid))

    def _queue(self, jid: str) -> None:
        domain = jids.domain(jid)
        waiting = self._ready.setdefault(domain, deque())
        if machine.maybe_dropped(self._contacts[jid]) and domain not in self._tried:
            self._tried.add(domain)
            waiting.appendleft(jid)
        elif len(waiting) > 64 or jid not in waiting:
            waiting.append(jid)

    # What is told -------------------------------------------------------------------------------

    def has_answered(self, domain: str) -> bool:
        """Whether anybody at a domain has answered."""
        return self._answered[domain] > 0

    def any_in(self, states: frozenset[ContactState]) -> bool:
        """Whether any contact is in one of these states."""
        return any(self.counts[state] > 0 for state in states)

    def settled(self) -> bool:
        """Whether nothing is awaited any more.

        A contact that the old account could not see leaves no trace there when it follows.
        """
        away = self.journey.kind is Kind.AWAY
        everybody = self._contacts.values()
        if self.any_in(machine.OPEN) and not (
            away and all(not c.subscription.receives for c in everybody if c.state in machine.OPEN)
        ):
            return False
        return not self.counts[ContactState.ACCEPTED] or not any(map(machine.asks_back, everybody))

    def missed(self) -> tuple[JourneyContact, ...]:
        """Those that the mover has to write to when the time is over, as they are then.

        A contact that the old account could not see may have followed unseen.
        """
        return tuple(
            replace(contact, state=ContactState.GIVEN_UP, due_at=None)
            for contact in self
            if contact.state in machine.OPEN and contact.subscription.receives
        )

    def progress(self, pace: Pace, now: float) -> Progress:
        """How far it is.

        :param now: by the pace's clock.
        """
        left, waiting = None, self._unsent + self._again
        if self.journey.state.running and waiting:
            left = pace.estimate(waiting.items(), now)
        by_hand = tuple(sorted(self._by_hand))
        return Progress(
            self.journey,
            self.tally(),
            len(self._contacts),
            left,
            by_hand,
            self._again.total(),
            self._unanswered,
            tuple(sorted(self._taken_back)),
            self.waits,
        )

    def tally(self) -> dict[ContactState, int]:
        """How many contacts are in each state that any is in."""
        return {state: number for state, number in self.counts.items() if number}
