"""Requests of hundreds of kilobytes, which anybody may send, and of which nothing is kept."""

from __future__ import annotations

from tests.live.authority.conftest import HouseFor
from tests.live.authority.domain import Domain, moved, statement
from tests.live.hooked import take_presence
from tests.live.servers.base import STRANGER_HOST, RosterEntry
from tests.live.shared import kinds

pytestmark = kinds(group="authority")

LARGE = "<status>" + "x" * 200_000 + "</status>"
MANY = 5


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
    await domain.until(lambda: domain.heard["subscribed", contact, new] == 1, "a follow")
    await house.daemon.settled([contact])
    (move,) = await house.daemon.moves(contact)
    assert (move.new, move.stanza) == (new, "")
    figures = await house.metrics()
    named = "xmpp_moved_moves_total{reason=request-too-large,verdict=release}"
    assert figures[named] >= MANY
    (line,) = house.logged(level="warning")
    assert line["reason"] == "request-too-large"
