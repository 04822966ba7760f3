"""What a user may not do for want of a role, or in an isolated host, is not done for them."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from component.core.model import PresenceKind
from tests.live.hooked import (
    CAPULET,
    CLIENT,
    HOOK,
    HOST,
    NS_HOOK,
    STANZAS,
    Stage,
    answer,
    entries,
    notification,
    outcome,
    presence,
    send,
    take,
    take_presence,
)
from tests.live.servers.base import RosterEntry
from tests.live.servers.prosody import Prosody
from tests.live.shared import kinds

pytestmark = kinds(group="hook")

INSIDE = pytest.mark.parametrize("how", ["role", "isolated"])
REFUSED = {"role": "policy-violation", "isolated": "forbidden"}
NOBODY = f"xmpp-moved-check-nobody@{HOST}"


def kept_inside(stage: Stage, how: str) -> str:
    """An account that may not leave its server."""
    if stage.topology.kind.name.startswith("ejabberd"):
        pytest.skip("ejabberd lets all of a host out, or none")
    if how == "isolated":
        return stage.account("inmate")
    if stage.topology.kind.name == "prosody-0.12":
        pytest.skip("roles of accounts begin with Prosody 13.0")
    user = stage.account("guest")
    server = stage.topology.servers["montague"]
    assert isinstance(server, Prosody)
    server.set_role(user, "prosody:guest")
    return user


async def ask(stage: Stage, user: str, to: str) -> ET.Element:
    """What a disco#info to this address is answered with, as the user."""
    inner = f"<iq xmlns='jabber:client' type='get' to='{to}'>"
    query = "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    asked = f"<query xmlns='{NS_HOOK}'>{inner}{query}</query>"
    result = await stage.component.request(asked, kind="set", to=user)
    found = result.find(f"{HOOK}query/{CLIENT}iq")
    # A refused order may come back with the question in it.
    return result if found is None or result.get("type") == "error" else found


async def test_an_ordinary_user_gets_out(stage: Stage) -> None:
    user, contact = stage.account("romeo"), stage.account("juliet", CAPULET)
    assert (await ask(stage, user, CAPULET)).get("type") == "result"
    device = await stage.device(contact)
    sent = await stage.component.request(send(presence("subscribe", contact)), kind="set", to=user)
    assert sent.get("type") == "result"
    await take_presence(device, "subscribe", user)


async def test_what_goes_by_a_way_of_its_own_goes_once(stage: Stage) -> None:
    """Asking whether a presence may leave the server does not bring it there."""
    server = stage.topology.servers["montague"]
    if not isinstance(server, Prosody):
        pytest.skip("a module of the test for Prosody")
    before = server.log_path.read_text().count("Routed by hand: subscribe")
    sent = await stage.component.request(
        send(presence("subscribe", "juliet@onion.example")), kind="set", to=stage.account("romeo")
    )
    assert sent.get("type") == "result", ET.tostring(sent)
    assert server.log_path.read_text().count("Routed by hand: subscribe") == before + 1


@INSIDE
async def test_who_is_kept_inside_asks_nobody_outside(stage: Stage, how: str) -> None:
    user = kept_inside(stage, how)
    refused = await ask(stage, user, CAPULET)
    assert refused.find(f".//{STANZAS}{REFUSED[how]}") is not None, ET.tostring(refused)
    assert (await ask(stage, user, HOST)).get("type") == "result"


@INSIDE
async def test_who_is_kept_inside_tells_nobody_outside(stage: Stage, how: str) -> None:
    user, contact = kept_inside(stage, how), stage.account("juliet", CAPULET)
    friend = stage.account("nurse")
    for jid in (contact, friend):
        stage.roster(jid, RosterEntry(user, "both"))
    stage.roster(user, RosterEntry(contact, "both"), RosterEntry(friend, "both"))
    device, other = await stage.device(contact), await stage.device(friend)
    for kind in PresenceKind:
        # All or none: the friend, who is inside, gets nothing either.
        refused = await stage.component.request(
            send(presence("unsubscribed", friend), presence(kind, contact)), kind="set", to=user
        )
        assert refused.find(f".//{STANZAS}not-acceptable") is not None, kind
    phone = await stage.device(user)
    assert set(entries(await phone.roster()).values()) == {("both", None)}
    await stage.quiet(device, other)
    types = {"subscribe", "subscribed", "unsubscribe", "unsubscribed"}
    for stream in (device, other):
        assert not [r for r in stream.inbox if r.element.get("type") in types]
    # Inside nothing is refused.
    done = await stage.component.request(
        send(presence("unsubscribed", friend)), kind="set", to=user
    )
    assert done.get("type") == "result"


@INSIDE
async def test_a_verdict_that_would_leave_is_released(stage: Stage, how: str) -> None:
    user, old, new = kept_inside(stage, how), stage.account("juliet"), stage.account("juliet-new")
    third = stage.account("tybalt", CAPULET)
    stage.roster(user, RosterEntry(old, "both"), RosterEntry(third, "both"))
    mover = await stage.device(new)
    mover.send(notification(user, old))
    divert = await take(stage.component, f"{HOOK}divert")
    both = send(presence("subscribed", new), presence("unsubscribed", third))
    answer(stage.component, divert, f"<take xmlns='{NS_HOOK}'>{both}</take>")
    assert await outcome(stage.component) == ("released", "send-failed")
    phone = await stage.device_as_it_comes(user)
    await take_presence(phone, "subscribe", new)
    assert entries(await phone.roster()) == {old: ("both", None), third: ("both", None)}


async def test_what_check_asks_as_nobody(stage: Stage) -> None:
    """A question to a domain elsewhere alone, with an answer that tells what let it out."""
    unknown = await ask(stage, NOBODY, "xmpp-moved-check.invalid")
    assert unknown.find(f".//{STANZAS}remote-server-not-found") is not None, ET.tostring(unknown)
    assert (await ask(stage, NOBODY, CAPULET)).get("type") == "result"
    for address in (f"romeo@{CAPULET}", f"{CAPULET}/x", HOST, stage.account("romeo")):
        refused = await ask(stage, NOBODY, address)
        assert refused.find(f".//{STANZAS}item-not-found") is not None, address
