"""What an account has in the places of a few things, asked for as they come along.

A roster may be larger than a stanza of ours may be, and published entries many megabytes: so only
what stands in the way of these things is asked for, and kept no longer than they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from component.account import bookmarks
from component.account.model import (
    NS_BOOKMARKS,
    Blocked,
    Contact,
    PepItem,
    Piece,
    PrivateXml,
)
from component.core import jids
from component.core.belongings.model import Line, Sort, Thing
from component.core.belongings.plan import SINGLE_NODES, Standing
from component.core.conditions import Condition
from component.engine.belongings.read import AccountReader, contacts_of, rooms_of
from component.engine.belongings.things import piece_of, things
from component.engine.hook import Hook
from component.engine.movers.accounts import Accounts
from component.xmpp.errors import RemoteError

CHOSEN_AT_ONCE = 500
"""Addresses that a hook takes in one question (hook protocol, section 12)."""
_WHOLE = frozenset({Condition.FEATURE_NOT_IMPLEMENTED, Condition.BAD_REQUEST})
"""The hook is too old, or the server cannot read one of the addresses: the whole roster tells."""


class There:
    """Asks for what is there.  Everything raises LinkError where the server is not to be had.

    :param user: the bare JID of an account here.
    """

    def __init__(self, accounts: Accounts, hook: Hook, user: str) -> None:
        self._reader = AccountReader(accounts, user)
        self._hook = hook
        self._user = user
        self._blocked: dict[str, Blocked] | None = None
        self._roster: dict[str, Contact] | None = None
        """Where the hook is too old to be asked for some of it."""
        self._large: set[str] = set()
        """Nodes whose items do not fit one stanza."""

    async def of(self, lines: Iterable[Line]) -> Standing:
        """What stands where these lines write, or have written; and what they had replaced.

        Of a node with items among them: as many items as are there, each of which that counts.
        """
        wanted: defaultdict[Sort, list[Thing]] = defaultdict(list)
        for line in lines:
            for thing in (line.thing, *line.before):
                wanted[thing.sort].append(thing)
        found: list[Piece] = []
        if Sort.BLOCKED in wanted:
            blocked = await self._who_is_blocked()
            found += [blocked[t.key] for t in wanted[Sort.BLOCKED] if t.key in blocked]
        contacts = [p.jid for t in wanted[Sort.CONTACT] if isinstance(p := piece_of(t), Contact)]
        found += await self._contacts(list(dict.fromkeys(contacts)))
        if Sort.PROFILE in wanted:
            found += await self._reader.vcard()
        stored = [p for t in wanted[Sort.PRIVATE] if isinstance(p := piece_of(t), PrivateXml)]
        for name in dict.fromkeys((one.name, one.ns) for one in stored):
            found += await self._reader.private(*name)
        standing = Standing()
        # Of a node that comes, its items are counted too: an undo does not delete what is in use.
        nodes = dict.fromkeys(thing.key for thing in wanted[Sort.NODE])
        by_node: defaultdict[str, list[str]] = defaultdict(list, {node: [] for node in nodes})
        for thing in wanted[Sort.ITEM]:
            by_node[thing.node].append(_id(thing))
        for node, ids in by_node.items():
            items, count = await self._items(node, ids)
            found += items
            standing.holds(node, count)
            there = await self._reader.node(node) if node in nodes else None
            if there is None and node == NS_BOOKMARKS and items:
                there = bookmarks.NODE  # of rooms in the old format: as if they were in the new
            found += [there] if there is not None else []
        for thing in things(found):
            standing.add(thing)
        return standing

    async def _who_is_blocked(self) -> Mapping[str, Blocked]:
        # XEP-0191 has no way to ask for some of them.  Whoever is blocked meanwhile is blocked.
        if self._blocked is None:
            self._blocked = {jids.key(one.jid): one for one in await self._reader.blocked()}
        return self._blocked

    async def _contacts(self, wanted: Sequence[str]) -> Sequence[Piece]:
        if wanted and self._roster is None:
            try:
                chosen: list[Piece] = []
                for start in range(0, len(wanted), CHOSEN_AT_ONCE):
                    part = wanted[start : start + CHOSEN_AT_ONCE]
                    chosen += contacts_of(await self._hook.chosen(self._user, part))
                return chosen
            except RemoteError as error:
                if error.condition not in _WHOLE:
                    raise
        if wanted and self._roster is None:
            self._roster = {jids.key(one.jid): one for one in await self._reader.contacts()}
        roster = self._roster or {}
        return [found for one in wanted if (found := roster.get(jids.key(one))) is not None]

    async def _items(self, node: str, ids: Sequence[str]) -> tuple[Sequence[PepItem], int]:
        """Items of a node, those of these ids at least, and how many there are."""
        if node not in self._large:
            items = await self._reader.items_together(node)
            if items is not None:
                if node == NS_BOOKMARKS:
                    items += rooms_of(await self._reader.old_rooms(), items)
                return items, len(items)
            self._large.add(node)
        there = await self._reader.ids(node)
        alone = node in SINGLE_NODES or len(there) == 1
        wanted = set(ids)
        asked = there if alone else [id for id in there if id in wanted]
        return [item for id in asked for item in await self._reader.item(node, id)], len(there)


def _id(thing: Thing) -> str:
    piece = piece_of(thing)
    assert isinstance(piece, PepItem)
    return piece.id
