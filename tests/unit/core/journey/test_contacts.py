"""One contact's machine: its table, and what holds after any events in any order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from component.core.journey import contacts as machine
from component.core.journey.contacts import (
    Approved,
    Bounced,
    Found,
    Heard,
    Leaving,
    Left,
    NotLeft,
    Schedule,
    TakenBack,
    TimePassed,
    step,
)
from component.core.journey.model import ContactState, JourneyContact
from component.core.model import PresenceKind, RosterItem, Subscription
from tests.unit.cases import cases

S = ContactState
JID = "nurse@capulet.example"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCHEDULE = Schedule(tuple(timedelta(hours=h) for h in (1, 6, 24, 72, 168)), timedelta(minutes=10))
SUBSCRIPTIONS = st.sampled_from(Subscription)
ITEMS = st.none() | st.builds(RosterItem, st.just(JID), SUBSCRIPTIONS, st.booleans())
CONDITIONS = st.sampled_from(
    ("remote-server-not-found", "remote-server-timeout", "service-unavailable", "gone", "forbidden")
)

# What each state does with each event; what is not here changes nothing.
EXPECTED: dict[S, set[type]] = {
    S.QUEUED: {Leaving, Found, Heard, TakenBack},
    S.SENDING: {Left, NotLeft, Found, Heard, Bounced, TakenBack},
    S.SENT: {Found, Heard, Bounced, TimePassed, TakenBack},
    S.PENDING: {Leaving, Found, Heard, Bounced, TakenBack},
    S.UNREACHABLE: {Leaving, Found, Heard, Bounced, TakenBack},
    S.ACCEPTED: {Found, Heard, TimePassed, TakenBack},
    S.REFUSED: {Found, Heard, TakenBack},
    S.GIVEN_UP: {Found, Heard, TakenBack},
    S.MUTUAL: {Approved},
    S.SKIPPED: set(),
    S.RESTORED: set(),
}


def contact(state: S = S.QUEUED, **more: object) -> JourneyContact:
    """A mutual contact in a state."""
    return JourneyContact(JID, "Nurse", (), Subscription.BOTH, state, **more)  # type: ignore[arg-type]


def entry(subscription: Subscription, ask: bool = False) -> RosterItem:
    """The new account's entry."""
    return RosterItem(JID, subscription, ask)


def test_every_pair_is_decided() -> None:
    with cases() as case:
        for state, event in product(S, get_args(machine.Event)):
            with case(f"{state}, {event}"):
                assert ((state, event) in machine.TABLE) == (event in EXPECTED[state])


@pytest.mark.parametrize("state", [S.MUTUAL, S.SKIPPED, S.RESTORED])
@pytest.mark.parametrize(
    "event",
    [
        Leaving(),
        Left(None),
        NotLeft("forbidden", True),
        Found(entry(Subscription.NONE)),
        Heard(PresenceKind.UNSUBSCRIBED, None),
        Bounced("gone"),
        TimePassed(),
    ],
)
def test_what_ended_stays(state: S, event: machine.Event) -> None:
    before = contact(state)
    assert step(before, event, NOW, SCHEDULE) is before


@pytest.mark.parametrize("state", [s for s in S if EXPECTED[s]])
@pytest.mark.parametrize("event", [Found, lambda i: Heard(PresenceKind.SUBSCRIBED, i)])
def test_both_is_mutual_from_anywhere(state: S, event: type) -> None:
    after = step(contact(state), event(entry(Subscription.BOTH)), NOW, SCHEDULE)
    assert after.state is S.MUTUAL
    assert after.due_at is None
    assert not machine.due(after, NOW + timedelta(days=999))


@pytest.mark.parametrize(
    ("item", "state"),
    [
        (None, S.QUEUED),
        (entry(Subscription.NONE, True), S.SENT),
        (entry(Subscription.FROM, True), S.SENT),
        (entry(Subscription.TO), S.ACCEPTED),
        (entry(Subscription.BOTH), S.MUTUAL),
        # The request made the entry; without "ask" it was answered with a no.
        (entry(Subscription.NONE), S.REFUSED),
    ],
)
def test_after_a_crash_the_roster_says_whether_it_left(item: RosterItem | None, state: S) -> None:
    sending = step(contact(), Leaving(), NOW, SCHEDULE)
    after = step(sending, Found(item), NOW, SCHEDULE)
    assert after.state is state
    assert (after.sent_at is None) == (state is S.QUEUED)
    assert after.attempts == (0 if state is S.QUEUED else 1)


def test_an_entry_from_before_proves_nothing() -> None:
    sending = step(contact(before=entry(Subscription.NONE)), Leaving(), NOW, SCHEDULE)
    assert step(sending, Found(entry(Subscription.NONE)), NOW, SCHEDULE).state is S.QUEUED


@pytest.mark.parametrize(
    "event", [Bounced("remote-server-not-found"), Heard(PresenceKind.UNSUBSCRIBED, None)]
)
def test_an_answer_before_our_servers_word_counts_as_sent(event: machine.Event) -> None:
    after = step(step(contact(), Leaving(), NOW, SCHEDULE), event, NOW, SCHEDULE)
    assert after.sent_at == NOW


def test_a_dead_server_is_tried_six_times() -> None:
    now, tried, waits = NOW, contact(), []
    while tried.state is not S.GIVEN_UP:
        tried = step(tried, Leaving(), now, SCHEDULE)
        tried = step(tried, Left(entry(Subscription.NONE, True)), now, SCHEDULE)
        tried = step(tried, Bounced("remote-server-timeout"), now, SCHEDULE)
        if tried.due_at is not None:
            waits.append(tried.due_at - now)
            now = tried.due_at
    assert tuple(waits) == SCHEDULE.retries
    assert tried.attempts == 6


def test_a_person_who_does_not_look_is_asked_three_times() -> None:
    now, waiting, asked = NOW, contact(), 0
    while waiting.state is not S.GIVEN_UP:
        if waiting.state is S.SENT:
            assert waiting.due_at is not None
            now = waiting.due_at
            waiting = step(waiting, TimePassed(), now, SCHEDULE)
            continue
        now = waiting.due_at or now
        waiting = step(waiting, Leaving(), now, SCHEDULE)
        waiting = step(waiting, Left(entry(Subscription.NONE, True)), now, SCHEDULE)
        asked += 1
    assert asked == 3


@pytest.mark.parametrize(
    ("hours", "repeated"),
    [((), []), ((1,), [24]), ((1, 6, 48), [48]), ((1, 6, 24, 72), [72])],
)
def test_silence_ends_whatever_the_delays(hours: tuple[int, ...], repeated: list[int]) -> None:
    schedule = Schedule(tuple(timedelta(hours=h) for h in hours), timedelta(minutes=10))
    now, it, waited = NOW, contact(S.QUEUED), []
    while it.state is not S.GIVEN_UP:
        it = step(it, Leaving(), now, schedule)
        it = step(it, Left(entry(Subscription.NONE, True)), now, schedule)
        now += schedule.pending_after
        it = step(it, TimePassed(), now, schedule)
        if it.due_at is not None:
            waited.append(round((it.due_at - now) / timedelta(hours=1)))
            now = it.due_at
    assert waited == repeated


def test_the_way_back_is_awaited_for_a_while_only() -> None:
    sent = contact(S.SENT, sent_at=NOW, attempts=1)
    accepted = step(sent, Found(entry(Subscription.TO)), NOW, SCHEDULE)
    assert accepted.state is S.ACCEPTED
    assert machine.asks_back(accepted)
    assert machine.asks_back(step(accepted, TimePassed(), NOW, SCHEDULE))
    later = step(accepted, TimePassed(), NOW + SCHEDULE.pending_after, SCHEDULE)
    assert later.state is S.ACCEPTED
    assert not machine.asks_back(later)


def test_only_who_stayed_silent_twice_is_shown_the_request_again() -> None:
    """Where the answer was lost, a bare repeat has the contact's server give it again."""
    assert not machine.withdraws(contact(S.QUEUED))
    assert not machine.withdraws(contact(S.UNREACHABLE, sent_at=NOW, attempts=3))
    assert not machine.withdraws(contact(S.PENDING, sent_at=NOW, attempts=1))
    assert machine.withdraws(contact(S.PENDING, sent_at=NOW, attempts=2))


def test_silence_across_a_restart_is_looked_into_soon() -> None:
    sent = contact(S.SENT, sent_at=NOW - SCHEDULE.pending_after, due_at=NOW, attempts=1)
    pending = step(sent, TimePassed(cut_off=True), NOW, SCHEDULE)
    assert (pending.state, pending.due_at) == (S.PENDING, NOW + SCHEDULE.retries[0])
    # The second time it is a person who does not look.
    again = step(replace(sent, attempts=2), TimePassed(cut_off=True), NOW, SCHEDULE)
    assert again.due_at == NOW + SCHEDULE.pending_retries[1]


def test_who_may_not_have_got_it_is_told_once_more_and_that_costs_no_try() -> None:
    sent = step(contact(S.SENDING, attempts=1), Left(entry(Subscription.NONE, True)), NOW, SCHEDULE)
    later = NOW + SCHEDULE.second_after
    assert sent.due_at == later
    silent = step(sent, TimePassed(dropped=True), later, SCHEDULE)
    assert machine.due(silent, later)
    assert machine.maybe_dropped(silent)
    assert not machine.withdraws(silent), "a bare one: a person is not asked twice"
    sending = step(silent, Leaving(), later, SCHEDULE)
    again = step(sending, Left(entry(Subscription.NONE, True)), later, SCHEDULE)
    assert (again.state, again.attempts) == (S.SENT, 1)
    assert again.due_at == later + SCHEDULE.pending_after
    # From here on it is a person who does not look.
    over = step(again, TimePassed(), again.due_at, SCHEDULE)
    assert over.due_at == again.due_at + SCHEDULE.pending_retries[0]
    assert not machine.maybe_dropped(over)
    answered = step(again, Found(entry(Subscription.BOTH)), later, SCHEDULE)
    assert (answered.state, answered.error) == (S.MUTUAL, None)


def test_where_nobody_answers_nobody_is_told_twice() -> None:
    sent = contact(S.SENT, sent_at=NOW, due_at=NOW + SCHEDULE.second_after, attempts=1)
    waits = step(sent, TimePassed(), NOW + SCHEDULE.second_after, SCHEDULE)
    assert (waits.state, waits.due_at) == (S.SENT, NOW + SCHEDULE.pending_after)
    # Somebody there has answered meanwhile.
    late = step(waits, TimePassed(dropped=True), NOW + SCHEDULE.pending_after, SCHEDULE)
    assert machine.maybe_dropped(late)


def test_an_approval_that_may_have_been_dropped_is_owed() -> None:
    mutual = contact(S.MUTUAL, sent_at=NOW, attempts=1)
    unsure = step(mutual, Approved(timedelta(minutes=1)), NOW, SCHEDULE)
    assert machine.owed(unsure)
    assert not machine.owed(step(unsure, Approved(None), NOW, SCHEDULE))


def test_an_answer_that_our_server_forgot_is_asked_for_again() -> None:
    accepted = contact(S.ACCEPTED, sent_at=NOW, attempts=1)
    forgotten = step(accepted, Found(entry(Subscription.NONE, True)), NOW, SCHEDULE)
    assert (forgotten.state, forgotten.due_at) == (S.UNREACHABLE, NOW + SCHEDULE.retries[0])
    assert not machine.withdraws(forgotten)
    # Who takes it back, or asks anew, has not been forgotten.
    for item in (None, entry(Subscription.NONE), entry(Subscription.TO, True)):
        assert step(accepted, Found(item), NOW, SCHEDULE).state is S.ACCEPTED


class ContactMachine(RuleBasedStateMachine):
    """Any events in any order that the engine could feed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.it = contact()
        self.left_since = True

    def feed(self, event: machine.Event) -> None:
        self.it = step(self.it, event, self.now, SCHEDULE)

    @precondition(lambda self: machine.due(self.it, self.now))
    @rule()
    def leaves(self) -> None:
        assert self.it.state in (S.QUEUED, S.PENDING, S.UNREACHABLE), "never twice at once"
        tries = self.it.attempts
        self.feed(Leaving())
        assert self.it.attempts == tries + 1

    @rule(item=ITEMS)
    def left(self, item: RosterItem | None) -> None:
        self.feed(Left(item))

    @rule(condition=CONDITIONS, forbidden=st.booleans())
    def not_left(self, condition: str, forbidden: bool) -> None:
        self.feed(NotLeft(condition, forbidden))

    @rule(item=ITEMS)
    def found(self, item: RosterItem | None) -> None:
        was_sending = self.it.state is S.SENDING
        self.feed(Found(item))
        assert not (was_sending and self.it.state is S.SENDING), "a look decides"

    @rule(kind=st.sampled_from(PresenceKind), item=ITEMS)
    def heard(self, kind: PresenceKind, item: RosterItem | None) -> None:
        self.feed(Heard(kind, item))

    @rule(condition=CONDITIONS)
    def bounced(self, condition: str) -> None:
        self.feed(Bounced(condition))

    @rule(hours=st.integers(0, 200), cut_off=st.booleans())
    def time_passes(self, hours: int, cut_off: bool) -> None:
        self.now += timedelta(hours=hours)
        self.feed(TimePassed(cut_off))

    @invariant()
    def attempts_are_bounded(self) -> None:
        assert 0 <= self.it.attempts <= len(SCHEDULE.retries) + 1

    @invariant()
    def what_was_sent_is_known(self) -> None:
        if self.it.state in (S.SENT, S.PENDING, S.UNREACHABLE):
            assert self.it.sent_at is not None
            assert self.it.attempts > 0

    @invariant()
    def nobody_waits_without_a_time(self) -> None:
        if self.it.state in (S.SENT, S.PENDING, S.UNREACHABLE):
            assert self.it.due_at is not None


ContactMachine.TestCase.settings = settings(max_examples=300, stateful_step_count=40)
TestContactMachine = ContactMachine.TestCase
