"""Between stanzas of the hook protocol and the values that the core decides on.

Reading is strict about what carries authority (who asks, for whom) and lenient about what rides
along; a stanza that cannot be read is refused with the field and the reason, never guessed at.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from component.core import jids
from component.core.conditions import Condition
from component.core.model import Divert, RosterItem, SendPlan, Subscription
from component.core.statement import Item, ItemsRead
from component.xmpp.errors import StanzaError
from component.xmpp.guard import read_element
from component.xmpp.names import (
    NS_CLIENT,
    NS_FORWARD,
    NS_HOOK,
    NS_MOVED,
    NS_PUBSUB,
    NS_ROSTER,
    NS_UPLOAD,
)
from component.xmpp.wire import serialise

STATEMENT_NODE = NS_MOVED
"""The PEP node of a moved statement (XEP-0283 4.1)."""


def tag(namespace: str, name: str) -> str:
    """A name in ElementTree's notation."""
    return f"{{{namespace}}}{name}"


# Reading --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """A divert as read: the claim, and every old JID its notification names."""

    divert: Divert
    old_jids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the hook says became of a divert (hook protocol 4.1)."""

    request_id: str
    contact: str
    taken: bool
    why: str | None
    items: tuple[RosterItem, ...]


@dataclass(frozen=True, slots=True)
class Hello:
    """What the hook says of itself (hook protocol 4.5)."""

    version: str
    instance: str
    server: str
    server_version: str
    timeout: float
    """Seconds after which the hook releases a request without a verdict."""
    max_held: int
    held: int
    queries: frozenset[str]
    """Namespaces that may be queried as a user."""
    features: frozenset[str] = frozenset()
    """What it can do beyond the contact's side."""
    passed: int = 0
    """Requests that it did not divert, for want of a component or of room."""
    copies: frozenset[str] = frozenset()
    """What the admin lets be carried from an account to another."""
    instances: frozenset[str] = frozenset()
    """All that hold requests now: of a cluster, those of every node; this one is among them."""
    counter: tuple[int, float] | None = None
    """Of subscription presences, so many in so many seconds are let through of one stream, and
    more are dropped (ejabberd's mod_pres_counter); None: no such bound."""
    unloaded: tuple[str, ...] = ()
    """Modules that the server's configuration names for this host and that are not there."""
    unasked: tuple[str, ...] = ()
    """Permissions that it gives to some roles only and that no module asks for."""

    @property
    def may_upload(self) -> bool:
        """Whether upload slots may be asked for as a user (XEP-0363)."""
        return NS_UPLOAD in self.queries and "upload" in self.copies


def _refuse(why: str) -> StanzaError:
    return StanzaError(Condition.BAD_REQUEST, "modify", why)


def sender_of(stanza: ET.Element, hosts: Collection[str]) -> str:
    """The user a server speaks for: a bare JID of a served host.

    A client's own stanza always has a resource (RFC 6120 8.1.2.1), so a divert that a client
    made up ends here.
    """
    sender = stanza.get("from") or ""
    contact = jids.bare(sender)
    if contact is None or contact != sender or jids.domain(contact) not in hosts:
        raise StanzaError(
            Condition.FORBIDDEN, "auth", "only the server of a served host may send this"
        )
    return contact


def read_item(element: ET.Element) -> RosterItem | None:
    """A roster item, or None where it is not one."""
    jid = element.get("jid")
    try:
        subscription = Subscription(element.get("subscription", "none"))
    except ValueError:
        return None
    if not jid:
        return None
    groups = sorted(
        {group.text for group in element.findall(tag(NS_ROSTER, "group")) if group.text}
    )
    return RosterItem(
        jid=jid,
        subscription=subscription,
        ask=element.get("ask") == "subscribe",
        name=element.get("name") or None,
        groups=tuple(groups),
    )


def read_items(parent: ET.Element | None) -> tuple[RosterItem, ...]:
    """The roster items directly below an element."""
    found = [] if parent is None else parent.findall(tag(NS_ROSTER, "item"))
    return tuple(item for element in found if (item := read_item(element)) is not None)


def read_divert(iq: ET.Element, hosts: Collection[str]) -> Asked:
    """Read a divert and check that its parts agree.

    :param hosts: the served domains.
    :raises StanzaError: the sender may not ask, or a part is missing or contradicts another.
    """
    contact = sender_of(iq, hosts)
    payload = iq.find(tag(NS_HOOK, "divert"))
    forwarded = None if payload is None else payload.find(tag(NS_FORWARD, "forwarded"))
    presence = None if forwarded is None else forwarded.find(tag(NS_CLIENT, "presence"))
    if payload is None or presence is None:
        raise _refuse("a divert holds a forwarded presence")
    if presence.get("type") != "subscribe":
        raise _refuse("the forwarded presence is not of type subscribe")
    if jids.bare_of(presence.get("to")) != contact:
        raise _refuse("the forwarded presence is not addressed to the sender of the divert")
    new = jids.bare_of(presence.get("from"))
    if new is None:
        raise _refuse("the forwarded presence is not from a user")
    old_jids = tuple(
        (old.text or "").strip()
        for moved in presence.findall(tag(NS_MOVED, "moved"))
        for old in moved.findall(tag(NS_MOVED, "old-jid"))
    )
    items = {item.jid: item for item in read_items(payload)}
    old = jids.bare(old_jids[0]) if old_jids else None
    if old is None or old not in items:
        raise _refuse("the roster item of the old JID does not ride along")
    divert = Divert(
        request_id=iq.get("id") or "",
        instance=payload.get("instance") or "",
        contact=contact,
        old=old,
        new=new,
        old_item=items[old],
        new_item=items.get(new),
        stanza=serialise(presence, ""),
        account=payload.get("account"),
    )
    return Asked(divert, old_jids)


def read_outcome(message: ET.Element, hosts: Collection[str]) -> Outcome:
    """Read the message that says what became of a divert.

    :raises StanzaError: it is not from the server of a served host, or says nothing.
    """
    contact = sender_of(message, hosts)
    outcome = message.find(tag(NS_HOOK, "outcome"))
    state = None if outcome is None else outcome.get("state")
    if outcome is None or state not in ("taken", "released"):
        raise _refuse("an outcome says taken or released")
    return Outcome(
        request_id=outcome.get("id") or "",
        contact=contact,
        taken=state == "taken",
        why=outcome.get("reason"),
        items=read_items(outcome),
    )


def read_hello(iq: ET.Element) -> Hello | None:
    """The hook's self-description, or None where the answer holds none or it lacks a part."""
    hello = iq.find(tag(NS_HOOK, "hello"))
    if hello is None:
        return None
    try:
        return Hello(
            version=hello.attrib["version"],
            instance=hello.attrib["instance"],
            server=hello.get("server", "unknown"),
            server_version=hello.get("server-version", "unknown"),
            timeout=float(hello.attrib["timeout"]),
            max_held=int(hello.attrib["max-held"]),
            held=int(hello.get("held", "0")),
            queries=frozenset(q.text or "" for q in hello.findall(tag(NS_HOOK, "query"))),
            features=frozenset(f.text or "" for f in hello.findall(tag(NS_HOOK, "feature"))),
            passed=int(hello.get("passed", "0")),
            copies=frozenset(c.text or "" for c in hello.findall(tag(NS_HOOK, "copy"))),
            instances=frozenset(i.text or "" for i in hello.findall(tag(NS_HOOK, "instance")))
            | {hello.attrib["instance"]},
            counter=_counter(hello.find(tag(NS_HOOK, "counter"))),
            unloaded=tuple(m.text or "" for m in hello.findall(tag(NS_HOOK, "unloaded"))),
            unasked=tuple(p.text or "" for p in hello.findall(tag(NS_HOOK, "unasked"))),
        )
    except (KeyError, ValueError):
        return None


def _counter(found: ET.Element | None) -> tuple[int, float] | None:
    return None if found is None else (int(found.attrib["count"]), float(found.attrib["seconds"]))


def read_statement(inner: ET.Element) -> ItemsRead:
    """The items of a pubsub result; children in namespaces we don't know are ignored.

    Items of another node than was asked for are none.
    """
    node = f"{tag(NS_PUBSUB, 'items')}[@node='{STATEMENT_NODE}']"
    items = inner.findall(f"{tag(NS_PUBSUB, 'pubsub')}/{node}/*")
    return ItemsRead(
        tuple(
            Item(
                item.get("id"),
                tuple(
                    tuple(new.text or "" for new in moved.findall(tag(NS_MOVED, "new-jid")))
                    for moved in item.findall(tag(NS_MOVED, "moved"))
                ),
                item.get("publisher"),
            )
            for item in items
            if item.tag == tag(NS_PUBSUB, "item")
        )
    )


def read_account(iq: ET.Element) -> str | None:
    """The token of an account, or None where the answer holds none (hook protocol, section 13)."""
    account = iq.find(tag(NS_HOOK, "account"))
    return None if account is None else account.get("token")


def inner_iq(iq: ET.Element) -> ET.Element | None:
    """The forwarded answer of a query (hook protocol 4.3)."""
    return iq.find(f"{tag(NS_HOOK, 'query')}/{tag(NS_CLIENT, 'iq')}")


# Writing --------------------------------------------------------------------------------------


def write_send(plan: SendPlan) -> ET.Element:
    """``<send/>``: name and groups for the new entry, then presences in order."""
    send = ET.Element(tag(NS_HOOK, "send"))
    if plan.item is not None:
        send.append(_write_item(plan.item))
    for step in plan.steps:
        ET.SubElement(send, tag(NS_CLIENT, "presence"), {"type": step.kind.value, "to": step.to})
    return send


def _write_item(item: RosterItem) -> ET.Element:
    element = ET.Element(tag(NS_ROSTER, "item"), {"jid": item.jid})
    if item.name:
        element.set("name", item.name)
    for group in item.groups:
        ET.SubElement(element, tag(NS_ROSTER, "group")).text = group
    return element


def write_take(plan: SendPlan) -> ET.Element:
    """The verdict to swallow a request and send a plan in the same step."""
    take = ET.Element(tag(NS_HOOK, "take"))
    take.append(write_send(plan))
    return take


def write_release() -> ET.Element:
    """The verdict to process a request as if the component were not there."""
    return ET.Element(tag(NS_HOOK, "release"))


def write_hand_back(stanza: str) -> ET.Element:
    """``<release/>`` with a stanza from the journal (hook protocol 4.4).

    :param stanza: as :func:`read_divert` serialised it.
    :raises BadStanza: it is not.
    """
    release = ET.Element(tag(NS_HOOK, "release"))
    forwarded = ET.SubElement(release, tag(NS_FORWARD, "forwarded"))
    forwarded.append(read_element(stanza))
    return release


def write_query(kind: str, to: str | None, payload: ET.Element) -> ET.Element:
    """``<query/>``: an IQ to be sent as the user (hook protocol 4.3)."""
    query = ET.Element(tag(NS_HOOK, "query"))
    inner = ET.SubElement(query, tag(NS_CLIENT, "iq"), {"type": kind})
    if to is not None:
        inner.set("to", to)
    inner.append(payload)
    return query


def write_account() -> ET.Element:
    """``<account/>``: asks which account has a name (hook protocol, section 13)."""
    return ET.Element(tag(NS_HOOK, "account"))


def write_hello() -> ET.Element:
    """``<hello/>``: asks the hook about itself (hook protocol 4.5)."""
    return ET.Element(tag(NS_HOOK, "hello"))


def statement_request() -> ET.Element:
    """The request for a moved statement (XEP-0283 4.3)."""
    pubsub = ET.Element(tag(NS_PUBSUB, "pubsub"))
    items = ET.SubElement(pubsub, tag(NS_PUBSUB, "items"), {"node": STATEMENT_NODE})
    ET.SubElement(items, tag(NS_PUBSUB, "item"), {"id": "current"})
    return pubsub


def roster_request() -> ET.Element:
    """A roster get (RFC 6121 section 2.1.3)."""
    return ET.Element(tag(NS_ROSTER, "query"))


def roster_set(item: RosterItem) -> ET.Element:
    """A roster set of an entry's name and groups (RFC 6121 sections 2.3 and 2.4).

    What is not given is taken away; the subscription is the server's to keep.
    """
    query = roster_request()
    query.append(_write_item(item))
    return query


def roster_remove(jid: str) -> ET.Element:
    """A roster set that removes an entry (RFC 6121 section 2.5)."""
    query = roster_request()
    ET.SubElement(query, tag(NS_ROSTER, "item"), {"jid": jid, "subscription": "remove"})
    return query


def write_entries(items: Iterable[RosterItem], remove: Iterable[str] = ()) -> ET.Element:
    """``<entries/>``: names and groups of many entries in one roster save (hook protocol 12)."""
    entries = ET.Element(tag(NS_HOOK, "entries"))
    entries.extend(_write_item(item) for item in items)
    for jid in remove:
        gone = {"jid": jid, "subscription": "remove"}
        ET.SubElement(entries, tag(NS_ROSTER, "item"), gone)
    return entries


def entries_request(jids: Iterable[str]) -> ET.Element:
    """``<entries/>``: asks for the entries of these addresses (hook protocol 12)."""
    entries = ET.Element(tag(NS_HOOK, "entries"))
    for jid in jids:
        ET.SubElement(entries, tag(NS_ROSTER, "item"), {"jid": jid})
    return entries


def roster_entries(inner: ET.Element, wanted: Iterable[str]) -> tuple[RosterItem, ...]:
    """The entries of these JIDs out of a roster result."""
    names = set(wanted)
    items = read_items(inner.find(tag(NS_ROSTER, "query")))
    return tuple(item for item in items if item.jid in names)
