"""A whole server's users move: the real pace, machines and book, and nothing around them.

For sizes at which the whole engine (:mod:`bench.movers.shutdown`) takes an hour; restarts are
left out.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

from bench.movers.moves import move
from bench.movers.network import BOUNCE_SECONDS
from bench.movers.tally import Outcome, Tally
from bench.movers.town import HOUR, NEW_HOST, Contact, Domain, Size, build
from component.core.journey import contacts as machine
from component.core.journey.model import JourneyContact, JourneyState
from component.core.journey.pace import Pace, Rates
from component.core.model import PresenceKind, RosterItem, Subscription
from component.engine.movers.book import Book
from component.engine.movers.box import MoverSettings
from sim.model_world import Manner

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCHEDULE = MoverSettings().schedule


def simulate(size: Size, seed: int, rates: Rates | None = None) -> Outcome:
    """Run it; the same for the same seed."""
    simulated = _Paced(size, seed, rates or Rates())
    simulated.run()
    people = (contact for mover in simulated.movers for contact in mover.book)
    return simulated.tally.outcome("pace", size, seed, simulated.town, people)


class _Mover:
    def __init__(self, number: int, name: str, contacts: list[Contact]) -> None:
        self.number = number
        self.jid = f"{name}@{NEW_HOST}"
        self.contacts = {contact.jid: contact for contact in contacts}
        self.asks_at = math.inf
        self.book = Book(*move(number, name, self.contacts, JourneyState.NOTIFYING, BEGIN))
        self.waits: set[str] = set()
        """Contacts that have a request and have not decided."""


class _Paced:
    def __init__(self, size: Size, seed: int, rates: Rates) -> None:
        self.town = build(size, seed)
        self.tally = Tally()
        self.pace = Pace(rates)
        self.until = size.hours * HOUR
        self.now = 0.0
        self._order = count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self.movers = [
            _Mover(number, name, contacts)
            for number, (name, contacts) in enumerate(self.town.movers.items())
        ]
        for mover, at in zip(self.movers, self.town.begins.values(), strict=True):
            self._ask_at(mover, at)

    def run(self) -> None:
        """Until there is nothing left to happen, or the time is over."""
        while self._events and self._events[0][0] <= self.until:
            self.now, _, happens = heapq.heappop(self._events)
            happens()

    def _at(self, when: float, happens: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), happens))

    # The mover ------------------------------------------------------------------------------------

    def _ask_at(self, mover: _Mover, when: float) -> None:
        if when < mover.asks_at:
            mover.asks_at = when
            self._at(when, lambda: self._ask(mover, when))

    def _ask(self, mover: _Mover, when: float) -> None:
        if mover.asks_at != when:
            return  # it asked sooner
        mover.asks_at = math.inf
        book, now = mover.book, BEGIN + timedelta(seconds=self.now)
        for jid in book.ripen(now):
            domain_of = self._domain(jid).name
            answers = book.has_answered(domain_of) or self.pace.has_answered(domain_of)
            dropped = answers and self.pace.doubts(domain_of)
            again = (contact := book.get(jid)) is not None and machine.maybe_dropped(contact)
            passed = machine.TimePassed(dropped=dropped and not again)
            book.apply(jid, passed, now, SCHEDULE)
        while domains := book.domains():
            domain, wait = self.pace.next(mover.number, domains, self.now)
            if domain is None:
                self._ask_at(mover, self.now + wait)
                break
            contact = book.pop(domain, now)
            if contact is not None:
                again = machine.maybe_dropped(contact)
                self.pace.spend(mover.number, domain, self.now, contact.jid, again=again)
                self._tell(mover, contact, now)
        due = book.next_due()
        if due is not None:
            # A step further: what is due at a moment must not be asked for just before it.
            self._ask_at(mover, (due - BEGIN).total_seconds() + 1e-3)

    def _tell(self, mover: _Mover, contact: JourneyContact, now: datetime) -> None:
        item = RosterItem(contact.jid, Subscription.NONE, True)
        mover.book.apply(contact.jid, machine.Leaving(), now, SCHEDULE)
        mover.book.apply(contact.jid, machine.Left(item), now, SCHEDULE)
        self.tally.left(mover.jid, contact.jid, self.now)
        domain = self._domain(contact.jid)
        withdrawn = machine.withdraws(contact)
        self._at(
            self.now + domain.delay, lambda: self._arrives(mover, contact.jid, domain, withdrawn)
        )

    def _hears(self, mover: _Mover, jid: str, event: machine.Event) -> None:
        name = self._domain(jid).name
        if isinstance(event, machine.Bounced) and event.condition.startswith("remote-server"):
            self.pace.failed(name, self.now)
        else:
            self.pace.answered(name, self.now, mover.number, jid)
        mover.book.apply(jid, event, BEGIN + timedelta(seconds=self.now), SCHEDULE)
        self._ask_at(mover, self.now)

    # The contact ----------------------------------------------------------------------------------

    def _arrives(self, mover: _Mover, jid: str, domain: Domain, withdrawn: bool) -> None:
        """A notification is at the contact's server, or would be."""
        if any(start <= self.now < end for start, end in domain.outages):
            self._answer(mover, jid, machine.Bounced("remote-server-not-found"), BOUNCE_SECONDS)
            return
        if domain.refuses:
            self._answer(mover, jid, machine.Bounced("policy-violation"), domain.delay)
            return
        if withdrawn:
            mover.waits.discard(jid)
        if jid in mover.waits:
            return  # dropped: one waits already
        self.tally.arrived(mover.jid, jid, self.now)
        contact, wait = mover.contacts[jid], domain.delay
        if contact.manner is Manner.SILENT:
            mover.waits.add(jid)
            return
        if contact.manner is not Manner.FOLLOWS:
            mover.waits.add(jid)
            wait += contact.hesitates
        item = RosterItem(jid, Subscription.BOTH, False)
        answer = machine.Heard(PresenceKind.SUBSCRIBED, item)
        if contact.manner is Manner.REFUSES:
            answer = machine.Heard(PresenceKind.UNSUBSCRIBED, None)
        self._answer(mover, jid, answer, wait)

    def _answer(self, mover: _Mover, jid: str, event: machine.Event, wait: float) -> None:
        self._at(self.now + wait, lambda: self._hears(mover, jid, event))

    def _domain(self, jid: str) -> Domain:
        return self.town.domains[jid.partition("@")[2]]
