"""What becomes of journalled requests after a loss."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from component.core.contact import HandBack, Note, PutBack, Settle
from component.core.model import RosterItem, Subscription
from component.core.records import MoveRecord, MoveState
from component.core.recovery import RepeatPlan, divert_of, put_back, recover
from component.core.restore import move_back_plan
from component.core.roster import Carry, expect, follow_plan
from tests.unit.core import samples
from tests.unit.core.samples import NEW, OLD, divert

ASKED = divert()
BEFORE = (ASKED.old_item,)
AFTER = tuple(expect(ASKED, follow_plan(ASKED, Carry())).values())


def record(state: MoveState) -> MoveRecord:
    return samples.record(ASKED, state)


def states(effects: tuple[object, ...]) -> list[object]:
    return [e.state if isinstance(e, Settle) else type(e) for e in effects]


def test_a_record_remembers_its_request() -> None:
    assert divert_of(record(MoveState.DIVERTED)) == ASKED


def test_a_server_that_lives_has_released_what_it_held() -> None:
    assert states(recover(record(MoveState.DIVERTED), True, BEFORE)) == [MoveState.RELEASED]
    assert states(recover(record(MoveState.TAKING), True, BEFORE)) == [MoveState.RELEASED]


def test_a_server_that_died_gets_its_requests_back() -> None:
    wanted = [HandBack, MoveState.HANDED_BACK]
    assert states(recover(record(MoveState.DIVERTED), False, BEFORE)) == wanted
    assert states(recover(record(MoveState.TAKING), False, BEFORE)) == wanted


def test_a_roster_that_has_the_move_makes_it_done() -> None:
    assert states(recover(record(MoveState.TAKING), True, AFTER)) == [MoveState.DONE]
    assert states(recover(record(MoveState.TAKING), False, AFTER)) == [RepeatPlan, MoveState.DONE]


def test_the_contact_is_told_of_what_is_settled_late_unless_nobody_is() -> None:
    (end,) = recover(record(MoveState.TAKING), True, AFTER)
    assert isinstance(end, Settle)
    assert end.note is Note.MOVED
    (end,) = recover(record(MoveState.TAKING), True, AFTER, notify=False)
    assert isinstance(end, Settle)
    assert end.note is None
    (end,) = recover(record(MoveState.DIVERTED), True, BEFORE)
    assert isinstance(end, Settle)
    assert end.note is None


def test_a_return_that_was_taken_is_put_back_before_it_is_done() -> None:
    earlier = samples.record(ASKED)
    back = divert(
        old=NEW,
        new=OLD,
        new_item=RosterItem(OLD, Subscription.TO, False, "Juliet", ("Verona",)),
    )
    taking = samples.record(back, MoveState.TAKING, id=2)
    plan = move_back_plan(back, earlier)
    before = tuple(item for item in (back.old_item, back.new_item) if item is not None)
    after = tuple(expect(back, plan).values())

    def found(items: tuple[RosterItem, ...], alive: bool) -> list[object]:
        return [
            type(e) if not isinstance(e, Settle) else e.state
            for e in recover(taking, alive, items, plan=plan, earlier=earlier)
        ]

    assert found(before, True) == [MoveState.RELEASED]
    assert found(before, False) == [HandBack, MoveState.HANDED_BACK]
    assert found(after, True) == [PutBack]
    assert found(after, False) == [RepeatPlan, PutBack]
    end = put_back(taking, earlier, (ASKED.old_item,), notify=True)
    assert (end.state, end.note, end.undoes) == (MoveState.DONE, Note.MOVED, earlier)
    assert {change.jid: change.after for change in end.changes} == {OLD: ASKED.old_item, NEW: None}


@given(
    st.sampled_from([MoveState.DIVERTED, MoveState.TAKING]),
    st.booleans(),
    st.sampled_from([(), BEFORE, AFTER]),
)
def test_always_one_end_and_never_a_move_without_a_verdict(
    state: MoveState, alive: bool, items: tuple[RosterItem, ...]
) -> None:
    effects = recover(record(state), alive, items)
    ends = [effect for effect in effects if isinstance(effect, Settle)]
    assert len(ends) == 1
    assert effects[-1] is ends[0]
    if state is MoveState.DIVERTED:
        assert ends[0].state is not MoveState.DONE
