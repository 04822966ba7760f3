"""A server with rosters and a hook: plays docs/hook-protocol.md, sections 4 to 6.

Only what the engine's tests need, and by the tables of RFC 6121, so that what comes out is what a
real server would have.  Faults: a request can be refused, or the stream lost before or after it.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from component.core import jids
from component.core.model import PresenceKind, RosterItem, Subscription
from component.core.notices import Notice
from component.core.roster import Entry, outbound
from component.xmpp import codecs
from component.xmpp.codecs import tag
from component.xmpp.errors import LinkLost, RemoteError
from component.xmpp.names import NS_CLIENT, NS_HOOK, NS_MOVED, NS_PUBSUB, NS_ROSTER

HOST = "montague.example"


class RosterServer:
    """Rosters by user; statements by account; a log of what was asked."""

    def __init__(self) -> None:
        self.rosters: dict[str, dict[str, RosterItem]] = {}
        self.tokens: dict[str, str] = {}
        """Which account has a name."""
        self.statements: dict[str, str] = {}
        self.log: list[str] = []
        self.blocked: set[str] = set()
        """Addresses that no presence may be sent to."""
        self.shared: set[str] = set()
        """Addresses whose entries are an admin's."""
        self.lose_at: int | None = None
        """The stream is lost at the request of this number, counted from 0, once."""
        self.lose_after = False
        """Whether that request is carried out before the stream is lost."""
        self.late_at: int | None = None
        """The answer to the request of this number comes late: after :attr:`meanwhile`, once."""
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        self._number = -1

    @property
    def requests(self) -> int:
        """How many requests have come."""
        return self._number + 1

    def add(self, user: str, *items: RosterItem) -> None:
        """Arrange a user's roster."""
        self.rosters[user] = {item.jid: item for item in items}

    def roster(self, user: str) -> dict[str, RosterItem]:
        """A user's roster now."""
        return dict(self.rosters[user])

    def token(self, user: str) -> str:
        """Which account has this name (hook protocol, section 13)."""
        return self.tokens.setdefault(user, f"the first {user}")

    async def request(
        self, kind: Literal["get", "set"], to: str, payload: ET.Element, *, timeout: float
    ) -> ET.Element:
        """Answer a request of the component."""
        self._number += 1
        lost = self._number == self.lose_at
        if lost and not self.lose_after:
            raise LinkLost("before it was done")
        late = self._number == self.late_at
        answer = self._answer(to, payload)
        if lost:
            raise LinkLost("after it was done")
        if late and self.meanwhile is not None:
            await self.meanwhile()
        return answer

    def _answer(self, to: str, payload: ET.Element) -> ET.Element:
        if to not in self.rosters:
            raise RemoteError("item-not-found")
        token = self.token(to)
        if payload.get("account", token) != token:
            raise RemoteError("item-not-found")
        iq = ET.Element(tag(NS_CLIENT, "iq"), {"type": "result"})
        if payload.tag == tag(NS_HOOK, "account"):
            ET.SubElement(iq, tag(NS_HOOK, "account"), {"token": token})
        elif payload.tag == tag(NS_HOOK, "send"):
            send = ET.SubElement(iq, tag(NS_HOOK, "send"))
            for item in self.send(to, payload):
                send.append(_item(item))
        elif payload.tag == tag(NS_HOOK, "query"):
            query = ET.SubElement(iq, tag(NS_HOOK, "query"))
            query.append(self._query(to, payload[0]))
        elif payload.tag == tag(NS_HOOK, "release"):
            self.log.append(f"handed back to {to}")
        else:
            raise RemoteError("feature-not-implemented")
        return iq

    def send(self, user: str, send: ET.Element) -> tuple[RosterItem, ...]:
        """Presences as a user: all or none (hook protocol, section 4)."""
        presences = send.findall(tag(NS_CLIENT, "presence"))
        touched = list(dict.fromkeys(p.get("to", "") for p in presences))
        if self.blocked & set(touched):
            raise RemoteError("not-acceptable")
        roster = self.rosters[user]
        names = {item.jid: item for item in codecs.read_items(send)}
        for presence in presences:
            jid, sent = presence.get("to", ""), PresenceKind(presence.get("type", ""))
            self.log.append(f"{user} {sent} {jid}")
            if jid in self.shared:
                continue
            item = roster.get(jid) or RosterItem(jid, Subscription.NONE)
            state = outbound(Entry(item.subscription, item.ask), sent)
            named = names.get(jid, item)
            later = replace(
                item,
                subscription=state.subscription,
                ask=state.ask,
                name=item.name or named.name,
                groups=item.groups or named.groups,
            )
            if later != item:
                roster[jid] = later
            if jids.domain(jid) == HOST and jid in self.rosters:
                self._arrives(user, sent, jid)
        return tuple(roster[jid] for jid in touched if jid in roster)

    def _arrives(self, sender: str, kind: PresenceKind, user: str) -> None:
        """What the addressee's roster makes of it (RFC 6121 appendix A.3), as far as needed."""
        item = self.rosters[user].get(sender)
        if item is None:
            return
        grants, receives = item.subscription.grants, item.subscription.receives
        if kind is PresenceKind.SUBSCRIBE and grants:
            self._arrives(user, PresenceKind.SUBSCRIBED, sender)  # by itself: RFC 6121 3.1.3
        ask = item.ask
        if kind is PresenceKind.SUBSCRIBED and ask:
            receives, ask = True, False
        elif kind is PresenceKind.UNSUBSCRIBED:
            receives, ask = False, False
        elif kind is PresenceKind.UNSUBSCRIBE:
            grants = False
        words = {(True, True): "both", (True, False): "from", (False, True): "to"}
        subscription = Subscription(words.get((grants, receives), "none"))
        self.rosters[user][sender] = replace(item, subscription=subscription, ask=ask)

    def _query(self, user: str, inner: ET.Element) -> ET.Element:
        payload = inner[0]
        answer = ET.Element(tag(NS_CLIENT, "iq"), {"type": "result"})
        if payload.tag == tag(NS_PUBSUB, "pubsub"):
            self.log.append(f"{user} asks {inner.get('to')}")
            pubsub = ET.SubElement(answer, tag(NS_PUBSUB, "pubsub"))
            items = ET.SubElement(pubsub, tag(NS_PUBSUB, "items"), {"node": NS_MOVED})
            named = self.statements.get(inner.get("to", ""))
            if named is not None:
                item = ET.SubElement(items, tag(NS_PUBSUB, "item"), {"id": "current"})
                moved = ET.SubElement(item, tag(NS_MOVED, "moved"))
                ET.SubElement(moved, tag(NS_MOVED, "new-jid")).text = named
            return answer
        if inner.get("type") == "get":
            query = ET.SubElement(answer, tag(NS_ROSTER, "query"))
            for entry in self.rosters[user].values():
                query.append(_item(entry))
            return answer
        element = payload[0]
        jid = element.get("jid", "")
        if jid in self.shared:
            raise RemoteError("not-allowed")
        if element.get("subscription") == "remove":
            self.log.append(f"{user} removes {jid}")
            del self.rosters[user][jid]
            return answer
        self.log.append(f"{user} sets {jid}")
        given = codecs.read_item(element)
        assert given is not None
        kept = self.rosters[user].get(jid) or RosterItem(jid, Subscription.NONE)
        self.rosters[user][jid] = replace(kept, name=given.name, groups=given.groups)
        return answer


class Messages:
    """A teller that remembers what it was told to say."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Notice]] = []
        self.down = False

    def tell(self, to: str, notice: Notice) -> str:
        """Note a notice."""
        if self.down:
            raise LinkLost("down")
        self.told.append((to, notice))
        return f"m{len(self.told)}"


class TestClock:
    """A clock that the test holds."""

    __test__ = False

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def now(self) -> datetime:
        """The time of day."""
        return self.time

    def tick(self) -> float:
        """Seconds."""
        return self.time.timestamp()

    def pass_days(self, days: float) -> None:
        """Let time pass."""
        self.time += timedelta(days=days)


def _item(item: RosterItem) -> ET.Element:
    element = ET.Element(
        tag(NS_ROSTER, "item"), {"jid": item.jid, "subscription": item.subscription.value}
    )
    if item.ask:
        element.set("ask", "subscribe")
    if item.name:
        element.set("name", item.name)
    for group in item.groups:
        ET.SubElement(element, tag(NS_ROSTER, "group")).text = group
    return element
