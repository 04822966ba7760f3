"""Which account has a name: hook protocol, section 13, on each server."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tests.live.hooked import (
    HOOK,
    HOST,
    NS_HOOK,
    STANZAS,
    Stage,
    answer,
    notification,
    outcome,
    presence,
    send,
    take,
    watch,
)
from tests.live.servers.base import RosterEntry

ROSTER_GET = "<iq xmlns='jabber:client' type='get'><query xmlns='jabber:iq:roster'/></iq>"
FRIEND = "nurse@capulet.example"
ENTRY = f"<item xmlns='jabber:iq:roster' jid='{FRIEND}' name='Nurse'/>"
ORDERS = {
    "send": ("set", send(presence("subscribe", FRIEND))),
    "query": ("set", f"<query xmlns='{NS_HOOK}'>{ROSTER_GET}</query>"),
    "entries": (
        "set",
        f"<entries xmlns='{NS_HOOK}'>{ENTRY}</entries>",
    ),
    "get-entries": (
        "get",
        f"<entries xmlns='{NS_HOOK}'>{ENTRY}</entries>",
    ),
    "watch": ("set", watch("requests")),
}


async def token(stage: Stage, jid: str) -> str | None:
    """The token of whoever has this name."""
    told = await stage.component.request(f"<account xmlns='{NS_HOOK}'/>", to=jid)
    account = told.find(f"{HOOK}account")
    if account is None:
        assert told.find(f".//{STANZAS}item-not-found") is not None
        return None
    return account.get("token")


async def ordered(stage: Stage, jid: str, name: str, account: str) -> ET.Element:
    """The answer to an order that means this account."""
    kind, order = ORDERS[name]
    payload = order.replace(f"xmlns='{NS_HOOK}'", f"xmlns='{NS_HOOK}' account='{account}'", 1)
    return await stage.component.request(payload, kind=kind, to=jid)


async def test_a_token_is_an_accounts(stage: Stage) -> None:
    """It stays the same while the account is there, and the next owner of the name has another."""
    romeo, juliet = stage.account("romeo"), stage.account("juliet")
    first = await token(stage, romeo)
    assert first
    assert await token(stage, romeo) == first
    assert await token(stage, juliet) not in (None, first)
    assert await token(stage, f"nobody@{HOST}") is None
    stage.remove(romeo)
    assert await token(stage, romeo) is None
    stage.topology.servers["montague"].add_user(romeo)
    assert await token(stage, romeo) not in (None, first)


@pytest.mark.parametrize("order", ORDERS)
async def test_an_order_means_an_account(stage: Stage, order: str) -> None:
    """With the token of the account that has the name it is carried out, with another not."""
    romeo = stage.account("romeo")
    first = await token(stage, romeo)
    assert first is not None
    assert (await ordered(stage, romeo, order, first)).get("type") == "result"
    stage.remove(romeo)
    stage.topology.servers["montague"].add_user(romeo)
    for account in (first, "-"):
        refused = await ordered(stage, romeo, order, account)
        assert refused.find(f".//{STANZAS}item-not-found") is not None
    phone = await stage.device(romeo)
    assert not (await phone.roster()).findall(".//{jabber:iq:roster}item")


async def test_a_request_is_for_an_account(stage: Stage) -> None:
    """Who takes the name while a request is held gets it as an ordinary one, and follows nobody."""
    romeo, juliet = stage.account("romeo"), stage.account("juliet", "capulet.example")
    new = stage.account("juliet-new", "capulet.example")
    stage.roster(romeo, RosterEntry(juliet, "both"))
    account = await token(stage, romeo)
    mover = await stage.device(new)
    mover.send(notification(romeo, juliet))
    divert = await take(stage.component, f"{HOOK}divert")
    assert divert[0].get("account") == account
    stage.remove(romeo)
    stage.topology.servers["montague"].add_user(romeo)
    stage.roster(romeo, RosterEntry(juliet, "both"))
    follow = send(presence("subscribed", new), presence("unsubscribed", juliet))
    answer(stage.component, divert, f"<take xmlns='{NS_HOOK}'>{follow}</take>")
    assert await outcome(stage.component) == ("released", "changed")
    await mover.ping()
    assert not [r for r in mover.inbox if r.element.get("type") == "subscribed"]


async def test_a_watch_is_an_accounts(stage: Stage) -> None:
    """The next owner's requests, answers and messages are nobody's business."""
    romeo, juliet = stage.account("romeo"), stage.account("juliet")
    await stage.watch(romeo, "requests", "answers", "messages")
    stage.remove(romeo)
    stage.topology.servers["montague"].add_user(romeo)
    stage.roster(romeo, RosterEntry(juliet, "both"))
    stage.roster(juliet, RosterEntry(romeo, "both"))
    device, stranger = await stage.device(juliet), await stage.device(stage.account("tybalt"))
    device.send(f"<message type='chat' to='{romeo}'><body>Hello</body></message>")
    device.send(f"<presence type='unsubscribe' to='{romeo}'/>")
    stranger.send(f"<presence type='subscribe' to='{romeo}'/>")
    await stage.quiet(device, stranger)
    told = [r.element for r in stage.component.inbox]
    assert not [one for one in told if one.find(f"{HOOK}deleted") is None]


async def test_orders_that_mean_nobody_are_carried_out_as_ever(stage: Stage) -> None:
    romeo = stage.account("romeo")
    for kind, order in ORDERS.values():
        done = await stage.component.request(order, kind=kind, to=romeo)
        assert done.get("type") == "result"
