"""Contacts who move on themselves, or an old account that is deleted, while a move goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from component.core.journey import contacts as machine
from component.core.journey.model import (
    ContactState,
    JourneyContact,
    JourneyState,
    Problem,
    Refused,
)
from component.core.model import Divert, PresenceKind, Reason, RosterItem, Subscription
from component.core.notices import AllFollowed
from component.core.records import MoveState, NewRecord, Settlement, VerdictRecord
from sim.fast_loop import play
from sim.model_world import Manner
from tests.unit.engine.movers.mover_stage import BOTH, NEW, OLD, Stage, opened

S = JourneyState
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
ANNA, ANNA2, BEN = "anna@d1.example", "anna@d2.example", "ben@d1.example"


async def followed(stage: Stage, *, by: str = OLD, undone: bool = False) -> None:
    """The contact side has followed Anna for an account: in the journal, and on the rosters."""
    now, entry = stage.clock.now(), RosterItem(ANNA, BOTH, False, "Anna")
    divert = Divert("d1", "i1", by, ANNA, ANNA2, entry, None, "<presence/>")
    verdict = VerdictRecord(now, Reason.VERIFIED, "statement", "{}")
    id_, _ = await stage.store.add_decided(NewRecord(now, divert), verdict)
    await stage.store.settle(id_, Settlement(now, MoveState.DONE, Reason.VERIFIED))
    if undone:
        await stage.store.undone(id_, now, (), Reason.UNDONE)
    stage.server.rosters[by][ANNA2] = RosterItem(ANNA2, BOTH, False, "Anna")
    stage.server.rosters.setdefault(ANNA2, {})[by] = RosterItem(by, BOTH)
    stage.server.world.manners[ANNA2] = Manner.FOLLOWS


@pytest.mark.parametrize("heard", [True, False], ids=["told", "found"])
def test_who_has_moved_on_is_told_there(tmp_path: Path, heard: bool) -> None:
    """By the word of the contact side, or by a look into its journal before the end."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(ANNA, BEN)
            journey = await stage.begin()
            await followed(stage)
            if heard:
                stage.movers.on_followed(OLD, ANNA, ANNA2)
            await stage.ended(journey.id)
            contacts = await stage.contacts(journey.id)
            assert contacts[ANNA2].state is ContactState.MUTUAL
            assert contacts[ANNA2].name == "anna"
            assert stage.server.rosters[NEW][ANNA2].subscription is BOTH
            assert not stage.server.rosters[ANNA2][OLD].subscription.grants
            assert all(told.readable for told in stage.server.told)
            assert not stage.server.world.trouble

    play(main())


def test_who_has_moved_on_at_the_very_end_is_told_too(tmp_path: Path) -> None:
    """The last look into the journal finds them, when everybody else has settled."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(ANNA)
            stage.people(BEN, manner=Manner.SILENT)
            journey = await stage.begin()
            run = stage.run(journey.id)
            await stage.until_state(journey.id, S.SETTLING)
            await stage.until(
                lambda: run.book.counts[ContactState.MUTUAL] == 1 and not run.onward.due
            )
            await followed(stage)
            stage.server.world.answer(BEN, Manner.ACCEPTS)
            await stage.ended(journey.id)
            assert (await stage.contacts(journey.id))[ANNA2].state is ContactState.MUTUAL

    play(main())


def test_nobody_is_told_under_another_address_whom_the_mover_left_out(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(ANNA, BEN)
            journey = await stage.begin(choose=[BEN])
            await followed(stage)
            stage.movers.on_followed(OLD, ANNA, ANNA2)
            await stage.ended(journey.id)
            assert ANNA2 not in await stage.contacts(journey.id)
            assert {told.to for told in stage.server.told} == {BEN}

    play(main())


def test_what_was_taken_back_does_not_count(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(ANNA)
            journey = await stage.begin()
            await followed(stage, undone=True)
            await stage.ended(journey.id)
            assert set(await stage.contacts(journey.id)) == {ANNA}

    play(main())


def test_whom_the_new_account_has_followed_is_not_asked_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(ANNA)
            journey = await stage.begin()
            await stage.until(lambda: bool(stage.server.told))
            await followed(stage, by=NEW)
            await stage.ended(journey.id)
            contacts = await stage.contacts(journey.id)
            assert contacts[ANNA2].state is ContactState.MUTUAL
            assert contacts[ANNA2].before is None, "an undo takes it away again"
            assert {told.to for told in stage.server.told} == {ANNA}

    play(main())


@pytest.mark.parametrize(
    ("state", "told", "after"),
    [
        (ContactState.QUEUED, False, (ContactState.SKIPPED, machine.MOVED_ON)),
        (ContactState.SENT, True, (ContactState.GIVEN_UP, machine.MOVED_ON)),
        (ContactState.PENDING, True, (ContactState.GIVEN_UP, machine.MOVED_ON)),
        (ContactState.SENDING, False, (ContactState.SENDING, None)),
        (ContactState.MUTUAL, True, (ContactState.MUTUAL, None)),
        (ContactState.REFUSED, True, (ContactState.REFUSED, None)),
    ],
)
def test_the_address_that_is_left_behind(
    state: ContactState, told: bool, after: tuple[ContactState, str | None]
) -> None:
    contact = JourneyContact(ANNA, None, (), BOTH, state, sent_at=NOON if told else None)
    left = machine.left_behind(contact)
    assert (left.state, left.error) == after


# The old account is deleted ---------------------------------------------------------------------


def test_the_new_account_goes_on_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(ANNA)
            stage.people(BEN, manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)
            await stage.until(lambda: stage.server.kept.get(OLD) == {BEN})
            stage.server.delete(OLD)
            await stage.server.world.idle()
            assert stage.server.rosters[BEN][OLD].subscription is BOTH
            stage.later(hours=2)
            await stage.until(lambda: stage.run(journey.id).book.journey.owner == NEW)
            with pytest.raises(Refused) as refused:
                await stage.movers.undo(NEW, journey.id)
            assert refused.value.problem is Problem.OLD_IS_GONE
            assert (await stage.stored(journey.id)).state is S.SETTLING
            stage.server.world.answer(BEN, Manner.ACCEPTS)
            await stage.ended(journey.id)
            assert stage.messages.of(AllFollowed)
            assert not stage.server.world.trouble

    play(main())


def test_a_paused_move_outlives_the_old_account_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(BEN, manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)
            await stage.movers.pause(OLD, journey.id)
            await stage.ended(journey.id)
            assert stage.server.kept.get(OLD) == {BEN}
            token = stage.server.token(OLD)
            stage.server.delete(OLD)
            await stage.movers.deleted(OLD, token)
            assert (await stage.stored(journey.id)).state is S.PAUSED
            await stage.movers.resume(NEW, journey.id)
            stage.server.world.answer(BEN, Manner.ACCEPTS)
            stage.later(hours=2)
            assert (await stage.until_state(journey.id, S.DONE)).owner == NEW

    play(main())


def test_a_move_away_whose_account_is_deleted_keeps_its_tombstone(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(ANNA, BEN, manner=Manner.SILENT)
            journey = await stage.begin(new="romeo@far.example")
            await stage.until_state(journey.id, S.SETTLING)
            await stage.until(lambda: stage.server.kept.get(OLD) == {ANNA, BEN})
            told = len(stage.messages.told)
            stage.server.delete(OLD)
            stage.later(hours=2)
            await stage.ended(journey.id)
            assert len(stage.messages.told) == told, "whoever has the name now is told nothing"
            found = await stage.store.journeys.successor(OLD)
            assert found is not None
            assert found.id == journey.id

    play(main())


def test_requests_without_an_answer_are_named(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(ANNA)
            asked = RosterItem(BEN, Subscription.NONE, True, "Ben")
            empty = RosterItem("nobody@d1.example", Subscription.NONE)
            stage.server.rosters[OLD] |= {asked.jid: asked, empty.jid: empty}
            journey = await stage.begin()
            await stage.ended(journey.id)
            (ended,) = stage.messages.of(AllFollowed)
            assert ended.progress.unanswered == (BEN,)
            assert set(stage.server.rosters[NEW]) == {ANNA}
            assert {told.to for told in stage.server.told} == {ANNA}

    play(main())


def test_who_was_followed_on_the_way_and_is_revoked_by_hand(tmp_path: Path) -> None:
    """The new account itself has followed a contact, whom nobody had to tell."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(ANNA)
            stage.people(BEN, manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until(lambda: bool(stage.server.told))
            await followed(stage, by=NEW)
            stage.movers.on_followed(NEW, ANNA, ANNA2)
            await stage.until_state(journey.id, S.SETTLING)
            run = stage.run(journey.id)
            await stage.until(lambda: run.onward.knows(ANNA2))
            stage.server.world.manners[ANNA2] = Manner.SILENT
            stage.server.speak(NEW, PresenceKind.UNSUBSCRIBED, ANNA2)
            await stage.server.world.idle()
            stage.server.speak(ANNA2, PresenceKind.SUBSCRIBE, NEW)
            await stage.server.world.idle()
            assert stage.server.rosters[NEW][ANNA2].subscription is Subscription.TO

    play(main())
