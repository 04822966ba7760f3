"""Between the pieces of an account and the things that the core compares and the store keeps."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from component.account.canonical import unordered
from component.account.model import (
    NS_BOOKMARKS,
    Blocked,
    Contact,
    PepItem,
    PepNode,
    Piece,
    PrivateXml,
    VcardTemp,
    Xml,
)
from component.core import jids
from component.core.belongings.model import Entry, Line, Readers, Sort, Thing
from component.core.model import Subscription

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def things(pieces: Iterable[Piece]) -> list[Thing]:
    """A thing for each piece; whose account it is, is none."""
    return [thing for piece in pieces if (thing := thing_of(piece)) is not None]


def thing_of(piece: Piece) -> Thing | None:
    """The thing that a piece is, None for the identity."""
    match piece:
        case Blocked(jid):
            return Thing(Sort.BLOCKED, jids.key(jid), "", _encode([jid]))
        case Contact(jid, name, groups, subscription, ask):
            said = _encode([name, sorted(set(groups))])
            return Thing(
                Sort.CONTACT,
                jids.key(jid),
                said,
                _encode([jid, name, list(groups)]),
                blank=not name and not groups,
                bound=ask or subscription is not Subscription.NONE,
            )
        case VcardTemp(element):
            return Thing(Sort.PROFILE, "", unordered(element), _encode([element]))
        case PrivateXml(name, ns, element):
            return Thing(Sort.PRIVATE, f"{{{ns}}}{name}", element, _encode([name, ns, element]))
        case PepNode(node, config, members):
            readers = readers_of(piece)
            said = _encode([readers.access, readers.members, readers.groups])
            return Thing(Sort.NODE, node, said, _encode([node, config, members]), readers=readers)
        case PepItem(node, id, payload):
            key = jids.key(jids.entity(id) or id) if node == NS_BOOKMARKS else id
            return Thing(Sort.ITEM, key, payload, _encode([node, id, payload]), node=node)
    return None


def readers_of(node: PepNode) -> Readers:
    """Who may read a node, as far as it says so: ``presence`` is PEP's default (XEP-0163 1.3)."""
    access = node.access_model or "presence"
    options = dict(node.config)
    room = node.option("max_items") or ""
    return Readers(
        access,
        tuple(sorted(node.members)) if access == "whitelist" else (),
        options.get("pubsub#roster_groups_allowed", ()) if access == "roster" else (),
        int(room) if room.isdecimal() and len(room) < 10 else None,
    )


def piece_of(thing: Thing) -> Piece:
    """The piece that a thing was made of.

    :raises ValueError: its text is not what :func:`thing_of` wrote.
    """
    try:
        return _piece(thing.sort, json.loads(thing.text))
    except (KeyError, TypeError) as error:
        raise ValueError(f"a {thing.sort} that no release wrote: {error}") from error


def _piece(sort: Sort, data: Any) -> Piece:
    if sort is Sort.BLOCKED:
        (jid,) = data
        return Blocked(jid)
    if sort is Sort.CONTACT:
        jid, name, groups = data
        return Contact(jid, name, tuple(groups))
    if sort is Sort.PROFILE:
        (element,) = data
        return VcardTemp(Xml(element))
    if sort is Sort.PRIVATE:
        name, ns, element = data
        return PrivateXml(name, ns, Xml(element))
    if sort is Sort.NODE:
        node, config, members = data
        options = tuple((option, tuple(values)) for option, values in config)
        return PepNode(node, options, tuple(members))
    node, id, payload = data
    return PepItem(node, id, Xml(payload))


def entry_of(number: int, line: Line) -> Entry:
    """A line as the store keeps it."""
    before = _encode([[one.sort, one.text] for one in line.before])
    thing = line.thing
    return Entry(number, thing.sort, thing.text, line.result, line.why, before, line.done)


def line_of(entry: Entry) -> Line:
    """A line out of the store.  :raises ValueError: it is not what :func:`entry_of` made."""
    before = tuple(_thing(Sort(sort), text) for sort, text in json.loads(entry.before))
    thing = _thing(entry.sort, entry.text)
    return Line(thing, entry.result, entry.why, before, entry.done)


def lines_of(entries: Iterable[Entry]) -> list[tuple[int, Line]]:
    """Lines with their numbers.  :raises ValueError: as :func:`line_of`."""
    return [(entry.number, line_of(entry)) for entry in entries]


def _thing(sort: Sort, text: str) -> Thing:
    found = thing_of(piece_of(Thing(sort, "", "", text)))
    assert found is not None  # an identity is no thing
    return found
