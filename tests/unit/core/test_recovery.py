"""What becomes of journalled requests after a loss."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from component.core.contact import Note, PutBack, Settle
from component.core.model import RosterItem, Subscription
from component.core.records import MoveRecord, MoveState
from component.core.recovery import HandBack, RepeatPlan, divert_of, put_back, recover
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
    assert states(recover(record(MoveState.DIVERTED), "i1", BEFORE)) == [MoveState.RELEASED]
    assert states(recover(record(MoveState.TAKING), "i1", BEFORE)) == [MoveState.RELEASED]


def test_a_server_that_died_gets_its_requests_back() -> None:
    wanted = [HandBack, MoveState.HANDED_BACK]
    assert states(recover(record(MoveState.DIVERTED), "i2", BEFORE)) == wanted
    assert states(recover(record(MoveState.TAKING), "i2", BEFORE)) == wanted


def test_a_roster_that_has_the_move_makes_it_done() -> None:
    assert states(recover(record(MoveState.TAKING), "i1", AFTER)) == [MoveState.DONE]
    assert states(recover(record(MoveState.TAKING), "i2", AFTER)) == [RepeatPlan, MoveState.DONE]


def test_the_contact_is_told_of_what_is_settled_late_unless_nobody_is() -> None:
    (end,) = recover(record(MoveState.TAKING), "i1", AFTER)
    assert isinstance(end, Settle)
    assert end.note is Note.MOVED
    (end,) = recover(record(MoveState.TAKING), "i1", AFTER, notify=False)
    assert isinstance(end, Settle)
    assert end.note is None
    (end,) = recover(record(MoveState.DIVERTED), "i1", BEFORE)
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

    def found(items: tuple[RosterItem, ...], instance: str) -> list[object]:
        return [
            type(e) if not isinstance(e, Settle) else e.state
            for e in recover(taking, instance, items, plan=plan, earlier=earlier)
        ]

    assert found(before, "i1") == [MoveState.RELEASED]
    assert found(before, "i2") == [HandBack, MoveState.HANDED_BACK]
    assert found(after, "i1") == [PutBack]
    assert found(after, "i2") == [RepeatPlan, PutBack]
    end = put_back(taking, earlier, (ASKED.old_item,), notify=True)
    assert (end.state, end.note, end.undoes) == (MoveState.DONE, Note.MOVED, earlier)
    assert {change.jid: change.after for change in end.changes} == {OLD: ASKED.old_item, NEW: None}


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
