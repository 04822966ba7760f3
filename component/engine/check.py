"""``xmpp-moved check``: each requirement looked at on the real server, with the remedy."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime

from component.core.conditions import Condition
from component.core.model import PresenceKind, SendPlan, Step
from component.core.records import CheckLine
from component.engine.hook import Hook, HookMissing
from component.engine.ports import Wire
from component.xmpp import codecs
from component.xmpp.codecs import Hello
from component.xmpp.errors import LinkError, RemoteError
from component.xmpp.names import NS_DISCO_INFO, NS_PUBSUB, NS_ROSTER

NOBODY = "xmpp-moved-check-nobody"
"""A localpart that no server has: orders for it must be understood and find no user."""

CLOCK_TOLERANCE = 30.0
"""Seconds that our clock and the server's may differ; the journal's times mean little beyond."""

COUNTER_A_MINUTE = 200
"""Presences a minute that no move exceeds: three for a contact, and one contact a second."""

NS_TIME = "urn:xmpp:time"
INSTALL = "run: xmpp-moved hook prosody|ejabberd --to DIR, and do what it prints"


def counter_line(host: str, count: int, seconds: float) -> CheckLine:
    """What is let through of one stream (ejabberd's mod_pres_counter); enough or not, it works."""
    found = f"{count} of one stream in {seconds:g} s, more are dropped without a word"
    if count >= COUNTER_A_MINUTE * seconds / 60.0:
        return CheckLine(f"subscription presences on {host}", True, found)
    remedy = (
        "moves of this host's users, and contacts here, are told slowly: in ejabberd.yml, give "
        f"mod_pres_counter count: {COUNTER_A_MINUTE} and interval: 60 (or take it out)"
    )
    return CheckLine(f"subscription presences on {host}", True, found, remedy)


class Check:
    """The requirements that need the stream; each method yields lines as they are known."""

    def __init__(self, wire: Wire, *, deadline: float, timeout: float = 10.0) -> None:
        """``deadline``: ours for a verdict; ``timeout``: for each answer; both in seconds."""
        self._wire = wire
        self._hook = Hook(wire, timeout=timeout)
        self._deadline = deadline
        self._timeout = timeout

    async def hosts(self, hosts: Collection[str]) -> AsyncIterator[CheckLine]:
        """Hook, divert, send and query of each host, then the clock of the first."""
        for host in hosts:
            try:
                hello = await self._hook.hello(host)
            except HookMissing as error:
                yield CheckLine(f"hook on {host}", False, "none", str(error))
                continue
            except LinkError as error:
                yield CheckLine(f"hook on {host}", False, str(error), "is the host's name right?")
                continue
            server = f"{hello.server} {hello.server_version}"
            yield CheckLine(f"hook on {host}", True, f"{hello.version} in {server}")
            yield self._divert(host, hello)
            if hello.counter is not None:
                yield counter_line(host, *hello.counter)
            yield await self._send(host)
            yield await self._query(host, hello)
        for host in hosts:
            yield await self._clock(host)
            break

    def _divert(self, host: str, hello: Hello) -> CheckLine:
        found = f"holds up to {hello.max_held} requests for {hello.timeout:g} s each"
        if hello.timeout > self._deadline:
            return CheckLine(f"divert on {host}", True, found)
        remedy = (
            f"set [contacts] deadline_seconds (now {self._deadline:g}) below moved_hook_timeout "
            f"({hello.timeout:g}), or raise the latter"
        )
        return CheckLine(f"divert on {host}", False, found, remedy)

    async def _send(self, host: str) -> CheckLine:
        """The hook must understand the order and say that there is no such user."""
        name = f"send on {host}"
        steps = (Step(PresenceKind.UNSUBSCRIBED, f"{NOBODY}@{host}.invalid"),)
        try:
            await self._hook.send(f"{NOBODY}@{host}", SendPlan(steps))
        except RemoteError as error:
            if error.condition == Condition.ITEM_NOT_FOUND:
                return CheckLine(name, True, "obeyed")
            return CheckLine(name, False, str(error), f"update the server module: {INSTALL}")
        except LinkError as error:
            return CheckLine(name, False, str(error), "see the server's log")
        return CheckLine(name, False, "it claims to act for a user who does not exist", INSTALL)

    async def _query(self, host: str, hello: Hello) -> CheckLine:
        name = f"query on {host}"
        missing = {NS_PUBSUB, NS_ROSTER} - hello.queries
        if missing:
            found = f"not allowed: {', '.join(sorted(missing))}"
            return CheckLine(name, False, found, f"update the server module: {INSTALL}")
        try:
            await self._hook.entries(f"{NOBODY}@{host}", ())
        except RemoteError as error:
            if error.condition == Condition.ITEM_NOT_FOUND:
                return CheckLine(name, True, "obeyed")
            return CheckLine(name, False, str(error), f"update the server module: {INSTALL}")
        except LinkError as error:
            return CheckLine(name, False, str(error), "see the server's log")
        return CheckLine(name, False, "it claims to read a roster that does not exist", INSTALL)

    async def pep(self, account: str) -> CheckLine:
        """Whether an account can publish and be read (XEP-0163 section 6)."""
        name = f"PEP of {account}"
        query = codecs.write_query("get", account, ET.Element(f"{{{NS_DISCO_INFO}}}query"))
        try:
            answer = await self._wire.request("set", account, query, timeout=self._timeout)
        except RemoteError as error:
            return CheckLine(name, False, str(error), "name an account that exists on this server")
        except LinkError as error:
            return CheckLine(name, False, str(error), "see the server's log")
        inner = codecs.inner_iq(answer)
        found = [] if inner is None else inner.iter(f"{{{NS_DISCO_INFO}}}identity")
        if any((i.get("category"), i.get("type")) == ("pubsub", "pep") for i in found):
            return CheckLine(name, True, "offered")
        remedy = "enable mod_pep (Prosody) or mod_pubsub with its pep plugin (ejabberd)"
        return CheckLine(name, False, "not offered", remedy)

    async def _clock(self, host: str) -> CheckLine:
        """Compare with the server's clock (XEP-0202)."""
        try:
            answer = await self._wire.request(
                "get", host, ET.Element(f"{{{NS_TIME}}}time"), timeout=self._timeout
            )
            text = answer.findtext(f"{{{NS_TIME}}}time/{{{NS_TIME}}}utc") or ""
            theirs = datetime.fromisoformat(text)
        except (LinkError, ValueError):
            year = datetime.now(UTC).year
            return CheckLine("clock", year >= 2026, f"the server does not tell its own; {year}")
        apart = abs(theirs.timestamp() - time.time())
        found = f"{apart:.0f} s apart from the server's"
        remedy = "set this machine's clock, best by NTP"
        good = apart <= CLOCK_TOLERANCE
        return CheckLine("clock", good, found, None if good else remedy)
