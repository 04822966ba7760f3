"""Thousands of senders who claim to be contacts that have moved."""

from __future__ import annotations

import asyncio
import time

import pytest

from bench.common import usage
from tests.full import FULL
from tests.live.authority.conftest import HouseFor
from tests.live.authority.domain import Domain, moved, statement
from tests.live.authority.house import HOST, House
from tests.live.client import Client
from tests.live.daemon import Daemon
from tests.live.hooked import CAPULET
from tests.live.servers.base import STRANGER_HOST, Fault, RosterEntry
from tests.live.shared import NEWER_PROSODY, kinds

pytestmark = kinds(NEWER_PROSODY, group="authority")

SENDERS = 14_000 if FULL else 400
CONTACTS = 350 if FULL else 8
OLDS = 5
"""Real old addresses on each contact's roster, all of which are claimed."""
HONEST = 40 if FULL else 8
PER_MINUTE = 600 if FULL else 100
"""``[limits] per_domain_per_minute``; 600 is its default."""
GROWTH_MIB = 24
"""What our memory may grow by: the journal's first writes, and bounded tables of answers."""
HONEST_SECONDS = 30.0
"""What a real move may take meanwhile, below the deadline of 45 s; on an idle machine it is one
second, and most of that is the server's work on the flood."""
_AT_ONCE = 50
"""Requests that may wait for the server: what is measured is us, not its queue."""


_DECIDED = "xmpp_moved_moves_total"


def most_questions(seconds: float) -> int:
    """Put about one account without a statement in that time: after 1, 2, 4, 8, 10 seconds."""
    number, at, pause = 1, 0.0, 1.0
    while at + pause <= seconds:
        number, at, pause = number + 1, at + pause, min(pause * 2, 10.0)
    return number


async def test_forging_senders(house_for: HouseFor, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most a question for each pair, flat memory, ordinary requests, and real moves go on.

    Each pair of an old and a new address is claimed once, so there may be as many questions as
    there are senders; in fact each old address is asked again after 1, 2, 4 and 8 seconds, then
    every 10.
    """
    # A forked one has free memory of the nursery's, in which growth would not be seen.
    monkeypatch.setattr(Daemon, "own_process", True)
    house = await house_for(
        (("contacts.max_old_into_new", 1000), ("limits.per_domain_per_minute", PER_MINUTE))
    )
    said: dict[str, str | None] = {}
    domain = Domain(house.server.spec.address, lambda account, _iq: said.get(account))
    await domain.open()
    house.stack.push_async_callback(domain.close)
    olds = [house.unique("old", STRANGER_HOST) for _ in range(OLDS)]
    said |= {old: statement(f"elsewhere@{STRANGER_HOST}") for old in olds}
    contacts = [
        house.account("juliet", *(RosterEntry(old, "both") for old in olds))
        for _ in range(CONTACTS)
    ]
    mover = house.account("new", host=CAPULET)
    moves = iter(_family(house, mover))
    moving = await house.device(mover)
    before = usage(house.daemon.pid).resident
    peak, slowest = before, 0.0
    began = time.perf_counter()
    for number in range(SENDERS):
        contact = contacts[number % CONTACTS]
        domain.asks(f"forger{number}@{STRANGER_HOST}", contact, moved(olds[number % OLDS]))
        if number % (SENDERS // HONEST) == 0 and (pair := next(moves, None)) is not None:
            old, friend = pair
            sent = time.perf_counter()
            moving.send(f"<presence type='subscribe' to='{friend}'>{moved(old)}</presence>")
            await _approved(moving, friend)
            slowest = max(slowest, time.perf_counter() - sent)
        if number % _AT_ONCE == 0:
            await domain.ping(to=HOST)
            peak = max(peak, usage(house.daemon.pid).resident)
    await domain.ping(to=HOST)
    seconds = time.perf_counter() - began
    for n, contact in enumerate(contacts):
        device = await house.device(contact)
        forgers = {f"forger{k}@{STRANGER_HOST}" for k in range(n, SENDERS, CONTACTS)}
        claims: set[str | None] = set()
        async with asyncio.timeout(60):  # most wait for an answer to a question of their own time
            while not claims >= forgers:
                await device.ping()
                requests = (r.element for r in device.history if _is_request(r.element.attrib))
                claims = {request.get("from") for request in requests}
        assert claims == forgers
        await device.close()
    await house.daemon.settled(contacts, timeout=60)
    figures = await house.metrics()
    decided = {name: n for name, n in figures.items() if name.startswith(_DECIDED)}
    asked_for = time.perf_counter() - began
    after = usage(house.daemon.pid).resident
    print(
        f"{house.server.kind}: {SENDERS} forging senders in {seconds:.1f} s;"
        f" {sum(domain.asked[old] for old in olds)} questions about {OLDS} old addresses;"
        f" resident {before:.0f} MiB before, {peak:.0f} at most, {after:.0f} after;"
        f" {HONEST} real moves, the slowest {slowest:.2f} s"
    )
    print(decided)
    for old in olds:
        assert domain.asked[old] <= most_questions(asked_for) + 1
    assert max(peak, after) - before <= GROWTH_MIB
    assert slowest <= HONEST_SECONDS
    # Of the others the hook has not asked, since the domain was over its share.
    looked_at = sum(n for name, n in decided.items() if "rate-limited" not in name)
    assert HONEST < looked_at <= HONEST + PER_MINUTE * (1 + seconds / 60)
    assert not [key for key in domain.heard if key[0] == "subscribed"]
    assert not house.logged()


def _family(house: House, mover: str) -> list[tuple[str, str]]:
    """Old accounts that name the mover, each with a friend of ours."""
    fault = Fault("result", statement(mover))
    olds = [house.account("true", host=CAPULET, fault=fault) for _ in range(HONEST)]
    return [(old, house.account("friend", RosterEntry(old, "both"))) for old in olds]


async def _approved(mover: Client, friend: str) -> None:
    while await mover.wait_for_inbox(1, HONEST_SECONDS):
        element = mover.inbox.pop(0).element
        sender = element.get("from", "").partition("/")[0]
        if (element.get("type"), sender) == ("subscribed", friend):
            return
    raise AssertionError(f"{friend} did not follow in {HONEST_SECONDS:g} s")


def _is_request(attributes: dict[str, str]) -> bool:
    return attributes.get("type") == "subscribe" and attributes["from"].startswith("forger")
