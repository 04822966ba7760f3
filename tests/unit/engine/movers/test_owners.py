"""An account is more than its address: what happens where a name gets another owner unheard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from component.core.conditions import Condition
from component.core.journey.model import ContactState, JourneyState, Problem, Refused
from component.core.model import NOBODYS
from component.core.notices import CodeSent, Follow, Settings, Stopped
from component.engine.belongings.ports import FromMove
from sim.fast_loop import play
from sim.model_world import Manner
from tests.unit.engine.movers.mover_stage import NEW, OLD, Stage, opened

S = JourneyState
NURSE, TYBALT = "nurse@capulet.example", "tybalt@capulet.example"
NAMES = pytest.mark.parametrize("name", [OLD, NEW])


def next_owner(stage: Stage, name: str) -> str:
    """Somebody else has the name, and nobody has said so; the token of before."""
    token = stage.server.remove(name)
    stage.server.add(name)
    return token


async def problem_of(order: Awaitable[object]) -> Problem:
    with pytest.raises(Refused) as refused:
        await order
    return refused.value.problem


@NAMES
def test_a_move_under_way_ends(tmp_path: Path, name: str) -> None:
    """Nothing is sent or published in the name any more, and whoever has it is told nothing."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(NURSE, manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)
            next_owner(stage, name)
            stage.run(journey.id).wake()
            ended = await stage.until_state(journey.id, S.CANCELLED)
            await stage.ended(journey.id)
            assert ended.detail == Condition.GONE
            # A new account that is still here takes back what nobody has answered.
            left = ContactState.RESTORED if name == OLD else ContactState.GIVEN_UP
            assert {c.state for c in (await stage.contacts(journey.id)).values()} == {left}
            assert not [item for item in stage.server.rosters[NEW].values() if item.ask]
            assert stage.server.rosters[name] == {}
            assert name not in stage.server.nodes
            assert name not in stage.server.watches
            other = NEW if name == OLD else OLD
            over = [one.journey.owner for one in stage.seen if one.journey.state is S.CANCELLED]
            assert over[0] == other, "it is told to whoever is the owner in that moment"
            assert [to for to, notice, _ in stage.messages.told if isinstance(notice, Stopped)] == [
                other
            ]

    play(main())


ORDERS: dict[str, Callable[[Stage, int, str], Awaitable[object]]] = {
    "progress": lambda stage, id, asker: stage.movers.progress(asker, id),
    "contacts": lambda stage, id, asker: stage.movers.contacts(asker, id),
    "pause": lambda stage, id, asker: stage.movers.pause(asker, id),
    "resume": lambda stage, id, asker: stage.movers.resume(asker, id),
    "cancel": lambda stage, id, asker: stage.movers.cancel(asker, id),
    "undo": lambda stage, id, asker: stage.movers.undo(asker, id),
    "copy": lambda stage, id, asker: stage.copies.preview(asker, FromMove(id)),
}


@NAMES
def test_what_was_done_is_not_the_next_owners(tmp_path: Path, name: str) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(NURSE, TYBALT)
            journey = await stage.begin()
            await stage.ended(journey.id)
            other = NEW if name == OLD else OLD
            assert await stage.movers.journeys(name)
            await stage.movers.set_settings(name, Settings(Follow.NEVER))
            next_owner(stage, name)
            before = {jid: dict(roster) for jid, roster in stage.server.rosters.items()}
            assert not await stage.movers.journeys(name)
            assert (await stage.movers.settings(name)).follow is Follow.AUTO
            for order in ORDERS.values():
                assert await problem_of(order(stage, journey.id, name)) is Problem.NOT_YOURS
            assert stage.server.rosters == before
            assert await stage.movers.journeys(other)

    play(main())


@pytest.mark.parametrize("heard", [True, False])
def test_nobody_is_led_to_another(tmp_path: Path, heard: bool) -> None:
    """The new account is gone: the old one's statement, and later its tombstone, lead nowhere.

    Whether the hook said so, or a look finds another owner."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(NURSE)
            journey = await stage.begin()
            await stage.ended(journey.id)
            assert await stage.store.journeys.successor(OLD) is not None
            token = next_owner(stage, NEW)
            if heard:
                await stage.movers.deleted(NEW, token)
            else:
                await stage.movers.housekeeping.once()
            assert OLD not in stage.server.nodes
            assert not stage.server.watches.get(OLD)
            assert await stage.store.journeys.successor(OLD) is None
            assert (await stage.stored(journey.id)).new_account == NOBODYS

    play(main())


def test_a_name_leads_on_until_it_was_anothers(tmp_path: Path) -> None:
    """The owner's own deletion leaves a tombstone; that of the next owner leaves none."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(NURSE)
            journey = await stage.begin()
            await stage.ended(journey.id)
            await stage.movers.deleted(OLD, stage.server.remove(OLD))
            assert await stage.store.journeys.successor(OLD) is not None
            stage.server.add(OLD)
            await stage.movers.deleted(OLD, stage.server.remove(OLD))
            assert await stage.store.journeys.successor(OLD) is None

    play(main())


@NAMES
@pytest.mark.parametrize("when", ["before the code", "before the proof", "before the start"])
def test_a_draft_is_its_owners(tmp_path: Path, name: str, when: str) -> None:
    """Also where the other account is somebody else's by the time the code is typed."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(NURSE)
            found = await stage.desk.prepare_away(OLD, NEW)
            id = found.journey.id
            wanted = Problem.NOT_YOURS if name == OLD else Problem.CHECKS_FAILED
            if when == "before the code":
                next_owner(stage, name)
                assert await problem_of(stage.desk.send_code(OLD, id)) is wanted
                return
            await stage.desk.send_code(OLD, id)
            code = stage.messages.of(CodeSent)[-1].code
            if when == "before the start":
                await stage.desk.prove(OLD, id, code)
            next_owner(stage, name)
            if when == "before the proof" and name == NEW:
                assert not (await stage.desk.prove(OLD, id, code)).ok
            elif when == "before the proof":
                assert await problem_of(stage.desk.prove(OLD, id, code)) is wanted
            assert await problem_of(stage.desk.start(OLD, id)) is wanted
            assert not stage.server.nodes

    play(main())


def test_an_address_that_is_made_meanwhile_may_be_moved_to(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(NURSE)
            del stage.server.rosters[NEW]
            found = await stage.desk.prepare_away(OLD, NEW)
            assert not found.ok
            stage.server.add(NEW)
            id = found.journey.id
            await stage.desk.send_code(OLD, id)
            await stage.desk.prove(OLD, id, stage.messages.of(CodeSent)[-1].code)
            await stage.desk.start(OLD, id)
            assert (await stage.ended(id)).state is S.DONE

    play(main())


@pytest.mark.parametrize("heard", [True, False])
def test_a_proof_is_good_for_the_account_that_got_the_code(tmp_path: Path, heard: bool) -> None:
    """Who has the name next has shown nothing, whether or not the hook told of the deletion."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(NURSE)
            id = (await stage.desk.prepare_away(OLD, NEW)).journey.id
            await stage.desk.send_code(OLD, id)
            code = stage.messages.of(CodeSent)[-1].code
            await stage.desk.prove(OLD, id, code)
            token = stage.server.remove(NEW)
            if heard:
                await stage.movers.deleted(NEW, token)
            stage.server.add(NEW)
            wanted = Problem.CODE_EXPIRED if heard else Problem.CHECKS_FAILED
            assert await problem_of(stage.desk.start(OLD, id)) is wanted
            if heard:  # nor does the code that the one before was sent
                assert await problem_of(stage.desk.prove(OLD, id, code)) is Problem.CODE_EXPIRED
            assert stage.server.rosters[NEW] == {}
            assert not stage.server.nodes

    play(main())


@pytest.mark.parametrize("heard", [True, False])
@NAMES
def test_nothing_is_copied_for_or_from_the_next_owner(
    tmp_path: Path, name: str, heard: bool
) -> None:
    """Ordered by the other account of the move, whose owner is the same."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(NURSE)
            journey = await stage.begin()
            await stage.ended(journey.id)
            token = next_owner(stage, name)
            if heard:
                await stage.movers.deleted(name, token, stage.server.token(name))
            asker = NEW if name == OLD else OLD
            order = stage.copies.preview(asker, FromMove(journey.id))
            assert await problem_of(order) is Problem.OTHER_OWNER
            assert stage.server.rosters[name] == {}

    play(main())


def test_the_next_owner_is_not_told_how_it_ended(tmp_path: Path) -> None:
    """The component stops before it has said so, and the name changes hands meanwhile."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(NURSE, manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)
            await stage.crash()
            next_owner(stage, OLD)
            told = len(stage.messages.told)
            await stage.restart()
            await stage.until_state(journey.id, S.CANCELLED)
            await stage.ended(journey.id)
            assert {to for to, *_ in stage.messages.told[told:]} <= {NEW}

    play(main())


def test_a_statement_of_a_move_that_was_made_anew_stays(tmp_path: Path) -> None:
    """The new account was lost without a word and registered again, and is moved to once more."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(NURSE)
            first = await stage.begin()
            await stage.ended(first.id)
            await stage.crash()
            next_owner(stage, NEW)
            stage.people(TYBALT)
            await stage.restart()
            again = await stage.begin()
            await stage.ended(again.id)
            await stage.movers.look_at_owners(await stage.stored(first.id))
            assert (await stage.stored(first.id)).new_account == NOBODYS
            assert stage.server.nodes[OLD].names == NEW

    play(main())
