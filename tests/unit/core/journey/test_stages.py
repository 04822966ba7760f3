"""A journey's machine, the cooldown, who may read, and the preflight."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from component.core.journey import access, stages
from component.core.journey.model import (
    Access,
    CheckName,
    ContactState,
    Journey,
    JourneyContact,
    JourneyState,
    Kind,
)
from component.core.journey.preflight import Facts, domains_allowed, examine
from component.core.journey.stages import Word
from component.core.model import Subscription
from tests.unit.cases import cases

S = JourneyState
W = Word
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OLD, NEW = "romeo@old.example", "romeo@new.example"

# Words that change a state; every other word leaves it.
EXPECTED = {
    S.DRAFT: {W.CONFIRMED: S.PREFLIGHTED, W.CANCEL: S.CANCELLED},
    S.PREFLIGHTED: {
        W.READABLE: S.PUBLISHED,
        W.UNPUBLISHABLE: S.CANCELLED,
        W.PAUSE: S.PAUSED,
        W.CANCEL: S.CANCELLED,
    },
    S.PUBLISHED: {
        W.BEGUN: S.NOTIFYING,
        W.PAUSE: S.PAUSED,
        W.CANCEL: S.CANCELLED,
        W.UNDO: S.UNDOING,
    },
    S.NOTIFYING: {
        W.ALL_NOTIFIED: S.SETTLING,
        W.PAUSE: S.PAUSED,
        W.CANCEL: S.CANCELLED,
        W.UNDO: S.UNDOING,
    },
    S.SETTLING: {
        W.ALL_SETTLED: S.DONE,
        W.PAUSE: S.PAUSED,
        W.CANCEL: S.CANCELLED,
        W.UNDO: S.UNDOING,
    },
    S.DONE: {W.UNDO: S.UNDOING},
    S.PAUSED: {W.RESUME: S.SETTLING, W.CANCEL: S.CANCELLED, W.UNDO: S.UNDOING},
    S.CANCELLED: {W.UNDO: S.UNDOING},
    S.UNDOING: {W.UNDONE: S.UNDONE},
    S.UNDONE: {},
}


for _state in (S.PREFLIGHTED, S.PUBLISHED, S.NOTIFYING, S.SETTLING, S.PAUSED, S.UNDOING):
    EXPECTED[_state][W.LOST] = S.CANCELLED


def journey(state: S, **more: Any) -> Journey:
    """A journey that was started where it has been."""
    resume = S.SETTLING if state is S.PAUSED else None
    started = None if state is S.DRAFT else NOW - timedelta(hours=1)
    found = Journey(1, Kind.BOTH, OLD, NEW, OLD, state, None, NOW, started, resume_to=resume)
    return replace(found, **more)


def test_every_pair_is_decided() -> None:
    with cases() as case:
        for state, word in product(S, W):
            with case(f"{state}, {word}"):
                before = journey(state)
                after = stages.after(before, word, NOW)
                expected = EXPECTED[state].get(word)
                assert stages.allows(before, word) == (expected is not None)
                assert after.state is (expected or state)
                if expected is None:
                    assert after is before
                assert (after.ended_at is not None) == (after.state.final and expected is not None)


@pytest.mark.parametrize("state", [S.PREFLIGHTED, S.PUBLISHED, S.NOTIFYING, S.SETTLING])
def test_a_pause_goes_back_to_where_it_was(state: S) -> None:
    paused = stages.after(journey(state), W.PAUSE, NOW, "why")
    assert (paused.state, paused.resume_to, paused.detail) == (S.PAUSED, state, "why")
    resumed = stages.after(paused, W.RESUME, NOW)
    assert (resumed.state, resumed.resume_to, resumed.detail) == (state, None, None)


def test_what_never_began_is_not_undone() -> None:
    assert not stages.allows(journey(S.CANCELLED, started_at=None), W.UNDO)


def test_only_success_costs_the_long_wait() -> None:
    def until(*journeys: Journey) -> datetime | None:
        return stages.cooldown_until(
            journeys, success=timedelta(days=30), failure=timedelta(minutes=5)
        )

    began = NOW - timedelta(hours=1)
    assert until() is None
    assert until(journey(S.DRAFT)) is None
    for state in (S.SETTLING, S.DONE):
        assert until(journey(state, ended_at=NOW)) == began + timedelta(days=30)
    for state in (S.CANCELLED, S.UNDONE):
        assert until(journey(state, ended_at=NOW)) == NOW + timedelta(minutes=5)
    both = (journey(S.CANCELLED, ended_at=NOW), journey(S.DONE, ended_at=NOW))
    assert until(*both) == began + timedelta(days=30)


# Access -----------------------------------------------------------------------------------------


def contact(
    jid: str,
    subscription: Subscription = Subscription.BOTH,
    state: ContactState = ContactState.QUEUED,
) -> JourneyContact:
    """A contact."""
    return JourneyContact(jid, None, (), subscription, state)


A, B = contact("a@x.example"), contact("b@x.example")
ONE_WAY = contact("c@x.example", Subscription.TO)
LEFT_OUT = contact("d@x.example", state=ContactState.SKIPPED)


def test_presence_where_everybody_sees_the_old_account() -> None:
    assert access.suggest([A, B], Kind.BOTH) is Access.PRESENCE


@pytest.mark.parametrize("other", [ONE_WAY, LEFT_OUT])
def test_a_whitelist_where_presence_lets_in_too_few_or_too_many(other: JourneyContact) -> None:
    assert access.suggest([A, other], Kind.BOTH) is Access.WHITELIST


def test_a_whitelist_is_bounded() -> None:
    many = [contact(f"n{n}@x.example") for n in range(access.WHITELIST_MAX + 1)]
    assert access.suggest(many[1:], Kind.AWAY) is Access.WHITELIST
    assert access.suggest(many, Kind.AWAY) is Access.PRESENCE


def test_readers_are_those_who_are_told_and_the_new_account() -> None:
    assert access.readers([B, LEFT_OUT, A, ONE_WAY], NEW) == (NEW, A.jid, B.jid, ONE_WAY.jid)


# Preflight --------------------------------------------------------------------------------------

N = CheckName
GOOD = Facts(Kind.BOTH, OLD, NEW, OLD, NOW)
ARRIVE = Facts(Kind.ARRIVE, OLD, NEW, NEW, NOW, old_names=NEW)


@pytest.mark.parametrize("facts", [GOOD, replace(GOOD, kind=Kind.AWAY), ARRIVE])
def test_all_good(facts: Facts) -> None:
    checks = examine(facts)
    assert all(check.ok for check in checks)
    assert len({check.name for check in checks}) == len(checks)


@pytest.mark.parametrize(
    ("facts", "failing"),
    [
        (replace(GOOD, new="ROMEO@old.example".lower()), N.DIFFERENT),
        (replace(GOOD, owner_trouble="item-not-found"), N.ACCOUNT),
        (replace(GOOD, target_trouble="remote-server-not-found"), N.TARGET),
        (replace(GOOD, pep_trouble="feature-not-implemented"), N.PEP),
        (replace(GOOD, old_names="else@where.example"), N.NOT_MOVED),
        (replace(GOOD, new_names=OLD), N.NO_LOOP),
        (replace(GOOD, new_names="third@where.example"), N.CHAIN),
        (replace(GOOD, earlier=5), N.CHAIN),
        (replace(GOOD, contacts=10_001), N.CONTACTS),
        (replace(GOOD, cooldown_until=NOW + timedelta(seconds=1)), N.COOLDOWN),
        (replace(GOOD, busy_with="other@new.example"), N.IDLE),
        (replace(GOOD, allowed=False), N.ALLOWED),
        (replace(ARRIVE, old_names=None, statement_trouble="no-statement"), N.STATEMENT),
        (replace(ARRIVE, old_names="else@where.example"), N.STATEMENT),
        (replace(ARRIVE, new_names=OLD), N.NO_LOOP),
    ],
)
def test_each_check_fails_alone(facts: Facts, failing: CheckName) -> None:
    assert [check.name for check in examine(facts) if not check.ok] == [failing]


@pytest.mark.parametrize(
    "facts",
    [
        replace(GOOD, old_names=NEW),
        replace(GOOD, earlier=4),
        replace(GOOD, contacts=10_000),
        replace(GOOD, cooldown_until=NOW),
        replace(GOOD, new="romeo@b\u00fccher.example", old_names="romeo@xn--bcher-kva.example"),
    ],
)
def test_what_is_still_good(facts: Facts) -> None:
    assert all(check.ok for check in examine(facts))


def test_domains() -> None:
    assert domains_allowed({"a"}, (), ())
    assert not domains_allowed({"a"}, (), {"a"})
    assert domains_allowed({"a"}, {"a"}, ())
    assert not domains_allowed({"a", "b"}, {"a"}, ())
    assert not domains_allowed({"a"}, {"a"}, {"a"})
