"""Writes an account's things as its user, one by one, and takes them back.

What a server refuses is raised as RemoteError, for the report; a stream that is down as LinkLost.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence

from component.account.model import (
    Blocked,
    Contact,
    PepItem,
    PepNode,
    Piece,
    PrivateXml,
    VcardTemp,
)
from component.core.belongings.model import Line, Sort, Thing, Why
from component.core.conditions import Condition
from component.core.model import RosterItem, Subscription
from component.engine.asking import AFFILIATIONS_AT_ONCE
from component.engine.belongings import asks
from component.engine.belongings.things import piece_of
from component.engine.hook import Hook
from component.engine.movers.accounts import Accounts
from component.xmpp import pubsub
from component.xmpp.codecs import tag
from component.xmpp.errors import RemoteError
from component.xmpp.mover_codecs import NS_VCARD

MAX_CHARACTERS = 450_000
"""Of one thing, in bytes: with what is around it, below what Prosody 0.12 takes from a component
(512 KiB), which ends the stream of whoever sends more."""
AT_ONCE = 200
"""People blocked, or contacts, in one stanza and one save."""
_THERE = frozenset({Condition.CONFLICT})
"""The node has been made meanwhile: servers make nodes of a profile."""


class Writer:
    """Writes to one account.

    :param user: its bare JID; a user of a served host.
    """

    def __init__(self, accounts: Accounts, hook: Hook, user: str) -> None:
        self._accounts = accounts
        self._hook = hook
        self._user = user

    async def _set(self, payload: ET.Element) -> None:
        await self._accounts.query(self._user, "set", payload)

    # There ----------------------------------------------------------------------------------------

    async def block(self, blocked: Iterable[Thing]) -> None:
        """Keep all of these out, in one step of the server.  :raises RemoteError: refused."""
        await self._set(asks.block(_jid(thing) for thing in blocked))

    async def enter(self, contacts: Iterable[Thing]) -> None:
        """Give contacts their names and groups, in one roster save where the server can.

        :raises RemoteError: refused.
        """
        pieces = [piece_of(thing) for thing in contacts]
        items = [_item(piece) for piece in pieces if isinstance(piece, Contact)]
        await self._hook.set_entries(self._user, items)

    async def leave(self, contacts: Iterable[Thing]) -> None:
        """Remove contacts, in one roster save; those with a subscription stay.

        :raises RemoteError: refused.
        """
        pieces = [piece_of(thing) for thing in contacts]
        gone = [piece.jid for piece in pieces if isinstance(piece, Contact)]
        await self._hook.set_entries(self._user, (), gone)

    async def put(self, line: Line) -> None:
        """Write what a line says.

        :raises RemoteError: the server refuses; ``too-large`` is our own word.
        """
        if len(line.thing.text.encode()) > MAX_CHARACTERS:
            raise RemoteError(Why.TOO_LARGE, "modify")
        piece = piece_of(line.thing)
        if isinstance(piece, PepNode):
            await self._node(piece, line.before)
        else:
            await self._put(piece)

    async def _put(self, piece: Piece) -> None:
        match piece:
            case Blocked(jid):
                await self._set(asks.block([jid]))
            case Contact():
                await self._hook.set_entry(self._user, _item(piece))
            case VcardTemp(element) | PrivateXml(_, _, element):
                private = isinstance(piece, PrivateXml)
                await self._set(asks.private_set(element) if private else asks.element(element))
            case PepItem():
                await self._set(asks.publish(piece))

    async def _node(self, node: PepNode, before: Sequence[Thing]) -> None:
        """Make a node, or change one, readers first: nobody else sees what is published then."""
        if before:
            await self._configure(node, asks.configure)
        else:
            try:
                await self._configure(node, asks.create)
            except RemoteError as error:
                if error.condition not in _THERE:
                    raise
                await self._configure(node, asks.configure)
        earlier = [member for one in before for member in _members(one)]
        await self._members(node.node, earlier, node.members)

    async def _configure(self, node: PepNode, order: asks.NodeOrder) -> None:
        """With all options, else with what makes it what it is: who may read is never left out."""
        options = dict(node.config)
        essential = {name: options[name] for name in _ESSENTIAL if name in options}
        tries = [options, {**essential, "pubsub#max_items": ("max",)}, essential]
        for number, config in enumerate(tries, 1):
            try:
                await self._set(order(PepNode(node.node, tuple(sorted(config.items())))))
                return
            except RemoteError as error:
                if error.condition in _THERE or number == len(tries):
                    raise

    async def _members(self, node: str, before: Sequence[str], after: Sequence[str]) -> None:
        changes = dict.fromkeys(set(before) - set(after), "none")
        changes |= dict.fromkeys(sorted(set(after) - set(before)), "member")
        listed = list(changes.items())
        for start in range(0, len(listed), AFFILIATIONS_AT_ONCE):
            part = dict(listed[start : start + AFFILIATIONS_AT_ONCE])
            await self._set(pubsub.affiliations(node, part))

    # And back -------------------------------------------------------------------------------------

    async def take_back(self, line: Line) -> None:
        """Bring back what was before a line was written.

        A node that the copy made is deleted: nothing may be left on it.

        :raises RemoteError: the server refuses.
        """
        piece = piece_of(line.thing)
        if line.before:
            if isinstance(piece, PepItem) and all(one.key != piece.id for one in line.before):
                await self._retract(piece)
            for one in line.before:
                earlier = piece_of(one)
                if isinstance(earlier, PepNode):
                    await self._node(earlier, [line.thing])
                else:
                    await self._put(earlier)
            return
        match piece:
            case Blocked(jid):
                await self._set(asks.block([jid], unblock=True))
            case Contact(jid):
                await self._hook.remove_entry(self._user, jid)
            case VcardTemp():
                await self._set(ET.Element(tag(NS_VCARD, "vCard")))
            case PrivateXml(name, ns):
                await self._set(asks.private_get(name, ns))  # the empty element, to be stored
            case PepItem():
                await self._retract(piece)
            case PepNode(node):
                await self._gone(pubsub.owner("delete", node))

    async def _retract(self, item: PepItem) -> None:
        await self._gone(asks.retract(item.node, item.id))

    async def _gone(self, order: ET.Element) -> None:
        """Take something away; that it is away is fine."""
        try:
            await self._set(order)
        except RemoteError as error:
            if error.condition != Condition.ITEM_NOT_FOUND:
                raise


_ESSENTIAL = ("pubsub#access_model", "pubsub#persist_items", "pubsub#roster_groups_allowed")


def _item(contact: Contact) -> RosterItem:
    """The subscription is the server's to keep: nothing is granted or asked by an entry."""
    return RosterItem(contact.jid, Subscription.NONE, False, contact.name, contact.groups)


def _jid(thing: Thing) -> str:
    piece = piece_of(thing)
    assert isinstance(piece, Blocked)
    return piece.jid


def _members(thing: Thing) -> tuple[str, ...]:
    piece = piece_of(thing) if thing.sort is Sort.NODE else None
    return piece.members if isinstance(piece, PepNode) else ()
