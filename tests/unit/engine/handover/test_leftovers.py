"""What should have been gone is named, as the accounts say and not as the journal hopes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from component.account.parcels import NODE, RECEIPT_NODE
from component.core.journey.model import JourneyState
from component.engine.handover.leftovers import Leftover, leftovers
from component.xmpp.errors import RemoteError
from sim.fast_loop import play
from sim.model_world import Manner
from tests.unit.engine.handover.far import NURSE, two
from tests.unit.engine.movers.mover_stage import FAR, NEW, OLD, Stage

S = JourneyState


async def found(stage: Stage) -> list[Leftover]:
    """What `check` would name."""
    known = await stage.store.handovers.open()
    return await leftovers(stage.accounts, stage.clock, known, stage.store.journeys.get)


def test_parcels_and_receipts(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            stage.people(NURSE, manner=Manner.SILENT)
            left = await stage.begin(new=FAR)
            await stage.until_state(left.id, S.SETTLING)
            await stage.movers.cancel(OLD, left.id)
            await stage.ended(left.id)
            await stage.server.world.idle()
            stage.people("friar@d1.example", of=FAR)
            await far.pack()
            came = await stage.arrive()
            await stage.until_state(came.id, S.DONE)
            assert await found(stage) == []
            stage.clock.jump(timedelta(days=8, hours=1).total_seconds())
            # The cancelled one has gone in time; the receipt still stands.
            assert await found(stage) == [Leftover(NEW, RECEIPT_NODE)]
            await stage.handovers.once(lambda _: True)
            assert await found(stage) == []

    play(main())


def test_what_cannot_be_looked_at_is_named(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (stage, _):
            journey = await stage.begin(new=FAR)
            await stage.until_state(journey.id, S.DONE)
            stage.clock.jump(timedelta(days=8, hours=1).total_seconds())
            assert await found(stage) == [Leftover(OLD, NODE)]

            def refuse(name: str) -> None:
                if name == "before get pubsub items":
                    raise RemoteError("internal-server-error", "wait")

            stage.faults = refuse
            assert await found(stage) == [Leftover(OLD, NODE, "internal-server-error")]
            # Its owner has deleted it by hand: the journal does not know, the account does.
            stage.faults = lambda _: None
            del stage.server.things.of(OLD).nodes[NODE]
            assert await found(stage) == []

    play(main())
