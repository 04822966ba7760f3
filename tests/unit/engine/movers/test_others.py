"""Ways back of a move that the mover's own client makes between two accounts here."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from component.core.journey.model import Access, ContactState, JourneyState
from component.core.model import Divert, PresenceKind, Reason, RosterItem, Subscription
from component.core.records import Accepted, MoveState, NewRecord, Settlement, VerdictRecord
from component.engine.movers.others import APPROVED_FOR, STANDS_SECONDS, OthersMoves
from sim.fast_loop import play
from sim.model_server import Node
from sim.model_world import Manner
from tests.unit.engine.movers.mover_stage import BOTH, HOST, NEW, OLD, Stage, opened

FIRST, CONTACT = "first@montague.example", "contact@d1.example"
DIVERT = Divert("d1", "i1", FIRST, OLD, NEW, RosterItem(OLD, BOTH), None, "<presence/>")

_NOTIFIED = (JourneyState.SETTLING, JourneyState.DONE)


async def verified(stage: Stage) -> int:
    """The contact side is about to let its first contact follow; its record."""
    now, accounts = stage.clock.now(), (stage.server.token(OLD), stage.server.token(NEW))
    stage.server.nodes[OLD] = Node(Access.PRESENCE, NEW)
    verdict = VerdictRecord(now, Reason.VERIFIED, "statement", "{}", *accounts)
    id_, _ = await stage.store.add_decided(NewRecord(now, DIVERT), verdict)
    await stage.movers.others.expect(Accepted(OLD, NEW, now, *accounts))
    await stage.store.settle(id_, Settlement(now, MoveState.DONE, Reason.VERIFIED))
    return id_


async def tells(stage: Stage, contact: str) -> Subscription:
    """The mover's client tells a contact, who accepts by hand; what the new account has then."""
    stage.server.speak(NEW, PresenceKind.SUBSCRIBE, contact)
    await stage.server.world.idle()
    item = stage.server.entry(NEW, contact)
    return item.subscription if item is not None else Subscription.NONE


def test_the_way_back_is_approved_and_explained(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(CONTACT, manner=Manner.ACCEPTS)
            id_ = await verified(stage)
            assert await tells(stage, CONTACT) is BOTH
            found = await stage.store.get(id_)
            assert found is not None
            (explained,) = found[1]
            assert (explained.contact, explained.jid) == (NEW, CONTACT)
            assert explained.reason is Reason.WAY_BACK

    play(main())


@pytest.mark.parametrize("subscription", [Subscription.TO, Subscription.NONE])
def test_nobody_sees_more_than_before(tmp_path: Path, subscription: Subscription) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.contact(CONTACT, subscription, Manner.ACCEPTS)
            await verified(stage)
            assert await tells(stage, CONTACT) is Subscription.TO

    play(main())


def test_who_was_not_asked_is_not_approved(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(CONTACT, manner=Manner.SILENT)
            await verified(stage)
            stage.server.speak(CONTACT, PresenceKind.SUBSCRIBE, NEW)
            await stage.server.world.idle()
            assert stage.server.entry(NEW, CONTACT) is None
            assert stage.server.world.pending[NEW] == {CONTACT}

    play(main())


@pytest.mark.parametrize("late", [False, True])
def test_a_restart_forgets_nothing_but_what_is_over(tmp_path: Path, late: bool) -> None:
    """What waits when the component is back is approved, too, if it is not too late."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(CONTACT, manner=Manner.ACCEPTS)
            await verified(stage)
            await stage.crash()
            if late:
                stage.clock.jump((APPROVED_FOR + timedelta(minutes=1)).total_seconds())
            await stage.restart()
            await stage.until(lambda: late or "requests" in stage.server.watches.get(NEW, ()))
            assert await tells(stage, CONTACT) is (Subscription.TO if late else BOTH)

    play(main())


def test_a_move_of_ours_looks_after_its_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(CONTACT, manner=Manner.SILENT)
            await stage.begin()
            token = stage.server.token(NEW)
            await stage.movers.others.expect(Accepted(OLD, NEW, stage.clock.now(), None, token))
            assert not stage.movers.others.awaits(NEW)

    play(main())


@pytest.mark.parametrize("restarted", [True, False])
def test_who_was_revoked_by_hand_is_not_approved_again(tmp_path: Path, restarted: bool) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(CONTACT, manner=Manner.ACCEPTS)
            await verified(stage)
            assert await tells(stage, CONTACT) is BOTH
            stage.server.speak(NEW, PresenceKind.UNSUBSCRIBED, CONTACT)
            await stage.server.world.idle()
            if restarted:
                await stage.crash()
                await stage.restart()
                await stage.movers.watches.renew_all()
            stage.server.speak(CONTACT, PresenceKind.SUBSCRIBE, NEW)
            await stage.server.world.idle()
            assert stage.server.world.pending[NEW] == {CONTACT}

    play(main())


@pytest.mark.parametrize("anew", [True, False])
def test_whom_the_new_account_has_long_seen_was_not_asked(tmp_path: Path, anew: bool) -> None:
    """Unless its owner asks them now."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(CONTACT, manner=Manner.SILENT)
            stage.contact(
                CONTACT, Subscription.NONE if anew else Subscription.TO, Manner.SILENT, of=NEW
            )
            await verified(stage)
            if anew:
                stage.server.speak(NEW, PresenceKind.SUBSCRIBE, CONTACT)
            stage.server.speak(CONTACT, PresenceKind.SUBSCRIBE, NEW)
            await stage.server.world.idle()
            entry = stage.server.entry(NEW, CONTACT)
            assert entry is not None
            assert entry.subscription.grants is anew

    play(main())


def test_a_statement_that_was_withdrawn_lets_nobody_in(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            other = "other@d2.example"
            stage.people(CONTACT, other, manner=Manner.ACCEPTS)
            await verified(stage)
            assert await tells(stage, CONTACT) is BOTH
            del stage.server.nodes[OLD]
            await asyncio.sleep(STANDS_SECONDS)
            assert await tells(stage, other) is Subscription.TO

    play(main())


@pytest.mark.parametrize("end", ["done", "cancel", "undo"])
def test_where_we_moved_our_book_says_who_was_told(tmp_path: Path, end: str) -> None:
    """Nobody whom the mover left out comes in, whatever became of the move, nor after a restart."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            told, silent = "told@d2.example", "silent@d2.example"
            stage.people(told, CONTACT, manner=Manner.FOLLOWS)
            stage.people(silent, manner=Manner.SILENT)
            stage.contact(CONTACT, Subscription.TO, Manner.SILENT, of=NEW)
            journey = await stage.begin(choose=[told] if end == "done" else [told, silent])
            await stage.until_state(journey.id, *_NOTIFIED)
            await verified(stage)
            if end != "done":
                await getattr(stage.movers, end)(OLD, journey.id)
            await stage.ended(journey.id)
            await stage.crash()
            await stage.restart()
            await stage.movers.watches.renew_all()
            await stage.movers.watches.renew(NEW)
            stage.server.speak(CONTACT, PresenceKind.SUBSCRIBE, NEW)
            await stage.server.world.idle()
            entry = stage.server.entry(NEW, CONTACT)
            assert entry is not None
            assert entry.subscription is Subscription.TO
            assert end == "done" or not stage.movers.others.awaits(NEW)

    play(main())


@pytest.mark.parametrize("late", [Manner.ACCEPTS, Manner.FOLLOWS])
def test_who_was_told_and_follows_after_the_end_is_let_in(tmp_path: Path, late: Manner) -> None:
    async def main() -> None:
        async with opened(tmp_path, statement=timedelta(days=400)) as stage:
            stage.people(CONTACT, manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, JourneyState.SETTLING)
            for _ in range(40):
                stage.later(days=4)
                await asyncio.sleep(60)
            await stage.until_state(journey.id, JourneyState.DONE)
            await stage.ended(journey.id)
            assert (await stage.contacts(journey.id))[CONTACT].state is ContactState.GIVEN_UP
            await verified(stage)
            stage.server.world.answer(CONTACT, late)
            await stage.server.world.idle()
            if late is Manner.FOLLOWS:
                stage.server.speak(CONTACT, PresenceKind.SUBSCRIBED, NEW)
                stage.server.speak(CONTACT, PresenceKind.SUBSCRIBE, NEW)
                await stage.server.world.idle()
            entry = stage.server.entry(NEW, CONTACT)
            assert entry is not None
            assert entry.subscription is BOTH
            await stage.crash()
            await stage.restart()
            await stage.movers.watches.renew_all()
            stage.server.speak(NEW, PresenceKind.UNSUBSCRIBED, CONTACT)
            stage.server.speak(CONTACT, PresenceKind.SUBSCRIBE, NEW)
            await stage.server.world.idle()
            assert stage.server.world.pending[NEW] == {CONTACT}, "once only"

    play(main())


def test_a_follow_leaves_the_watch_of_another_instance_alone(tmp_path: Path) -> None:
    """One runs the journey, and another serves a contact of it."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(CONTACT, manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, JourneyState.SETTLING)
            before = stage.server.watches[NEW]
            assert "answers" in before
            asked: list[str] = []

            async def watch(user: str) -> None:
                asked.append(user)

            elsewhere = OthersMoves(
                stage.accounts,
                stage.store.journeys,
                stage.store,
                stage.clock,
                (HOST,),
                lambda old, new: False,
                watch,
            )
            tokens = stage.server.token(OLD), stage.server.token(NEW)
            await elsewhere.expect(Accepted(OLD, NEW, stage.clock.now(), *tokens))
            assert not asked
            assert not elsewhere.awaits(NEW)

    play(main())


@pytest.mark.parametrize("restarted", [True, False])
@pytest.mark.parametrize("name", [OLD, NEW])
def test_a_later_owner_of_a_name_is_somebody_else(
    tmp_path: Path, name: str, restarted: bool
) -> None:
    """They ask the contact as anybody may, and the contact's request is theirs to answer."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(CONTACT, manner=Manner.ACCEPTS)
            await verified(stage)
            stage.server.remove(name)
            stage.server.add(name, *([RosterItem(CONTACT, BOTH)] if name == OLD else []))
            if restarted:
                await stage.crash()
                await stage.restart()
            await stage.movers.watches.renew_all()
            assert await tells(stage, CONTACT) is Subscription.TO
            assert stage.server.world.pending[NEW] == {CONTACT}
            await stage.movers.watches.renew(NEW)
            assert stage.server.world.pending[NEW] == {CONTACT}

    play(main())


@pytest.mark.parametrize("end", ["undo", "cancel"])
def test_what_a_client_does_after_a_move_was_taken_back(tmp_path: Path, end: str) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(CONTACT, manner=Manner.ACCEPTS)
            stage.people("silent@d2.example", manner=Manner.SILENT)
            journey = await stage.begin(choose=["silent@d2.example"])
            await stage.until_state(journey.id, JourneyState.SETTLING)
            await getattr(stage.movers, end)(OLD, journey.id)
            await stage.ended(journey.id)
            stage.later(days=1)
            await verified(stage)
            assert stage.movers.others.awaits(NEW)

    play(main())


def test_an_approval_is_written_beside_the_record_of_its_accounts(tmp_path: Path) -> None:
    """A later record, passed on before anybody asked whose the accounts are, is none of them."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(CONTACT, manner=Manner.ACCEPTS)
            id_ = await verified(stage)
            now = stage.clock.now()
            passed = replace(DIVERT, request_id="d2", contact="second@montague.example")
            other = await stage.store.add(NewRecord(now, passed))
            await stage.store.settle(other, Settlement(now, MoveState.RELEASED, Reason.OTHER_JID))
            assert await tells(stage, CONTACT) is BOTH
            for number, lines in ((id_, 1), (other, 0)):
                found = await stage.store.get(number)
                assert found is not None
                assert len(found[1]) == lines

    play(main())
