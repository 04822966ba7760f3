"""A server with accounts, as the component meets it through the hook's query; with faults."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from component.account.model import Identity, Piece
from component.engine.acting import MeantWire
from component.engine.belongings.read import look
from component.engine.hook import Hook
from component.engine.movers.accounts import Accounts
from component.xmpp.codecs import tag
from component.xmpp.errors import LinkError, RemoteError
from component.xmpp.mover_codecs import NS_BLOCKING, NS_VCARD
from component.xmpp.names import (
    NS_CLIENT,
    NS_DISCO_ITEMS,
    NS_HOOK,
    NS_PUBSUB,
    NS_PUBSUB_OWNER,
    NS_ROSTER,
    NS_STANZAS,
)

NS_PRIVATE = "jabber:iq:private"
Fault = Callable[[str, ET.Element], LinkError | None]
"""What goes wrong with a question of this type (``get``, ``set``), if anything."""


@dataclass
class Node:
    """A PEP node."""

    form: ET.Element
    members: dict[str, str] = field(default_factory=dict)
    items: dict[str, ET.Element] = field(default_factory=dict)


@dataclass
class Account:
    """What one user has."""

    roster: dict[str, ET.Element] = field(default_factory=dict)
    blocked: dict[str, None] = field(default_factory=dict)
    vcard: ET.Element | None = None
    private: dict[str, ET.Element] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)


class AccountServer:
    """Plays section 5 of docs/hook-protocol.md; a :class:`~component.engine.ports.Wire`."""

    def __init__(self) -> None:
        self.accounts: defaultdict[str, Account] = defaultdict(Account)
        self.tokens: dict[str, str] = {}
        """Which account has a name (hook protocol, section 13)."""
        self.before: Fault = lambda kind, payload: None
        """Instead of doing it."""
        self.after: Fault = lambda kind, payload: None
        """Instead of the answer, when it is done."""
        self.old = False
        """Whether the hook is one that knows no ``<entries/>``."""
        self.writes: list[tuple[str, str]] = []
        """Names of what was set, by user, in order."""

    @property
    def sides(self) -> tuple[Accounts, Hook]:
        """What the engine reaches it through."""
        wire = MeantWire(self)
        hook = Hook(wire)
        return Accounts(wire, hook), hook

    async def things(self, user: str) -> list[Piece]:
        """What an account has, as it is read."""
        reading = await look(self.sides[0], user)
        return [piece for piece in reading.pieces if not isinstance(piece, Identity)]

    async def request(
        self, kind: Literal["get", "set"], to: str, payload: ET.Element, *, timeout: float
    ) -> ET.Element:
        """Answer a query, or take entries (section 12)."""
        token = self.tokens.setdefault(to, f"the first {to}")
        if payload.get("account", token) != token:
            raise RemoteError("item-not-found")
        if payload.tag == tag(NS_HOOK, "account"):
            reply = ET.Element("iq")
            ET.SubElement(reply, payload.tag, {"token": token})
            return reply
        if payload.tag == tag(NS_HOOK, "entries"):
            return self._entries(to, payload) if kind == "set" else self._chosen(to, payload)
        inner = payload[0]
        asked, type_ = inner[0], inner.get("type", "")
        fault = self.before(type_, asked)
        if fault is None:
            answer = self.answered(to, type_, asked)
            fault = self.after(type_, asked)
        if fault is not None and not isinstance(fault, RemoteError):
            raise fault
        reply = ET.Element("iq")
        whole = ET.SubElement(ET.SubElement(reply, tag(NS_HOOK, "query")), tag(NS_CLIENT, "iq"))
        if fault is not None:
            answer = fault
        if isinstance(answer, RemoteError):
            whole.set("type", "error")
            error = ET.SubElement(whole, tag(NS_CLIENT, "error"), {"type": "cancel"})
            ET.SubElement(error, tag(NS_STANZAS, answer.condition))
        else:
            whole.set("type", "result")
            whole.extend(answer)
        return reply

    def _chosen(self, user: str, payload: ET.Element) -> ET.Element:
        fault = RemoteError("feature-not-implemented") if self.old else self.before("get", payload)
        if fault is not None:
            raise fault
        reply = ET.Element("iq")
        entries = ET.SubElement(reply, tag(NS_HOOK, "entries"))
        roster = self.accounts[user].roster
        entries.extend(roster[jid] for one in payload if (jid := one.get("jid", "")) in roster)
        return reply

    def _entries(self, user: str, payload: ET.Element) -> ET.Element:
        fault = RemoteError("feature-not-implemented") if self.old else self.before("set", payload)
        if fault is not None:
            raise fault
        self.writes.append((user, "entries/item"))
        for item in payload:
            query = ET.Element(tag(NS_ROSTER, "query"))
            query.append(item)
            self._roster(self.accounts[user], True, query)
        fault = self.after("set", payload)
        if fault is not None:
            raise fault
        return ET.Element("iq")

    def answered(self, user: str, type_: str, asked: ET.Element) -> list[ET.Element] | RemoteError:
        """What a user's own question brings."""
        if type_ == "set":
            first = asked[0].tag.rpartition("}")[2] if len(asked) else ""
            self.writes.append((user, f"{asked.tag.rpartition('}')[2]}/{first}"))
        account = self.accounts[user]
        handlers = {
            tag(NS_ROSTER, "query"): self._roster,
            tag(NS_VCARD, "vCard"): self._vcard,
            tag(NS_PRIVATE, "query"): self._private,
            tag(NS_DISCO_ITEMS, "query"): self._listed,
            tag(NS_PUBSUB, "pubsub"): self._pubsub,
            tag(NS_PUBSUB_OWNER, "pubsub"): self._owner,
        }
        if asked.tag.startswith(f"{{{NS_BLOCKING}}}"):
            return self._blocking(account, asked)
        return handlers[asked.tag](account, type_ == "set", asked)

    def _roster(self, account: Account, sets: bool, asked: ET.Element) -> list[ET.Element]:
        query = ET.Element(asked.tag)
        if not sets:
            query.extend(account.roster.values())
            return [query]
        (item,) = asked
        jid = item.get("jid", "")
        if item.get("subscription") == "remove":
            account.roster.pop(jid, None)
            return []
        before = account.roster.get(jid)
        item.set("subscription", "none" if before is None else before.get("subscription", "none"))
        account.roster[jid] = item
        return []

    def _vcard(self, account: Account, sets: bool, asked: ET.Element) -> list[ET.Element]:
        if sets:
            account.vcard = asked if len(asked) else None
            return []
        return [account.vcard if account.vcard is not None else ET.Element(asked.tag)]

    def _private(self, account: Account, sets: bool, asked: ET.Element) -> list[ET.Element]:
        (element,) = asked
        if sets:
            account.private[element.tag] = element
            return []
        query = ET.Element(asked.tag)
        query.append(account.private.get(element.tag, element))
        return [query]

    def _blocking(self, account: Account, asked: ET.Element) -> list[ET.Element]:
        jids = [item.get("jid", "") for item in asked]
        if asked.tag == tag(NS_BLOCKING, "block"):
            account.blocked |= dict.fromkeys(jids)
        elif asked.tag == tag(NS_BLOCKING, "unblock"):
            for jid in jids:
                account.blocked.pop(jid, None)
        else:
            listed = ET.Element(asked.tag)
            for jid in account.blocked:
                ET.SubElement(listed, tag(NS_BLOCKING, "item"), {"jid": jid})
            return [listed]
        return []

    def _listed(self, account: Account, sets: bool, asked: ET.Element) -> list[ET.Element]:
        query, node = ET.Element(asked.tag), asked.get("node")
        names: Sequence[str] = list(account.nodes if node is None else account.nodes[node].items)
        attribute = "node" if node is None else "name"
        for name in names:
            ET.SubElement(query, tag(NS_DISCO_ITEMS, "item"), {attribute: name})
        return [query]

    def _pubsub(
        self, account: Account, sets: bool, asked: ET.Element
    ) -> list[ET.Element] | RemoteError:
        action = asked[0]
        name, node = action.tag.rpartition("}")[2], action.get("node", "")
        if name == "create":
            if node in account.nodes:
                return RemoteError("conflict")
            account.nodes[node] = Node(asked[1][0])
            return []
        if node not in account.nodes:
            return RemoteError("item-not-found")
        items = account.nodes[node].items
        if name == "publish":
            items[action[0].get("id", "")] = action[0]
        elif name == "retract":
            if items.pop(action[0].get("id", ""), None) is None:
                return RemoteError("item-not-found")
        else:
            wanted = [item.get("id", "") for item in action] or list(items)
            found = ET.Element(action.tag, {"node": node})
            found.extend(items[id] for id in wanted if id in items)
            pubsub = ET.Element(asked.tag)
            pubsub.append(found)
            return [pubsub]
        return []

    def _owner(
        self, account: Account, sets: bool, asked: ET.Element
    ) -> list[ET.Element] | RemoteError:
        action = asked[0]
        name, node = action.tag.rpartition("}")[2], account.nodes.get(action.get("node", ""))
        if node is None:
            return RemoteError("item-not-found")
        if sets and name == "configure":
            node.form = action[0]
        elif sets and name == "delete":
            del account.nodes[action.get("node", "")]
        elif sets:
            for one in action:
                node.members[one.get("jid", "")] = one.get("affiliation", "")
        else:
            pubsub = ET.Element(asked.tag)
            told = ET.SubElement(pubsub, action.tag, {"node": action.get("node", "")})
            if name == "configure":
                told.append(node.form)
            for jid, affiliation in node.members.items() if name == "affiliations" else ():
                member = {"jid": jid, "affiliation": affiliation}
                ET.SubElement(told, tag(NS_PUBSUB_OWNER, "affiliation"), member)
            return [pubsub]
        return []


def sets(name: str) -> Callable[[str, ET.Element], bool]:
    """Whether a question sets something of this name, wherever in it."""

    def fits(kind: str, payload: ET.Element) -> bool:
        return kind == "set" and any(one.tag.rpartition("}")[2] == name for one in payload.iter())

    return fits
