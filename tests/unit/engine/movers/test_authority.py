"""Who may order what."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from component.core.journey.model import CheckName, JourneyState, Preflight, Problem, Refused
from component.core.notices import CodeSent
from sim.fast_loop import play
from sim.model_world import Manner
from tests.unit.engine.movers.mover_stage import MALLORY, NEW, OLD, Stage, opened, quick

FRIENDS = ("a@d1.example", "b@d2.example")


async def drafted(stage: Stage) -> Preflight:
    """OLD's draft of a move to NEW."""
    stage.server.add(MALLORY)
    stage.people(*FRIENDS, manner=Manner.SILENT)
    return await stage.desk.prepare_away(OLD, NEW)


async def code(stage: Stage, id_: int) -> str:
    """The code that NEW gets."""
    await stage.desk.send_code(OLD, id_)
    to, notice, _ = stage.messages.told[-1]
    assert to == NEW
    assert isinstance(notice, CodeSent)
    return notice.code


@pytest.mark.parametrize("asker", [MALLORY, NEW, "stranger@elsewhere.example"])
def test_a_draft_obeys_its_owner_only(tmp_path: Path, asker: str) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            id_ = (await drafted(stage)).journey.id
            right, desk = await code(stage, id_), stage.desk
            for order in (
                lambda: desk.choose(asker, id_, FRIENDS),
                lambda: desk.access(asker, id_, None),
                lambda: desk.preflight(asker, id_),
                lambda: desk.send_code(asker, id_),
                lambda: desk.prove(asker, id_, right),
                lambda: desk.start(asker, id_),
            ):
                with pytest.raises(Refused) as refused:
                    await order()
                assert refused.value.problem is Problem.NOT_YOURS
            assert not stage.server.told

    play(main())


def test_a_started_journey_obeys_its_two_accounts_only(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            id_ = (await drafted(stage)).journey.id
            await stage.desk.prove(OLD, id_, await code(stage, id_))
            await stage.desk.start(OLD, id_)
            await stage.until_state(id_, JourneyState.SETTLING)
            before, movers = await stage.stored(id_), stage.movers
            for order in (
                movers.pause,
                movers.resume,
                movers.cancel,
                movers.undo,
                movers.progress,
                movers.contacts,
            ):
                with pytest.raises(Refused) as refused:
                    await order(MALLORY, id_)
                assert refused.value.problem is Problem.NOT_YOURS
            assert (await stage.stored(id_)).state is before.state
            assert await movers.journeys(MALLORY) == []
            assert [j.id for j in await movers.journeys(NEW)] == [id_]

    play(main())


@pytest.mark.parametrize("given", ["", "000000x", "12345", "\u0661\u0662\u0663\u0664\u0665"])
def test_a_wrong_code(tmp_path: Path, given: str) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            id_ = (await drafted(stage)).journey.id
            right = await code(stage, id_)
            assert await stage.desk.code_from(NEW) == OLD
            assert await stage.desk.code_from(OLD) is None
            for _ in range(4):
                with pytest.raises(Refused) as refused:
                    await stage.desk.prove(OLD, id_, given)
                assert refused.value.problem is Problem.CODE_WRONG
            for tried in (given, right):
                with pytest.raises(Refused) as refused:
                    await stage.desk.prove(OLD, id_, tried)
                assert refused.value.problem is Problem.CODE_TRIES
            assert await stage.desk.code_from(NEW) is None
            assert not stage.server.told

    play(main())


def test_a_code_of_another_journey_and_one_that_is_too_old(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            first = (await drafted(stage)).journey.id
            other = (await stage.desk.prepare_away(MALLORY, NEW)).journey.id
            right = await code(stage, first)
            with pytest.raises(Refused) as refused:
                await stage.desk.prove(MALLORY, other, right)
            assert refused.value.problem is Problem.CODE_EXPIRED
            stage.clock.jump(3601)
            with pytest.raises(Refused) as refused:
                await stage.desk.prove(OLD, first, right)
            assert refused.value.problem is Problem.CODE_EXPIRED

    play(main())


def test_a_code_lasts_as_long_as_the_settings_of_now_say(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            id_ = (await drafted(stage)).journey.id
            stage.movers.reconfigure(quick(code_minutes=3))
            right = await code(stage, id_)
            assert stage.messages.of(CodeSent)[-1].minutes == 3
            stage.clock.jump(181)
            with pytest.raises(Refused) as refused:
                await stage.desk.prove(OLD, id_, right)
            assert refused.value.problem is Problem.CODE_EXPIRED

    play(main())


def test_codes_are_few(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            id_ = (await drafted(stage)).journey.id
            for _ in range(5):
                await code(stage, id_)
            with pytest.raises(Refused) as refused:
                await stage.desk.send_code(OLD, id_)
            assert refused.value.problem is Problem.TOO_MANY_CODES

    play(main())


def test_both_accounts_start_at_once(tmp_path: Path) -> None:
    """Each has a draft and a code: one move comes of it, not two."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            mine = (await drafted(stage)).journey.id
            theirs = (await stage.desk.prepare_arrive(NEW, OLD)).journey.id
            my_code = await code(stage, mine)
            await stage.desk.send_code(NEW, theirs)
            their_code = stage.messages.of(CodeSent)[-1].code
            await stage.desk.prove(OLD, mine, my_code)
            await stage.desk.prove(NEW, theirs, their_code)
            results = await asyncio.gather(
                stage.desk.start(OLD, mine),
                stage.desk.start(NEW, theirs),
                return_exceptions=True,
            )
            assert sum(isinstance(result, Refused) for result in results) == 1

    play(main())


def test_the_same_way_again_while_the_first_settles(tmp_path: Path) -> None:
    """Its contacts have not answered yet; a second move would tell them twice."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            theirs = (await stage.desk.prepare_arrive(NEW, OLD)).journey.id
            await stage.desk.send_code(NEW, theirs)
            their_code = stage.messages.of(CodeSent)[-1].code
            mine = (await drafted(stage)).journey.id
            await stage.desk.prove(OLD, mine, await code(stage, mine))
            await stage.desk.start(OLD, mine)
            await stage.until_state(mine, JourneyState.SETTLING)
            found = await stage.desk.prove(NEW, theirs, their_code)
            assert [c.name for c in found.checks if not c.ok] == [CheckName.IDLE]
            with pytest.raises(Refused) as refused:
                await stage.desk.start(NEW, theirs)
            assert refused.value.problem is Problem.CHECKS_FAILED
            assert await stage.contacts(theirs) != {}
            assert sorted(told.to for told in stage.server.told) == sorted(FRIENDS)

    play(main())


def test_a_move_that_began_elsewhere_after_the_examination(tmp_path: Path) -> None:
    """Another instance examined its draft before ours had begun: the store has the last word."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            theirs = (await stage.desk.prepare_arrive(NEW, OLD)).journey
            mine = (await drafted(stage)).journey.id
            await stage.desk.prove(OLD, mine, await code(stage, mine))
            await stage.desk.start(OLD, mine)
            with pytest.raises(Refused) as refused:
                await stage.movers.begin(theirs, [])
            assert refused.value.problem is Problem.CHECKS_FAILED
            assert refused.value.facts["checks"] == CheckName.IDLE.value
            assert (await stage.stored(theirs.id)).state is JourneyState.DRAFT

    play(main())


def test_nobody_sees_the_contacts_of_another(tmp_path: Path) -> None:
    """Mallory claims to arrive from Romeo's account: no code was typed, so nothing is shown."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            await drafted(stage)
            found = await stage.desk.prepare_arrive(MALLORY, OLD)
            id_ = found.journey.id
            for seen in (
                found,
                await stage.desk.preflight(MALLORY, id_),
                await stage.desk.access(MALLORY, id_, None),
            ):
                assert not seen.contacts
            with pytest.raises(Refused):
                await stage.desk.choose(MALLORY, id_, FRIENDS)
            with pytest.raises(Refused):
                await stage.desk.start(MALLORY, id_)
            assert await stage.contacts(id_) == {}

    play(main())


def test_a_draft_that_was_replaced(tmp_path: Path) -> None:
    """Two windows of one user: the older one learns that there is a newer one."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            first = (await drafted(stage)).journey.id
            right = await code(stage, first)
            await stage.desk.prepare_away(OLD, NEW)
            with pytest.raises(Refused) as refused:
                await stage.desk.prove(OLD, first, right)
            assert refused.value.problem is Problem.DRAFT_GONE

    play(main())


def test_a_code_is_not_the_next_owners(tmp_path: Path) -> None:
    """Where it is to be typed is said to whom it was sent, and to nobody after them."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            await code(stage, (await drafted(stage)).journey.id)
            assert await stage.desk.code_from(NEW) == OLD
            stage.server.remove(NEW)
            stage.server.add(NEW)
            assert await stage.desk.code_from(NEW) is None

    play(main())


def test_while_a_move_is_under_way_nothing_is_said_of_the_last_one(tmp_path: Path) -> None:
    async def main() -> None:
        waits = {"cooldown": timedelta(days=30), "failed_cooldown": timedelta(minutes=5)}
        async with opened(tmp_path, **waits) as stage:
            stage.server.add(MALLORY)
            stage.people(*FRIENDS, manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.movers.pause(OLD, journey.id)
            for other in (MALLORY, "juliet@elsewhere.example"):
                found = await stage.desk.prepare_away(OLD, other)
                failed = {check.name for check in found.checks if not check.ok}
                assert CheckName.IDLE in failed
                assert CheckName.COOLDOWN not in failed
            await stage.movers.cancel(OLD, journey.id)
            found = await stage.desk.prepare_away(OLD, MALLORY)
            (check,) = [check for check in found.checks if not check.ok]
            assert check.name is CheckName.COOLDOWN
            assert 290 < float(check.facts["left"]) <= 300

    play(main())
