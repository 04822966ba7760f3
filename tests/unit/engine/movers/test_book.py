"""The contacts of a journey in memory: nothing is lost, everything adds up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from component.core.journey import contacts as machine
from component.core.journey.model import ContactState, Journey, JourneyContact, JourneyState, Kind
from component.core.journey.pace import Pace, Rates
from component.core.model import PresenceKind, RosterItem, Subscription
from component.engine.movers.book import Book

S = ContactState
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCHEDULE = machine.Schedule(
    tuple(timedelta(hours=h) for h in (1, 6, 24, 72, 168)), timedelta(minutes=10)
)
PEOPLE = [f"p{n:03}@d{n % 4}.example" for n in range(24)]


def book(*people: str, kind: Kind = Kind.BOTH) -> Book:
    """A journey at work with these people queued."""
    journey = Journey(1, kind, "a@x", "b@x", "a@x", JourneyState.NOTIFYING, None, NOW)
    contacts = [JourneyContact(p, None, (), Subscription.BOTH, S.QUEUED) for p in people]
    return Book(journey, contacts)


def test_each_domain_in_the_order_of_the_book_and_domains_in_turn() -> None:
    of = book(*PEOPLE[:8])
    taken = []
    while of.domains():
        contact = of.pop(of.domains()[0], NOW)
        assert contact is not None
        taken.append(contact.jid)
    assert taken == PEOPLE[:8]


def test_silences_and_retries_ripen() -> None:
    of = book(PEOPLE[0])
    contact = of.pop("d0.example", NOW)
    assert contact is not None
    of.apply(contact.jid, machine.Leaving(), NOW, SCHEDULE)
    asked = RosterItem(contact.jid, Subscription.NONE, True)
    of.apply(contact.jid, machine.Left(asked), NOW, SCHEDULE)
    for later in (SCHEDULE.second_after, SCHEDULE.pending_after):
        assert of.next_due() == NOW + later
        assert of.ripen(NOW) == []
        assert of.ripen(NOW + later) == [contact.jid]
        of.apply(contact.jid, machine.TimePassed(), NOW + later, SCHEDULE)
    of.apply(contact.jid, machine.Bounced("remote-server-timeout"), NOW, SCHEDULE)
    assert of.domains() == []
    assert of.ripen(NOW + timedelta(hours=1)) == []
    assert of.domains() == ["d0.example"]
    assert of.pop("d0.example", NOW + timedelta(hours=1)) == of.get(contact.jid)


def test_what_could_not_be_saved_is_saved_later() -> None:
    of = book(*PEOPLE[:2])
    of.apply(PEOPLE[0], machine.Leaving(), NOW, SCHEDULE)
    dirty = of.take_dirty()
    assert [contact.jid for contact in dirty] == [PEOPLE[0]]
    assert of.take_dirty() == []
    of.mark_dirty(dirty)
    assert of.take_dirty() == dirty


def _told_again(contact: JourneyContact) -> bool:
    return machine.maybe_dropped(contact) and contact.state is S.PENDING


def test_one_who_may_have_missed_it_is_told_again_before_the_others_and_then_after_them() -> None:
    of = book(*(f"{name}@d.example" for name in "abcdef"))
    for _ in "ab":
        contact = of.pop("d.example", NOW)
        assert contact is not None
        of.apply(contact.jid, machine.Leaving(), NOW, SCHEDULE)
        asked = RosterItem(contact.jid, Subscription.NONE, True)
        of.apply(contact.jid, machine.Left(asked), NOW, SCHEDULE)
    later = NOW + SCHEDULE.second_after
    for jid in of.ripen(later):
        of.apply(jid, machine.TimePassed(dropped=True), later, SCHEDULE)
    of.ripen(later)
    order = []
    while of.domains():
        contact = of.pop("d.example", later)
        assert contact is not None
        order.append(contact.jid[0])
        of.apply(contact.jid, machine.Leaving(), later, SCHEDULE)
    assert order == list("acdefb")
    assert [contact.attempts for contact in of] == [1] * 6


class BookMachine(RuleBasedStateMachine):
    """Any operations; whoever is due by the book's own word is found by popping."""

    def __init__(self) -> None:
        super().__init__()
        self.book = book(*PEOPLE)
        self.now = NOW

    people = st.sampled_from(PEOPLE)

    @rule(seconds=st.integers(0, 400_000), dropped=st.booleans())
    def time_passes(self, seconds: int, dropped: bool) -> None:
        self.now += timedelta(seconds=seconds)
        for jid in self.book.ripen(self.now):
            for event in (machine.TimePassed(dropped=dropped), machine.Approved(None)):
                self.book.apply(jid, event, self.now, SCHEDULE)

    @precondition(lambda self: self.book.domains())
    @rule(data=st.data())
    def somebody_is_told(self, data: st.DataObject) -> None:
        domain = data.draw(st.sampled_from(self.book.domains()))
        contact = self.book.pop(domain, self.now)
        if contact is None:
            return
        assert machine.due(contact, self.now)
        self.book.apply(contact.jid, machine.Leaving(), self.now, SCHEDULE)
        left: machine.Event = machine.Left(RosterItem(contact.jid, Subscription.NONE, True))
        if data.draw(st.booleans()):
            left = machine.NotLeft("internal-server-error")
        self.book.apply(contact.jid, left, self.now, SCHEDULE)

    @rule(jid=people, subscription=st.sampled_from(Subscription), ask=st.booleans())
    def found(self, jid: str, subscription: Subscription, ask: bool) -> None:
        item = RosterItem(jid, subscription, ask)
        self.book.apply(jid, machine.Found(item), self.now, SCHEDULE)

    @rule(jid=people, again=st.booleans())
    def approved(self, jid: str, again: bool) -> None:
        self.book.apply(
            jid, machine.Approved(timedelta(minutes=1) if again else None), self.now, SCHEDULE
        )

    @rule(jid=people, condition=st.sampled_from(["remote-server-timeout", "gone", "forbidden"]))
    def bounced(self, jid: str, condition: str) -> None:
        self.book.apply(jid, machine.Bounced(condition), self.now, SCHEDULE)

    @rule(jid=people)
    def refused(self, jid: str) -> None:
        heard = machine.Heard(PresenceKind.UNSUBSCRIBED, None)
        self.book.apply(jid, heard, self.now, SCHEDULE)

    @rule()
    def saved(self) -> None:
        self.book.take_dirty()

    @invariant()
    def counts_add_up(self) -> None:
        progress = self.book.progress(Pace(Rates()), 0.0)
        assert progress.again == sum(map(_told_again, self.book))
        assert sum(progress.counts.values()) == progress.total == len(PEOPLE)
        states = [contact.state for contact in self.book]
        assert all(states.count(state) == n for state, n in progress.counts.items())

    @invariant()
    def nobody_is_lost(self) -> None:
        """Whoever waits for a time is among those with a time, or in a queue."""
        queued = {jid for waiting in self.book._ready.values() for jid in waiting}
        timed = {jid for _, _, jid in self.book._later}
        for contact in self.book:
            if machine.due(contact, self.now):
                assert contact.jid in queued | timed
            elif contact.due_at is not None:
                assert contact.jid in timed

    @invariant()
    def the_next_time_is_right(self) -> None:
        due = self.book.next_due()
        if due is not None:
            assert any(contact.due_at == due for contact in self.book)


BookMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestBookMachine = BookMachine.TestCase
