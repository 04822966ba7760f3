"""A move has its time: then the old account no longer says where it went."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from component.core.journey.model import ContactState, JourneyState, Problem, Refused
from component.core.journey.told import owes_end
from component.core.model import Subscription
from component.core.notices import AllFollowed, TimeOver
from component.engine.hook import Hook
from component.engine.movers.accounts import Accounts
from component.engine.movers.housekeeping import Housekeeping
from sim.fast_loop import play
from sim.model_world import Manner
from tests.unit.engine.movers.mover_stage import FAR, HOST, OLD, opened

S = JourneyState
STAYS = "stays@d1.example"
UNSEEN = "unseen@d1.example"
PARIS = f"paris@{HOST}"


def test_a_move_away_ends_though_some_never_follow(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(STAYS)
            stage.contact(UNSEEN, Subscription.FROM, Manner.FOLLOWS)
            journey = await stage.begin(new=FAR)
            await stage.until_state(journey.id, S.SETTLING)
            stage.later(days=179)
            await stage.movers.housekeeping.once()
            assert (await stage.stored(journey.id)).state is S.SETTLING
            assert OLD in stage.server.nodes

            stage.later(days=1)
            assert (await stage.ended(journey.id)).state is S.DONE
            states = {jid: c.state for jid, c in (await stage.contacts(journey.id)).items()}
            assert states[STAYS] is ContactState.GIVEN_UP
            assert states[UNSEEN] is not ContactState.GIVEN_UP
            (over,) = stage.messages.of(TimeOver)
            assert over.progress.by_hand == (STAYS,)
            assert not stage.messages.of(AllFollowed)
            await stage.movers.housekeeping.once()
            assert OLD not in stage.server.nodes

    play(main())


def test_the_time_is_counted_from_the_start(tmp_path: Path) -> None:
    """Who was waited for to the end does not double the time of the statement."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(STAYS)
            journey = await stage.begin()
            await stage.ended(journey.id)
            stage.later(days=179)
            await stage.movers.housekeeping.once()
            assert OLD in stage.server.nodes
            stage.later(days=1)
            await stage.movers.housekeeping.once()
            assert OLD not in stage.server.nodes

    play(main())


def test_the_owner_hears_of_the_end_before_it_is_forgotten(tmp_path: Path) -> None:
    """A crash between the end and the word on it: whoever starts first must not swallow it."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(STAYS)
            journey = await stage.begin()
            ended = await stage.ended(journey.id)
            stage.later(days=180)
            await stage.store.journeys.save(replace(ended, told=None), expect={S.DONE})
            await stage.movers.housekeeping.once()
            assert OLD in stage.server.nodes
            assert owes_end(await stage.stored(journey.id))

    play(main())


def test_what_another_instance_holds_is_left_to_it(tmp_path: Path) -> None:
    """And keeps nobody from the rest."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(STAYS)
            first = await stage.begin()
            ended = await stage.ended(first.id)
            await stage.store.journeys.create(replace(ended, old=PARIS, owner=PARIS), [])
            stage.server.add(PARIS)
            stage.server.nodes[PARIS] = replace(stage.server.nodes[OLD])
            stage.later(days=181)
            renewed: list[str] = []

            async def renew(user: str) -> None:
                renewed.append(user)

            async def obtain(journey: int) -> bool:
                if journey == first.id:
                    raise Refused(Problem.BUSY)
                return True

            keeper = Housekeeping(
                Accounts(stage.server, Hook(stage.server)),
                stage.store.journeys,
                stage.clock,
                stage.settings,
                asyncio.Event(),
                renew,
                obtain,
            )
            await keeper.once()
            assert renewed == [PARIS]
            assert OLD in stage.server.nodes
            assert PARIS not in stage.server.nodes

    play(main())
