"""Who is over their share, as the component says, is not asked about for a moment."""

from __future__ import annotations

import asyncio

import pytest

from tests.live.hooked import CAPULET, HOOK, NS_HOOK, Stage, answer, notification, outcome, take
from tests.live.servers.base import RosterEntry
from tests.live.shared import kinds

pytestmark = kinds(group="hook")

MOVED = "{urn:xmpp:moved:1}moved"
PASS_SECONDS = 1.0


@pytest.mark.parametrize("whole", [True, False], ids=["a domain", "a sender"])
async def test_requests_pass_for_a_moment(stage: Stage, whole: bool) -> None:
    """They reach their addressees as any other, ``<moved/>`` included; others are asked about."""
    old = stage.account("juliet")
    users = [stage.account(f"romeo{n}") for n in range(4)]
    for user in users:
        stage.roster(user, RosterEntry(old, "both"))
    phones = [await stage.device(user) for user in users]
    limited = await stage.device(stage.account("new", CAPULET))
    neighbour = await stage.device(stage.account("other", CAPULET))
    before = int((await stage.hello()).get("limited", ""))

    limited.send(notification(users[0], old))
    divert = await take(stage.component, f"{HOOK}divert")
    who = CAPULET if whole else limited.bare
    answer(stage.component, divert, f"<release xmlns='{NS_HOOK}' pass='{who}'/>")
    assert await outcome(stage.component) == ("released", "verdict")
    limited.send(notification(users[1], old))
    for phone in phones[:2]:
        assert (await take(phone, MOVED)).get("from") == limited.bare
    await stage.quiet(limited, phones[1])
    assert not stage.component.inbox
    assert int((await stage.hello()).get("limited", "")) == before + 1

    if not whole:
        neighbour.send(notification(users[2], old))
        assert (await take(stage.component, f"{HOOK}divert")).get("from") == users[2]
    await asyncio.sleep(PASS_SECONDS)
    limited.send(notification(users[3], old))
    assert (await take(stage.component, f"{HOOK}divert")).get("from") == users[3]
