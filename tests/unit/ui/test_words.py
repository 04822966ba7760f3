"""Every state and reason has words."""

from __future__ import annotations

import pytest

from component.core.journey.model import ContactState, JourneyState, Kind, Problem
from component.core.model import Reason
from component.core.records import MoveState
from component.ops.control_orders import Fault
from component.ui.words import (
    CONTACT_STATES,
    FAULTS,
    JOURNEY_STATES,
    KINDS,
    PROBLEMS,
    REASONS,
    SHORT_CONTACT_STATES,
    SHORT_STATES,
    STATES,
    counts_words,
    duration_words,
    problem_words,
    reason_words,
)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_sentence(reason: Reason) -> None:
    sentence = REASONS[reason]
    assert sentence == reason_words(reason)
    assert sentence[0] in "TWx"
    assert sentence.endswith(".")


@pytest.mark.parametrize("state", MoveState)
def test_every_state_has_words(state: MoveState) -> None:
    assert STATES[state].endswith(".")
    assert SHORT_STATES[state]


def test_words_differ() -> None:
    assert len(set(REASONS.values())) == len(Reason)
    assert len(set(STATES.values())) == len(MoveState)
    assert len(set(SHORT_STATES.values())) == len(MoveState)


def test_nothing_decided_has_words_too() -> None:
    assert reason_words(None) == "Not decided yet."


def test_users_own_moves_have_words() -> None:
    assert set(KINDS) == set(Kind)
    assert set(JOURNEY_STATES) == set(JourneyState)
    assert set(CONTACT_STATES) == set(SHORT_CONTACT_STATES) == set(ContactState)
    assert set(PROBLEMS) == set(Problem)
    assert set(FAULTS) == set(Fault)
    for words in (KINDS, JOURNEY_STATES, CONTACT_STATES, SHORT_CONTACT_STATES, PROBLEMS):
        assert len(set(words.values())) == len(words)
    for sentence in (*KINDS.values(), *JOURNEY_STATES.values(), *CONTACT_STATES.values()):
        assert sentence.endswith(".")


def test_a_refusal_says_what_is_known() -> None:
    assert problem_words("too-late", {}) == "the time for an undo is over"
    assert problem_words("no-such-journey", {"id": "9"}) == "there is no move m9"
    assert problem_words("moon-wrong", {}) == "moon-wrong"


def test_counts_follow_one_order_and_leave_out_nothing() -> None:
    counts = {ContactState.MUTUAL: 2, ContactState.QUEUED: 1, ContactState.SENT: 0}
    assert counts_words(counts) == "1 waiting, 2 mutual"
    assert counts_words({}) == "no contacts"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "under a minute"),
        (59.9, "under a minute"),
        (60, "about 1 min"),
        (330, "about 6 min"),
        (7000, "about 117 min"),
        (7200, "about 2 h"),
        (90_000, "about 25 h"),
    ],
)
def test_a_time_to_go_is_coarse(seconds: float, words: str) -> None:
    assert duration_words(seconds) == words
