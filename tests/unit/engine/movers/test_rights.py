"""No entry ever grants more than an old one did, but by its owner's own hand."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from component.core.journey import contacts as machine
from component.core.journey.model import (
    Access,
    ContactState,
    JourneyContact,
    JourneyState,
    Refused,
)
from component.core.model import PresenceKind, RosterItem, Subscription
from component.ui.talk.lists import parse
from sim.fast_loop import play
from sim.model_server import Node
from sim.model_world import Manner
from tests.unit.engine.movers.mover_stage import FAR, HOST, NEW, OLD, Stage, opened
from tests.unit.engine.movers.test_others import verified

S = JourneyState
DOMAINS = (HOST, "d1.example", "d2.example")
BY_HAND = (Manner.ACCEPTS, Manner.GRANTS)


@st.composite
def contacts(draw: st.DrawFn) -> dict[str, tuple[Subscription, Manner]]:
    """A roster, and how each on it takes a request."""
    drawn = draw(
        st.lists(
            st.tuples(
                st.sampled_from(DOMAINS),
                st.sampled_from(list(Subscription)),
                st.sampled_from(list(Manner)),
            ),
            min_size=1,
            max_size=6,
        )
    )
    return {f"c{n}@{d}": (subscription, m) for n, (d, subscription, m) in enumerate(drawn)}


class Hand(Enum):
    """How an account's owner takes a contact back."""

    REMOVES = auto()
    REVOKES = auto()
    BLOCKS = auto()

    def does(self, stage: Stage, user: str, jid: str) -> None:
        """Do it, as RFC 6121 sections 2.5 and 3.2 and XEP-0191 say."""
        if self is Hand.BLOCKS:
            stage.server.blocks.setdefault(user, set()).add(jid)
            return
        stage.server.speak(user, PresenceKind.UNSUBSCRIBED, jid)
        if self is Hand.REMOVES:
            stage.server.speak(user, PresenceKind.UNSUBSCRIBE, jid)
            stage.server.rosters[user].pop(jid, None)


HANDS = st.dictionaries(st.integers(0, 5), st.sampled_from([Hand.REMOVES, Hand.REVOKES]))
ALL_HANDS = st.dictionaries(st.integers(0, 5), st.sampled_from(list(Hand)))


@given(
    people=contacts(),
    at_old=ALL_HANDS,
    at_new=HANDS,
    asks=st.sets(st.integers(0, 5)),
    restarts=st.booleans(),
    after=st.sampled_from(["nothing", "undo", "cancel"]),
)
@settings(max_examples=50)
def test_no_flow_grants_more(
    people: dict[str, tuple[Subscription, Manner]],
    at_old: dict[int, Hand],
    at_new: dict[int, Hand],
    asks: set[int],
    restarts: bool,
    after: str,
) -> None:
    """Whatever contacts had, do, and ask for, whom the mover takes back by hand at the old account
    before they are told and at the new one afterwards, and whatever the mover orders then."""

    async def main(folder: Path) -> None:
        async with opened(folder) as stage:
            for jid, (subscription, manner) in people.items():
                stage.contact(jid, subscription, manner)
            jids = list(people)
            stage.movers.paused = True
            journey = await stage.begin()
            await stage.until_state(journey.id, S.NOTIFYING, S.SETTLING, S.DONE)
            for number, hand in at_old.items():
                if number < len(jids):
                    hand.does(stage, OLD, jids[number])
            await stage.server.world.idle()
            was = {jid: dict(roster) for jid, roster in stage.server.rosters.items()}
            blocked = stage.server.blocks.get(OLD, set())
            kept = {jid for jid in people if jid in was[OLD] and jid not in blocked}
            stage.movers.paused = False
            stage.movers.wake_all()
            await stage.until_state(journey.id, S.SETTLING, S.DONE)
            assert {told.to for told in stage.server.told} <= kept
            await stage.server.world.idle()
            if restarts:
                await stage.crash()
            by_hand = {jids[number]: hand for number, hand in at_new.items() if number < len(jids)}
            seen = {jid for jid in by_hand if _grants(stage.server.entry(NEW, jid))}
            for jid, hand in by_hand.items():
                hand.does(stage, NEW, jid)
            await stage.server.world.idle()
            if restarts:
                await stage.restart()
            await stage.movers.watches.renew_all()
            for number, jid in enumerate(people):
                if number in asks:
                    stage.server.speak(jid, PresenceKind.SUBSCRIBE, NEW)
            await stage.server.world.idle()
            if after == "undo":
                await stage.movers.undo(OLD, journey.id)
                if by_hand:  # whose server cannot follow back: a person is asked, who may be silent
                    await asyncio.sleep(60)
                else:
                    await stage.until_state(journey.id, S.UNDONE)
            elif after == "cancel":
                with suppress(Refused):  # it may have come to its end meanwhile
                    await stage.movers.cancel(OLD, journey.id)
                    await stage.ended(journey.id)
            await stage.server.world.idle()
            rosters = stage.server.rosters
            for jid in people:
                if jid not in kept or jid in seen or by_hand.get(jid) is Hand.REMOVES:
                    assert not _grants(rosters[NEW].get(jid))
            for jid, (_, manner) in people.items():
                for mine in (OLD, NEW):
                    assert _grants(rosters[mine].get(jid)) <= _grants(was[OLD].get(jid))
                if manner not in BY_HAND:
                    assert _grants(rosters[jid].get(NEW)) <= _grants(was[jid].get(OLD))

    with TemporaryDirectory(dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")) as folder:
        play(main(Path(folder)))


@given(
    people=contacts(),
    told=st.sets(st.integers(0, 5)),
    asks=st.sets(st.integers(0, 5)),
    next_owner=st.booleans(),
)
@settings(max_examples=40)
def test_a_move_of_others_grants_no_more(
    people: dict[str, tuple[Subscription, Manner]],
    told: set[int],
    asks: set[int],
    next_owner: bool,
) -> None:
    """The mover's own client tells whom it likes; nobody else comes in, nor to whoever has the new
    name next."""

    async def main(folder: Path) -> None:
        async with opened(folder) as stage:
            for jid, (subscription, manner) in people.items():
                stage.contact(jid, subscription, manner)
            saw = {jid for jid, item in stage.server.rosters[OLD].items() if _grants(item)}
            await verified(stage)
            if next_owner:
                stage.server.remove(NEW)
                stage.server.add(NEW)
                await stage.movers.watches.renew_all()
            for number, jid in enumerate(people):
                if number in told:
                    stage.server.speak(NEW, PresenceKind.SUBSCRIBE, jid)
                if number in asks:
                    stage.server.speak(jid, PresenceKind.SUBSCRIBE, NEW)
            await stage.server.world.idle()
            await stage.movers.watches.renew_all()
            await stage.server.world.idle()
            granted = {jid for jid, item in stage.server.rosters[NEW].items() if _grants(item)}
            asked = {jid for number, jid in enumerate(people) if number in told}
            assert granted <= (set() if next_owner else saw & asked)

    with TemporaryDirectory(dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")) as folder:
        play(main(Path(folder)))


def test_whoever_was_only_seen_is_not_let_in_unasked(tmp_path: Path) -> None:
    """The mover saw the contact, who did not see the mover: a request of theirs is for a person."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.contact("seen@d1.example", Subscription.TO, Manner.ACCEPTS)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.DONE)
            await stage.server.world.idle()
            entry = stage.server.entry(NEW, "seen@d1.example")
            assert entry is not None
            assert entry.subscription is Subscription.TO
            assert stage.server.world.pending[NEW] == {"seen@d1.example"}

    play(main())


@pytest.mark.parametrize("line", ["boss@d1.example Boss [to]", "boss@d1.example Boss"])
def test_a_pasted_line_grants_what_it_says(tmp_path: Path, line: str) -> None:
    """One without a direction is the mover's word that the contact may see them."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            boss = "boss@d1.example"
            stage.contact(boss, Subscription.TO, Manner.ACCEPTS, of=FAR)
            stage.server.nodes[FAR] = Node(Access.OPEN, NEW)
            known = JourneyContact(boss, "Boss", (), Subscription.TO, ContactState.PENDING)
            assert ("[to]" in line) is (line == known.line)
            journey = await stage.arrive(*parse(line))
            await stage.until_state(journey.id, S.DONE)
            await stage.server.world.idle()
            assert _grants(stage.server.entry(NEW, boss)) is (line != known.line)

    play(main())


@pytest.mark.parametrize("hand", list(Hand))
def test_who_was_asked_and_is_taken_back_is_not_asked_again(tmp_path: Path, hand: Hand) -> None:
    """The request that nobody has answered goes; who may only see no more may have left."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            contact = "contact@d1.example"
            stage.people(contact, manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)
            hand.does(stage, OLD, contact)
            for _ in range(40):
                stage.later(days=1)
                await asyncio.sleep(60)
            kept = hand is Hand.REVOKES
            assert (len(stage.server.told) > 1) is kept
            asked = stage.server.entry(NEW, contact)
            assert asked is not None
            assert asked.ask is kept
            await stage.until_state(journey.id, S.DONE)
            (known,) = (await stage.contacts(journey.id)).values()
            assert (known.error == machine.TAKEN_BACK) is not kept
            await stage.admin.undo_any(journey.id)
            await stage.until_state(journey.id, S.UNDONE)
            assert contact not in stage.server.rosters[NEW]

    play(main())


@pytest.mark.parametrize("hand", [Hand.REMOVES, Hand.REVOKES])
@pytest.mark.parametrize("restarts", [True, False])
def test_who_is_taken_back_at_the_new_account_is_shown(
    tmp_path: Path, hand: Hand, restarts: bool
) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            contact = "contact@d1.example"
            stage.people(contact, manner=Manner.ACCEPTS)
            stage.people("silent@d2.example", manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)
            await stage.server.world.idle()
            assert _grants(stage.server.entry(NEW, contact))
            if restarts:
                await stage.crash()
            hand.does(stage, NEW, contact)
            await stage.server.world.idle()
            if restarts:
                await stage.restart()
                await stage.movers.watches.renew(NEW)
            stage.server.speak(contact, PresenceKind.SUBSCRIBE, NEW)
            await stage.server.world.idle()
            assert not _grants(stage.server.entry(NEW, contact))
            assert stage.server.world.pending[NEW] == {contact}

    play(main())


def test_a_move_away_grants_nothing_here(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.contact("seen@d1.example", Subscription.TO, Manner.SILENT)
            journey = await stage.begin(new=FAR)
            await stage.until_state(journey.id, S.SETTLING, S.DONE)
            stage.server.speak("seen@d1.example", PresenceKind.SUBSCRIBE, OLD)
            await stage.server.world.idle()
            assert not _grants(stage.server.entry(OLD, "seen@d1.example"))

    play(main())


def _grants(item: RosterItem | None) -> bool:
    return item is not None and item.subscription.grants
