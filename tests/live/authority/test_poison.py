"""Content that anybody may send, and that must not end the stream that everybody shares."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from tests.live.authority.conftest import HouseFor
from tests.live.authority.domain import Domain, moved, statement
from tests.live.client import ClientError
from tests.live.servers.base import COMPONENT_HOST, STRANGER_HOST, RosterEntry
from tests.live.shared import NEWER_PROSODY, kinds

pytestmark = kinds(NEWER_PROSODY, group="authority")

POISON = {
    "an element with the prefix xml": "<xml:x/>",
    "the same further in": "<a xmlns='u'><b><xml:x xml:y='1'>z</xml:x></b></a>",
    "a namespace with a brace": "<x xmlns='{}'/>",
    "a namespace with markup": "<x xmlns='u:&lt;&quot;&#39;&gt;&amp;'/>",
    "attributes with namespaces": "<p:x xmlns:p='urn:&quot;' p:a='&#10;&lt;' xml:lang='x'/>",
    "many namespaces": "".join(f"<n{n} xmlns='urn:{n}'/>" for n in range(200)),
    "no namespace": "<x xmlns=''><y/></x>",
    "names of another script": "<ï.ö-1 xmlns='ü' ä='ß'/>",
    "references": "<x xmlns='u' a='&#x9;&#xA;&#xD;'>&#xD;&#x10FFFF;&#x85;]]&gt;</x>",
    "sections": "<x xmlns='u'><![CDATA[<y>]]>]]&gt;<![CDATA[]]></x>",
    "forty levels": "<x xmlns='u'>" + "<y>" * 40 + "</y>" * 40 + "</x>",
    "two hundred levels": "<x xmlns='u'>" + "<y>" * 200 + "</y>" * 200 + "</x>",
    "much that grows when escaped": "<x xmlns='u'>" + "&#39;" * 20_000 + "</x>",
    "colons": "<x:y xmlns:x='u' x:z='1'/>",
    "a declared prefix xml": "<x xmlns='u' xmlns:xml='http://www.w3.org/XML/1998/namespace'/>",
    "a prefix of its own": "<stream:x xmlns:stream='u'><stream:error/></stream:x>",
}
FORBIDDEN = {
    "a document type": "<!DOCTYPE x [<!ENTITY y 'z'>]>",
    "an entity": "<message><body>&y;</body></message>",
    "a comment": "<message><!-- y --></message>",
    "an instruction": "<message><?y z?></message>",
    "a NUL": "<message><body>\0</body></message>",
    "a NUL by number": "<message><body>&#0;</body></message>",
    "half a character": "<message><body>\udcc3</body></message>",
    "a surrogate": "<message><body>&#xD800;</body></message>",
    "an undeclared prefix": "<message><y:x/></message>",
}


TOO_DEEP = "two hundred levels"
UNREAD = (
    "an element with the prefix xml",
    "the same further in",
    TOO_DEEP,
    "much that grows when escaped",
)
"""What the component skips.  Both servers write an element with the prefix ``xml`` as one with a
declaration that XML does not allow."""


async def test_nobody_ends_the_stream(house_for: HouseFor) -> None:
    """As a message, as a request, beside a moved notification and inside a statement."""
    house = await house_for()
    named: dict[str, str] = {}
    domain = Domain(house.server.spec.address, lambda account, _iq: named[account])
    await domain.open()
    house.stack.push_async_callback(domain.close)
    user = await house.device(house.account("mallory"))
    contacts: list[str] = []
    places = ("beside", "inside", "honest")
    for number, (what, payload) in enumerate(POISON.items()):
        olds, news = (
            {place: house.unique(f"{place}{number}.{age}.", STRANGER_HOST) for place in places}
            for age in ("old", "new")
        )
        # Each contact has one: Prosody cannot save a roster on which a deep request waits.
        asked = {
            place: house.account("juliet", RosterEntry(olds[place], "both")) for place in places
        }
        contacts += asked.values()
        user.send(f"<message to='{COMPONENT_HOST}'><body>hi</body>{payload}</message>")
        await user.request(f"<q xmlns='u'>{payload}</q>", to=COMPONENT_HOST)
        for place in places:
            inner = payload if place == "inside" else ""
            named[olds[place]] = statement(news[place], inner=inner)
            more = payload if place == "beside" else ""
            domain.asks(news[place], asked[place], moved(olds[place], more=more))
        follows = partial(_follows, domain, asked["honest"], news["honest"])
        await domain.until(follows, what)
        assert not house.reconnects(), f"{what}: {house.logged(level='warning')}"
        if what not in UNREAD:
            for place in places:
                follows = partial(_follows, domain, asked[place], news[place])
                await domain.until(follows, f"{what}, {place}")
    assert not house.logged()
    await house.daemon.settled(contacts)


def _follows(domain: Domain, contact: str, new: str) -> bool:
    return domain.heard["subscribed", contact, new] == 1


async def test_a_roster_that_cannot_be_saved(house_for: HouseFor) -> None:
    """Prosody keeps a waiting request whole, and throws when it is to write a deep one.

    A follow must then change nothing, also not in the memory of the server.
    """
    house = await house_for()
    old, new, claimed = (house.unique(name, STRANGER_HOST) for name in ("old", "new", "x"))
    said = {old: statement(new), claimed: ""}
    domain = Domain(house.server.spec.address, lambda account, _iq: said[account])
    await domain.open()
    house.stack.push_async_callback(domain.close)
    contact = house.account("juliet", RosterEntry(old, "both"), RosterEntry(claimed, "both"))
    domain.asks(f"deep@{STRANGER_HOST}", contact, moved(claimed, more=POISON[TOO_DEEP]))
    await domain.ping(to="montague.example")
    domain.asks(new, contact, moved(old))
    moves = await house.daemon.journal_says(
        contact, lambda moves: any(m.old == old and m.state.final for m in moves), "decided"
    )
    (move,) = (m for m in moves if m.old == old)
    device = await house.device(contact)
    entries = {i.get("jid"): (i.get("subscription"), i.get("ask")) for i in await device.roster()}
    if move.state.value == "released":
        assert house.server.kind.startswith("prosody")
        assert entries == {old: ("both", None), claimed: ("both", None)}
        assert domain.heard["subscribed", contact, new] == 0
    else:
        assert entries == {old: ("to", None), new: ("from", "subscribe"), claimed: ("both", None)}


async def test_what_no_server_hands_on(house_for: HouseFor) -> None:
    """Whoever writes that loses a stream of their own, or the server leaves it out."""
    house = await house_for()
    mallory = house.account("mallory")
    for what, data in FORBIDDEN.items():
        user = await house.device(mallory)
        text = data.replace("<message", f"<message to='{COMPONENT_HOST}'")
        user.send(text.encode("utf-8", "surrogateescape"))
        with suppress(ClientError):
            await user.ping()
        user = await house.device(mallory, "tablet")
        answer = await user.request("<ping xmlns='urn:xmpp:ping'/>", to=COMPONENT_HOST)
        assert answer.get("type") == "result"
        assert not house.reconnects(), what
        await user.close()
    assert not [line for line in house.logged(level="warning") if "control" not in str(line)]
