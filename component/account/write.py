"""Writes the pieces of one account as a file of XEP-0227, version 1.1.

Equal pieces give equal files.  Every element is in the default namespace, because ejabberd and
Prosody look at names as they are written.  Nothing in the file grants a subscription: who imports
it anywhere has names and groups, and asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from typing import BinaryIO

from lxml import etree

from component.account import carried
from component.account.canonical import split
from component.account.envelope import NS_PRIVATE, NS_VCARD
from component.account.frames import NS_PIE
from component.account.model import (
    Blocked,
    Contact,
    Identity,
    PepItem,
    PepNode,
    Piece,
    PrivateXml,
    VcardTemp,
    Xml,
    order,
)
from component.account.pep import NS_DATA, NS_OWNER, NS_PUBSUB
from component.account.roster import NS_PRIVACY, NS_ROSTER, NS_WAS
from component.core.model import Subscription

_NODE_CONFIG = "http://jabber.org/protocol/pubsub#node_config"
_LIST = "blocked"
"""Name of the privacy list; it is the default list, so servers find it whatever its name."""


def write(file: BinaryIO, pieces: Iterable[Piece]) -> None:
    """Write an account.

    :param file: an open binary file; written from where it stands, and not closed.
    :param pieces: in the order of :func:`component.account.model.in_order`, the
        :class:`Identity` first, each item's node among them.  They are taken one at a time.
    :raises ValueError: the order is another, a piece must not be carried
        (:mod:`component.account.carried`), or it holds what XML cannot.  What was written until
        then is no whole file.
    """
    ordered = _checked(pieces)
    identity = next(ordered, None)
    if not isinstance(identity, Identity):
        raise ValueError("the first piece must say whose the account is")
    with etree.xmlfile(file, encoding="utf-8") as xml:
        xml.write_declaration()
        with (
            xml.element(f"{{{NS_PIE}}}server-data", nsmap={None: NS_PIE}),
            _element(xml, NS_PIE, "host", {"jid": identity.host}),
            _element(xml, NS_PIE, "user", {"name": identity.user}),
        ):
            _things(xml, ordered)
    file.write(b"\n")


def _things(xml: etree._IncrementalFileWriter, pieces: Iterator[Piece]) -> None:
    nodes: set[str] = set()
    for kind, group in groupby(pieces, key=type):
        if kind is Blocked:
            _blocked(xml, (piece for piece in group if isinstance(piece, Blocked)))
        elif kind is Contact:
            _contacts(xml, (piece for piece in group if isinstance(piece, Contact)))
        elif kind is VcardTemp:
            for piece in group:
                assert isinstance(piece, VcardTemp)
                _write_xml(xml, piece.element, f"{{{NS_VCARD}}}vCard")
        elif kind is PrivateXml:
            _private(xml, (piece for piece in group if isinstance(piece, PrivateXml)))
        elif kind is PepNode:
            _nodes(xml, (piece for piece in group if isinstance(piece, PepNode)), nodes)
        elif kind is PepItem:
            _items(xml, (piece for piece in group if isinstance(piece, PepItem)), nodes)
        else:
            raise ValueError("an account is of one user alone")


def _blocked(xml: etree._IncrementalFileWriter, blocked: Iterator[Blocked]) -> None:
    """The one place that XEP-0227 has for them: privacy lists (section 4.8)."""
    with _element(xml, NS_PRIVACY, "query", spaces={None: NS_PRIVACY}):
        _leaf(xml, NS_PRIVACY, "default", {"name": _LIST})
        with _element(xml, NS_PRIVACY, "list", {"name": _LIST}):
            for number, one in enumerate(blocked, start=1):
                rule = {"type": "jid", "value": one.jid, "action": "deny", "order": str(number)}
                _leaf(xml, NS_PRIVACY, "item", rule)


def _contacts(xml: etree._IncrementalFileWriter, contacts: Iterator[Contact]) -> None:
    with _element(xml, NS_ROSTER, "query", spaces={None: NS_ROSTER, "was": NS_WAS}):
        for contact in contacts:
            attributes = {"jid": contact.jid}
            if contact.name:
                attributes["name"] = contact.name
            attributes["subscription"] = Subscription.NONE.value
            if contact.subscription is not Subscription.NONE:
                attributes[f"{{{NS_WAS}}}subscription"] = contact.subscription.value
            if contact.ask:
                attributes[f"{{{NS_WAS}}}ask"] = "subscribe"
            if contact.approved:
                attributes[f"{{{NS_WAS}}}approved"] = "true"
            with _element(xml, NS_ROSTER, "item", attributes):
                for group in sorted(set(contact.groups)):
                    _leaf(xml, NS_ROSTER, "group", {}, group)


def _private(xml: etree._IncrementalFileWriter, elements: Iterator[PrivateXml]) -> None:
    with _element(xml, NS_PRIVATE, "query", spaces={None: NS_PRIVATE}):
        for piece in elements:
            if not carried.private(piece.name, piece.ns).carried:
                raise ValueError(f"{piece.name} of {piece.ns} must not be carried")
            _write_xml(xml, piece.element, f"{{{piece.ns}}}{piece.name}")


def _nodes(xml: etree._IncrementalFileWriter, found: Iterator[PepNode], nodes: set[str]) -> None:
    """Options and readers of nodes (section 4.10.1)."""
    with _element(xml, NS_OWNER, "pubsub", spaces={None: NS_OWNER}):
        for node in found:
            if not carried.node(node.node).carried:
                raise ValueError(f"the PEP node {node.node} must not be carried")
            if node.node in nodes:
                raise ValueError(f"the PEP node {node.node} comes twice")
            nodes.add(node.node)
            with _element(xml, NS_OWNER, "configure", {"node": node.node}):
                if node.config:
                    _form(xml, node.config)
            if node.members:
                with _element(xml, NS_OWNER, "affiliations", {"node": node.node}):
                    for jid in sorted(node.members):
                        _leaf(xml, NS_OWNER, "affiliation", {"jid": jid, "affiliation": "member"})


def _form(
    xml: etree._IncrementalFileWriter, config: tuple[tuple[str, tuple[str, ...]], ...]
) -> None:
    with _element(xml, NS_DATA, "x", {"type": "form"}, {None: NS_DATA}):
        with _element(xml, NS_DATA, "field", {"var": "FORM_TYPE", "type": "hidden"}):
            _leaf(xml, NS_DATA, "value", {}, _NODE_CONFIG)
        for name, values in sorted(config):
            with _element(xml, NS_DATA, "field", {"var": name}):
                for value in values:
                    _leaf(xml, NS_DATA, "value", {}, value)


def _items(xml: etree._IncrementalFileWriter, items: Iterator[PepItem], nodes: set[str]) -> None:
    """What nodes hold (section 4.10.2); each must have its options in the file."""
    with _element(xml, NS_PUBSUB, "pubsub", spaces={None: NS_PUBSUB}):
        for node, group in groupby(items, key=lambda item: item.node):
            if node not in nodes:
                raise ValueError(f"there are items of the PEP node {node}, but not the node")
            with _element(xml, NS_PUBSUB, "items", {"node": node}):
                for item in group:
                    by = {"publisher": item.publisher} if item.publisher else {}
                    with _element(xml, NS_PUBSUB, "item", {"id": item.id, **by}):
                        _write_xml(xml, item.payload)


# Markup ---------------------------------------------------------------------------------------


@contextmanager
def _element(
    xml: etree._IncrementalFileWriter,
    ns: str,
    name: str,
    attributes: Mapping[str, str] | None = None,
    spaces: Mapping[str | None, str] | None = None,
) -> Iterator[None]:
    """An element on lines of its own; ``spaces`` are namespaces that begin with it."""
    with xml.element(f"{{{ns}}}{name}", attributes or {}, nsmap=spaces):
        xml.write("\n")
        yield
    xml.write("\n")


def _leaf(
    xml: etree._IncrementalFileWriter,
    ns: str,
    name: str,
    attributes: Mapping[str, str],
    text: str = "",
) -> None:
    with xml.element(f"{{{ns}}}{name}", attributes):
        if text:
            xml.write(text)
    xml.write("\n")


def _write_xml(xml: etree._IncrementalFileWriter, text: Xml, tag: str | None = None) -> None:
    """An element of a client's own, as it is; ``tag`` is what it must be."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        element = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(str(error)) from error
    if not isinstance(element.tag, str) or not split(element.tag)[0]:
        raise ValueError("an element of an account must have a namespace")
    if tag is not None and element.tag != tag:
        raise ValueError(f"the element should be {tag}, and is {element.tag}")
    xml.write(element)
    xml.write("\n")


def _checked(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The pieces again.  :raises ValueError: they are not in order."""
    last = None
    for piece in pieces:
        here = order(piece)
        if last is not None and here < last:
            raise ValueError(f"out of order: {piece!r:.200}")
        last = here
        yield piece
