"""Back to what was: every state of both entries, before and now."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from component.core.model import PresenceKind, RosterItem, SendPlan, Step, Subscription
from component.core.restore import before, move_back_plan, regain_plan, restore, restore_entry
from component.core.roster import Carry, Entry, expect, follow_plan, outbound
from tests.unit.core.samples import NEW, OLD, ROMEO, divert, record

S, P = Subscription, PresenceKind


def followed(subscription: Subscription, new_item: RosterItem | None) -> tuple[RosterItem, ...]:
    """The entries after an ordinary move."""
    asked = divert(subscription=subscription, new_item=new_item)
    return tuple(expect(asked, follow_plan(asked, Carry())).values())


def test_where_there_was_no_entry_there_is_none() -> None:
    plan = restore(before(record(divert())), followed(S.BOTH, None))
    assert plan.send == SendPlan(
        (Step(P.SUBSCRIBED, OLD), Step(P.UNSUBSCRIBED, NEW), Step(P.UNSUBSCRIBE, NEW))
    )
    assert plan.remove == (NEW,)
    assert plan.entries == ()
    assert plan.expected == {OLD: divert().old_item, NEW: None}


def test_an_entry_that_was_there_gets_its_own_name_back() -> None:
    own = RosterItem(NEW, S.TO, False, None, ())
    plan = restore(before(record(divert(new_item=own))), followed(S.BOTH, own))
    assert plan.send == SendPlan((Step(P.SUBSCRIBED, OLD), Step(P.UNSUBSCRIBED, NEW)))
    assert plan.entries == (own,)
    assert plan.remove == ()
    assert plan.expected[NEW] == own


def test_what_the_other_side_took_is_asked_for() -> None:
    plan = restore(before(record(divert())), (RosterItem(OLD, S.NONE, False, "Juliet", ("V",)),))
    assert plan.send == SendPlan((Step(P.SUBSCRIBED, OLD), Step(P.SUBSCRIBE, OLD)))
    assert plan.entries == (RosterItem(OLD, S.FROM, True, "Juliet", ("Verona",)),)


def test_an_old_entry_that_was_deleted_is_made_anew() -> None:
    plan = restore(before(record(divert(subscription=S.FROM))), ())
    assert plan.send == SendPlan((Step(P.SUBSCRIBED, OLD),))
    assert plan.entries == (divert(subscription=S.FROM).old_item,)


@pytest.mark.parametrize("was", [None, RosterItem(NEW, S.TO, False, "Juliet", ("Verona",))])
def test_a_single_entry(was: RosterItem | None) -> None:
    now = RosterItem(NEW, S.BOTH)
    assert restore_entry(NEW, was, now) == restore({NEW: was}, (now,))
    assert restore_entry(NEW, was, was).nothing
    assert restore_entry(NEW, was, None).nothing is (was is None)


def test_a_return_answers_the_request_whatever_else_it_does() -> None:
    back = divert(old=NEW, new=OLD, new_item=divert().old_item)
    assert move_back_plan(back, record(divert())).steps[0] == Step(P.SUBSCRIBED, OLD)


def test_a_return_leaves_what_the_contact_had_granted_before() -> None:
    own = RosterItem(NEW, S.BOTH)
    back = divert(old=NEW, new=OLD, new_item=RosterItem(OLD, S.TO))
    steps = move_back_plan(back, record(divert(new_item=own))).steps
    assert steps == (Step(P.SUBSCRIBED, OLD),)


@pytest.mark.parametrize(
    ("entry", "asks"),
    [
        (None, False),
        (RosterItem(ROMEO, S.FROM), True),
        (RosterItem(ROMEO, S.NONE), True),
        (RosterItem(ROMEO, S.FROM, ask=True), False),
        (RosterItem(ROMEO, S.BOTH), False),
    ],
)
def test_the_old_account_asks_to_see_the_contact_again(
    entry: RosterItem | None, asks: bool
) -> None:
    wanted = SendPlan((Step(P.SUBSCRIBE, ROMEO),)) if asks else None
    assert regain_plan(record(divert()), entry) == wanted


states = st.sampled_from([*((state, False) for state in S), (S.NONE, True), (S.FROM, True)])
labels = st.sampled_from([(None, ()), ("Juliet", ("Verona",)), ("J.", ("A", "B")), (None, ("B",))])


def entry(jid: str) -> st.SearchStrategy[RosterItem]:
    return st.builds(
        lambda state, label: RosterItem(jid, state[0], state[1], label[0], label[1]),
        states,
        labels,
    )


maybe_old = st.one_of(st.none(), entry(OLD))
maybe_new = st.one_of(st.none(), entry(NEW))


@given(entry(OLD), maybe_new, maybe_old, maybe_new)
def test_whatever_was_and_whatever_is(
    old_before: RosterItem,
    new_before: RosterItem | None,
    old_now: RosterItem | None,
    new_now: RosterItem | None,
) -> None:
    """What the plan does, done by RFC 6121, gives what is expected; a second time, nothing."""
    was = {OLD: old_before, NEW: new_before}
    now = {item.jid: item for item in (old_now, new_now) if item is not None}
    plan = restore(was, now.values())
    done = dict(now)
    for step in plan.send.steps if plan.send else ():
        item = done.get(step.to) or RosterItem(step.to, S.NONE)
        after = outbound(Entry(item.subscription, item.ask), step.kind)
        done[step.to] = RosterItem(step.to, after.subscription, after.ask, item.name, item.groups)
    for item in plan.entries:
        state = done.get(item.jid) or RosterItem(item.jid, S.NONE)
        done[item.jid] = RosterItem(item.jid, state.subscription, state.ask, item.name, item.groups)
    for jid in plan.remove:
        gone = done.pop(jid)
        assert (gone.subscription, gone.ask) == (S.NONE, False)
    assert {jid: done.get(jid) for jid in was} == plan.expected
    assert restore(was, done.values()).nothing
    for jid, wanted in was.items():
        got = done.get(jid)
        assert (wanted is None) == (got is None)
        if wanted is None or got is None:
            continue
        assert got.subscription.grants == wanted.subscription.grants
        assert (got.name, got.groups) == (wanted.name, wanted.groups)
        sees = wanted.subscription.receives
        assert (got.subscription.receives or got.ask) == (sees or wanted.ask)
