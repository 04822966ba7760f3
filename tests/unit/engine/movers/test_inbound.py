"""Messages to an old account, and questions for one that is no more."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from unittest.mock import patch

from component.core.journey.model import JourneyState
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


async def tombstone(stage: Stage) -> str | None:
    """Where the old account went."""
    iq = ET.Element(tag(NS_COMPONENT, "iq"), {"type": "get", "id": "1", "from": HOST})
    ET.SubElement(iq, tag(NS_HOOK, "tombstone"), {"jid": OLD})
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
