"""Stanzas of the mover's side: the hook's watch, heard, wrote and tombstone, and PEP as a user."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from component.core import jids
from component.core.conditions import Condition
from component.core.journey.model import Access
from component.core.model import PresenceKind, RosterItem, SendPlan
from component.xmpp import codecs, pubsub
from component.xmpp.codecs import (
    STATEMENT_NODE,
    read_items,
    sender_of,
    tag,
)
from component.xmpp.errors import StanzaError
from component.xmpp.names import (
    NS_CLIENT,
    NS_DISCO_INFO,
    NS_FORWARD,
    NS_HOOK,
    NS_MOVED,
    NS_PUBSUB,
    NS_ROSTER,
    NS_XML,
)
from component.xmpp.pubsub import NS_DATA

NS_NICK = "http://jabber.org/protocol/nick"
"""XEP-0172."""
NS_VCARD = "vcard-temp"
"""XEP-0054."""
MAX_NICK = 200
NS_BLOCKING = "urn:xmpp:blocking"
"""XEP-0191."""


# What the hook tells and asks -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WayBack:
    """A subscription request to a watched user, held by the server."""

    request_id: str
    user: str
    sender: str
    item: RosterItem | None
    account: str | None = None
    """The token of the user's account (hook protocol, section 13)."""


@dataclass(frozen=True, slots=True)
class HeardOf:
    """A subscription answer to a watched user, already processed by the server."""

    user: str
    sender: str
    kind: PresenceKind | None
    """None: an error, with its condition."""
    condition: str | None
    item: RosterItem | None


@dataclass(frozen=True, slots=True)
class Wrote:
    """A contact wrote to a watched user."""

    user: str
    sender: str
    lang: str | None


@dataclass(frozen=True, slots=True)
class Sought:
    """Somebody asks for the statement of an account that is no more."""

    account: str
    asker: str | None
    """Who asks, without a resource; None: the hook did not say."""


def is_watched(iq: ET.Element) -> bool:
    """Whether a divert is there because its user is watched."""
    payload = iq.find(tag(NS_HOOK, "divert"))
    return payload is not None and payload.get("watched") in ("true", "1")


def read_way_back(iq: ET.Element, hosts: Collection[str]) -> WayBack:
    """Read a divert that a watch caused.

    :raises StanzaError: the sender may not ask, or a part is missing or contradicts another.
    """
    user = sender_of(iq, hosts)
    forwarded = iq.find(f"{tag(NS_HOOK, 'divert')}/{tag(NS_FORWARD, 'forwarded')}")
    presence = None if forwarded is None else forwarded.find(tag(NS_CLIENT, "presence"))
    sender = None if presence is None else jids.bare_of(presence.get("from"))
    if presence is None or presence.get("type") != "subscribe" or sender is None:
        raise StanzaError(
            Condition.BAD_REQUEST, "modify", "a divert holds a forwarded request of a user"
        )
    if jids.bare_of(presence.get("to")) != user:
        raise StanzaError(
            Condition.BAD_REQUEST, "modify", "the request is not addressed to the sender"
        )
    item, account = _item_of(iq[0], sender), iq[0].get("account")
    return WayBack(iq.get("id") or "", user, sender, item, account)


def read_heard(message: ET.Element, hosts: Collection[str]) -> HeardOf:
    """Read what was heard for a watched user.

    :raises StanzaError: it is not from the server of a served host, or says nothing.
    """
    user = sender_of(message, hosts)
    heard = message.find(tag(NS_HOOK, "heard"))
    sender = None if heard is None else jids.bare_of(heard.get("jid"))
    if heard is None or sender is None:
        raise StanzaError(Condition.BAD_REQUEST, "modify", "heard names a user")
    if heard.get("type") == "error":
        condition = heard.get("condition") or Condition.UNDEFINED_CONDITION
        return HeardOf(user, sender, None, condition, _item_of(heard, sender))
    try:
        kind = PresenceKind(heard.get("type", ""))
    except ValueError:
        raise StanzaError(Condition.BAD_REQUEST, "modify", "heard has no known type") from None
    return HeardOf(user, sender, kind, None, _item_of(heard, sender))


def read_wrote(iq: ET.Element, hosts: Collection[str]) -> Wrote:
    """Read that somebody wrote to a watched user.

    :raises StanzaError: the sender may not say so, or names nobody.
    """
    user = sender_of(iq, hosts)
    wrote = iq.find(tag(NS_HOOK, "wrote"))
    sender = None if wrote is None else jids.bare_of(wrote.get("jid"))
    if wrote is None or sender is None:
        raise StanzaError(Condition.BAD_REQUEST, "modify", "wrote names a user")
    return Wrote(user, sender, wrote.get("lang") or None)


def read_tombstone(iq: ET.Element, hosts: Collection[str]) -> Sought:
    """The missing account whose statement somebody asks for.

    :raises StanzaError: the question is not the server's of that account.
    """
    asked = iq.find(tag(NS_HOOK, "tombstone"))
    jid = None if asked is None else jids.bare_of(asked.get("jid"))
    if jid is None:
        raise StanzaError(Condition.BAD_REQUEST, "modify", "tombstone names a user")
    if iq.get("from") not in hosts or jids.domain(jid) != iq.get("from"):
        raise StanzaError(
            Condition.FORBIDDEN, "auth", "only the server of that account may ask this"
        )
    return Sought(jid, None if asked is None else jids.entity(asked.get("asker")))


def read_deleted(message: ET.Element, hosts: Collection[str]) -> tuple[str, str | None]:
    """The account that is gone, and its token if it had one.

    :raises StanzaError: the sender is not the server of that account.
    """
    told = message.find(tag(NS_HOOK, "deleted"))
    jid = None if told is None else jids.bare_of(told.get("jid"))
    if told is None or jid is None:
        raise StanzaError(Condition.BAD_REQUEST, "modify", "deleted names a user")
    if message.get("from") not in hosts or jids.domain(jid) != message.get("from"):
        raise StanzaError(
            Condition.FORBIDDEN, "auth", "only the server of that account may say this"
        )
    return jid, told.get("account")


def _item_of(parent: ET.Element, jid: str) -> RosterItem | None:
    return next((item for item in read_items(parent) if item.jid == jid), None)


def write_watch(*, requests: bool, answers: bool, messages: bool) -> ET.Element:
    """``<watch/>``; all False takes it back."""
    wanted = {"requests": requests, "answers": answers, "messages": messages}
    return ET.Element(tag(NS_HOOK, "watch"), {name: "true" for name, on in wanted.items() if on})


def write_keep(jids: Iterable[str], drop: Iterable[str] = (), *, more: bool) -> ET.Element:
    """``<keep/>``: contacts whom a deletion of the account is not to cut off (section 14).

    :param more: beside those of before; ``drop`` are taken from these.
    """
    keep = ET.Element(tag(NS_HOOK, "keep"), {"more": "true"} if more else {})
    for jid in jids:
        ET.SubElement(keep, tag(NS_ROSTER, "item"), {"jid": jid})
    for jid in drop:
        ET.SubElement(keep, tag(NS_ROSTER, "item"), {"jid": jid, "subscription": "remove"})
    return keep


def read_pending(iq: ET.Element) -> tuple[str, ...]:
    """Senders of the requests that stood on the user's roster when the watch was set."""
    found = iq.findall(f"{tag(NS_HOOK, 'watch')}/{tag(NS_HOOK, 'pending')}")
    prepared = (jids.bare(pending.get("jid")) for pending in found)
    return tuple(jid for jid in prepared if jid is not None)


def write_answer(lang: str, text: str) -> ET.Element:
    """The answer to somebody who wrote to an old account."""
    answer = ET.Element(tag(NS_HOOK, "answer"), {tag(NS_XML, "lang"): lang})
    answer.text = text[:1024]
    return answer


def write_tombstones(
    left: Iterable[str] = (), *, removed: Iterable[str] = (), begin: bool = False, end: bool = False
) -> ET.Element:
    """A piece of the list of those who left, or a change of it (hook protocol, section 11)."""
    edges = {name: "true" for name, on in (("begin", begin), ("end", end)) if on}
    element = ET.Element(tag(NS_HOOK, "tombstones"), edges)
    for jid in left:
        ET.SubElement(element, tag(NS_HOOK, "account"), {"jid": jid})
    for jid in removed:
        ET.SubElement(element, tag(NS_HOOK, "account"), {"jid": jid, "state": "removed"})
    return element


def write_gone(new: str) -> ET.Element:
    """The answer to a tombstone question: where the account went (an XMPP URI, RFC 5122)."""
    element = ET.Element(tag(NS_HOOK, "tombstone"))
    element.text = jids.to_uri(new)
    return element


# Notifications ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Notification:
    """What a moved notification carries (XEP-0283 4.2): for servers, clients and people."""

    old: str
    status: str
    nick: str | None = None


def write_notify(plan: SendPlan, notification: Notification) -> ET.Element:
    """A ``<send/>`` whose ``subscribe`` presences carry the notification."""
    send = codecs.write_send(plan)
    for presence in send.findall(tag(NS_CLIENT, "presence")):
        if presence.get("type") != PresenceKind.SUBSCRIBE.value:
            continue
        ET.SubElement(presence, tag(NS_CLIENT, "status")).text = notification.status
        moved = ET.SubElement(presence, tag(NS_MOVED, "moved"))
        ET.SubElement(moved, tag(NS_MOVED, "old-jid")).text = notification.old
        if notification.nick:
            ET.SubElement(presence, tag(NS_NICK, "nick")).text = notification.nick
    return send


def blocklist_request() -> ET.Element:
    """A request for the block list (XEP-0191 section 3.2)."""
    return ET.Element(tag(NS_BLOCKING, "blocklist"))


def read_blocklist(inner: ET.Element) -> frozenset[str]:
    """The addresses on a block list: bare JIDs and domains."""
    items = inner.findall(f"{tag(NS_BLOCKING, 'blocklist')}/{tag(NS_BLOCKING, 'item')}")
    return frozenset(item.get("jid", "") for item in items)


def nick_request() -> ET.Element:
    """A request for the nickname that an account publishes (XEP-0172 section 4.1)."""
    request = ET.Element(tag(NS_PUBSUB, "pubsub"))
    ET.SubElement(request, tag(NS_PUBSUB, "items"), {"node": NS_NICK, "max_items": "1"})
    return request


def read_nick(inner: ET.Element) -> str | None:
    """The nickname in a pubsub result, if there is one."""
    return _words(inner.find(f".//{tag(NS_NICK, 'nick')}"))


def vcard_request() -> ET.Element:
    """A request for a vCard (XEP-0054)."""
    return ET.Element(tag(NS_VCARD, "vCard"))


def read_vcard_name(inner: ET.Element) -> str | None:
    """The nickname, else the full name, in a vCard."""
    found = (inner.find(f"{tag(NS_VCARD, 'vCard')}/{tag(NS_VCARD, n)}") for n in ("NICKNAME", "FN"))
    return next((words for element in found if (words := _words(element))), None)


def _words(element: ET.Element | None) -> str | None:
    text = " ".join((element.text or "").split()) if element is not None else ""
    return text[:MAX_NICK] or None


# PEP (XEP-0163) ---------------------------------------------------------------------------------


def publish_request(new: str, access: Access) -> ET.Element:
    """Publish the moved statement (XEP-0283 4.1) with publish-options (XEP-0060 7.1.5)."""
    request = ET.Element(tag(NS_PUBSUB, "pubsub"))
    publish = ET.SubElement(request, tag(NS_PUBSUB, "publish"), {"node": STATEMENT_NODE})
    item = ET.SubElement(publish, tag(NS_PUBSUB, "item"), {"id": "current"})
    moved = ET.SubElement(item, tag(NS_MOVED, "moved"))
    ET.SubElement(moved, tag(NS_MOVED, "new-jid")).text = new
    options = ET.SubElement(request, tag(NS_PUBSUB, "publish-options"))
    options.append(pubsub.form(pubsub.PUBLISH_OPTIONS, _options(access)))
    return request


def configure_request(access: Access) -> ET.Element:
    """Give an existing node this access model (XEP-0060 8.2): publish-options cannot change it."""
    return pubsub.configure(STATEMENT_NODE, _options(access))


def configuration_request() -> ET.Element:
    """Ask for the node's configuration (XEP-0060 8.2.1)."""
    return pubsub.owner("configure", STATEMENT_NODE)


def read_access(inner: ET.Element) -> Access | None:
    """The access model in a node's configuration; None where it is another or missing."""
    for field in inner.iter(tag(NS_DATA, "field")):
        if field.get("var") == "pubsub#access_model":
            value = field.findtext(tag(NS_DATA, "value")) or ""
            return Access(value) if value in tuple(Access) else None
    return None


def affiliations_request(members: Iterable[str], affiliation: str = "member") -> ET.Element:
    """Let these JIDs read a node whose access model is ``whitelist`` (XEP-0060 8.9.2).

    :param affiliation: ``none``: no longer.
    """
    return pubsub.affiliations(STATEMENT_NODE, dict.fromkeys(members, affiliation))


def delete_request() -> ET.Element:
    """Delete the node of the moved statement (XEP-0060 8.4)."""
    return pubsub.owner("delete", STATEMENT_NODE)


def disco_request() -> ET.Element:
    """disco#info (XEP-0030)."""
    return ET.Element(tag(NS_DISCO_INFO, "query"))


def read_features(inner: ET.Element) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    """Features and (category, type) of the identities in a disco#info result."""
    query = inner.find(tag(NS_DISCO_INFO, "query"))
    if query is None:
        return frozenset(), frozenset()
    features = {f.get("var", "") for f in query.findall(tag(NS_DISCO_INFO, "feature"))}
    identities = {
        (i.get("category", ""), i.get("type", ""))
        for i in query.findall(tag(NS_DISCO_INFO, "identity"))
    }
    return frozenset(features), frozenset(identities)


def _options(access: Access) -> dict[str, tuple[str]]:
    return {
        "pubsub#access_model": (access.value,),
        "pubsub#persist_items": ("true",),
        "pubsub#max_items": ("1",),
    }
