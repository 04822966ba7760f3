"""What accounts of the model server have beside rosters and statements."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from component.xmpp.codecs import tag
from component.xmpp.errors import RemoteError
from component.xmpp.mover_codecs import NS_BLOCKING, NS_VCARD
from component.xmpp.names import (
    NS_DISCO_ITEMS,
    NS_MOVED,
    NS_PUBSUB,
    NS_PUBSUB_OWNER,
)
from sim.account_server import NS_PRIVATE, Account, AccountServer

_PUBSUB = (tag(NS_PUBSUB, "pubsub"), tag(NS_PUBSUB_OWNER, "pubsub"))
_KEPT = (tag(NS_VCARD, "vCard"), tag(NS_PRIVATE, "query"), tag(NS_DISCO_ITEMS, "query"))
_BLOCKS = (tag(NS_BLOCKING, "block"), tag(NS_BLOCKING, "unblock"))


class Things:
    """Plays everything that is neither roster nor statement, with access by whitelist."""

    def __init__(self) -> None:
        self._server = AccountServer()

    def of(self, jid: str) -> Account:
        """What one account has."""
        return self._server.accounts[jid]

    def nodes(self, jid: str) -> set[str]:
        """Names of its nodes, without the statement's."""
        return set(self.of(jid).nodes)

    def plays(self, payload: ET.Element) -> bool:
        """Whether a question is for us."""
        if payload.tag in _PUBSUB:
            return payload[0].get("node") != NS_MOVED
        return payload.tag in _KEPT

    def answer(
        self, asker: str, owner: str, kind: str, payload: ET.Element
    ) -> list[ET.Element] | RemoteError:
        """What is answered; whoever may not read a node is told as by Prosody."""
        if asker != owner:
            node = self.of(owner).nodes.get(payload[0].get("node", ""))
            if node is None:
                return RemoteError("item-not-found")
            if node.members.get(asker) != "member":
                return RemoteError("forbidden")
        return self._server.answered(owner, kind, payload)


def blocking(blocks: set[str], payload: ET.Element) -> bool:
    """Change a block list (XEP-0191); whether it was asked for."""
    if payload.tag not in _BLOCKS:
        return False
    jids = {item.get("jid", "") for item in payload}
    if payload.tag == _BLOCKS[0]:
        blocks |= jids
    else:
        blocks -= jids
    return True
