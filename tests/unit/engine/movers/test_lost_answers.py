"""What contacts said is lost with a server: nobody is asked twice, and nobody stays half-way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from component.core.journey.model import ContactState, JourneyState
from component.core.model import PresenceKind, RosterItem, Subscription
from sim.fast_loop import play
from sim.model_world import Manner
from tests.unit.engine.movers.mover_stage import NEW, Stage, opened

S = JourneyState
PERSON = "nurse@capulet.example"


def state_of(stage: Stage, user: str, contact: str) -> Subscription:
    """The subscription that an account has to another."""
    return stage.server.rosters[user][contact].subscription


def asked_but_lost(stage: Stage) -> None:
    """The contact had asked for the way back: their server waits, and ours never saw it."""
    roster = stage.server.rosters[PERSON]
    roster[NEW] = replace(roster[NEW], ask=True)


async def accepted(stage: Stage) -> int:
    """A journey whose only contact has accepted, and not asked back, as far as we see."""
    stage.people(PERSON, manner=Manner.GRANTS)
    journey = await stage.begin()
    await stage.until_state(journey.id, S.SETTLING)
    await stage.server.world.idle()
    assert state_of(stage, NEW, PERSON) is Subscription.TO
    return journey.id


def test_a_way_back_that_was_lost_with_the_server_is_approved(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            id_ = await accepted(stage)
            asked_but_lost(stage)
            stage.disconnect()
            await stage.connect()
            await stage.until_state(id_, S.DONE)
            await stage.server.world.idle()
            assert state_of(stage, NEW, PERSON) is Subscription.BOTH
            assert state_of(stage, PERSON, NEW) is Subscription.BOTH
            assert (await stage.contacts(id_))[PERSON].state is ContactState.MUTUAL
            assert len(stage.server.told) == 1

    play(main())


def test_a_server_that_dies_over_the_request_itself(tmp_path: Path) -> None:
    """That it had left is seen on the roster afterwards; so it is older than the gap."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(PERSON, manner=Manner.SILENT)

            def lose(name: str) -> None:
                if name == "after send" and stage.server.up:
                    stage.disconnect()

            stage.faults = lose
            journey = await stage.begin()
            await stage.until(lambda: not stage.server.up)
            stage.faults = lambda _: None
            await stage.server.world.idle()
            stage.server.world.pending[PERSON].clear()
            stage.server.rosters[PERSON][NEW] = RosterItem(NEW, Subscription.FROM, ask=True)
            await stage.connect()
            await stage.until(lambda: stage.run(journey.id).book.counts[ContactState.SENT] == 1)
            stage.server.world.post(PERSON, PresenceKind.SUBSCRIBED, NEW)
            await stage.until_state(journey.id, S.DONE)
            await stage.server.world.idle()
            assert state_of(stage, PERSON, NEW) is Subscription.BOTH
            assert len(stage.server.told) == 1

    play(main())


@pytest.mark.parametrize("point", [1, 2])
def test_the_server_goes_down_again_over_the_approval(tmp_path: Path, point: int) -> None:
    """Before it has the approval, and after: it is given again."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            id_ = await accepted(stage)
            asked_but_lost(stage)
            stage.disconnect()
            await stage.connect()
            sends = 0

            def lose(name: str) -> None:
                nonlocal sends
                sends += name.endswith(" send")
                if sends == point and stage.server.up:
                    stage.disconnect()

            stage.faults = lose
            await stage.until(lambda: not stage.server.up)
            stage.faults = lambda _: None
            await stage.connect()
            await stage.until_state(id_, S.DONE)
            await stage.server.world.idle()
            assert state_of(stage, PERSON, NEW) is Subscription.BOTH

    play(main())


@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_an_approval_that_was_lost_is_given_again(tmp_path: Path, whose: str) -> None:
    """With our server, which comes back at once, or with theirs, which is tried again later."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(PERSON, manner=Manner.ACCEPTS)
            stage.people("friar@mantua.example", manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until(lambda: stage.run(journey.id).book.counts[ContactState.MUTUAL] == 1)
            await stage.server.world.idle()
            roster = stage.server.rosters[PERSON]
            roster[NEW] = replace(roster[NEW], subscription=Subscription.FROM, ask=True)
            if whose == "ours":
                stage.disconnect()
                await stage.connect()
            else:
                stage.server.world.post(PERSON, "remote-server-not-found", NEW)
                await stage.server.world.idle()
                assert stage.run(journey.id).notifier.owes
                stage.later(hours=1.01)
            await stage.until(lambda: state_of(stage, PERSON, NEW) is Subscription.BOTH)
            assert not stage.run(journey.id).notifier.owes
            assert len(stage.server.told) == 2

    play(main())


@pytest.mark.parametrize("taken_back", [Subscription.TO, Subscription.NONE, None])
def test_what_the_mover_took_back_is_not_approved_again(
    tmp_path: Path, taken_back: Subscription | None
) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(PERSON, manner=Manner.ACCEPTS)
            stage.people("friar@mantua.example", manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until(lambda: stage.run(journey.id).book.counts[ContactState.MUTUAL] == 1)
            await stage.server.world.idle()
            stage.disconnect()
            roster = stage.server.rosters[NEW]
            if taken_back is None:
                del roster[PERSON]
            else:
                roster[PERSON] = replace(roster[PERSON], subscription=taken_back)
            kept = roster.get(PERSON)
            await stage.connect()
            await stage.until(lambda: not stage.run(journey.id).notifier.owes)
            assert roster.get(PERSON) == kept

    play(main())


@pytest.mark.parametrize("restart", [False, True])
def test_who_does_not_ask_back_is_left_alone(tmp_path: Path, restart: bool) -> None:
    """While the server was there it has kept every request, whether we were there or not."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            id_ = await accepted(stage)
            if restart:
                await stage.crash()
                await stage.restart()
            await stage.until_state(id_, S.DONE)
            assert state_of(stage, NEW, PERSON) is Subscription.TO
            assert (await stage.contacts(id_))[PERSON].state is ContactState.ACCEPTED

    play(main())


def test_an_answer_that_was_lost_is_given_again_without_the_person(tmp_path: Path) -> None:
    """The contact accepted and asked back; neither of it arrived."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(PERSON, manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)
            await stage.server.world.idle()
            stage.disconnect()
            stage.server.world.pending[PERSON].clear()
            stage.server.rosters[PERSON][NEW] = RosterItem(NEW, Subscription.FROM, ask=True)
            await stage.connect()
            stage.later(minutes=11)
            await stage.until(lambda: stage.run(journey.id).book.counts[ContactState.PENDING] == 1)
            stage.later(hours=1.01)
            await stage.until_state(journey.id, S.DONE)
            await stage.server.world.idle()
            assert state_of(stage, NEW, PERSON) is Subscription.BOTH
            assert state_of(stage, PERSON, NEW) is Subscription.BOTH
            unsubscribed = f"{NEW} {PresenceKind.UNSUBSCRIBE.value} {PERSON}"
            assert unsubscribed not in stage.server.log

    play(main())
