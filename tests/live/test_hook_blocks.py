"""No send of the hook passes a block list, and who is blocked does not get in by another name."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from component.core.model import PresenceKind
from tests.live.client import Client
from tests.live.hooked import (
    CAPULET,
    CLIENT,
    HOOK,
    NS_HOOK,
    STANZAS,
    Stage,
    answer,
    block,
    entries,
    notification,
    outcome,
    presence,
    send,
    take,
    take_presence,
)
from tests.live.servers.base import RosterEntry
from tests.live.shared import kinds

pytestmark = kinds(group="hook")

ONLINE = pytest.mark.parametrize("online", [True, False], ids=["online", "offline"])
# What stands on the block list: an address, or all of its domain.
ENTRY = pytest.mark.parametrize("domain", [False, True], ids=["jid", "domain"])
WHERE = pytest.mark.parametrize("contact_host", ["verona.example", CAPULET])


async def blocking(stage: Stage, user: str, online: bool, *blocked: str) -> Client | None:
    """Let the user block these; the device, if it stays."""
    phone = await stage.device(user)
    await block(phone, *blocked)
    if online:
        return phone
    await phone.close()
    return None


async def roster(stage: Stage, user: str) -> dict[str, tuple[str | None, str | None]]:
    """Subscription and ask of the user's entries, read by a device that is not available."""
    server = stage.topology.server_of(user.partition("@")[2])
    assert server is not None
    client = Client(user, f"{user}/reader", server.spec.address)
    await client.open()
    try:
        return entries(await client.roster())
    finally:
        await client.close()


def told(device: Client) -> list[ET.Element]:
    """What lies in an inbox, but for who came online and went: that may come late over s2s."""
    found = [received.element for received in device.inbox]
    availability = (None, "unavailable")
    return [e for e in found if e.tag != f"{CLIENT}presence" or e.get("type") not in availability]


@ONLINE
@ENTRY
@WHERE
async def test_no_send_passes_a_block(
    stage: Stage, contact_host: str, domain: bool, online: bool
) -> None:
    user, contact = stage.account("romeo"), stage.account("juliet", contact_host)
    friend = stage.account("nurse")
    for jid in (contact, friend):
        stage.roster(jid, RosterEntry(user, "both"))
    stage.roster(user, RosterEntry(contact, "both"), RosterEntry(friend, "both"))
    before = await roster(stage, user)
    device, other = await stage.device(contact), await stage.device(friend)
    await blocking(stage, user, online, contact_host if domain else contact)
    await stage.quiet(device, other)
    device.inbox.clear()
    other.inbox.clear()
    moved = "<moved xmlns='urn:xmpp:moved:1'><old-jid>old@example.org</old-jid></moved>"
    for kind in PresenceKind:
        # All or none: the friend, who is not blocked, gets nothing either.
        refused = await stage.component.request(
            send(presence("unsubscribed", friend), presence(kind, contact, moved)),
            kind="set",
            to=user,
        )
        assert refused.find(f".//{STANZAS}not-acceptable") is not None, kind
    await stage.quiet(device, other)
    assert not told(device)
    assert not told(other)
    assert await roster(stage, user) == before
    assert set(before.values()) == {("both", None)}


@ONLINE
@ENTRY
async def test_no_verdict_passes_a_block(stage: Stage, domain: bool, online: bool) -> None:
    user, old, new = (stage.account(name) for name in ("romeo", "juliet", "juliet-new"))
    third = stage.account("tybalt", CAPULET)
    stage.roster(user, RosterEntry(old, "both"), RosterEntry(third, "both"))
    stage.roster(third, RosterEntry(user, "both"))
    device, mover = await stage.device(third), await stage.device(new)
    phone = await blocking(stage, user, online, CAPULET if domain else third)
    await stage.quiet(device)
    device.inbox.clear()
    mover.send(notification(user, old))
    divert = await take(stage.component, f"{HOOK}divert")
    both = send(presence("subscribed", new), presence("unsubscribed", third))
    answer(stage.component, divert, f"<take xmlns='{NS_HOOK}'>{both}</take>")
    assert await outcome(stage.component) == ("released", "send-failed")
    await take_presence(phone or await stage.device_as_it_comes(user), "subscribe", new)
    await stage.quiet(device, mover)
    assert not told(device)
    assert await roster(stage, user) == {old: ("both", None), third: ("both", None)}


@pytest.mark.parametrize("watched", [False, True], ids=["", "watched"])
@ONLINE
@ENTRY
async def test_a_blocked_old_address_is_nobody(
    stage: Stage, domain: bool, online: bool, watched: bool
) -> None:
    """Its owner, at a new address, is a stranger who asks: as it would be without us."""
    user, old = stage.account("romeo"), stage.account("juliet", CAPULET)
    new = stage.account("juliet-new")
    stage.roster(user, RosterEntry(old, "both", "Juliet"))
    phone = await blocking(stage, user, online, CAPULET if domain else old)
    if watched:
        await stage.watch(user, "requests")
    mover = await stage.device(new)
    mover.send(notification(user, old))
    await stage.quiet(mover)
    request = await take_presence(phone or await stage.device_as_it_comes(user), "subscribe", new)
    assert request.find("{urn:xmpp:moved:1}moved") is not None
    await stage.quiet(mover)
    assert not stage.component.inbox
    assert await roster(stage, user) == {old: ("both", None)}


async def test_who_is_unblocked_is_followed_again(stage: Stage) -> None:
    user, old, new = (stage.account(name) for name in ("romeo", "juliet", "juliet-new"))
    stage.roster(user, RosterEntry(old, "both"))
    phone, mover = await stage.device(user), await stage.device(new)
    await block(phone, old, "verona.example")
    item = f"<item jid='{old}'/>"
    await phone.request(f"<unblock xmlns='urn:xmpp:blocking'>{item}</unblock>", kind="set")
    mover.send(notification(user, old))
    divert = await take(stage.component, f"{HOOK}divert")
    verdict = send(presence("subscribed", new), presence("unsubscribed", old))
    answer(stage.component, divert, f"<take xmlns='{NS_HOOK}'>{verdict}</take>")
    assert await outcome(stage.component) == ("taken", None)


@ENTRY
async def test_no_answer_passes_a_block(stage: Stage, domain: bool) -> None:
    """To a message of somebody whom the user blocks while the component is asked."""
    user, contact = stage.account("romeo"), stage.account("juliet", CAPULET)
    for jid, other in ((user, contact), (contact, user)):
        stage.roster(jid, RosterEntry(other, "both"))
    phone, device = await stage.device(user), await stage.device(contact)
    await stage.watch(user, "messages")
    device.send(f"<message type='chat' to='{user}'><body>Hello</body></message>")
    asked = await take(stage.component, f"{HOOK}wrote")
    await block(phone, CAPULET if domain else contact)
    answer(stage.component, asked, f"<answer xmlns='{NS_HOOK}'>I have moved</answer>")
    await stage.quiet(phone, device)
    assert not [r for r in device.inbox if r.element.tag == f"{CLIENT}message"]


@ONLINE
@ENTRY
async def test_no_query_passes_a_block(stage: Stage, domain: bool, online: bool) -> None:
    user, contact = stage.account("romeo"), stage.account("juliet", CAPULET)
    await blocking(stage, user, online, CAPULET if domain else contact)
    device = await stage.device(contact)
    query = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
    got = await stage.component.request(
        f"<query xmlns='{NS_HOOK}'><iq xmlns='jabber:client' type='get' to='{device.jid}'>"
        f"{query}</iq></query>",
        kind="set",
        to=user,
    )
    assert got.find(f".//{STANZAS}not-acceptable") is not None, ET.tostring(got, "unicode")
    assert not told(device)
