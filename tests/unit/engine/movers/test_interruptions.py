"""What comes between: pauses, a stream that is lost, a store that fails."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from types import FrameType

import pytest

from component.core.journey.model import ContactState, JourneyState, Problem, Refused
from component.core.notices import Stopped
from component.engine.movers.orders import RunTime
from component.store.errors import StoreBusy
from sim.fast_loop import play
from sim.model_world import Manner
from tests.unit.engine.movers.mover_stage import NEW, OLD, Stage, opened

S = JourneyState
PEOPLE = tuple(f"p{n}@d{n % 3}.example" for n in range(9))


def told(stage: Stage) -> list[str]:
    """Who was notified, in order of names."""
    return sorted(notification.to for notification in stage.server.told)


def test_a_pause_keeps_everything_and_a_resume_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE, manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)
            paused = await stage.movers.pause(OLD, journey.id)
            assert paused.journey.state is S.PAUSED
            assert sum(paused.counts.values()) == paused.total == len(PEOPLE)
            assert OLD in stage.server.nodes
            await stage.ended(journey.id)
            stage.later(days=5)
            assert told(stage) == sorted(PEOPLE)
            resumed = await stage.movers.resume(NEW, journey.id)
            assert resumed.journey.state is S.SETTLING
            for person in PEOPLE:
                stage.server.world.answer(person, Manner.ACCEPTS)
            done = await stage.ended(journey.id)
            assert done.state is S.DONE
            assert len(stage.messages.of(Stopped)) == 1

    play(main())


def test_a_resume_right_after_a_pause_is_not_lost(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE, manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)
            await stage.movers.pause(OLD, journey.id)
            await stage.movers.resume(OLD, journey.id)
            for person in PEOPLE:
                stage.server.world.answer(person, Manner.ACCEPTS)
            await stage.until_state(journey.id, S.DONE)

    play(main())


def test_a_pause_while_the_stream_is_down_withdraws_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE, manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)
            stage.disconnect()
            stage.movers.wake_all()
            await stage.until(lambda: not stage.movers._up.is_set())
            stage.later(hours=1)
            await asyncio.sleep(20)
            await stage.admin.pause_any(journey.id)  # by the socket: no user can be heard now
            await stage.connect()
            await stage.ended(journey.id)
            assert OLD in stage.server.nodes
            states = {c.state for c in (await stage.contacts(journey.id)).values()}
            assert states <= {ContactState.SENT, ContactState.PENDING}

    play(main())


def test_a_reconnect_renews_the_watches_of_an_idle_journey(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, look_seconds=3600.0) as stage:
            stage.people(*PEOPLE, manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)
            await stage.server.world.idle()
            stage.disconnect()
            await stage.connect()
            await stage.until(lambda: "requests" in stage.server.watches.get(NEW, ()), 300)
            stage.server.world.answer(PEOPLE[0], Manner.ACCEPTS)
            await stage.server.world.idle()
            assert not stage.server.world.pending.get(NEW)

    play(main())


@pytest.mark.parametrize("restart", [False, True])
def test_a_paused_journey_still_approves_ways_back(tmp_path: Path, restart: bool) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE, manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)
            await stage.movers.pause(OLD, journey.id)
            await stage.ended(journey.id)
            if restart:
                await stage.crash()
                await stage.restart()
            else:
                stage.disconnect()
                await stage.connect()
            await stage.until(lambda: "requests" in stage.server.watches.get(NEW, ()), 300)
            stage.server.world.answer(PEOPLE[0], Manner.ACCEPTS)
            await stage.server.world.idle()
            assert not stage.server.world.pending.get(NEW)
            contact = (await stage.contacts(journey.id))[PEOPLE[0]]
            assert contact.state is ContactState.MUTUAL

    play(main())


def test_a_rate_that_cannot_be_used_is_refused_as_such(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            before = await stage.admin.run_time()
            for rate in (0.0, -1.0, 10_001.0):
                with pytest.raises(Refused) as refused:
                    await stage.admin.set_run_time(RunTime(overall_per_second=rate))
                assert refused.value.problem is Problem.BAD_RATE
            assert await stage.admin.run_time() == before

    play(main())


def test_everything_held_by_an_admin_lets_others_work(tmp_path: Path) -> None:
    """A silence that ends while everything is held must not keep the loop busy."""

    def too_long(number: int, frame: FrameType | None) -> None:
        raise AssertionError("the event loop is held up")

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE, manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)
            await stage.admin.set_run_time(RunTime(paused=True))
            before = len(stage.server.told)
            stage.later(days=4)
            await asyncio.sleep(60)
            assert stage.run(journey.id).progress().all_paused
            assert len(stage.server.told) == before
            await stage.admin.set_run_time(RunTime(paused=False))
            book = stage.run(journey.id).book
            await stage.until(lambda: book.counts[ContactState.PENDING] == len(PEOPLE))
            stage.later(days=4)
            await stage.until(lambda: len(stage.server.told) > before)

    former = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(25)
    try:
        play(main())
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)


@pytest.mark.parametrize("point", range(0, 60, 3))
def test_the_stream_is_lost_in_the_middle(tmp_path: Path, point: int) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE)
            calls = 0

            def lose(name: str) -> None:
                nonlocal calls
                calls += "store" not in name
                if calls == point and stage.server.up:
                    stage.disconnect()
                    asyncio.get_running_loop().call_later(10, again)

            def again() -> None:
                stage.connected = asyncio.ensure_future(stage.connect())  # type: ignore[attr-defined]

            journey = await stage.begin()
            stage.faults = lose
            await stage.until_state(journey.id, S.DONE)
            stage.faults = lambda _: None
            contacts = (await stage.contacts(journey.id)).values()
            accepted = {c.jid for c in contacts if c.state is ContactState.ACCEPTED}
            assert accepted <= stage.server.world.pending.get(NEW, set())
            assert {c.state for c in contacts} <= {ContactState.ACCEPTED, ContactState.MUTUAL}
            assert told(stage) == sorted(PEOPLE)
            assert not stage.server.world.trouble

    play(main())


@pytest.mark.parametrize("point", range(0, 40, 2))
def test_the_store_fails_in_the_middle(tmp_path: Path, point: int) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE)
            calls = 0

            def fail(name: str) -> None:
                nonlocal calls
                if "before store" in name:
                    calls += 1
                    if calls in (point, point + 1):
                        raise StoreBusy("the journal cannot be written now")

            journey = await stage.begin()
            stage.faults = fail
            await stage.until_state(journey.id, S.DONE)
            states = {c.state for c in (await stage.contacts(journey.id)).values()}
            assert states == {ContactState.MUTUAL}
            assert told(stage) == sorted(PEOPLE)

    play(main())


def test_what_the_owner_is_told_when_the_store_fails(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE, manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)

            def fail(name: str) -> None:
                if "store save" in name:
                    raise StoreBusy("the journal cannot be written now")

            stage.faults = fail
            with pytest.raises(Refused) as refused:
                await stage.movers.pause(OLD, journey.id)
            stage.faults = lambda _: None
            assert refused.value.problem is Problem.UNAVAILABLE
            assert (await stage.stored(journey.id)).state is S.SETTLING

    play(main())
