"""The contact side with an old account that says anything: what is taken must be proven."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, cast
from urllib.parse import unquote

from lxml import etree
from structlog.testing import capture_logs

from component.core import jids
from component.core.model import RosterItem, Subscription
from component.core.notices import Settings
from component.core.records import Accepted, MoveRecord, NewRecord, Settlement, VerdictRecord
from component.store import Store
from component.xmpp.codecs import tag
from component.xmpp.errors import LinkError, StanzaError
from component.xmpp.names import IQ, MESSAGE, NS_HOOK, NS_PUBSUB
from component.xmpp.wire import serialise
from tests.fuzz.loop import LOOP
from tests.fuzz.mutate import HOSTS, OLD, USER
from tests.fuzz.wires import stanzas
from tests.unit.engine.contact_stage import Stage
from tests.unit.engine.roster_server import RosterServer

_SPACES = {
    "c": "jabber:client",
    "h": NS_HOOK,
    "p": NS_PUBSUB,
    "m": "urn:xmpp:moved:1",
    "f": "urn:xmpp:forward:0",
    "s": "urn:ietf:params:xml:ns:xmpp-stanzas",
}


class _Server(RosterServer):
    """Answers a request for a statement with whatever the input says."""

    answer: ET.Element

    async def request(
        self, kind: Literal["get", "set"], to: str, payload: ET.Element, *, timeout: float
    ) -> ET.Element:
        """Play the hook."""
        if payload.find(f".//{tag(NS_PUBSUB, 'items')}") is not None:
            return self.answer
        return await super().request(kind, to, payload, timeout=timeout)


@dataclass
class _Journal:
    """As much of a store as the contact side needs, in memory."""

    rows: dict[int, NewRecord] = field(default_factory=dict)
    verdicts: dict[int, VerdictRecord] = field(default_factory=dict)
    ends: dict[int, Settlement] = field(default_factory=dict)

    @property
    def user_settings(self) -> _Journal:
        """Nobody has chosen anything."""
        return self

    async def all(self) -> Mapping[str, Settings]:
        """Nobody has chosen anything."""
        return {}

    async def add(self, d: NewRecord) -> int:
        """Keep a request."""
        self.rows[len(self.rows) + 1] = d
        return len(self.rows)

    async def add_decided(self, d: NewRecord, v: VerdictRecord) -> tuple[int, bool]:
        """Keep both."""
        id_ = await self.add(d)
        return id_, await self.verdict(id_, v)

    async def verdict(self, id: int, v: VerdictRecord) -> bool:
        """Keep a verdict."""
        self.verdicts[id] = v
        return True

    async def settle(self, id: int, s: Settlement, *, patience: float = 0.0) -> bool:
        """Keep an end."""
        self.ends[id] = s
        return True

    async def accepted_since(self, since: datetime) -> list[Accepted]:
        """Nothing was followed before."""
        return []

    async def latest_done(self, contact: str, old: str, new: str) -> MoveRecord | None:
        """Nor undone."""
        return None


def verdict(data: bytes) -> None:
    """First stanza: the server's question; second: the old account's answer; then what follows."""
    given = list(stanzas(data))[:6]
    if len(given) < 2:
        return
    results = [LOOP.run_until_complete(_judge(given)) for _ in range(2)]
    assert results[0] == results[1], results


async def _judge(given: list[ET.Element]) -> list[str]:
    question, answer, *later = given
    if question.tag != IQ or len(question) != 1 or question[0].tag != tag(NS_HOOK, "divert"):
        return []  # the router hands no other over
    journal = _Journal()
    stage = Stage(cast(Store, journal), server=_Server())
    stage.server.add(USER, RosterItem(OLD, Subscription.BOTH))
    cast(_Server, stage.server).answer = answer
    await stage.restart()
    # Whoever is asked about is on the roster, wherever that is read.
    said: list[str] = []
    with capture_logs() as logs:
        try:
            # The handler takes its stanza apart.
            reply = await stage.side.on_divert(deepcopy(question))
        except (StanzaError, LinkError) as refused:
            said.append(f"{type(refused).__name__}: {refused}")
        else:
            said.append(serialise(reply))
            if reply.tag == tag(NS_HOOK, "take"):
                _proven(question, answer, reply)
                assert [v.plan for v in journal.verdicts.values()]
            else:
                assert reply.tag == tag(NS_HOOK, "release")
                assert not len(reply)
                assert not journal.verdicts
        for stanza in later:
            if stanza.tag == MESSAGE and stanza.find(tag(NS_HOOK, "outcome")) is not None:
                try:
                    await stage.side.on_outcome(stanza)
                except StanzaError as refused:
                    said.append(f"{refused}")
        for _ in range(5):
            await asyncio.sleep(0)
        stage.side.on_down()
        for _ in range(5):
            await asyncio.sleep(0)
    assert stage.side.open_requests == 0
    assert not [entry for entry in logs if entry["log_level"] == "error"], logs
    said += [f"{end.state} {end.reason} {end.changes}" for end in journal.ends.values()]
    for row in journal.rows.values():
        assert jids.domain(row.divert.contact) in HOSTS
    return said


def _proven(question: ET.Element, answer: ET.Element, reply: ET.Element) -> None:
    """Read it all once more, with another library and by the letter of XEP-0283."""
    # Its parser would else refuse namespaces that are no URIs.
    lenient = etree.XMLParser(recover=True, resolve_entities=False)
    asked, said, took = (
        etree.fromstring(serialise(e, ""), lenient) for e in (question, answer, reply)
    )
    (presence,) = _find(asked, "h:divert/f:forwarded/c:presence")[:1]
    assert presence.get("type") == "subscribe"
    new = jids.bare_of(presence.get("from"))
    olds = _find(presence, "m:moved/m:old-jid")
    assert len(olds) == 1
    old = jids.bare(olds[0].text)
    assert new is not None
    assert old is not None
    assert old != new
    contact = question.get("from", "")
    assert contact == jids.bare_of(presence.get("to"))
    assert contact.partition("@")[2] in HOSTS
    assert any(
        item.get("subscription") in ("from", "both") and item.get("jid") == old
        for item in asked.iter("{jabber:iq:roster}item")
    )
    (inner,) = _find(said, "h:query/c:iq")[:1]
    if inner.get("type") == "error":
        gone = _find(inner, "*[local-name()='error']/s:gone")[0]
        named = unquote((gone.text or "").strip().partition(":")[2])
    else:
        items = _find(inner, "p:pubsub/p:items/p:item")
        assert len(items) == 1
        assert items[0].get("id") == "current"
        assert len(_find(items[0], "m:moved")) == 1
        (new_jid,) = _find(items[0], "m:moved/m:new-jid")
        named = new_jid.text or ""
    assert "/" not in named
    prepared = jids.bare(named)
    assert prepared is not None
    assert jids.key(prepared) == jids.key(new)
    touched = {p.get("to") for p in took.iter("{jabber:client}presence")}
    assert touched <= {old, new}, touched


def _find(element: Any, path: str) -> list[Any]:
    return cast(list[Any], element.xpath(path, namespaces=_SPACES))
