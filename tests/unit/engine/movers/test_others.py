"""Ways back of a move that the mover's own client makes between two accounts here."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from component.core.journey.model import Access
from component.core.model import Divert, PresenceKind, Reason, RosterItem, Subscription
from component.core.records import Accepted, MoveState, NewRecord, Settlement, VerdictRecord
from component.engine.movers.others import APPROVED_FOR
from sim.fast_loop import play
from sim.model_server import Node
from sim.model_world import Manner
from tests.unit.engine.movers.mover_stage import BOTH, NEW, OLD, Stage, opened

FIRST, CONTACT = "first@montague.example", "contact@d1.example"
DIVERT = Divert("d1", "i1", FIRST, OLD, NEW, RosterItem(OLD, BOTH), None, "<presence/>")


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
