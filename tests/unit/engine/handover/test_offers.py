"""The old account's side in a move away: offered when the statement stands, and gone at its end."""

from __future__ import annotations

import asyncio
import random
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from component.account.handover import CHUNK_BYTES, MAX_CHUNKS
from component.account.model import PepItem, Xml
from component.account.parcels import NODE
from component.core.journey.handover import HandoverState as H
from component.core.journey.model import Journey, JourneyState
from component.core.notices import HandoverTrouble, Published
from component.engine.belongings import asks
from component.xmpp.errors import LinkError, RemoteError, RequestTimeout
from sim.fast_loop import play
from sim.model_world import Manner
from tests.unit.engine.handover.far import FAR_HOSTS, ROOMS, Far, state_of, two
from tests.unit.engine.movers.mover_stage import FAR, OLD, Stage

S = JourneyState
CREATES = "before set pubsub create"
"""The node of the parcel is made."""
FARTHER = f"romeo@{FAR_HOSTS[1]}"


async def away(stage: Stage, new: str = FAR) -> Journey:
    """OLD moves away, until its contacts, if there are any, are awaited."""
    journey = await stage.begin(new=new)
    return await stage.until_state(journey.id, S.SETTLING, S.DONE)


async def look_again(stage: Stage) -> None:
    """What housekeeping does every few minutes; and what that begins, to its end."""
    await stage.handovers.once(lambda _: True)
    await stage.handovers.offers.done()


async def offered(stage: Stage, far: Far) -> Journey:
    """OLD has moved away, and a parcel stands."""
    stage.people("nurse@d1.example", manner=Manner.SILENT)
    journey = await away(stage)
    assert await state_of(stage, journey.id) is H.OFFERED
    assert stage.server.things.nodes(OLD) >= {NODE}
    return journey


def once(name: str, error: LinkError) -> Callable[[str], None]:
    """The server refuses the first request of this name."""
    left = [error]

    def refuse(asked: str) -> None:
        if asked == f"before {name}" and left:
            raise left.pop()

    return refuse


def gone(stage: Stage) -> bool:
    """Whether nothing is offered."""
    return NODE not in stage.server.things.nodes(OLD)


def test_offered_to_one_when_the_statement_stands(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            stated: list[bool] = []

            def see(name: str) -> None:
                if name == CREATES:
                    stated.append(stage.server.read(OLD, OLD) == FAR)

            stage.faults = see
            journey = await offered(stage, far)
            assert stated == [True]
            assert stage.server.things.of(OLD).nodes[NODE].members == {FAR: "member"}
            told = [type(notice) for _, notice, _ in stage.messages.told]
            assert told[0] is Published
            assert HandoverTrouble not in told
            # The other server has it, and says so; then it is gone, and is not made again.
            taken = await far.taker().fetch()
            await look_again(stage)
            assert not gone(stage)
            await far.taker().acknowledge(taken.manifest.sha256)
            await stage.crash()
            await stage.restart()
            await look_again(stage)
            assert gone(stage)
            await look_again(stage)
            assert gone(stage)
            assert await state_of(stage, journey.id) is H.RECEIVED
            assert stated == [True]

    play(main())


@pytest.mark.parametrize("word", ["cancel", "undo"])
def test_gone_with_the_move(tmp_path: Path, word: str) -> None:
    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            journey = await offered(stage, far)
            order = stage.movers.cancel if word == "cancel" else stage.movers.undo
            await order(OLD, journey.id)
            await stage.ended(journey.id)
            assert gone(stage)
            assert await state_of(stage, journey.id) is H.CANCELLED

    play(main())


def test_withdrawn_later_where_the_server_refuses(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            journey = await offered(stage, far)

            stage.faults = once("set pubsub delete", RemoteError("forbidden"))
            await stage.movers.cancel(OLD, journey.id)
            await stage.ended(journey.id)
            assert not gone(stage)
            await stage.crash()
            stage.faults = lambda _: None
            await stage.restart()
            await look_again(stage)
            assert gone(stage)
            assert await state_of(stage, journey.id) is H.CANCELLED

    play(main())


def test_its_time_is_over(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            journey = await offered(stage, far)
            stage.clock.jump(timedelta(days=7, minutes=1).total_seconds())
            await look_again(stage)
            assert gone(stage)
            assert await state_of(stage, journey.id) is H.EXPIRED
            assert stage.handovers.leftovers == 0

    play(main())


def test_what_the_server_keeps_is_a_leftover(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            await offered(stage, far)
            stage.clock.jump(timedelta(days=8, minutes=1).total_seconds())

            stage.faults = once("set pubsub delete", RemoteError("forbidden"))
            await look_again(stage)
            assert stage.handovers.leftovers == 1
            stage.faults = lambda _: None
            await look_again(stage)
            assert stage.handovers.leftovers == 0

    play(main())


@pytest.mark.parametrize(
    "error", [RemoteError("resource-constraint", "wait"), RequestTimeout("no answer")]
)
def test_a_refusal_keeps_nobody_from_moving(tmp_path: Path, error: LinkError) -> None:
    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            stage.people("nurse@d1.example", manner=Manner.SILENT)
            stage.faults = once("set pubsub create", error)
            journey = await away(stage)
            assert await state_of(stage, journey.id) is H.TROUBLED
            stage.faults = once("set pubsub create", error)
            await look_again(stage)
            assert await state_of(stage, journey.id) is H.TROUBLED
            (told,) = stage.messages.of(HandoverTrouble)
            assert (told.journey.id, told.lasting) == (journey.id, False)
            await look_again(stage)
            assert await state_of(stage, journey.id) is H.OFFERED
            await far.taker().fetch()

    play(main())


def test_made_anew_after_a_crash(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            stage.people("nurse@d1.example", manner=Manner.SILENT)

            def die(name: str) -> None:
                if name == "after set pubsub create":
                    stage._life.end()
                    stage.server.lose()

            stage.faults = die
            journey = await stage.begin(new=FAR)
            await stage.until(lambda: stage._life._dead)
            assert not gone(stage)  # in part
            await stage.crash()
            stage.faults = lambda _: None
            await stage.restart()
            await stage.until_state(journey.id, S.SETTLING)
            assert await state_of(stage, journey.id) is H.OFFERED
            await far.taker().fetch()

    play(main())


def test_a_later_move_has_the_place(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            first = await away(stage)
            assert await state_of(stage, first.id) is H.OFFERED
            stage.server.add(FARTHER)
            await stage.accounts.withdraw(OLD)  # its owner takes the statement back by hand
            second = await away(stage, FARTHER)
            await look_again(stage)
            assert await state_of(stage, first.id) is H.CANCELLED
            assert await state_of(stage, second.id) is H.OFFERED
            assert (await far.taker(FARTHER).fetch()).manifest.new == FARTHER

    play(main())


def test_not_where_the_admin_says_no(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path, carry=False) as (stage, _):
            stage.people("nurse@d1.example", manner=Manner.SILENT)
            journey = await away(stage)
            await look_again(stage)
            assert gone(stage)
            assert await state_of(stage, journey.id) is None

    play(main())


def test_an_instance_looks_after_its_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            journey = await offered(stage, far)
            taken = await far.taker().fetch()
            await far.taker().acknowledge(taken.manifest.sha256)
            await stage.handovers.once(lambda _: False)
            assert not gone(stage)
            assert stage.movers._looks_after(await stage.stored(journey.id))
            await stage.handovers.once(stage.movers._looks_after)
            assert gone(stage)

    play(main())


def test_gone_with_the_statement(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path, statement=timedelta(days=1)) as (stage, _):
            journey = await away(stage)
            await stage.ended(journey.id)
            await stage.movers.housekeeping.once()
            assert not gone(stage)
            stage.clock.jump(timedelta(days=1, minutes=1).total_seconds())
            await stage.movers.housekeeping.once()
            assert gone(stage)
            assert OLD not in stage.server.nodes
            assert await state_of(stage, journey.id) is H.CANCELLED

    play(main())


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "under way"])
def test_gone_when_everything_is_withdrawn(tmp_path: Path, ended: bool) -> None:
    """At once where the move has ended; where it is under way, when it is cancelled."""

    async def main() -> None:
        async with two(tmp_path) as (stage, far):
            if ended:
                journey = await away(stage)
                await stage.ended(journey.id)
            else:
                journey = await offered(stage, far)
            assert not gone(stage)
            await stage.admin.withdraw_all()
            await stage.until_state(journey.id, S.CANCELLED, S.DONE)
            for _ in range(20):
                if not (await stage.admin.withdraw_all()).left:
                    break
                await asyncio.sleep(1)
            assert gone(stage)
            assert OLD not in stage.server.nodes
            assert await state_of(stage, journey.id) is H.CANCELLED

    play(main())


def test_too_large(tmp_path: Path) -> None:
    """Its owner is told what to do, once, and the move goes on."""

    async def main() -> None:
        async with two(tmp_path) as (stage, _):
            dice = random.Random(1)
            for number in range(MAX_CHUNKS // 8 + 1):
                noise = b64encode(dice.randbytes(8 * CHUNK_BYTES)).decode()
                item = PepItem(ROOMS.node, f"{number}", Xml(f'<x xmlns="urn:x">{noise}</x>'))
                await stage.accounts.query(OLD, "set", asks.publish(item))
            journey = await away(stage)
            await stage.handovers.offers.done()
            await look_again(stage)
            assert gone(stage)
            assert await state_of(stage, journey.id) is H.REFUSED
            (told,) = stage.messages.of(HandoverTrouble)
            assert told.lasting

    play(main())
