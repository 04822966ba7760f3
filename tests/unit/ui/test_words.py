"""Every state and reason has words."""

from __future__ import annotations

import pytest

from component.core.model import Reason
from component.core.records import MoveState
from component.ui.words import REASONS, SHORT_STATES, STATES, reason_words


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
