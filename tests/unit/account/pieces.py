"""Accounts of all sorts, for property-based tests."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import strategies as st

from component.account import carried
from component.account.canonical import canonical, split
from component.account.model import (
    NS_BOOKMARKS,
    NS_STORAGE,
    Blocked,
    Contact,
    Identity,
    PepItem,
    PepNode,
    Piece,
    PrivateXml,
    VcardTemp,
    in_order,
)
from component.core import jids
from component.core.model import Subscription

HOSTS = (
    "capulet.example",
    "bücher.example",
    "مثال.إختبار",
    "例え.example",
    "xn--bcher-kva.example",
)
USERS = ("juliet", "jülïet", "ромео", "רומאו", "ジュリエット", "o\\27neill", "10")

# All that XML 1.0 can hold (section 2.2); Python's own surrogates are no characters.
_NO_XML = "".join(chr(code) for code in range(32) if chr(code) not in "\t\n\r") + "\ufffe\uffff"
characters = st.characters(exclude_categories=["Cs"], exclude_characters=_NO_XML)
texts = st.text(characters, max_size=20)
some_text = st.text(characters, min_size=1, max_size=20)
namespaces = st.sampled_from(("u:1", "urn:example:2", NS_BOOKMARKS, "jabber:client", "vcard-temp"))
names = st.sampled_from(("a", "b-c", "größe", "_1", "vCard"))


def _prepared(*addresses: str) -> list[str]:
    found = [jids.entity(address) for address in addresses]
    assert None not in found, addresses
    return [str(address) for address in found]


_ACCOUNTS = [jid for user in USERS for host in HOSTS for jid in _prepared(f"{user}@{host}")]
_CONTACTS = [*_ACCOUNTS, *_prepared(*HOSTS)]
_ANYTHING = [*_CONTACTS, *(jid for one in _CONTACTS for jid in _prepared(f"{one}/Gerät"))]


@st.composite
def elements(draw: st.DrawFn, *, top: str | None = None) -> ET.Element:
    """Elements with a namespace and whatever in them."""
    element = ET.Element(top or f"{{{draw(namespaces)}}}{draw(names)}")
    for _ in range(draw(st.integers(0, 2))):
        name = draw(names)
        element.set(f"{{{draw(namespaces)}}}{name}" if draw(st.booleans()) else name, draw(texts))
    element.text = draw(texts)
    if top is None and draw(st.booleans()):
        return element
    for _ in range(draw(st.integers(0, 2))):
        child = draw(elements())
        if draw(st.booleans()):
            child.tag = split(str(child.tag))[1]
        child.tail = draw(texts)
        element.append(child)
    return element


@st.composite
def accounts(draw: st.DrawFn) -> list[Piece]:
    """The pieces of an account, in the order of a file."""
    pieces: list[Piece] = [Identity(*_identity(draw(st.sampled_from(_ACCOUNTS))))]
    pieces += [
        Blocked(jid) for jid in _distinct(draw(st.lists(st.sampled_from(_ANYTHING), max_size=4)))
    ]
    pieces += [
        Contact(
            jid,
            draw(st.none() | some_text),
            tuple(sorted(draw(st.sets(some_text, max_size=3)))),
            draw(st.sampled_from(Subscription)),
            draw(st.booleans()),
            draw(st.booleans()),
        )
        for jid in _distinct(draw(st.lists(st.sampled_from(_CONTACTS), max_size=4)))
    ]
    if draw(st.booleans()):
        pieces.append(VcardTemp(canonical(draw(elements(top="{vcard-temp}vCard")))))
    for element in draw(st.lists(elements(), max_size=2)):
        ns, name = split(str(element.tag))
        pieces.append(PrivateXml(name, ns, canonical(element)))
    for node in draw(st.sets(some_text, max_size=3)):
        if carried.node(node).carried and node != NS_STORAGE:
            pieces += draw(_node(node))
    return in_order(pieces)


@st.composite
def _node(draw: st.DrawFn, name: str) -> list[Piece]:
    options = st.dictionaries(
        some_text.filter(lambda var: var != "FORM_TYPE"),
        st.lists(texts, min_size=1, max_size=3).map(tuple),
        max_size=3,
    )
    config = tuple(sorted(draw(options).items()))
    members = tuple(sorted(draw(st.sets(st.sampled_from(_ANYTHING), max_size=3))))
    found: list[Piece] = [PepNode(name, config, members)]
    for _ in range(draw(st.integers(0, 3))):
        payload = canonical(draw(elements()))
        found.append(
            PepItem(name, draw(some_text), payload, draw(st.none() | st.sampled_from(_ANYTHING)))
        )
    return found


def _identity(jid: str) -> tuple[str, str]:
    user, _, host = jid.rpartition("@")
    return host, user


def _distinct(found: list[str]) -> list[str]:
    return list({jids.key(jid): jid for jid in found}.values())
