"""A server as the mover's side meets it on the wire: rosters, PEP, block lists, watches.

It plays docs/hook-protocol.md, sections 4, 5 and 8 to 9, and the tables of RFC 6121 appendix A,
for movers and contacts alike.  What contacts do is :mod:`sim.model_world`'s.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Literal

from component.core import jids
from component.core.journey.model import Access
from component.core.model import PresenceKind, RosterItem, Subscription
from component.core.roster import Entry, outbound
from component.xmpp import codecs
from component.xmpp.codecs import tag
from component.xmpp.errors import LinkLost, RemoteError
from component.xmpp.mover_codecs import NS_BLOCKING
from component.xmpp.names import (
    NS_CLIENT,
    NS_DISCO_INFO,
    NS_HOOK,
    NS_MOVED,
    NS_PUBSUB,
    NS_PUBSUB_OWNER,
    NS_ROSTER,
    NS_STANZAS,
)
from component.xmpp.pubsub import NS_DATA
from sim.model_pep import Things, blocking
from sim.model_world import World, item_element

Rosters = dict[str, dict[str, RosterItem]]


async def _pass(_: str) -> None:
    """No crash, no fault."""


@dataclass
class Node:
    """A statement node."""

    access: Access
    names: str | None = None
    members: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Told:
    """A moved notification that left for a contact."""

    sender: str
    to: str
    old: str
    status: str
    readable: bool
    """Whether the contact, or its owner, could read a fitting statement at that moment."""


class FakeServer:
    """The wire end of the model: answers requests of the component."""

    def __init__(self, hosts: tuple[str, ...]) -> None:
        self.hosts = hosts
        self._accounts = count(1)
        self.world = World(self)
        self.things = Things()
        self.rosters: Rosters = {}
        self.tokens: dict[str, str] = {}
        """Of each account: whoever gets a name again has another one."""
        self.nodes: dict[str, Node] = {}
        self.blocks: dict[str, set[str]] = {}
        self.watches: dict[str, frozenset[str]] = {}
        self.kept: dict[str, set[str]] = {}
        """Contacts whom a deletion does not cut off, by user."""
        self.graves: dict[str, str] = {}
        """What tombstones say."""
        self.left: set[str] = set()
        """Whom the hook asks about once their account is gone."""
        self._stale: set[str] = set()
        self.told: list[Told] = []
        self.log: list[str] = []
        self.up = True
        self.whitelists = True
        self.odd: set[str] = set()
        """Addresses that a whitelist cannot take."""
        self.pep = True
        self.gate: Callable[[str], Awaitable[None]] = _pass
        """Awaited before and after each request: faults and crashes come from here."""
        self.refused: dict[str, str] = {}
        """Sends that name this address fail with this condition; so do removals of its entry."""
        self.statement_errors: dict[str, str] = {}
        """Reading the statement of this account fails with this condition."""
        self.reader_errors: dict[str, str] = {}
        """So does reading any statement as this user."""

    def add(self, user: str, *items: RosterItem) -> None:
        """A user and their roster."""
        self.rosters[user] = {item.jid: item for item in items}

    def remove(self, user: str) -> str:
        """Delete an account with all that is its own; the token that it had."""
        token = self.token(user)
        del self.rosters[user], self.tokens[user]
        self.watches.pop(user, None)
        self.blocks.pop(user, None)
        self.nodes.pop(user, None)
        return token

    def token(self, user: str) -> str:
        """Which account has this name (hook protocol, section 13)."""
        return self.tokens.setdefault(user, f"{user} {next(self._accounts)}")

    def entry(self, user: str, jid: str) -> RosterItem | None:
        """An entry as it is now."""
        return self.rosters[user].get(jid)

    def delete(self, user: str) -> None:
        """A user deletes the account: the server tells the contacts, but those who are kept."""
        node, kept = self.nodes.pop(user, None), self.kept.pop(user, set())
        if node is not None and node.names is not None:
            self.graves[user] = node.names
        roster = self.rosters[user]
        self.remove(user)
        for item in roster.values():
            if item.jid not in kept or not item.subscription.receives:
                self.world.post(user, PresenceKind.UNSUBSCRIBE, item.jid)
                self.world.post(user, PresenceKind.UNSUBSCRIBED, item.jid)

    # The wire -----------------------------------------------------------------------------------

    async def request(
        self, kind: Literal["get", "set"], to: str, payload: ET.Element, *, timeout: float
    ) -> ET.Element:
        """Answer a request of the component."""
        name = name_of(payload)
        await self.gate(f"before {name}")
        if not self.up:
            raise LinkLost("the stream is down")
        answer = self.answer(self.hosts, to, payload)
        await self.gate(f"after {name}")
        if not self.up:
            raise LinkLost("the stream was lost")
        return answer

    def lose(self) -> None:
        """The stream ends: the watches go with it."""
        self.up = False
        self.watches.clear()
        self.world.unplug()

    def answer(self, hosts: tuple[str, ...], to: str, payload: ET.Element) -> ET.Element:
        """What a component that serves these hosts is answered."""
        if to in hosts and payload.tag == tag(NS_HOOK, "tombstones"):
            self._told_of(payload)
            return ET.Element(tag(NS_CLIENT, "iq"), {"type": "result"})
        if to not in self.rosters or jids.domain(to) not in hosts:
            raise RemoteError("item-not-found")
        token = self.token(to)
        if payload.get("account", token) != token:
            raise RemoteError("item-not-found")
        iq = ET.Element(tag(NS_CLIENT, "iq"), {"type": "result"})
        match payload.tag:
            case t if t == tag(NS_HOOK, "account"):
                ET.SubElement(iq, tag(NS_HOOK, "account"), {"token": token})
            case t if t == tag(NS_HOOK, "query"):
                inner = payload.find(tag(NS_CLIENT, "iq"))
                assert inner is not None
                iq_query = ET.SubElement(iq, tag(NS_HOOK, "query"))
                iq_query.append(self._query(to, inner))
            case t if t == tag(NS_HOOK, "send"):
                sent = ET.SubElement(iq, tag(NS_HOOK, "send"))
                for item in self.send(to, payload):
                    sent.append(item_element(item))
            case t if t == tag(NS_HOOK, "watch"):
                wanted = frozenset(name for name, on in payload.attrib.items() if on == "true")
                self.log.append(f"watch {to} {','.join(sorted(wanted))}")
                self.watches[to] = wanted
            case t if t == tag(NS_HOOK, "keep"):
                kept = self.kept.get(to, set()) if payload.get("more") else set()
                for element in payload:
                    stays = element.get("subscription") != "remove"
                    (kept.add if stays else kept.discard)(element.get("jid", ""))
                self.kept[to] = kept
            case _:
                raise RemoteError("feature-not-implemented")
        return iq

    def _told_of(self, tombstones: ET.Element) -> None:
        """Who left (section 11)."""
        if tombstones.get("begin") == "true":
            self._stale = set(self.left)
        for account in tombstones.iter(tag(NS_HOOK, "account")):
            jid = account.get("jid", "")
            (self.left.discard if account.get("state") == "removed" else self.left.add)(jid)
            self._stale.discard(jid)
        if tombstones.get("end") == "true":
            self.left -= self._stale

    # Presences ----------------------------------------------------------------------------------

    def send(self, user: str, send: ET.Element) -> tuple[RosterItem, ...]:
        """Presences as a user, all or none (section 4)."""
        presences = send.findall(tag(NS_CLIENT, "presence"))
        touched = list(dict.fromkeys(p.get("to", "") for p in presences))
        for jid in touched:
            if jid in self.refused:
                raise RemoteError(self.refused[jid])
            if {jid, jids.domain(jid)} & self.blocks.get(user, set()):
                raise RemoteError("not-acceptable")
        names = {item.jid: item for item in codecs.read_items(send)}
        for presence in presences:
            jid = presence.get("to", "")
            self.speak(user, PresenceKind(presence.get("type", "")), jid, presence, names.get(jid))
        roster = self.rosters[user]
        return tuple(roster[jid] for jid in touched if jid in roster)

    def speak(
        self,
        user: str,
        kind: PresenceKind,
        to: str,
        presence: ET.Element | None = None,
        named: RosterItem | None = None,
    ) -> None:
        """One presence of a user: the roster by RFC 6121 A.2, then on its way."""
        roster = self.rosters[user]
        item = roster.get(to) or RosterItem(to, Subscription.NONE)
        state = outbound(Entry(item.subscription, item.ask), kind)
        label = named or item
        later = replace(
            item,
            subscription=state.subscription,
            ask=state.ask,
            name=item.name or label.name,
            groups=item.groups or label.groups,
        )
        if later != item or to in roster:
            roster[to] = later
        old = None
        if presence is not None:
            old = presence.findtext(f"{tag(NS_MOVED, 'moved')}/{tag(NS_MOVED, 'old-jid')}")
        self.log.append(f"{user} {kind.value} {to}" + (f" moved from {old}" if old else ""))
        if old is not None and presence is not None:
            status = presence.findtext(tag(NS_CLIENT, "status")) or ""
            can = self.read(old, to) == user or self.read(old, old) == user
            self.told.append(Told(user, to, old, status, can))
        self.world.post(user, kind, to, old)

    def received(self, user: str, kind: PresenceKind, sender: str) -> None:
        """What a presence does to the addressee's entry (RFC 6121 A.3); not for subscribe."""
        item = self.rosters[user].get(sender)
        if item is None:
            return
        grants, receives, ask = item.subscription.grants, item.subscription.receives, item.ask
        if kind is PresenceKind.SUBSCRIBED and ask:
            receives, ask = True, False
        elif kind is PresenceKind.UNSUBSCRIBED:
            receives, ask = False, False
        elif kind is PresenceKind.UNSUBSCRIBE:
            grants = False
        words = {(True, True): "both", (True, False): "from", (False, True): "to"}
        subscription = Subscription(words.get((grants, receives), "none"))
        self.rosters[user][sender] = replace(item, subscription=subscription, ask=ask)

    # Queries ------------------------------------------------------------------------------------

    def read(self, account: str, reader: str) -> str | None:
        """What a reader learns from an account's statement; None: nothing."""
        node = self.nodes.get(account)
        if account in self.graves and account not in self.rosters:
            return self.graves[account]
        if node is None or node.names is None:
            return None
        item = self.rosters.get(account, {}).get(reader)
        may = reader == account or {
            Access.OPEN: True,
            Access.PRESENCE: item is not None and item.subscription.grants,
            Access.WHITELIST: reader in node.members,
        }.get(node.access, False)
        return node.names if may else None

    def _query(self, user: str, inner: ET.Element) -> ET.Element:
        payload, to, kind = inner[0], inner.get("to", user), inner.get("type")
        if self.things.plays(payload) and (to == user or jids.domain(to) not in self.world.down):
            found = self.things.answer(user, to, kind or "get", payload)
            return _error(found.condition) if isinstance(found, RemoteError) else _result(*found)
        if blocking(self.blocks.setdefault(user, set()), payload):
            return _result()
        if payload.tag == tag(NS_ROSTER, "query"):
            return self._roster_get(user) if kind == "get" else self._roster_set(user, payload[0])
        if payload.tag == tag(NS_DISCO_INFO, "query"):
            return self._disco(to)
        if payload.tag == tag(NS_BLOCKING, "blocklist"):
            answer = _result()
            listed = ET.SubElement(answer, tag(NS_BLOCKING, "blocklist"))
            for jid in sorted(self.blocks.get(user, ())):
                ET.SubElement(listed, tag(NS_BLOCKING, "item"), {"jid": jid})
            return answer
        if payload.tag == tag(NS_PUBSUB, "pubsub") and kind == "get":
            return self._items(user, to)
        if not self.pep:
            return _error("feature-not-implemented")
        if payload.tag == tag(NS_PUBSUB, "pubsub"):
            return self._publish(user, payload)
        return self._owner(user, kind or "get", payload[0])

    def _disco(self, to: str) -> ET.Element:
        if jids.domain(to) in self.world.down:
            return _error("remote-server-not-found")
        if jids.domain(to) in self.hosts and to not in self.rosters:
            return _error("item-not-found")
        answer = _result()
        query = ET.SubElement(answer, tag(NS_DISCO_INFO, "query"))
        if self.pep:
            found = {"category": "pubsub", "type": "pep"}
            ET.SubElement(query, tag(NS_DISCO_INFO, "identity"), found)
        return answer

    def _roster_get(self, user: str) -> ET.Element:
        answer = _result()
        query = ET.SubElement(answer, tag(NS_ROSTER, "query"))
        for item in self.rosters[user].values():
            query.append(item_element(item))
        return answer

    def _roster_set(self, user: str, element: ET.Element) -> ET.Element:
        jid, roster = element.get("jid", ""), self.rosters[user]
        if jid in self.refused:
            return _error(self.refused[jid])
        item = roster.get(jid)
        if element.get("subscription") != "remove":
            given = codecs.read_item(element)
            assert given is not None
            kept = item or RosterItem(jid, Subscription.NONE)
            roster[jid] = replace(kept, name=given.name, groups=given.groups)
            return _result()
        if item is None:
            return _error("item-not-found")
        if item.subscription.grants:
            self.speak(user, PresenceKind.UNSUBSCRIBED, jid)
        if item.subscription.receives or item.ask:
            self.speak(user, PresenceKind.UNSUBSCRIBE, jid)
        self.log.append(f"{user} removes {jid}")
        roster.pop(jid, None)
        return _result()

    def _items(self, reader: str, account: str) -> ET.Element:
        condition = self.statement_errors.get(account) or self.reader_errors.get(reader)
        if condition is not None:
            return _error(condition)
        if jids.domain(account) in self.world.down:
            return _error("remote-server-not-found")
        node = self.nodes.get(account)
        if node is None:
            return _error("item-not-found")
        if node.names is not None and self.read(account, reader) is None:
            return _error("forbidden")
        answer = _result()
        pubsub = ET.SubElement(answer, tag(NS_PUBSUB, "pubsub"))
        items = ET.SubElement(pubsub, tag(NS_PUBSUB, "items"), {"node": NS_MOVED})
        if node.names is not None:
            item = ET.SubElement(items, tag(NS_PUBSUB, "item"), {"id": "current"})
            moved = ET.SubElement(item, tag(NS_MOVED, "moved"))
            ET.SubElement(moved, tag(NS_MOVED, "new-jid")).text = node.names
        return answer

    def _publish(self, user: str, payload: ET.Element) -> ET.Element:
        access = _access_in(payload)
        if access is Access.WHITELIST and not self.whitelists:
            return _error("not-acceptable")
        node = self.nodes.get(user)
        if node is not None and node.access is not access:
            return _error("conflict")
        names = next(payload.iter(tag(NS_MOVED, "new-jid"))).text
        self.nodes[user] = replace(node, names=names) if node else Node(access, names)
        self.log.append(f"{user} publishes {names}")
        return _result()

    def _owner(self, user: str, kind: str, order: ET.Element) -> ET.Element:
        node = self.nodes.get(user)
        if node is None:
            return _error("item-not-found")
        answer = _result()
        if order.tag == tag(NS_PUBSUB_OWNER, "delete"):
            del self.nodes[user]
            self.log.append(f"{user} withdraws")
        elif order.tag == tag(NS_PUBSUB_OWNER, "affiliations"):
            given = {child.get("jid", ""): child.get("affiliation") for child in order}
            if given.keys() & self.odd:
                return _error("jid-malformed")
            for jid, affiliation in given.items():
                (node.members.discard if affiliation == "none" else node.members.add)(jid)
        elif kind == "set":
            self.nodes[user] = replace(node, access=_access_in(order))
        else:
            form = ET.SubElement(answer, tag(NS_DATA, "x"))
            found = ET.SubElement(form, tag(NS_DATA, "field"), {"var": "pubsub#access_model"})
            ET.SubElement(found, tag(NS_DATA, "value")).text = node.access.value
        return answer


def name_of(payload: ET.Element) -> str:
    """What a request is, for logs and faults: ``send``, ``watch``, or the query's payload."""
    name = payload.tag.rpartition("}")[2]
    inner = payload.find(tag(NS_CLIENT, "iq"))
    if inner is None:
        return name
    parts = [inner.get("type", ""), inner[0].tag.rpartition("}")[2]]
    if len(inner[0]):
        parts.append(inner[0][0].tag.rpartition("}")[2])
    return " ".join(parts)


def _result(*inner: ET.Element) -> ET.Element:
    answer = ET.Element(tag(NS_CLIENT, "iq"), {"type": "result"})
    answer.extend(inner)
    return answer


def _error(condition: str) -> ET.Element:
    answer = ET.Element(tag(NS_CLIENT, "iq"), {"type": "error"})
    error = ET.SubElement(answer, tag(NS_CLIENT, "error"), {"type": "cancel"})
    ET.SubElement(error, tag(NS_STANZAS, condition))
    return answer


def _access_in(payload: ET.Element) -> Access:
    for found in payload.iter(tag(NS_DATA, "field")):
        if found.get("var") == "pubsub#access_model":
            return Access(found.findtext(tag(NS_DATA, "value")) or "")
    return Access.PRESENCE
