"""Statements that prove nothing, answers from the wrong sender, and odd addresses."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from functools import partial
from xml.sax.saxutils import quoteattr

from component.core.model import Reason
from tests.live.authority.conftest import HouseFor
from tests.live.authority.domain import NS_PUBSUB, Domain, moved, statement
from tests.live.authority.house import HOST, House
from tests.live.servers.base import STRANGER_HOST, RosterEntry
from tests.live.shared import NEWER_PROSODY, kinds

pytestmark = kinds(NEWER_PROSODY, group="authority")

NEW = "new@" + STRANGER_HOST
_MOVED = f"<moved xmlns='urn:xmpp:moved:1'><new-jid>{NEW}</new-jid></moved>"
BAD = {
    "another node": statement(NEW, node="urn:xmpp:moved:0"),
    "no node": statement(NEW).replace(" node='urn:xmpp:moved:1'", ""),
    "another item": statement(NEW, id="currenT"),
    "no item id": statement(NEW).replace(" id='current'", ""),
    "another publisher": statement(NEW, more=f" publisher='{NEW}'"),
    "a publisher that is none": statement(NEW, more=" publisher='@'"),
    "two items": statement(NEW).replace("</items>", f"<item id='b'>{_MOVED}</item></items>"),
    "two nodes": statement(NEW).replace(
        "</pubsub>", f"<items node='urn:xmpp:moved:1'><item id='b'>{_MOVED}</item></items></pubsub>"
    ),
    "two statements": statement(NEW).replace("</item>", f"{_MOVED}</item>"),
    "two addresses": statement(NEW, inner=f"<new-jid>{NEW}</new-jid>"),
    "an address with a resource": statement(f"{NEW}/phone"),
    "an address in a child": statement("", inner=f"<x xmlns='u'><new-jid>{NEW}</new-jid></x>"),
    "another namespace": statement(NEW).replace(
        "'urn:xmpp:moved:1'><new", "'urn:xmpp:moved:0'><new"
    ),
    "the owner's namespace": statement(NEW).replace(NS_PUBSUB, f"{NS_PUBSUB}#owner"),
    "an event": statement(NEW).replace(NS_PUBSUB, f"{NS_PUBSUB}#event"),
    "a homograph": statement(NEW.replace("e", "\u0435", 1)),
    "a direction mark": statement(f"\u202e{NEW}"),
    "an invisible mark inside": statement(NEW.replace("@", "\u2063@")),
    "a URI": statement(f"xmpp:{NEW}"),
    "two in one": statement(f"{NEW} {NEW}"),
    "a domain": statement(STRANGER_HOST),
    "too long": statement("n" * 1024 + "@" + STRANGER_HOST),
    "nothing": "",
}
ODD = (
    "1" + "o" * 1021,
    "b\u00fccher-\u00e9",
    "\u05d0\u05d1\u05d2",
    "\u0440\u043e\u043c\u0435\u043e",
    "a.b+c~d!e$f%g*h?i=j",
    "d\\27artagnan\\40x",
    "{0}%s%n",
    "\u4e2d\u6587",
)
"""Localparts as they are prepared: each is an address that a server may have given."""
ODD_OLD = (
    "",
    " ",
    "@",
    "a@b@c",
    f"old@{STRANGER_HOST}/x",
    STRANGER_HOST,
    "o" * 1024 + "@" + STRANGER_HOST,
    f"old@{'x' * 1024}.example",
    f"\u202eold@{STRANGER_HOST}",
    f"\u200bold\u00ad@{STRANGER_HOST.upper()}x",
    f"old@{STRANGER_HOST}\nother@{STRANGER_HOST}",
    f"xmpp:old@{STRANGER_HOST}",
    "old@xn--",
    "old@[::1]",
    "old@127.0.0.1",
    "<a/>&b;",
)


async def played(house: House, said: dict[str, str | None]) -> Domain:
    """A domain that says what ``said`` holds for an account."""
    domain = Domain(house.server.spec.address, lambda account, _iq: said.get(account))
    await domain.open()
    house.stack.push_async_callback(domain.close)
    return domain


async def test_what_proves_nothing(house_for: HouseFor) -> None:
    """The request stays an ordinary one, and says why in the journal."""
    house = await house_for()
    said: dict[str, str | None] = {}
    domain = await played(house, said)
    contacts = {}
    for what, answer in BAD.items():
        old = house.unique("old", STRANGER_HOST)
        said[old] = answer
        contacts[what] = house.account("juliet", RosterEntry(old, "both"))
        domain.asks(NEW, contacts[what], moved(old))
    await house.daemon.settled([])
    for what, contact in contacts.items():
        (move,) = await house.daemon.journal_says(
            contact, lambda moves: any(m.state.final for m in moves), what
        )
        assert move.state.value == "released", (what, move.reason)
        assert domain.heard["subscribed", contact, NEW] == 0, what
    assert not house.logged()


async def test_answers_of_others_with_the_right_id(house_for: HouseFor) -> None:
    """Only the account that was asked can answer, whatever the others know."""
    house = await house_for()
    asked: dict[str, ET.Element] = {}
    said: dict[str, str] = {}

    def keep(account: str, iq: ET.Element) -> str | None:
        asked[account] = iq
        return said.get(account)

    domain = Domain(house.server.spec.address, keep)
    await domain.open()
    house.stack.push_async_callback(domain.close)
    old = house.unique("old", STRANGER_HOST)
    contact = house.account("juliet", RosterEntry(old, "both"))
    mallory = await house.device(house.account("mallory"))
    far = await house.device(house.account("mallory", host="capulet.example"))
    own = await house.device(contact)
    domain.asks(NEW, contact, moved(old))
    await domain.until(lambda: old in asked, "asked")
    id_, to = asked[old].get("id", ""), asked[old].get("to", "")
    result = f"<iq type='result' id={quoteattr(id_)} to='{contact}'"
    for other in (f"other@{STRANGER_HOST}", STRANGER_HOST, NEW, f"{to}/phone"):
        domain.send(f"{result} from='{other}'>{statement(NEW)}</iq>")
    for device in (mallory, far, own):
        device.send(f"{result}>{statement(NEW)}</iq>")
        device.send(f"{result.replace(contact, house.component_jid)}>{statement(NEW)}</iq>")
        await device.ping()
    await domain.ping(to=HOST)
    # The account itself says something else, so that the verdict tells who was heard. A server that
    # forgets its question with the first answer asks again.
    said[old] = statement(f"other@{STRANGER_HOST}")
    id_ = asked[old].get("id", "")
    domain.send(
        f"<iq type='result' id={quoteattr(id_)} to='{contact}' from='{old}'>{said[old]}</iq>"
    )
    (move,) = await house.daemon.journal_says(
        contact, lambda moves: any(m.state.final for m in moves), "decided"
    )
    assert (move.state.value, move.reason) == ("released", Reason.OTHER_JID.value)
    assert domain.heard["subscribed", contact, NEW] == 0
    assert not house.logged()


async def test_odd_addresses(house_for: HouseFor) -> None:
    """Odd ones that are addresses are followed exactly; what is none is an ordinary request."""
    house = await house_for()
    said: dict[str, str | None] = {}
    domain = await played(house, said)
    for number, local in enumerate(ODD):
        old, new = f"{local}@{STRANGER_HOST}", f"{local[0]}{local}@{STRANGER_HOST}"
        said[old] = statement(new)
        contact = house.account("juliet", RosterEntry(old, "both", f"Romeo {number}"))
        domain.asks(new, contact, moved(old))
        await domain.until(partial(_followed, domain, contact, new), ascii(local))
        device = await house.device(contact)
        entries = {i.get("jid"): i.get("subscription") for i in await device.roster()}
        assert entries == {old: "to", new: "from"}
        await device.close()
    real = f"old@{STRANGER_HOST}"
    contact = house.account("juliet", RosterEntry(real, "both"))
    device = await house.device(contact)
    for number, text in enumerate(ODD_OLD):
        new = f"claims{number}@{STRANGER_HOST}"
        domain.asks(new, contact, moved(text))
        await device.wait_for_inbox(number + 1, 15)
        shown = device.inbox[number].element
        assert (shown.get("type"), shown.get("from")) == ("subscribe", new), ascii(text)
    assert not await house.daemon.moves(contact)
    assert not domain.asked[real]
    assert not house.reconnects()
    assert not house.logged()


def _followed(domain: Domain, contact: str, new: str) -> bool:
    return domain.heard["subscribed", contact, new] == 1
