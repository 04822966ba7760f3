"""Reads an account as its user: everything that :mod:`component.account.carried` lets come along.

Private XML cannot be listed (XEP-0049 has no way to): what clients are known to keep there is
asked for by name.  An answer may be larger than the stream takes; items of a node are then asked
for one by one.
"""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from component.account import bookmarks, carried
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
from component.core.belongings.model import Unread
from component.core.conditions import Condition
from component.core.model import RosterItem
from component.engine.asking import Asking
from component.engine.belongings import asks
from component.xmpp import mover_codecs, pubsub
from component.xmpp.codecs import tag
from component.xmpp.errors import RemoteError

KNOWN_PRIVATE: tuple[tuple[str, str], ...] = (
    ("exodus", "exodus:prefs"),
    ("gajim", "gajim:prefs"),
    ("roster", "roster:delimiter"),
    ("scratchpad", "scratchpad:notes"),
    ("scratchpad", "scratchpad:tasks"),
    ("storage", "storage:metacontacts"),
    ("storage", "storage:rosternotes"),
)
"""What clients keep in private storage: roster notes (XEP-0145), meta contacts (XEP-0209), the
delimiter of nested groups (XEP-0083), and settings of single clients."""

AT_ONCE = 8
"""Questions about one account at the same time."""
_TOO_LARGE = Condition.POLICY_VIOLATION
"""Our link's word for an answer beyond the bounds of the stream."""


@dataclass(slots=True)
class Reading:
    """What an account holds, in the order of a file, and what could not be read of it."""

    pieces: list[Piece]
    unread: list[Unread] = field(default_factory=list)


async def look(
    accounts: Asking, jid: str, *, private: Sequence[tuple[str, str]] = KNOWN_PRIVATE
) -> Reading:
    """The pieces of an account, the :class:`Identity` first, as a file has them.

    :param jid: the bare JID of a user whom ``accounts`` may ask as.
    :param private: names and namespaces that private storage is asked for.
    :raises RemoteError: there is no such account, or its roster cannot be had.
    :raises LinkError: the stream is down, or an answer did not come.
    """
    return await AccountReader(accounts, jid).everything(private)


class AccountReader:
    """Reads parts of one account, or all of it.  Everything raises as :func:`look` does.

    What the server refuses is missing from the results, and noted in ``unread``.
    """

    def __init__(self, accounts: Asking, jid: str) -> None:
        self._accounts = accounts
        self._jid = jid
        self._places = asyncio.Semaphore(AT_ONCE)
        self.unread: list[Unread] = []

    async def everything(self, private: Sequence[tuple[str, str]]) -> Reading:
        """See :func:`look`."""
        host, user = jids.domain(self._jid), self._jid.rpartition("@")[0]
        contacts = await self.contacts()
        blocked, vcard, old_rooms, stored, published = await asyncio.gather(
            self.blocked(),
            self.vcard(),
            self.private("storage", NS_STORAGE),
            asyncio.gather(*(self.private(*name) for name in private)),
            self._published(),
        )
        pieces: list[Piece] = [Identity(host, user), *blocked, *contacts, *vcard]
        pieces += [piece for found in stored for piece in found]
        pieces += [piece for piece in published if not isinstance(piece, PrivateXml)]
        for source in (*old_rooms, *(piece for piece in published if type(piece) is PrivateXml)):
            pieces += _converted(source, pieces)
        return Reading(in_order(pieces), sorted(self.unread, key=lambda one: one.what))

    async def contacts(self) -> list[Contact]:
        """The whole roster."""
        return contacts_of((await self._accounts.roster(self._jid)).values())

    async def blocked(self) -> list[Blocked]:
        """Who is kept out, sorted."""
        inner = await self._ask("block list", mover_codecs.blocklist_request())
        listed = mover_codecs.read_blocklist(inner) if inner is not None else ()
        return [Blocked(jid) for one in sorted(listed) if (jid := jids.entity(one)) is not None]

    async def vcard(self) -> list[VcardTemp]:
        """The profile, if there is one."""
        inner = await self._ask("profile", mover_codecs.vcard_request())
        found = asks.read_vcard(inner) if inner is not None else None
        return [VcardTemp(found)] if found is not None else []

    async def private(self, name: str, ns: str) -> list[PrivateXml]:
        """One element of private storage, if it is there."""
        inner = await self._ask(f"private XML {name} of {ns}", asks.private_get(name, ns))
        if inner is None:
            return []
        path = (tag(asks.NS_PRIVATE, "query"), tag(ns, name))
        found = asks.read_child(inner, *path)
        return [PrivateXml(name, ns, found)] if found is not None else []

    # PEP ------------------------------------------------------------------------------------------

    async def node(self, name: str) -> PepNode | None:
        """A node and who may read it; None where there is none, or that is not to be known."""
        form = await self._ask(f"options of {name}", pubsub.owner("configure", name))
        if form is None:
            return None
        node = PepNode(name, asks.read_config(form))
        if node.access_model == "whitelist":
            listed = await self._ask(f"readers of {name}", pubsub.owner("affiliations", name))
            members = asks.read_members(listed) if listed is not None else ()
            node = PepNode(name, node.config, members)
        return node

    async def items(self, node: str) -> list[PepItem]:
        """All items of a node."""
        found = await self.items_together(node)
        if found is not None:
            return found
        return [item for id in await self.ids(node) for item in await self.item(node, id)]

    async def items_together(self, node: str) -> list[PepItem] | None:
        """All items of a node; None where they do not fit one stanza."""
        async with self._places:
            try:
                inner = await self._accounts.query(self._jid, "get", asks.items_get(node))
                return list(asks.read_items(inner, node))
            except RemoteError as error:
                if error.condition == _TOO_LARGE:
                    return None
                if error.condition != Condition.ITEM_NOT_FOUND:
                    self.unread.append(Unread(f"items of {node}", error.condition))
                return []

    async def ids(self, node: str) -> list[str]:
        """The ids of a node's items."""
        listed = await self._ask(f"items of {node}", asks.ids_get(node))
        return asks.read_ids(listed) if listed is not None else []

    async def item(self, node: str, id: str) -> list[PepItem]:
        """One item, if it is there."""
        one = await self._ask(f"item {id} of {node}", asks.items_get(node, id))
        return list(asks.read_items(one, node)) if one is not None else []

    async def old_rooms(self) -> list[PrivateXml]:
        """The old format of bookmarked rooms, where the server keeps it."""
        kept = await self.private("storage", NS_STORAGE)
        return [*kept, *await self._old_node()]

    async def _published(self) -> list[Piece]:
        inner = await self._ask("PEP nodes", asks.nodes_get())
        if inner is None:
            return []
        wanted = [node for node in asks.read_nodes(inner) if carried.node(node).carried]
        found: list[Piece] = []
        for pieces in await asyncio.gather(*(self._whole(node) for node in wanted)):
            found += pieces
        return found

    async def _whole(self, name: str) -> Sequence[Piece]:
        if name == NS_STORAGE:
            return await self._old_node()
        node, items = await asyncio.gather(self.node(name), self.items(name))
        # Who may read it is not known: so it comes nowhere.
        return [node, *items] if node is not None else []

    async def _old_node(self) -> list[PrivateXml]:
        """The old format is a source only: ejabberd shows it as a node."""
        items = await self.items(NS_STORAGE)
        return [PrivateXml("storage", NS_STORAGE, item.payload) for item in items]

    async def _ask(self, what: str, payload: ET.Element) -> ET.Element | None:
        """Ask the user's own server; None where it refuses, which is noted unless nothing is there.

        :raises LinkError: the stream is down, or the answer did not come.
        """
        async with self._places:
            try:
                return await self._accounts.query(self._jid, "get", payload)
            except RemoteError as error:
                if error.condition != Condition.ITEM_NOT_FOUND:
                    self.unread.append(Unread(what, error.condition))
                return None


def contacts_of(items: Iterable[RosterItem]) -> list[Contact]:
    """Entries of a roster as pieces."""
    return [
        Contact(item.jid, item.name, tuple(sorted(set(item.groups))), item.subscription, item.ask)
        for item in items
    ]


def rooms_of(storages: Iterable[PrivateXml], items: Sequence[PepItem]) -> list[PepItem]:
    """Rooms of the old format that are not among these items of the new one."""
    found: list[Piece] = [*items]
    for storage in storages:
        found += _converted(storage, found)
    return [piece for piece in found[len(items) :] if isinstance(piece, PepItem)]


def _converted(storage: PrivateXml, pieces: Sequence[Piece]) -> list[Piece]:
    """Rooms of the old format that the new one does not have, with the node where it is missing."""
    nodes = {piece.node for piece in pieces if isinstance(piece, PepNode)}
    known = {
        jids.key(jids.entity(piece.id) or piece.id)
        for piece in pieces
        if isinstance(piece, PepItem) and piece.node == NS_BOOKMARKS
    }
    rooms: list[Piece] = []
    for room in bookmarks.converted(asks.element(storage.element)):
        if isinstance(room, PepItem) and jids.key(room.id) not in known:
            known.add(jids.key(room.id))
            rooms.append(room)
    return rooms if not rooms or NS_BOOKMARKS in nodes else [bookmarks.NODE, *rooms]
