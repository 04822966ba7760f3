"""What becomes of journalled requests after a loss."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from component.core.contact import Settle
from component.core.model import Reason, RosterItem
from component.core.records import MoveRecord, MoveState
from component.core.recovery import HandBack, RepeatPlan, divert_of, recover
from component.core.roster import Carry, expect, follow_plan
from tests.unit.core.samples import divert

ASKED = divert()
BEFORE = (ASKED.old_item,)
AFTER = tuple(expect(ASKED, follow_plan(ASKED, Carry())).values())


def record(state: MoveState) -> MoveRecord:
    return MoveRecord(
        id=1,
        at=datetime(2026, 1, 1, tzinfo=UTC),
        state=state,
        reason=Reason.VERIFIED if state is MoveState.TAKING else None,
        detail=None,
        evidence=None,
        plan="{}",
        decided_at=None,
        settled_at=None,
        request_id=ASKED.request_id,
        instance=ASKED.instance,
        contact=ASKED.contact,
        old=ASKED.old,
        new=ASKED.new,
        old_item=ASKED.old_item,
        new_item=ASKED.new_item,
        stanza=ASKED.stanza,
    )


def states(effects: tuple[object, ...]) -> list[object]:
    return [e.state if isinstance(e, Settle) else type(e) for e in effects]


def test_a_record_remembers_its_request() -> None:
    assert divert_of(record(MoveState.DIVERTED)) == ASKED


def test_a_server_that_lives_has_released_what_it_held() -> None:
    assert states(recover(record(MoveState.DIVERTED), "i1", BEFORE)) == [MoveState.RELEASED]
    assert states(recover(record(MoveState.TAKING), "i1", BEFORE)) == [MoveState.RELEASED]


def test_a_server_that_died_gets_its_requests_back() -> None:
    wanted = [HandBack, MoveState.HANDED_BACK]
    assert states(recover(record(MoveState.DIVERTED), "i2", BEFORE)) == wanted
    assert states(recover(record(MoveState.TAKING), "i2", BEFORE)) == wanted


def test_a_roster_that_has_the_move_makes_it_done() -> None:
    assert states(recover(record(MoveState.TAKING), "i1", AFTER)) == [MoveState.DONE]
    assert states(recover(record(MoveState.TAKING), "i2", AFTER)) == [RepeatPlan, MoveState.DONE]


@given(
    st.sampled_from([MoveState.DIVERTED, MoveState.TAKING]),
    st.sampled_from(["i1", "i2"]),
    st.sampled_from([(), BEFORE, AFTER]),
)
def test_always_one_end_and_never_a_move_without_a_verdict(
    state: MoveState, instance: str, items: tuple[RosterItem, ...]
) -> None:
    effects = recover(record(state), instance, items)
    ends = [effect for effect in effects if isinstance(effect, Settle)]
    assert len(ends) == 1
    assert effects[-1] is ends[0]
    if state is MoveState.DIVERTED:
        assert ends[0].state is not MoveState.DONE
