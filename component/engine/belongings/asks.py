"""What is asked of a user's server about the user's own things, and how its answers are read."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator

from component.account.canonical import canonical
from component.account.model import PepItem, PepNode, Xml
from component.core import jids
from component.xmpp import pubsub
from component.xmpp.codecs import tag
from component.xmpp.mover_codecs import NS_BLOCKING, NS_VCARD
from component.xmpp.names import NS_DISCO_ITEMS, NS_PUBSUB, NS_PUBSUB_OWNER
from component.xmpp.pubsub import NS_DATA

NS_PRIVATE = "jabber:iq:private"
"""XEP-0049."""
OPTIONS = (
    "pubsub#access_model",
    "pubsub#max_items",
    "pubsub#persist_items",
    "pubsub#roster_groups_allowed",
    "pubsub#send_last_published_item",
    "pubsub#title",
)
"""Options of a node that come along (XEP-0060 section 17.4.4).  The others are about delivery or
other people's rights, or each server has its own idea of them."""
NodeOrder = Callable[[PepNode], ET.Element]
"""Makes or changes a node: :func:`create` or :func:`configure`."""
_TRUTHS = {"1": "true", "0": "false"}
_FLAGS = frozenset({"pubsub#persist_items"})


def element(text: Xml) -> ET.Element:
    """The element of a canonical text."""
    return ET.fromstring(text)


# Block lists, profiles and private XML ----------------------------------------------------------


def block(jids_: Iterable[str], *, unblock: bool = False) -> ET.Element:
    """Keep these out, or no longer (XEP-0191 sections 3.3 and 3.4)."""
    asked = ET.Element(tag(NS_BLOCKING, "unblock" if unblock else "block"))
    for jid in jids_:
        ET.SubElement(asked, tag(NS_BLOCKING, "item"), {"jid": jid})
    return asked


def private_get(name: str, ns: str) -> ET.Element:
    """Ask for one element of private storage (XEP-0049)."""
    query = ET.Element(tag(NS_PRIVATE, "query"))
    ET.SubElement(query, tag(ns, name))
    return query


def private_set(stored: Xml) -> ET.Element:
    """Store one element of private storage (XEP-0049)."""
    query = ET.Element(tag(NS_PRIVATE, "query"))
    query.append(element(stored))
    return query


def read_child(inner: ET.Element, *path: str) -> Xml | None:
    """The element at this path of a result; None where it is missing or has nothing in it.

    Servers answer with the empty element that was asked for where there is none (XEP-0049 2.2,
    XEP-0054 3.1).
    """
    found = inner.find("/".join(path))
    if found is None or not (len(found) or found.attrib or (found.text or "").strip()):
        return None
    return canonical(found)


def read_vcard(inner: ET.Element) -> Xml | None:
    """The profile in a result (XEP-0054)."""
    found = inner.find(tag(NS_VCARD, "vCard"))
    return None if found is None or not len(found) else canonical(found)


# PEP --------------------------------------------------------------------------------------------


def nodes_get() -> ET.Element:
    """Ask for the nodes of an account (XEP-0060 section 5.2)."""
    return ET.Element(tag(NS_DISCO_ITEMS, "query"))


def ids_get(node: str) -> ET.Element:
    """Ask for the ids of a node's items (XEP-0060 section 5.5)."""
    return ET.Element(tag(NS_DISCO_ITEMS, "query"), {"node": node})


def _listed(inner: ET.Element) -> list[ET.Element]:
    return inner.findall(f"{tag(NS_DISCO_ITEMS, 'query')}/{tag(NS_DISCO_ITEMS, 'item')}")


def read_nodes(inner: ET.Element) -> list[str]:
    """The nodes, sorted, each once."""
    return sorted({item.get("node", "") for item in _listed(inner)} - {""})


def read_ids(inner: ET.Element) -> list[str]:
    """The ids, in the server's order."""
    return [item.get("name", "") for item in _listed(inner) if item.get("name")]


def read_config(inner: ET.Element) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The options of a node that come along, sorted by name."""
    found: dict[str, tuple[str, ...]] = {}
    for field in inner.iter(tag(NS_DATA, "field")):
        name = field.get("var", "")
        values = tuple(value.text or "" for value in field.findall(tag(NS_DATA, "value")))
        if name in OPTIONS and any(values):
            found[name] = plain(name, values)
    return tuple(sorted(found.items()))


def plain(name: str, values: tuple[str, ...]) -> tuple[str, ...]:
    """Values of an option in one spelling (XEP-0004 section 3.3 has two of each truth)."""
    if name in _FLAGS:
        return tuple(_TRUTHS.get(value, value) for value in values)
    return tuple(sorted(values)) if len(values) > 1 else values


def read_members(inner: ET.Element) -> tuple[str, ...]:
    """Whom a whitelist lets in (XEP-0060 section 8.9.1), sorted."""
    listed = inner.iter(tag(NS_PUBSUB_OWNER, "affiliation"))
    members = (one.get("jid") for one in listed if one.get("affiliation") == "member")
    return tuple(sorted({jid for member in members if (jid := jids.entity(member)) is not None}))


def items_get(node: str, id: str | None = None) -> ET.Element:
    """Ask for the items of a node, or one of them (XEP-0060 section 6.5)."""
    request = ET.Element(tag(NS_PUBSUB, "pubsub"))
    items = ET.SubElement(request, tag(NS_PUBSUB, "items"), {"node": node})
    if id is not None:
        ET.SubElement(items, tag(NS_PUBSUB, "item"), {"id": id})
    return request


def read_items(inner: ET.Element, node: str) -> Iterator[PepItem]:
    """The items of a node; those without id or content are none."""
    for items in inner.iter(tag(NS_PUBSUB, "items")):
        if items.get("node") != node:
            continue
        for item in items.findall(tag(NS_PUBSUB, "item")):
            id = item.get("id")
            if id and len(item):
                yield PepItem(node, id, canonical(item[0]))


def create(node: PepNode) -> ET.Element:
    """Create a node with its options (XEP-0060 section 8.1.3)."""
    request = ET.Element(tag(NS_PUBSUB, "pubsub"))
    ET.SubElement(request, tag(NS_PUBSUB, "create"), {"node": node.node})
    configure = ET.SubElement(request, tag(NS_PUBSUB, "configure"))
    configure.append(pubsub.form(pubsub.NODE_CONFIG, dict(node.config)))
    return request


def configure(node: PepNode) -> ET.Element:
    """Give a node that is there these options (XEP-0060 section 8.2)."""
    return pubsub.configure(node.node, dict(node.config))


def publish(item: PepItem) -> ET.Element:
    """Publish an item on a node that is there (XEP-0060 section 7.1)."""
    request = ET.Element(tag(NS_PUBSUB, "pubsub"))
    publish = ET.SubElement(request, tag(NS_PUBSUB, "publish"), {"node": item.node})
    ET.SubElement(publish, tag(NS_PUBSUB, "item"), {"id": item.id}).append(element(item.payload))
    return request


def retract(node: str, id: str) -> ET.Element:
    """Take an item back, and have subscribers told (XEP-0060 section 7.2)."""
    request = ET.Element(tag(NS_PUBSUB, "pubsub"))
    retract = ET.SubElement(request, tag(NS_PUBSUB, "retract"), {"node": node, "notify": "true"})
    ET.SubElement(retract, tag(NS_PUBSUB, "item"), {"id": id})
    return request
