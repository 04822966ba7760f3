"""Requests that are there to cost us something: disk, or a user's patience."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest

from component.core.records import MoveState
from tests.full import FULL
from tests.live.authority.conftest import HouseFor
from tests.live.authority.domain import Domain, moved, statement
from tests.live.authority.house import HOST
from tests.live.hooked import CAPULET, take_presence
from tests.live.servers.base import STRANGER_HOST, Fault, RosterEntry
from tests.live.shared import kinds

pytestmark = kinds(group="authority")

LARGE = "<status>" + "x" * 200_000 + "</status>"
MANY = 5
TURNS = 8
SHARE = 50
FLOOD = 5000 if FULL else 300
SLACK = 2.0
"""Seconds, for a machine that does other things as well."""
AT_ONCE = 9
"""``[contacts] fetches_overall``; of one contact there are eight at the same time."""
PATIENCE = 30.0
"""Below the 45 seconds that a silent account is waited for."""


async def test_a_large_request_leaves_nothing(house_for: HouseFor) -> None:
    """It reaches its addressee as any other; what is followed leaves no text behind either."""
    house = await house_for()
    old, new = (house.unique(name, STRANGER_HOST) for name in ("old", "new"))
    domain = Domain(house.server.spec.address, lambda account, _iq: statement(new))
    await domain.open()
    house.stack.push_async_callback(domain.close)
    contact = house.account("juliet", RosterEntry(old, "both"))
    device = await house.device(contact)
    for number in range(MANY):
        domain.asks(f"f{number}.{new}", contact, moved(old, more=LARGE))
        shown = await take_presence(device, "subscribe", f"f{number}.{new}")
        assert len(shown.findtext("{jabber:client}status") or "") == 200_000
    domain.asks(new, contact, moved(old))
    await domain.until(partial(_follows, domain, contact, new, 1), "a follow")
    await house.daemon.settled([contact])
    (move,) = await house.daemon.moves(contact)
    assert (move.new, move.stanza) == (new, "")
    figures = await house.metrics()
    named = "xmpp_moved_moves_total{reason=request-too-large,verdict=release}"
    assert named not in figures, "the hook does not even ask"
    # One line for all that is beyond a limit, and none where another test has just had one.
    assert len(house.logged(level="warning")) <= 1


async def test_there_and_back_again_and_again(house_for: HouseFor) -> None:
    """A contact is taken along a few times a day; beyond it they are asked, as by anybody."""
    house = await house_for((("contacts.notice", True),))
    here, there = (house.unique(name, STRANGER_HOST) for name in ("here", "there"))
    said = {here: statement(there), there: statement(here)}
    domain = Domain(house.server.spec.address, lambda account, _iq: said[account])
    await domain.open()
    house.stack.push_async_callback(domain.close)
    contact = house.account("juliet", RosterEntry(here, "both"))
    device = await house.device(contact)
    old, new = here, there
    for _ in range(3):
        followed = domain.heard["subscribed", contact, new]
        domain.asks(new, contact, moved(old))
        follows = partial(_follows, domain, contact, new, followed + 1)
        await domain.until(follows, f"a follow to {new}")
        await house.daemon.settled([contact])
        old, new = new, old
    named = "xmpp_moved_moves_total{reason=back-and-forth,verdict=release}"
    before = (await house.metrics())[named]
    for _ in range(TURNS):  # of what follows within a second the hook does not even ask
        domain.asks(new, contact, moved(old))
        await domain.ping(to=HOST)
    async with asyncio.timeout(PATIENCE):
        while (await house.metrics())[named] <= before:
            await domain.ping(to=HOST)
    await take_presence(device, "subscribe", new)
    told = [r for r in device.history if house.component_jid == r.element.get("from", "")]
    assert len(told) == 3
    rows = await house.daemon.moves(contact)
    assert [row.state for row in rows] == [MoveState.DONE] * 3


async def test_one_user_of_a_large_server(house_for: HouseFor) -> None:
    """Who sends more than the whole server may leaves the others of it their share."""
    house = await house_for((("limits.per_domain_per_minute", SHARE),))
    old, new, forger = (house.unique(name, STRANGER_HOST) for name in ("old", "new", "forger"))
    olds = [house.unique("claimed", STRANGER_HOST) for _ in range(10)]
    said = dict.fromkeys(olds, statement(new)) | {old: statement(new)}
    domain = Domain(house.server.spec.address, lambda account, _iq: said[account])
    await domain.open()
    house.stack.push_async_callback(domain.close)
    for _ in range(2 * SHARE // len(olds)):
        contact = house.account("juliet", *(RosterEntry(jid, "both") for jid in olds))
        for jid in olds:
            domain.asks(forger, contact, moved(jid))
    friend = house.account("friend", RosterEntry(old, "both"))
    domain.asks(new, friend, moved(old))
    await domain.until(partial(_follows, domain, friend, new, 1), "a follow")
    limited = "xmpp_moved_moves_total{reason=rate-limited,verdict=release}"
    assert (await house.metrics())[limited] >= 1  # the hook has not asked about the others


@pytest.mark.parametrize("many", [False, True], ids=["one contact", "many"])
async def test_silent_accounts(house_for: HouseFor, many: bool) -> None:
    """Whoever has us ask those that never answer leaves room for others; or makes room, soon."""
    # Another number is another component: this one remembers what was silent.
    room = AT_ONCE + 1 if many else AT_ONCE
    house = await house_for(
        (("contacts.fetches_overall", room), ("contacts.fetches_per_domain", room))
    )
    domain = Domain(house.server.spec.address, lambda _account, _iq: None)
    await domain.open()
    house.stack.push_async_callback(domain.close)
    mover = house.account("new", host=CAPULET)
    fault = Fault("result", statement(mover))
    old = house.account("true", host=CAPULET, fault=fault)
    friend = house.account("friend", RosterEntry(old, "both"))
    moving = await house.device(mover)
    olds = [house.unique("silent", STRANGER_HOST) for _ in range(room)]
    forger = house.unique("forger", STRANGER_HOST)
    if many:
        for jid in olds:
            domain.asks(f"f.{jid}", house.account("mallory", RosterEntry(jid, "both")), moved(jid))
    else:
        contact = house.account("mallory", *(RosterEntry(jid, "both") for jid in olds))
        for jid in olds:
            domain.asks(forger, contact, moved(jid))
    full = room if many else room - 1
    await domain.until(lambda: sum(domain.asked.values()) >= full, "questions")
    began = time.perf_counter()
    moving.send(f"<presence type='subscribe' to='{friend}'>{moved(old)}</presence>")
    await take_presence(moving, "subscribed", friend)
    assert time.perf_counter() - began < PATIENCE
    assert sum(domain.asked.values()) == full


async def test_a_flood_costs_others_little_more_than_an_ordinary_one(house_for: HouseFor) -> None:
    """How long a request takes that the same server sends behind thousands of forged ones."""
    house = await house_for((("limits.per_domain_per_minute", 600 if FULL else SHARE),))
    domain = Domain(
        house.server.spec.address, lambda _account, _iq: statement(f"x@{STRANGER_HOST}")
    )
    await domain.open()
    house.stack.push_async_callback(domain.close)
    olds = [house.unique("old", STRANGER_HOST) for _ in range(5)]
    took: dict[str, float] = {}
    for what in ("ordinary", "forged"):
        contacts = [
            house.account("juliet", *(RosterEntry(jid, "both") for jid in olds))
            for _ in range(FLOOD // 10)
        ]
        somebody = await house.device(house.account("somebody"))
        began = time.perf_counter()
        for number in range(FLOOD):
            content = moved(olds[number % len(olds)])
            if what == "ordinary":
                content = content.replace("urn:xmpp:moved:1", "urn:x")
            domain.asks(f"f{number}@{STRANGER_HOST}", contacts[number % len(contacts)], content)
        domain.asks(f"late@{STRANGER_HOST}", somebody.bare, "")
        assert await somebody.wait_for_inbox(1, 300)
        took[what] = time.perf_counter() - began
    print(f"{house.server.kind}: behind {FLOOD} requests {took}")
    assert took["forged"] <= 2 * took["ordinary"] + SLACK


def _follows(domain: Domain, contact: str, new: str, times: int) -> bool:
    return domain.heard["subscribed", contact, new] == times
