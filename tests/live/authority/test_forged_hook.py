"""Stanzas of the hook from anybody but the hook: clients, components, another server."""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from tests.live.authority.conftest import HouseFor
from tests.live.authority.domain import moved
from tests.live.authority.house import HOST, House
from tests.live.authority.remote import Remote
from tests.live.hooked import CAPULET, NS_HOOK
from tests.live.servers.base import COMPONENT_HOST, STRANGER_HOST, RosterEntry
from tests.live.shared import kinds

pytestmark = kinds(group="authority")

PRIVILEGE = "urn:xmpp:privilege:2"


@dataclass(frozen=True)
class Family:
    """Who is forged: Juliet has Romeo on her roster, and Mallory wants to be there instead."""

    juliet: str
    romeo: str
    mallory: str

    def stanzas(self, sender: str | None) -> list[str]:
        """All that the hook could say, in Juliet's and the server's name, or nobody's."""
        item = f"<item xmlns='jabber:iq:roster' jid='{self.romeo}' subscription='both'/>"
        new = f"<item xmlns='jabber:iq:roster' jid='{self.mallory}' subscription='from'/>"
        request = (
            f"<presence xmlns='jabber:client' type='subscribe' from='{self.mallory}'"
            f" to='{self.juliet}'>{moved(self.romeo)}</presence>"
        )
        forwarded = f"<forwarded xmlns='urn:xmpp:forward:0'>{request}</forwarded>"
        divert = f"<divert xmlns='{NS_HOOK}' instance='x'>{forwarded}{item}</divert>"
        watched = f"<divert xmlns='{NS_HOOK}' watched='true'>{forwarded}</divert>"
        iqs = {
            divert: self.juliet,
            watched: self.juliet,
            f"<wrote xmlns='{NS_HOOK}' jid='{self.mallory}'/>": self.juliet,
            f"<tombstone xmlns='{NS_HOOK}' jid='{self.juliet}'/>": HOST,
        }
        messages = (
            f"<outcome xmlns='{NS_HOOK}' id='d' state='taken'>{new}</outcome>",
            f"<heard xmlns='{NS_HOOK}' type='subscribed' jid='{self.mallory}'>{new}</heard>",
            f"<privilege xmlns='{PRIVILEGE}'><perm access='roster' type='both'/></privilege>",
        )
        ids = iter(range(1000))
        found = []
        for kind in ("set", "get", "result"):
            for payload, name in iqs.items():
                told = f" from={quoteattr(sender if sender is not None else name)}"
                found.append(
                    f"<iq type='{kind}' id='forged{next(ids)}' to='{COMPONENT_HOST}'"
                    f"{told if sender != '' else ''}>{payload}</iq>"
                )
        for payload in messages:
            told = f" from={quoteattr(sender if sender is not None else self.juliet)}"
            found.append(
                f"<message to='{COMPONENT_HOST}'{told if sender != '' else ''}>{payload}</message>"
            )
        return found

    def orders(self, sender: str) -> list[str]:
        """What only the component may say, in its name or another."""
        allow = f"<presence xmlns='jabber:client' type='subscribed' to='{self.mallory}'/>"
        get = "<iq xmlns='jabber:client' type='get'><query xmlns='jabber:iq:roster'/></iq>"
        request = (
            f"<presence xmlns='jabber:client' type='subscribe' from='{self.mallory}'"
            f" to='{self.juliet}'>{moved(self.romeo)}</presence>"
        )
        payloads = {
            f"<send xmlns='{NS_HOOK}'>{allow}</send>": self.juliet,
            f"<query xmlns='{NS_HOOK}'>{get}</query>": self.juliet,
            f"<watch xmlns='{NS_HOOK}' requests='true' messages='true'/>": self.juliet,
            f"<release xmlns='{NS_HOOK}'><forwarded xmlns='urn:xmpp:forward:0'>{request}"
            "</forwarded></release>": self.juliet,
            f"<hello xmlns='{NS_HOOK}'/>": HOST,
        }
        return [
            f"<iq type='{'get' if 'hello' in payload else 'set'}' id='order{n}'"
            f" from={quoteattr(sender)} to='{to}'>{payload}</iq>"
            for n, (payload, to) in enumerate(payloads.items())
        ]


async def nothing_came_of_it(house: House, family: Family) -> None:
    """Juliet's roster and devices, the journal and the log are as before; the component works."""
    device = await house.device(family.juliet, "look")
    query = await device.roster()
    entries = {i.get("jid"): (i.get("subscription"), i.get("ask")) for i in query}
    assert entries == {family.romeo: ("both", None)}
    answer = await device.request("<ping xmlns='urn:xmpp:ping'/>", to=COMPONENT_HOST)
    assert answer.get("type") == "result"
    assert not [r for r in device.inbox if r.element.tag.endswith("}presence")]
    await device.close()
    assert not await house.daemon.moves(family.juliet)
    assert not house.logged()
    assert not house.reconnects()


def enter(house: House) -> Family:
    """New people."""
    romeo = house.account("romeo", host=CAPULET) if house.federates else f"romeo@{CAPULET}"
    juliet = house.account("juliet", RosterEntry(romeo, "both"))
    return Family(juliet, romeo, house.account("mallory"))


async def test_clients(house_for: HouseFor) -> None:
    """Juliet's own client in her bare name, without a name, and Mallory's in any name at all.

    That a client's stanza has a resource (RFC 6120 8.1.2.1) is what the component relies on.
    """
    house = await house_for()
    family = enter(house)
    for owner in (family.juliet, family.mallory):
        for sender in (None, "", family.juliet, HOST, COMPONENT_HOST, f"{owner}/phone"):
            device = await house.device(owner)
            for stanza in [*family.stanzas(sender), *family.orders(sender or owner)]:
                if not device.connected:  # the server ends the stream over a foreign name
                    device = await house.device(owner)
                device.send(stanza)
            if device.connected:
                await device.close()
            await nothing_came_of_it(house, family)


async def test_components(house_for: HouseFor) -> None:
    """Another component of the same server, in its own name, a user's, and the component's."""
    house = await house_for()
    family = enter(house)
    for sender in (None, STRANGER_HOST, f"juliet@{STRANGER_HOST}", HOST, COMPONENT_HOST):
        for stanza in [*family.stanzas(sender), *family.orders(sender or family.juliet)]:
            stranger = await house.component(STRANGER_HOST)
            stranger.send(stanza)
            await stranger.close()
        await nothing_came_of_it(house, family)


async def test_another_server(house_for: HouseFor) -> None:
    """A server that has proved its domain, and says that its stanzas are from another one."""
    house = await house_for(played=True)
    family = enter(house)
    specs = {name: server.spec.address for name, server in house.topology.servers.items()}
    remote = Remote(CAPULET, specs["capulet"], specs["montague"])
    await remote.start()
    house.stack.push_async_callback(remote.stop)
    for sender in (f"juliet@{CAPULET}", CAPULET, None, HOST, COMPONENT_HOST):
        forged = [*family.stanzas(sender), *family.orders(sender or family.juliet)]
        # Those of type set, and messages: over a foreign name the server ends the whole stream.
        for stanza in [f for f in forged if "type='get'" not in f and "type='result'" not in f]:
            through = COMPONENT_HOST if f"to='{COMPONENT_HOST}'" in stanza else HOST
            if through not in remote.connected:
                await remote.connect(through)
            remote.send(through, stanza)
            own = sender is not None and sender.endswith(CAPULET)
            assert await remote.sent(through) == own, stanza
        await nothing_came_of_it(house, family)
