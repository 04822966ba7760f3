"""Contacts on an ejabberd as Debian configures it: mod_pres_counter drops without a word.

Five subscription presences a minute are let through of one stream, of whatever type and for
whichever user. Nothing else is told, and nobody is asked: what was dropped never was.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from component.core.journey.contacts import Schedule
from component.core.journey.model import ContactState, Journey, JourneyState
from component.core.journey.pace import Rates
from component.core.model import Subscription
from component.core.notices import ProgressMade
from sim.fast_loop import play
from sim.model_world import Manner, PresCounter
from tests.unit.engine.movers.mover_stage import HOST, NEW, OLD, Stage, opened, quick

S = JourneyState
FAR = "ejabberd.example"
RATES = Rates()


def people(count: int, domain: str = FAR) -> list[str]:
    """Contacts elsewhere."""
    return [f"p{number:02}@{domain}" for number in range(count)]


def lacking(stage: Stage, contacts: list[str], new: str = NEW) -> list[str]:
    """Who does not see the new account, or is not seen by it, on either roster."""
    rosters = stage.server.rosters
    both = Subscription.BOTH
    return [
        jid
        for jid in contacts
        if rosters[new].get(jid) is None
        or rosters[new][jid].subscription is not both
        or rosters[jid].get(new) is None
        or rosters[jid][new].subscription is not both
    ]


async def everybody_told(stage: Stage, journey: Journey) -> float:
    """Seconds until everybody was told once."""
    begun = stage.clock.tick()
    await stage.until_state(journey.id, S.SETTLING, S.DONE)
    return stage.clock.tick() - begun


@pytest.mark.parametrize("manner", [Manner.FOLLOWS, Manner.ACCEPTS])
def test_thirty_contacts_are_all_reached_in_the_time_that_was_told(
    tmp_path: Path, manner: Manner
) -> None:
    """Their server runs xmpp-moved, or they accept by hand at once."""

    async def main() -> None:
        async with opened(tmp_path, rates=RATES) as stage:
            contacts = people(30)
            stage.people(*contacts, manner=manner)
            counter = stage.server.world.counters[FAR] = PresCounter()
            journey = await stage.begin()
            await stage.until(lambda: bool(stage.messages.of(ProgressMade)))
            promised = stage.messages.of(ProgressMade)[0].progress.seconds_left
            assert promised is not None
            assert await everybody_told(stage, journey) <= promised
            ended = await stage.ended(journey.id)
            assert ended.state is S.DONE
            await stage.server.world.idle()
            assert lacking(stage, contacts) == []
            assert {c.state for c in (await stage.contacts(journey.id)).values()} == {
                ContactState.MUTUAL
            }
            assert counter.dropped > 0, "it was tried whether more is taken"
            assert stage.clock.tick() <= 2 * promised
            assert not stage.server.world.trouble

    play(main())


def test_what_may_not_have_arrived_is_said_and_told_again(tmp_path: Path) -> None:
    """The server drops half of what is sent at first: another user of ours speaks to it too."""

    async def main() -> None:
        async with opened(tmp_path, rates=RATES) as stage:
            contacts = people(8)
            stage.people(*contacts, manner=Manner.ACCEPTS)
            stage.server.world.counters[FAR] = PresCounter(most=3)
            journey = await stage.begin()
            await stage.until(lambda: any(one.again for one in stage.seen))
            await stage.ended(journey.id)
            await stage.server.world.idle()
            assert lacking(stage, contacts) == []

    play(main())


def test_eight_movers_with_one_contact_there_each(tmp_path: Path) -> None:
    """Eight contacts of one user move in the same minute: one stream for all of them."""

    async def main() -> None:
        async with opened(tmp_path, rates=RATES) as stage:
            (user,) = people(1)
            stage.server.add(user)
            stage.server.world.manners[user] = Manner.FOLLOWS
            counter = stage.server.world.counters[FAR] = PresCounter()
            journeys = []
            for number in range(8):
                old, new = f"m{number}@{HOST}", f"m{number}.new@{HOST}"
                stage.server.add(new)
                stage.contact(user, Subscription.BOTH, Manner.FOLLOWS, of=old)
                journeys.append((await stage.begin(old=old, new=new), new))
            for journey, _ in journeys:
                assert (await stage.ended(journey.id)).state is S.DONE
            await stage.server.world.idle()
            assert [new for _, new in journeys if lacking(stage, [user], new)] == []
            assert counter.dropped <= 4

    play(main())


def test_our_own_server_counts(tmp_path: Path) -> None:
    """Contacts' servers answer with three presences each, at once."""

    async def main() -> None:
        async with opened(tmp_path, rates=RATES) as stage:
            contacts = people(8)
            stage.people(*contacts)
            counter = stage.server.world.counters[HOST] = PresCounter()
            stage.movers.see_counters([(5, 60.0)])
            journey = await stage.begin()
            await stage.ended(journey.id)
            await stage.server.world.idle()
            assert counter.dropped == 0
            assert lacking(stage, contacts) == []

    play(main())


@pytest.mark.parametrize("word", ["cancel", "undo"])
def test_what_is_taken_back_is_not_dropped(tmp_path: Path, word: str) -> None:
    async def main() -> None:
        async with opened(tmp_path, rates=RATES) as stage:
            contacts = people(12)
            manner = Manner.SILENT if word == "cancel" else Manner.FOLLOWS
            stage.people(*contacts, manner=manner)
            world = stage.server.world
            world.counters[FAR] = PresCounter()
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING, S.DONE)
            stage.later(minutes=2)
            if word == "cancel":
                assert sum(NEW in world.pending[jid] for jid in contacts) == 12
                await stage.movers.cancel(OLD, journey.id)
            else:
                await stage.movers.undo(OLD, journey.id)
            await stage.ended(journey.id)
            await world.idle()
            if word == "cancel":
                assert not any(NEW in world.pending[jid] for jid in contacts)
            else:
                assert lacking(stage, contacts, OLD) == []

    play(main())


@pytest.mark.parametrize("then", ["restart", "cancel"])
def test_no_approval_that_is_owed_is_forgotten(tmp_path: Path, then: str) -> None:
    async def main() -> None:
        async with opened(tmp_path, rates=RATES) as stage:
            contacts = people(6)
            stage.people(*contacts, manner=Manner.SILENT)
            stage.server.world.counters[FAR] = PresCounter()
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)
            stage.later(minutes=2)
            for jid in contacts:  # all of them look in the same minute
                stage.server.world.answer(jid, Manner.ACCEPTS)
            await stage.server.world.idle()
            assert lacking(stage, contacts) == contacts[-1:]
            if then == "cancel":
                await stage.movers.cancel(OLD, journey.id)
            else:
                await stage.crash()
                await stage.restart()
            await stage.ended(journey.id)
            await stage.server.world.idle()
            assert lacking(stage, contacts) == []

    play(main())


def test_a_silent_domain_is_not_told_twice(tmp_path: Path) -> None:
    """People who have not looked are no sign of a counter."""

    async def main() -> None:
        async with opened(tmp_path, rates=RATES) as stage:
            stage.people(*people(4), manner=Manner.SILENT)
            journey = await stage.begin()
            await stage.until_state(journey.id, S.SETTLING)
            stage.later(hours=1)
            await stage.until(lambda: stage.run(journey.id).book.counts[ContactState.PENDING] == 4)
            assert len(stage.server.told) == 4

    play(main())


def test_a_schedule_that_is_shorter_asks_sooner() -> None:
    schedule: Schedule = quick().schedule
    assert 120 <= schedule.second_after.total_seconds() <= 300
