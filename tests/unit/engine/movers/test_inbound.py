"""Messages to an old account, and questions for one that is no more."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from component.core.journey.model import Access, Journey, JourneyState
from component.engine.movers import tombstones
from component.store.journeys import Journeys
from component.xmpp.codecs import tag
from component.xmpp.names import NS_COMPONENT, NS_HOOK
from sim.fast_loop import play
from tests.unit.engine.movers.mover_stage import HOST, NEW, OLD, Stage, opened

PEOPLE = ("a@d1.example", "b@d2.example")


async def wrote(stage: Stage, sender: str) -> str | None:
    """What a sender to the old account is answered."""
    iq = ET.Element(tag(NS_COMPONENT, "iq"), {"type": "get", "id": "1", "from": OLD})
    ET.SubElement(iq, tag(NS_HOOK, "wrote"), {"jid": sender, "lang": "de"})
    answer = await stage.inbound.on_wrote(iq)
    return None if answer is None else answer.text


async def tombstone(stage: Stage, asker: str = PEOPLE[0], jid: str = OLD) -> str | None:
    """Where the old account went, as the asker is told."""
    iq = ET.Element(tag(NS_COMPONENT, "iq"), {"type": "get", "id": "1", "from": HOST})
    ET.SubElement(iq, tag(NS_HOOK, "tombstone"), {"jid": jid, "asker": asker})
    answer = await stage.inbound.on_tombstone(iq)
    return None if answer is None else answer.text


def test_senders_are_answered_once_a_day_and_only_those_who_may_know(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE)
            assert await wrote(stage, PEOPLE[0]) is None
            assert await tombstone(stage) is None
            journey = await stage.begin(choose=[PEOPLE[0]])
            await stage.until_state(journey.id, JourneyState.DONE)
            assert await wrote(stage, PEOPLE[0]) == f"now at {NEW}"
            assert await wrote(stage, PEOPLE[0]) is None
            assert await wrote(stage, PEOPLE[1]) is None, "was not chosen"
            assert await wrote(stage, NEW) is None
            stage.clock.jump(86_401)
            assert await wrote(stage, PEOPLE[0]) is not None
            assert await tombstone(stage) == f"xmpp:{NEW}"
            assert await tombstone(stage, PEOPLE[1]) is None, "was not chosen"
            stage.clock.jump(200 * 86_400)
            assert await wrote(stage, PEOPLE[0]) is None

    play(main())


def test_a_stranger_makes_nobody_read_the_whole_list(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE)
            journey = await stage.begin()
            await stage.until_state(journey.id, JourneyState.DONE)
            with patch.object(Journeys, "contacts", side_effect=AssertionError("all are read")):
                assert await wrote(stage, "mallory@d3.example") == f"now at {NEW}"

    play(main())


def test_after_a_reconnect_only_accounts_that_still_answer_are_watched(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE)
            journey = await stage.begin()
            await stage.until_state(journey.id, JourneyState.DONE)
            watches = stage.movers.watches
            with patch.object(watches, "renew") as renewed:
                await watches.renew_all()
                assert [call.args for call in renewed.await_args_list] == [(OLD,)]
                stage.clock.jump(200 * 86_400)
                await watches.renew_all()
                assert renewed.await_count == 1

    play(main())


def test_a_move_that_was_cancelled_leaves_no_trace(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE)
            journey = await stage.begin()
            await stage.until_state(journey.id, JourneyState.SETTLING, JourneyState.DONE)
            await stage.movers.undo(OLD, journey.id)
            await stage.until_state(journey.id, JourneyState.UNDONE)
            assert await wrote(stage, PEOPLE[0]) is None
            assert await tombstone(stage) is None

    play(main())


@pytest.mark.parametrize("access", [Access.OPEN, Access.WHITELIST, Access.PRESENCE])
def test_a_tombstone_is_for_those_who_were_told(tmp_path: Path, access: Access) -> None:
    """And for everybody where the statement was."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE)
            journey = await stage.begin(choose=[PEOPLE[0]])
            await stage.until_state(journey.id, JourneyState.DONE)
            stored = await stage.store.journeys.get(journey.id)
            assert stored is not None
            await stage.store.journeys.save(replace(stored, access=access))
            gone = f"xmpp:{NEW}"
            for asker in (PEOPLE[0], NEW):
                assert await tombstone(stage, asker) == gone
            for asker in (PEOPLE[1], "mallory@d3.example", "d1.example", "", "a@b@c"):
                told = gone if access is Access.OPEN else None
                assert await tombstone(stage, asker) == told, asker
            assert await tombstone(stage, PEOPLE[0], f"nobody@{HOST}") is None

    play(main())


def test_the_hook_knows_whom_to_ask_about(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE)
            assert stage.server.left == set()
            journey = await stage.begin()
            await stage.until_state(journey.id, JourneyState.NOTIFYING, JourneyState.DONE)
            assert stage.server.left == {OLD}
            await stage.ended(journey.id)

            # The hook has forgotten, or has it from another time.
            stage.disconnect()
            stage.server.left = {f"undone@{HOST}"}
            await stage.connect()
            await stage.until(lambda: stage.server.left == {OLD})

            stage.movers.reconfigure(replace(stage.settings, tombstones=False))
            await stage.until(lambda: stage.server.left == set())
            stage.movers.reconfigure(replace(stage.settings, tombstones=True))
            await stage.until(lambda: stage.server.left == {OLD})

            await stage.movers.undo(OLD, journey.id)
            await stage.until_state(journey.id, JourneyState.UNDONE)
            await stage.until(lambda: stage.server.left == set())

    play(main())


def test_strangers_who_ask_cost_little(tmp_path: Path) -> None:
    """What one asker, one owner's names, and all of them cost is bounded; so is the wait."""

    async def main() -> None:
        async with opened(tmp_path) as stage:
            stage.people(*PEOPLE)
            journey = await stage.begin()
            await stage.ended(journey.id)
            looked_up, count = Journeys.successor, 0

            async def counted(store: Journeys, old: str) -> Journey | None:
                nonlocal count
                count += 1
                return await looked_up(store, old)

            flood = [f"m{n}@s{n % 99}.evil.example" for n in range(3000)] + [
                "m@other.example"
            ] * 3000
            with patch.object(Journeys, "successor", counted):
                strangers = asyncio.gather(*(tombstone(stage, who) for who in flood))
                await asyncio.sleep(0)  # they have all asked
                assert await tombstone(stage, PEOPLE[1]) == f"xmpp:{NEW}"
                assert not any(await strangers)
                assert count <= 2 * tombstones.WAITING_OF_OWNER + 1
                for who in flood:
                    assert await tombstone(stage, who) is None
                assert count <= 1 + tombstones.ASKER_PER_MINUTE + tombstones.OWNER_PER_MINUTE
            assert await tombstone(stage, PEOPLE[1]) == f"xmpp:{NEW}"

    play(main())
