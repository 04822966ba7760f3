"""RFC 6121 appendix A.2, and what following a mover makes of a roster."""

from __future__ import annotations

from itertools import product

import pytest

from component.core.model import PresenceKind, RosterItem, Step, Subscription
from component.core.roster import Carry, Entry, expect, follow_plan, outbound
from tests.unit.core.samples import NEW, OLD, divert

S = Subscription
K = PresenceKind

# Written from the tables of RFC 6121 A.2.1 to A.2.4, one row for each state (subscription, ask);
# "subscribed" as for the states "+ Pending In", since the request is in our hands.
TABLE = {
    # state:            subscribe         unsubscribe       subscribed        unsubscribed
    (S.NONE, False): ((S.NONE, True), (S.NONE, False), (S.FROM, False), (S.NONE, False)),
    (S.NONE, True): ((S.NONE, True), (S.NONE, False), (S.FROM, True), (S.NONE, True)),
    (S.TO, False): ((S.TO, False), (S.NONE, False), (S.BOTH, False), (S.TO, False)),
    (S.FROM, False): ((S.FROM, True), (S.FROM, False), (S.FROM, False), (S.NONE, False)),
    (S.FROM, True): ((S.FROM, True), (S.FROM, False), (S.FROM, True), (S.NONE, True)),
    (S.BOTH, False): ((S.BOTH, False), (S.FROM, False), (S.BOTH, False), (S.TO, False)),
}
KINDS = (K.SUBSCRIBE, K.UNSUBSCRIBE, K.SUBSCRIBED, K.UNSUBSCRIBED)


@pytest.mark.parametrize(("state", "column"), list(product(TABLE, range(4))))
def test_appendix_a2(state: tuple[S, bool], column: int) -> None:
    assert outbound(Entry(*state), KINDS[column]) == Entry(*TABLE[state][column])


def test_both_is_followed_both_ways_in_the_order_of_the_xep() -> None:
    plan = follow_plan(divert(), Carry())
    assert plan.steps == (
        Step(K.SUBSCRIBED, NEW),
        Step(K.UNSUBSCRIBED, OLD),
        Step(K.SUBSCRIBE, NEW),
    )
    assert plan.item == RosterItem(NEW, S.NONE, False, "Juliet", ("Verona",))


def test_from_asks_for_nothing() -> None:
    plan = follow_plan(divert(subscription=S.FROM), Carry())
    assert plan.steps == (Step(K.SUBSCRIBED, NEW), Step(K.UNSUBSCRIBED, OLD))


@pytest.mark.parametrize("known", list(S))
def test_a_new_jid_that_is_known_is_asked_only_where_its_presence_is_not_seen(known: S) -> None:
    plan = follow_plan(divert(new_item=RosterItem(NEW, known)), Carry())
    asks = Step(K.SUBSCRIBE, NEW) in plan.steps
    assert asks is (known not in (S.TO, S.BOTH))


def test_name_and_groups_stay_behind_on_request() -> None:
    assert follow_plan(divert(), Carry(name=False, groups=False)).item is None
    named = follow_plan(divert(), Carry(groups=False)).item
    assert named is not None
    assert (named.name, named.groups) == ("Juliet", ())


@pytest.mark.parametrize(
    ("old", "known", "wanted_old", "wanted_new", "ask"),
    [
        (S.BOTH, None, S.TO, S.FROM, True),
        (S.FROM, None, S.NONE, S.FROM, False),
        (S.BOTH, S.NONE, S.TO, S.FROM, True),
        (S.BOTH, S.TO, S.TO, S.BOTH, False),
        (S.BOTH, S.FROM, S.TO, S.FROM, True),
        (S.BOTH, S.BOTH, S.TO, S.BOTH, False),
        (S.FROM, S.TO, S.NONE, S.BOTH, False),
        (S.FROM, S.BOTH, S.NONE, S.BOTH, False),
    ],
)
def test_expected_entries(old: S, known: S | None, wanted_old: S, wanted_new: S, ask: bool) -> None:
    item = None if known is None else RosterItem(NEW, known, name="J.")
    asked = divert(subscription=old, new_item=item)
    after = expect(asked, follow_plan(asked, Carry()))
    assert (after[OLD].subscription, after[NEW].subscription) == (wanted_old, wanted_new)
    assert after[NEW].ask is ask
    assert after[NEW].name == ("Juliet" if item is None else "J.")
    assert after[NEW].groups == ("Verona",)
