"""The PEP nodes of a hand-over: made for one reader, read, and deleted."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from component.account.canonical import canonical
from component.account.handover import MAX_CHUNKS
from component.account.model import PepItem, PepNode
from component.core.conditions import Condition
from component.engine.asking import Asking
from component.engine.belongings import asks
from component.xmpp import pubsub
from component.xmpp.errors import RemoteError

_CONFIG = (
    ("pubsub#access_model", ("whitelist",)),
    ("pubsub#max_items", (str(MAX_CHUNKS + 1),)),
    ("pubsub#persist_items", ("true",)),
    ("pubsub#send_last_published_item", ("never",)),
)
_NOT_FOR_US = frozenset(
    {Condition.ITEM_NOT_FOUND, Condition.FORBIDDEN, Condition.NOT_AUTHORIZED, Condition.NOT_ALLOWED}
)
"""Of a node that is not there, Prosody says ``forbidden`` to strangers (0.12.3); of one that is
and lets others in, ``forbidden`` too, or ``not-allowed`` (ejabberd 24.12)."""


async def open_for(accounts: Asking, owner: str, node: str, reader: str) -> None:
    """Make a node anew, for its owner and one reader; what was there is gone.

    :raises RemoteError: the owner's server refuses; then there is no node that others could read.
    """
    await delete(accounts, owner, node)
    await accounts.query(owner, "set", asks.create(PepNode(node, _CONFIG)))
    await accounts.query(owner, "set", pubsub.affiliations(node, {reader: "member"}))


async def put(accounts: Asking, owner: str, node: str, id: str, payload: ET.Element) -> None:
    """Publish an item.  :raises RemoteError: the owner's server refuses."""
    await accounts.query(owner, "set", asks.publish(PepItem(node, id, canonical(payload))))


async def get(accounts: Asking, reader: str, owner: str, node: str, id: str) -> ET.Element | None:
    """An item of somebody's node, as ``reader`` gets it; None where there is none for the reader.

    :raises RemoteError: the owner's server is not there, or refuses for another reason.
    """
    to = None if reader == owner else owner
    try:
        inner = await accounts.query(reader, "get", asks.items_get(node, id), to)
    except RemoteError as error:
        if error.condition in _NOT_FOR_US:
            return None
        raise
    found = (one for one in asks.read_items(inner, node) if one.id == id)
    item = next(found, None)
    return asks.element(item.payload) if item is not None else None


async def delete(accounts: Asking, owner: str, node: str) -> bool:
    """Delete a node; False where there was none.  :raises RemoteError: the server refuses."""
    try:
        await accounts.query(owner, "set", pubsub.owner("delete", node))
    except RemoteError as error:
        if error.condition == Condition.ITEM_NOT_FOUND:
            return False
        raise
    return True
