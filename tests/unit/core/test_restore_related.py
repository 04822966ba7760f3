"""Records that share an address, open at once, taken back, and a contact with hands of their own.

A small model: one roster, a journal, and whatever may happen, in any order.  What carries the
decisions is the core's own code; the roster changes by the tables of RFC 6121.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from component.core.model import (
    Divert,
    PresenceKind,
    Reason,
    RosterItem,
    SendPlan,
    Step,
    Subscription,
)
from component.core.records import AuditRecord, MoveRecord, MoveState
from component.core.restore import (
    Before,
    Cause,
    Deed,
    Difference,
    Restoration,
    before,
    deed,
    differences,
    move_back_plan,
    newer,
    restore,
    taken_back_by,
    worked_out,
)
from component.core.roster import Carry, Entry, follow_plan, outbound
from tests.unit.core.samples import ROMEO

S = Subscription
A, B, C, N = "a@x.example", "b@x.example", "c@x.example", "n@x.example"
ALL = (A, B, C, N)
Items = dict[str, RosterItem]


@dataclass
class House:
    """Romeo's roster, the journal about him, and what each address owes its right to."""

    roster: Items
    tick: int = 0
    open: dict[int, MoveRecord] = field(default_factory=dict)
    done: dict[int, MoveRecord] = field(default_factory=dict)
    audit: dict[int, list[AuditRecord]] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)
    """Granted by Romeo himself, and not taken back by him."""
    revoked: set[tuple[int, str]] = field(default_factory=set)
    """What a record granted and Romeo took back by hand."""
    refused: set[str] = field(default_factory=set)
    """Those who have let Romeo see them no more."""
    touched: set[str] = field(default_factory=set)
    """Entries that Romeo has changed by hand."""

    def __post_init__(self) -> None:
        self.own = {jid for jid, item in self.roster.items() if item.subscription.grants}

    def now(self) -> datetime:
        self.tick += 1
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.tick)

    def grants(self, jid: str) -> bool:
        return jid in self.roster and self.roster[jid].subscription.grants

    # What happens -----------------------------------------------------------------------------

    def arrives(self, old: str, new: str) -> int | None:
        """A request is held; its entries are of now."""
        if old == new or not self.grants(old):
            return None
        id_ = len(self.open) + len(self.done) + 1
        self.open[id_] = MoveRecord(
            id=id_,
            at=self.now(),
            state=MoveState.DIVERTED,
            reason=None,
            detail=None,
            evidence=None,
            plan=None,
            decided_at=None,
            settled_at=None,
            request_id=f"d{id_}",
            instance="i1",
            contact=ROMEO,
            old=old,
            new=new,
            old_item=self.roster[old],
            new_item=self.roster.get(new),
            stanza="",
        )
        return id_

    def settles(self, id_: int) -> None:
        """The request is followed, if the old address is still granted (hook protocol 2)."""
        record = self.open.pop(id_)
        if not self.grants(record.old):
            self.done[id_] = replace(record, state=MoveState.RELEASED)
            return
        asked = Divert(
            "d", "i1", ROMEO, record.old, record.new, record.old_item, record.new_item, ""
        )
        earlier = self._earlier(record)
        plan = move_back_plan(asked, earlier) if earlier else follow_plan(asked, Carry())
        self.sends(plan)
        at = self.now()
        if earlier is not None:
            was = before(earlier)
            granted = {jid for jid, item in was.items() if item and item.subscription.grants}
            if granted == {jid for jid in was if self.grants(jid)}:
                left = deed(earlier, self.audit[earlier.id]).left
                self.carries_out(restore(was, self._entries(was), left))
            self.done[earlier.id] = replace(self.done[earlier.id], undone_at=at)
        self.done[id_] = replace(record, state=MoveState.DONE, settled_at=at)
        self.audit[id_] = []
        self._note(id_, at, Reason.VERIFIED, before(record), before(record))

    def _earlier(self, record: MoveRecord) -> MoveRecord | None:
        if record.new_item is None:
            return None
        found = [
            other
            for other in self.done.values()
            if (other.old, other.new) == (record.new, record.old) and self._stands(other)
        ]
        if not found:
            return None
        newest = max(found, key=lambda other: other.settled_at or other.at)
        was = worked_out(newest, self.deeds(newest))
        old_item = was[newest.old] or RosterItem(newest.old, S.NONE)
        return replace(newest, old_item=old_item, new_item=was[newest.new])

    def deeds(self, record: MoveRecord) -> list[Deed]:
        shared = {record.old, record.new}
        return [
            deed(other, self.audit[other.id])
            for other in self.done.values()
            if other.state is MoveState.DONE and shared & {other.old, other.new}
        ]

    def undoes(self, id_: int) -> tuple[Difference, ...] | None:
        """Romeo orders it; None: it is refused."""
        record = self.done[id_]
        others = self.deeds(record)
        if not self._stands(record) or newer(record, others) is not None:
            return None
        was, left = worked_out(record, others), deed(record, self.audit[id_]).left
        # The order is Romeo's own hand: it gives back what the move took.
        self.own |= {
            jid for jid, item in was.items() if item and _granted(item) and not _granted(left[jid])
        } & self.roster.keys()
        earlier = self._entries(was)
        self.carries_out(restore(was, earlier, left))
        plan = restore(was, self._entries(was), left)
        assert plan.nothing, "once more does something else"
        at = self.now()
        again = taken_back_by(record, others)
        if again is not None:
            self.done[again.id] = replace(again, undone_at=None)
        self.done[id_] = replace(record, undone_at=at)
        found = {jid: self.roster.get(jid) for jid in was}
        self._note(id_, at, Reason.UNDONE, {item.jid: item for item in earlier}, was)
        assert any(line.reason is Reason.UNDONE for line in self.audit[id_])
        return differences(was, [item for item in found.values() if item], plan)

    def _stands(self, record: MoveRecord) -> bool:
        return record.state is MoveState.DONE and record.undone_at is None

    def _note(self, id_: int, at: datetime, reason: Reason, earlier: Before, jids: Before) -> None:
        changed = [jid for jid in jids if earlier.get(jid) != self.roster.get(jid)]
        if reason is Reason.UNDONE:
            changed = changed or [next(iter(jids))]
        for jid in changed:
            line = AuditRecord(
                1, id_, at, ROMEO, jid, reason, None, earlier.get(jid), self.roster.get(jid)
            )
            self.audit[id_].append(line)

    # The roster ---------------------------------------------------------------------------------

    def _entries(self, jids: Before) -> list[RosterItem]:
        return [self.roster[jid] for jid in jids if jid in self.roster]

    def sends(self, plan: SendPlan) -> None:
        names = {plan.item.jid: plan.item} if plan.item else {}
        for step in plan.steps:
            item = self.roster.get(step.to) or RosterItem(step.to, S.NONE)
            state = outbound(Entry(item.subscription, item.ask), step.kind)
            named = names.get(step.to, item)
            later = replace(
                item,
                subscription=state.subscription,
                ask=state.ask,
                name=item.name or named.name,
                groups=item.groups or named.groups,
            )
            if later != item:
                self.roster[step.to] = later

    def carries_out(self, plan: Restoration) -> None:
        if plan.send is not None:
            self.sends(plan.send)
        for item in plan.entries:
            kept = self.roster.get(item.jid) or RosterItem(item.jid, S.NONE)
            self.roster[item.jid] = replace(kept, name=item.name, groups=item.groups)
        for jid in plan.remove:
            gone = self.roster.pop(jid)
            assert (gone.subscription, gone.ask) == (S.NONE, False)

    def answers(self, jid: str, yes: bool) -> None:
        """The other side lets Romeo see it, or no longer does."""
        item = self.roster.get(jid)
        if item is None or not (item.ask or item.subscription.receives):
            return
        if not yes:
            self.refused.add(jid)
        granted = item.subscription.grants
        words = {(True, True): S.BOTH, (True, False): S.FROM, (False, True): S.TO}
        if yes and not item.ask:
            return
        self.roster[jid] = replace(item, subscription=words.get((granted, yes), S.NONE), ask=False)

    def by_hand(self, jid: str, what: str) -> None:
        """Romeo changes an entry; not of an address whose request is held just now."""
        held = {jid for record in self.open.values() for jid in (record.old, record.new)}
        item = self.roster.get(jid)
        if jid in held:
            return
        if what == "adds":
            self.roster.setdefault(jid, RosterItem(jid, S.NONE, False, "mine", ()))
        elif item is None:
            return
        elif what == "removes":
            del self.roster[jid]
        elif what == "renames":
            self.roster[jid] = replace(item, name=f"mine {self.tick}", groups=("Mine",))
        elif what == "grants":
            self.sends(SendPlan((Step(PresenceKind.SUBSCRIBED, jid),)))
        else:
            if not item.subscription.grants:
                return
            self.sends(SendPlan((Step(PresenceKind.UNSUBSCRIBED, jid),)))
        self.touched.add(jid)
        if what == "grants":
            self.own.add(jid)
        elif what in ("removes", "revokes"):
            self.own.discard(jid)
            self.revoked |= {(id_, jid) for id_ in self.done}

    def may_see(self, jid: str) -> bool:
        """Whether Romeo, or a record that stands, has let this address see him."""
        return jid in self.own or any(
            record.new == jid and self._stands(record) and (id_, jid) not in self.revoked
            for id_, record in self.done.items()
        )


def _granted(item: RosterItem | None) -> bool:
    return item is not None and item.subscription.grants


addresses = st.sampled_from(ALL)
entries = st.builds(
    lambda state, label: (state, label),
    st.sampled_from([*((s, False) for s in S), (S.NONE, True), (S.FROM, True)]),
    st.sampled_from([(None, ()), ("Juliet", ("Verona",)), ("J.", ("A", "B"))]),
)
rosters = st.dictionaries(addresses, entries, min_size=1).map(
    lambda drawn: {
        jid: RosterItem(jid, state, ask, name, groups)
        for jid, ((state, ask), (name, groups)) in drawn.items()
    }
)
number = st.integers(0, 3)
of_moves = st.one_of(
    st.tuples(st.just("arrives"), addresses, addresses),
    st.tuples(st.just("follows"), addresses, addresses),
    st.tuples(st.just("settles"), number),
    st.tuples(st.just("undoes"), number),
    st.tuples(st.just("answers"), addresses, st.booleans()),
)
of_hands = st.tuples(
    st.just("by hand"),
    addresses,
    st.sampled_from(["adds", "removes", "renames", "grants", "revokes"]),
)


def happens(house: House, step: tuple) -> None:  # type: ignore[type-arg]
    match step:
        case ("arrives", old, new):
            house.arrives(old, new)
        case ("follows", old, new):
            held = house.arrives(old, new)
            if held is not None:
                house.settles(held)
        case ("settles", n) if n < len(house.open):
            house.settles(sorted(house.open)[n])
        case ("undoes", n):
            standing = sorted(i for i, r in house.done.items() if house._stands(r))
            if n < len(standing):
                house.undoes(standing[n])
        case ("answers", jid, yes):
            house.answers(jid, yes)
        case ("by hand", jid, what):
            house.by_hand(jid, what)
    assert all(house.may_see(jid) for jid in ALL if house.grants(jid)), step


def undo_all(house: House) -> None:
    """Older first where one is free to choose: what is refused is tried again."""
    while True:
        standing = sorted(i for i, r in house.done.items() if house._stands(r))
        if not standing:
            return
        assert any(house.undoes(id_) is not None for id_ in standing), "none can be undone"
        assert all(house.may_see(jid) for jid in ALL if house.grants(jid))


@given(rosters, st.lists(of_moves, max_size=12))
@settings(max_examples=400)
def test_all_taken_back_is_what_there_was(roster: Items, steps: list) -> None:  # type: ignore[type-arg]
    """Whatever moved, whoever overlapped: no right that never was, and the end is the beginning."""
    house = House(dict(roster))
    for step in steps:
        happens(house, step)
    for id_ in sorted(house.open):
        happens(house, ("settles", sorted(house.open).index(id_)))
    undo_all(house)
    for jid in ALL:
        was, item = roster.get(jid), house.roster.get(jid)
        assert (item is None) == (was is None), jid
        if was is None or item is None:
            continue
        assert (item.name, set(item.groups)) == (was.name, set(was.groups))
        assert item.subscription.grants == was.subscription.grants
        if was.subscription.receives and jid not in house.refused:
            assert item.subscription.receives or item.ask


@given(rosters, st.lists(st.one_of(of_moves, of_hands), max_size=12))
@settings(max_examples=400)
def test_hands_of_ones_own(roster: Items, steps: list) -> None:  # type: ignore[type-arg]
    """What Romeo took away stays away, and what he wrote stays written."""
    house = House(dict(roster))
    for step in steps:
        happens(house, step)
    names = {jid: house.roster[jid].name for jid in house.touched if jid in house.roster}
    gone = {jid for jid in house.touched if jid not in house.roster}
    for id_ in sorted(house.open):
        house.done[id_] = replace(house.open.pop(id_), state=MoveState.RELEASED)
    undo_all(house)
    for jid, name in names.items():
        if name is not None and name.startswith("mine"):
            assert house.roster[jid].name == name
    assert not gone & house.roster.keys()


BOTH = RosterItem(A, S.BOTH, False, "Juliet", ("Verona",))


def test_the_older_of_two_into_one_is_refused_and_says_which_is_newer() -> None:
    house = House({A: BOTH, B: replace(BOTH, jid=B)})
    was = dict(house.roster)
    for old in (A, B):
        happens(house, ("follows", old, N))
    house.answers(N, True)
    blocking = newer(house.done[1], house.deeds(house.done[1]))
    assert blocking is not None
    assert (blocking.id, blocking.old, blocking.new) == (2, B, N)
    assert house.undoes(1) is None
    assert house.undoes(2) == ()
    assert house.grants(N)
    assert house.undoes(1) == ()
    assert house.roster == was


def test_two_into_one_at_the_same_moment() -> None:
    """The second request came while the first was held: its record knows nothing of the first."""
    house = House({A: BOTH, B: replace(BOTH, jid=B)})
    was = dict(house.roster)
    house.arrives(A, N)
    house.arrives(B, N)
    house.settles(1)
    house.settles(2)
    assert house.undoes(2) == ()
    assert house.grants(N), "the first one still stands"
    assert house.undoes(1) == ()
    assert house.roster == was


def test_one_that_was_held_while_another_was_taken_back() -> None:
    house = House({A: BOTH, B: replace(BOTH, jid=B)})
    was = dict(house.roster)
    happens(house, ("follows", A, N))
    house.answers(N, True)
    house.arrives(B, N)
    assert house.undoes(1) == ()
    house.settles(2)
    house.answers(N, True)
    assert house.undoes(2) == ()
    assert house.roster == was


def test_a_return_that_is_taken_back_lets_the_move_stand_again() -> None:
    house = House({A: BOTH})
    was = dict(house.roster)
    happens(house, ("follows", A, N))
    happens(house, ("follows", N, A))
    assert house.roster == was
    assert house.undoes(2) is not None
    assert house.grants(N)
    assert house.undoes(1) is not None
    assert house.grants(A)
    assert N not in house.roster


@pytest.mark.parametrize(
    ("jid", "what", "left"),
    [
        (A, "removes", None),
        (A, "renames", replace(BOTH, name="mine 2", groups=("Mine",))),
        (N, "renames", RosterItem(N, S.NONE, False, "mine 2", ("Mine",))),
    ],
)
def test_what_was_changed_by_hand_stays_and_is_named(
    jid: str, what: str, left: RosterItem | None
) -> None:
    house = House({A: BOTH})
    happens(house, ("follows", A, N))
    house.by_hand(jid, what)
    assert house.undoes(1) == (Difference(jid, Cause.CHANGED),)
    assert house.roster.get(jid) == left
    assert not house.grants(N)


def test_who_has_to_answer_first_is_named() -> None:
    house = House({A: BOTH})
    happens(house, ("follows", A, N))
    house.answers(A, False)  # the old account is deleted
    assert house.undoes(1) == (Difference(A, Cause.ASKED),)
    assert house.roster == {A: replace(BOTH, subscription=S.FROM, ask=True)}


def test_a_right_that_the_contact_took_back_by_hand_does_not_return() -> None:
    house = House({A: BOTH, N: replace(BOTH, jid=N)})
    happens(house, ("follows", A, N))
    house.by_hand(N, "revokes")
    assert house.undoes(1) == (Difference(N, Cause.CHANGED),)
    assert not house.grants(N)
    assert house.grants(A)
