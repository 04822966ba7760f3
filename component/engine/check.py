"""``xmpp-moved check``: each requirement looked at on the real server, with the remedy."""

from __future__ import annotations

import re
import time
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime

from component.core import jids
from component.core.conditions import Condition
from component.core.model import PresenceKind, SendPlan, Step
from component.core.records import CheckLine
from component.engine.hook import VERSION, Hook, HookMissing
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
INSTALL = "run: xmpp-moved hook prosody|snikket|ejabberd (--help), and do what it prints"

NOWHERE = "xmpp-moved-check.invalid"
"""A domain that cannot exist (RFC 6761): a server answers for it without asking anybody."""
_UNREACHABLE = {Condition.REMOTE_SERVER_NOT_FOUND, Condition.REMOTE_SERVER_TIMEOUT}
_ALONE = "Communication with remote domains is not enabled"
"""What Prosody says where s2s is off."""


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


def hook_line(host: str, found: str) -> CheckLine:
    """A hook that answers; ``found`` begins with its version."""
    older = _numbers(found.split()[0]) < _numbers(VERSION)
    remedy = f"this release comes with {VERSION}: update the server module; {INSTALL}"
    return CheckLine(f"hook on {host}", True, found, remedy if older else None)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"[0-9]+", version)[:3])


def paused_line(paused: bool) -> CheckLine:
    """Whether an admin has paused all moves: they work then as little as if nothing did."""
    if not paused:
        return CheckLine("users' moves", True, "not paused")
    remedy = "xmpp-moved resume lets them go on"
    return CheckLine("users' moves", True, "all are paused: nothing is sent", remedy)


def admins_line(admins: Collection[str], hosts: Collection[str]) -> CheckLine | None:
    """What is odd about who may give orders; None: nothing is."""
    elsewhere = [jid for jid in admins if jids.domain(jids.key(jid)) not in hosts]
    if not elsewhere:
        return None
    remedy = (
        "see [served] admins: whoever runs the server of such an account can give orders here, "
        "and one that is misspelt can give none"
    )
    found = f"not on a served host: {', '.join(elsewhere)}"
    return CheckLine("admins", True, found, remedy)


class Check:
    """The requirements that need the stream; each method yields lines as they are known."""

    def __init__(self, wire: Wire, *, deadline: float, timeout: float = 10.0) -> None:
        """``deadline``: ours for a verdict; ``timeout``: for each answer; both in seconds."""
        self._wire = wire
        self._hook = Hook(wire, timeout=timeout)
        self._deadline = deadline
        self._timeout = timeout

    async def hosts(
        self, hosts: Collection[str], remote: str | None = None
    ) -> AsyncIterator[CheckLine]:
        """Hook, divert, send, query and what stands beside them, then the clock of the first host.

        :param remote: a domain elsewhere that is to be asked, too
        """
        for host in hosts:
            try:
                hello = await self._hook.hello(host)
            except HookMissing as error:
                yield CheckLine(f"hook on {host}", False, "none", str(error))
                continue
            except LinkError as error:
                remedy = "is it in [served] hosts as the server has it? see the server's log, too"
                yield CheckLine(f"hook on {host}", False, str(error), remedy)
                continue
            server = f"{hello.server} {hello.server_version}"
            yield hook_line(host, f"{hello.version} in {server}")
            yield self._divert(host, hello)
            if hello.counter is not None:
                yield counter_line(host, *hello.counter)
            yield await self._send(host)
            yield await self._query(host, hello)
            if beside := _beside(host, hello):
                yield beside
            if line := await self.federation(f"{NOBODY}@{host}", f"federation of {host}"):
                yield line
            if remote is not None:
                yield await self._remote(host, remote)
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

    async def federation(self, user: str, name: str) -> CheckLine | None:
        """Whether this server lets a request of a user out; None where it cannot be told.

        Nobody elsewhere is asked: the answer for a domain that cannot exist says enough.
        """
        try:
            refused = await self._ask_domain(user, NOWHERE)
        except RemoteError as error:
            # A hook before 0.6.0 asks nothing for somebody who does not exist.
            known = error.condition == Condition.ITEM_NOT_FOUND
            return None if known else CheckLine(name, False, str(error), INSTALL)
        except LinkError as error:
            remedy = "does the server's own DNS resolver answer? see the server's log"
            return CheckLine(name, False, f"no answer ({error})", remedy)
        if refused is None or refused.condition in _UNREACHABLE:
            return CheckLine(name, True, "requests of users leave the server")
        if refused.text == _ALONE:
            return CheckLine(name, True, "off; contacts on this server are followed all the same")
        remedy = (
            "its role must have the permission xmpp:federate (Prosody: add_permissions), and "
            "mod_isolate_host, mod_firewall or s2s_access must let it out; whom they keep inside, "
            "moves keep inside, too"
        )
        return CheckLine(name, False, f"refused ({refused})", remedy)

    async def _remote(self, host: str, domain: str) -> CheckLine:
        """Whether a domain answers a user of this host."""
        name = f"{domain} from {host}"
        try:
            refused = await self._ask_domain(f"{NOBODY}@{host}", domain)
        except LinkError as error:
            return CheckLine(name, False, str(error), "see the server's log")
        if refused is None or refused.condition not in _UNREACHABLE:
            return CheckLine(name, True, "answers" if refused is None else f"answers: {refused}")
        remedy = "look at DNS (SRV _xmpp-server), port 5269 and certificates of both servers"
        return CheckLine(name, False, str(refused), remedy)

    async def _ask_domain(self, user: str, domain: str) -> RemoteError | None:
        """What refuses a question of this user to a domain; None: it was answered.

        :raises LinkError: the hook refuses, or there was no answer in time
        """
        query = codecs.write_query("get", domain, ET.Element(f"{{{NS_DISCO_INFO}}}query"))
        answer = await self._wire.request("set", user, query, timeout=self._timeout)
        inner = codecs.inner_iq(answer)
        refused = inner is not None and inner.get("type") == "error"
        return RemoteError.from_element(inner) if inner is not None and refused else None

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
        remedy = "set this machine's clock, best by NTP"
        try:
            answer = await self._wire.request(
                "get", host, ET.Element(f"{{{NS_TIME}}}time"), timeout=self._timeout
            )
            text = answer.findtext(f"{{{NS_TIME}}}time/{{{NS_TIME}}}utc") or ""
            theirs = datetime.fromisoformat(text)
        except (LinkError, ValueError):
            now = datetime.now(UTC)
            found = f"{now:%Y-%m-%d %H:%M} UTC here; the server does not tell its own (XEP-0202)"
            good = now.year >= 2026
            return CheckLine("clock", good, found, None if good else remedy)
        apart = abs(theirs.timestamp() - time.time())
        found = f"{apart:.0f} s apart from the server's"
        good = apart <= CLOCK_TOLERANCE
        return CheckLine("clock", good, found, None if good else remedy)


def _beside(host: str, hello: Hello) -> CheckLine | None:
    """What is amiss with the server's other modules; None: nothing is."""
    name = f"modules beside on {host}"
    if hello.unloaded:
        remedy = (
            "the server's configuration names them. A second plugin_paths in it replaces the "
            "first; xmpp-moved hook prints lines that replace none"
        )
        return CheckLine(name, False, f"not found: {', '.join(hello.unloaded)}", remedy)
    if hello.unasked:
        remedy = (
            "some roles only have it, and now it holds for all: is mod_restrict_federation (or "
            "mod_isolate_host) still in the modules_enabled of this host? A second one replaces it"
        )
        return CheckLine(name, False, f"nothing asks for {', '.join(hello.unasked)}", remedy)
    return None
