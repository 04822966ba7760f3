"""Cancelling and undoing: what the rosters are afterwards, whatever comes between."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from component.core.journey.model import (
    Access,
    ContactState,
    JourneyState,
    Problem,
    Refused,
)
from component.core.model import PresenceKind, RosterItem, Subscription
from component.store.errors import StoreBusy
from component.xmpp.errors import RemoteError
from sim.fast_loop import play
from sim.model_world import Manner
from tests.unit.engine.movers.mover_stage import NEW, OLD, Stage, opened

S = JourneyState
ODD = "odd@d9.example"
PEOPLE = {
    "a@d1.example": Manner.FOLLOWS,
    "b@d2.example": Manner.FOLLOWS,
    "c@d1.example": Manner.SILENT,
    "d@d2.example": Manner.REFUSES,
    "e@d3.example": Manner.ACCEPTS,
}
FRIEND = RosterItem("friend@d1.example", Subscription.BOTH, False, "Friend", ("Mine",))


def arrange(stage: Stage) -> dict[str, dict[str, RosterItem]]:
    """Contacts of all manners; the movers' rosters as they are before."""
    for jid, manner in PEOPLE.items():
        stage.people(jid, manner=manner)
    stage.server.rosters[NEW][FRIEND.jid] = FRIEND
    return {user: dict(stage.server.rosters[user]) for user in (OLD, NEW)}


async def moved(stage: Stage) -> int:
    """A journey of which everybody has been told."""
    journey = await stage.begin()
    await stage.until_state(journey.id, S.SETTLING)
    await stage.server.world.idle()
    return journey.id


def test_an_undo_restores_both_rosters(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            before = arrange(stage)
            id_ = await moved(stage)
            await stage.movers.undo(OLD, id_)
            await stage.until_state(id_, S.UNDONE)
            await stage.server.world.idle()
            assert stage.server.rosters[OLD] == before[OLD]
            assert stage.server.rosters[NEW] == before[NEW]
            assert not stage.server.nodes
            assert not stage.server.world.trouble

    play(main())


@pytest.mark.parametrize("whitelists", [True, False])
def test_who_may_read_that_an_undo_leads_back(tmp_path: Path, whitelists: bool) -> None:
    """A whitelist where there are any, also after a refusal that passes; else as the XEP asks."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            before = arrange(stage)
            id_ = await moved(stage)
            stage.server.whitelists = whitelists
            refusals = [RemoteError("resource-constraint", "wait")]
            seen: set[Access | None] = set()

            def refuse_once(name: str) -> None:
                if NEW in stage.server.nodes:
                    seen.add(stage.server.nodes[NEW].access)
                if name == "before set pubsub publish" and refusals:
                    raise refusals.pop()

            stage.faults = refuse_once
            await stage.movers.undo(OLD, id_)
            await stage.until_state(id_, S.UNDONE)
            await stage.server.world.idle()
            assert not refusals
            assert seen == {Access.WHITELIST if whitelists else Access.PRESENCE}
            assert stage.server.rosters[NEW] == before[NEW]

    play(main())


def test_an_undo_takes_back_what_was_given_up(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(ODD)
            stage.server.world.errors[ODD] = "gone"
            before = dict(stage.server.rosters[NEW])
            journey = await stage.begin()
            await stage.until_state(journey.id, S.DONE)
            assert (await stage.contacts(journey.id))[ODD].state is ContactState.GIVEN_UP
            await stage.movers.undo(OLD, journey.id)
            await stage.until_state(journey.id, S.UNDONE)
            assert stage.server.rosters[NEW] == before

    play(main())


@pytest.mark.parametrize("point", range(1, 60, 4))
def test_an_undo_survives_kill_9(tmp_path: Path, point: int) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            before = arrange(stage)
            id_ = await moved(stage)
            calls = 0

            def die(_: str) -> None:
                nonlocal calls
                calls += 1
                if calls == point:
                    stage._life.end()
                    stage.server.lose()
                    stage._moved_on.set()

            stage.faults = die
            asked = stage.movers.undo(OLD, id_)
            order = asyncio.create_task(asked)
            await stage.until(
                lambda: stage._life._dead or (order.done() and id_ not in stage.movers.runs.by_id)
            )
            stage.faults = lambda _: None
            order.cancel()
            await stage.crash()
            await stage.server.world.idle()
            await stage.restart()
            if (await stage.stored(id_)).state not in (S.UNDOING, S.UNDONE):
                await stage.movers.undo(OLD, id_)
            await stage.until_state(id_, S.UNDONE)
            await stage.server.world.idle()
            assert stage.server.rosters[OLD] == before[OLD]
            assert stage.server.rosters[NEW] == before[NEW]

    play(main())


def test_an_undo_that_could_not_be_written_has_not_begun(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            arrange(stage)
            id_ = await moved(stage)

            def fail(name: str) -> None:
                if "before store save" in name:
                    raise StoreBusy("the journal cannot be written now")

            stage.faults = fail
            with pytest.raises(Refused) as refused:
                await stage.movers.undo(OLD, id_)
            stage.faults = lambda _: None
            assert refused.value.problem is Problem.UNAVAILABLE
            assert (await stage.stored(id_)).state is S.SETTLING
            await stage.movers.undo(OLD, id_)
            await stage.until_state(id_, S.UNDONE)

    play(main())


def test_an_undo_comes_too_late(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            arrange(stage)
            id_ = await moved(stage)
            stage.clock.jump(72.1 * 3600)
            with pytest.raises(Refused) as refused:
                await stage.movers.undo(OLD, id_)
            assert refused.value.problem is Problem.TOO_LATE
            await stage.admin.undo_any(id_)
            await stage.until_state(id_, S.UNDONE)

    play(main())


def test_an_undo_does_not_ask_all_the_time(tmp_path: Path) -> None:
    """A contact that cannot be reached keeps an undo open for days."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            arrange(stage)
            id_ = await moved(stage)
            stage.server.world.down.add("d1.example")
            await stage.movers.undo(OLD, id_)
            await stage.until(lambda: stage.run(id_).book.counts[ContactState.RESTORED] >= 3)
            asked = 0

            def note(name: str) -> None:
                nonlocal asked
                asked += name == "before get query"

            stage.faults = note
            await asyncio.sleep(600)
            assert asked <= 60
            stage.server.world.down.clear()
            stage.later(hours=2)
            await stage.until_state(id_, S.UNDONE)

    play(main())


def test_who_follows_as_the_move_is_cancelled_stays(tmp_path: Path) -> None:
    """Their server had read the statement before it went, and acts a moment later."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            late = "late@d1.example"
            stage.people(late, manner=Manner.SILENT)
            id_ = await moved(stage)

            def follow() -> None:
                stage.server.speak(late, PresenceKind.SUBSCRIBED, NEW)
                stage.server.speak(late, PresenceKind.UNSUBSCRIBED, OLD)

            def withdrawn(name: str) -> None:
                if name == "after set pubsub delete":
                    asyncio.get_running_loop().call_later(1.0, follow)

            stage.faults = withdrawn
            await stage.movers.cancel(OLD, id_)
            await stage.ended(id_)
            await stage.server.world.idle()
            entry = stage.server.entry(NEW, late)
            assert entry is not None
            assert entry.subscription.receives
            kept = stage.server.entry(late, NEW)
            assert kept is not None
            assert kept.subscription.grants

    play(main())


def test_cancelling_withdraws_what_nobody_answered(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            arrange(stage)
            id_ = await moved(stage)
            await stage.movers.cancel(NEW, id_)
            assert (await stage.ended(id_)).state is S.CANCELLED
            states = {j: c.state for j, c in (await stage.contacts(id_)).items()}
            assert states["c@d1.example"] is ContactState.RESTORED
            assert states["a@d1.example"] is ContactState.MUTUAL
            assert "c@d1.example" not in stage.server.rosters[NEW]
            assert "a@d1.example" in stage.server.rosters[NEW]
            assert not stage.server.nodes

    play(main())
