"""A hundred thousand requests at once, where few can be held."""

from __future__ import annotations

import asyncio
import resource
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

from structlog.testing import capture_logs

from component.core.limits import Policy
from component.xmpp.codecs import tag
from component.xmpp.names import NS_HOOK
from component.xmpp.router import Router
from tests.unit.engine.contact_stage import JULIET, NEW, OLD, opened
from tests.unit.engine.roster_server import HOST

US = "moved.montague.example"
REQUESTS = 100_000
HELD = 50
FORGERS = 6
"""Owners of domains, and contacts: each of them may have a fifth of what is held."""
HANDLERS = 6000
MEGABYTES = 200
"""What the process may grow by; a request held costs some kilobytes."""


async def test_all_are_answered_and_few_are_held(tmp_path: Path) -> None:
    """Nobody waits, nothing is journalled for those beyond the limit, and the next one counts."""
    async with opened(tmp_path) as stage:
        stage.gate.set_limits(Policy(max_open=HELD, requests_per_minute=10_000_000))
        router = Router(US, max_handlers=HANDLERS)
        router.route_iq("set", NS_HOOK, "divert", stage.side.on_divert)
        answers: Counter[str] = Counter()
        answered = asyncio.Event()

        def take(answer: ET.Element) -> None:
            payload = answer[0].tag
            answers[payload.rpartition("}")[2] if answer.get("type") == "result" else "error"] += 1
            if answers.total() == REQUESTS:
                answered.set()

        templates = []
        for n in range(FORGERS):
            contact = f"c{n}@{HOST}"
            stage.server.rosters[contact] = dict(stage.server.rosters[JULIET])
            templates.append(stage.divert("d", contact, OLD, f"n@forger{n}.example"))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with capture_logs() as logs:
            for number in range(REQUESTS):
                template = templates[number % FORGERS]
                iq = ET.Element(template.tag, {**template.attrib, "id": f"f{number}"})
                iq.append(template[0])
                router.iq(iq, take)
                if number % 20_000 == 0:
                    await asyncio.sleep(0)  # what the socket holds comes in large pieces
            await asyncio.wait_for(answered.wait(), 60)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        assert answers["release"] + answers["error"] == REQUESTS
        assert answers["release"] >= HANDLERS - HELD
        assert stage.side.overloaded
        assert grown < MEGABYTES, f"{grown:.0f} MB"
        assert len(await stage.store.list_moves(limit=REQUESTS)) <= 10 * HELD
        told = [entry for entry in logs if entry["log_level"] in ("warning", "error")]
        assert [entry["event"] for entry in told] == ["requests beyond the limits pass unfollowed"]
        assert sum(entry["log_level"] == "info" for entry in logs) <= 10 * HELD

        stage.side.on_down()  # the server has released what was held
        assert await stage.move(new=NEW) == "take"
        stage.clock.pass_days(1)
        assert not stage.side.overloaded
        assert tag(NS_HOOK, "divert") == template[0].tag
