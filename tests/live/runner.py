"""Runs a scenario on a topology."""

from __future__ import annotations

import asyncio
import re
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable, Sequence
from itertools import count

from component.core.records import MoveRecord
from tests.live.arrange import prepare, read_fault
from tests.live.client import TIMEOUT, Client, ClientError, RawComponent, Received, Stream
from tests.live.daemon import DaemonError
from tests.live.matching import DELAY, assign, differences, show
from tests.live.scenario import Line, Scenario
from tests.live.servers.base import COMPONENT_HOST, STRANGER_HOST, RosterEntry, ServerError
from tests.live.topology import MONTAGUE_HOSTS, Topology
from tests.live.vocabulary import Vocabulary, WordError, parse_roster

_ROUNDS = 12
_AVAILABILITY = (None, "unavailable", "error")  # error: a contact whose server is gone
_Step = Callable[["Runner", re.Match[str], Line], Awaitable[None]]
_steps: list[tuple[re.Pattern[str], _Step]] = []


class StepFailed(AssertionError):
    """A scenario did not go as it says."""


def step(pattern: str) -> Callable[[_Step], _Step]:
    """Register a method of :class:`Runner` for the steps that match ``pattern`` as a whole."""

    def register(method: _Step) -> _Step:
        _steps.append((re.compile(pattern), method))
        return method

    return register


class Runner:
    """One run of one scenario."""

    def __init__(self, scenario: Scenario, topology: Topology) -> None:
        self.scenario = scenario
        self.topology = topology
        self.words = Vocabulary(scenario, topology.kind.words)
        self.streams: dict[str, Stream] = {}
        self.rosters: dict[str, list[RosterEntry]] = {}
        self._hidden = count(1)
        self._ignore = frozenset({DELAY} if "delay" in scenario.ignored else ())

    async def run(self) -> None:
        """Prepare, do every step, then see that everyone is quiet; raises StepFailed."""
        line = Line(1, "preparations", "")
        try:
            self.rosters = await prepare(self.scenario, self.topology, self.words)
            for line in self.scenario.steps:
                await self._do(line)
            line = Line(line.number + 1, "end of the scenario: everyone is quiet", "")
            await self.everyone_is_quiet()
        except (ClientError, DaemonError, ServerError, WordError, AssertionError) as error:
            raise StepFailed(self._story(line, str(error))) from error
        finally:
            await asyncio.gather(*(stream.close() for stream in self.streams.values()))

    async def settle(self) -> None:
        """Return when a ping along every way brings nothing new to anyone."""
        hosts = [h for s in self.topology.servers.values() if s.running for h in s.spec.hosts]
        daemon = self.topology.daemon
        if daemon is not None and daemon.running:
            hosts.append(COMPONENT_HOST)
        for turn in range(_ROUNDS):
            clients = [s for s in self.streams.values() if s.connected and isinstance(s, Client)]
            before = sum(len(stream.history) for stream in self.streams.values())
            for target in (None, *hosts):
                await asyncio.gather(*(client.ping(target) for client in clients))
            after = sum(len(stream.history) for stream in self.streams.values())
            if after == before and turn > 0:
                return
        raise AssertionError(f"stanzas kept coming for {_ROUNDS} rounds")

    async def everyone_is_quiet(self) -> None:
        """See that nobody has, or gets, a stanza that no step expected."""
        await self.settle()
        daemon = self.topology.daemon
        if daemon is not None and daemon.running and self.scenario.arrangement.component:
            await daemon.settled([self.words.jid(alias) for alias in self.scenario.accounts])
            await self.settle()
        left = [self._inbox(stream) for stream in self.streams.values() if stream.inbox]
        if left:
            raise AssertionError("these stanzas were not expected:\n" + "\n".join(left))

    async def read_roster(self, alias: str) -> dict[str, RosterEntry]:
        """Read a roster as another, invisible device of the account."""
        device = self._client(alias, f"hidden{next(self._hidden)}")
        await device.open()
        try:
            return parse_roster(await device.roster())
        finally:
            await device.close()

    @step(r"([\w-]+)/([\w-]+) connects( without presence)?")
    async def _connects(self, found: re.Match[str], line: Line) -> None:
        name = f"{found[1]}/{found[2]}"
        old = self.streams.get(name)
        if old is not None and (old.connected or old.inbox):
            raise AssertionError(f"{name} is connected, or was and left {self._inbox(old)}")
        mark = self._serial()
        client = self._client(found[1], found[2])
        self.streams[name] = client
        await client.open()
        await client.roster()
        if not found[3]:
            client.send("<presence/>")
        await self.settle()
        self._forget_presence(mark)

    @step(r"stranger connects")
    async def _stranger(self, found: re.Match[str], line: Line) -> None:
        address = self.topology.servers["montague"].spec.address
        stranger = RawComponent("stranger", STRANGER_HOST, address)
        self.streams["stranger"] = stranger
        await stranger.open()

    @step(r"([\w-]+/[\w-]+) disconnects")
    async def _disconnects(self, found: re.Match[str], line: Line) -> None:
        mark = self._serial()
        stream = self._stream(found[1])
        stream.send("<presence type='unavailable'/>")
        await stream.close()
        await self.settle()
        self._forget_presence(mark)

    @step(r"([\w/-]+) sends:")
    async def _sends(self, found: re.Match[str], line: Line) -> None:
        self._stream(found[1]).send(self.words.fill(line.body.strip()))

    @step(r"([\w/-]+) receives( in any order)?:")
    async def _receives(self, found: re.Match[str], line: Line) -> None:
        stream = self._stream(found[1])
        expected = self.words.stanzas(line.body)
        arrived = await stream.wait_for_inbox(len(expected), TIMEOUT)
        got = stream.inbox[: len(expected)]
        elements = [received.element for received in got]
        own = {stream.jid, stream.jid.partition("/")[0]}
        if found[2] is not None:
            wrong = assign(expected, elements, own=own, ignore=self._ignore) is None
            problems = ["no way to match them up"] if wrong and arrived else []
        else:
            problems = [
                problem
                for want, element in zip(expected, elements, strict=False)
                for problem in differences(want, element, own=own, ignore=self._ignore)
            ]
        if not arrived:
            problems.append(f"{len(expected)} stanzas expected, {len(stream.inbox)} came")
        if problems:
            wanted = "\n".join(show(element, indent=1) for element in expected)
            raise AssertionError(
                "\n".join(problems) + f"\nexpected:\n{wanted}\n{self._inbox(stream)}"
            )
        del stream.inbox[: len(expected)]

    @step(r"([\w/-]+) receives nothing")
    async def _receives_nothing(self, found: re.Match[str], line: Line) -> None:
        stream = self._stream(found[1])
        await self.settle()
        if stream.inbox:
            raise AssertionError(self._inbox(stream))

    @step(r"everyone is quiet")
    async def _quiet(self, found: re.Match[str], line: Line) -> None:
        await self.settle()
        left = [self._inbox(stream) for stream in self.streams.values() if stream.inbox]
        if left:
            raise AssertionError("\n".join(left))

    @step(r"component (starts|stops|is killed|restarts)")
    async def _component(self, found: re.Match[str], line: Line) -> None:
        daemon = self.topology.daemon
        if daemon is None:
            raise AssertionError("there is no component")
        if found[1] == "is killed":
            await daemon.kill()
        if found[1] in ("stops", "restarts"):
            await daemon.stop()
        if found[1] in ("starts", "restarts"):
            await daemon.start()

    @step(r"server (\w+) (starts|stops|is killed|restarts)")
    async def _server(self, found: re.Match[str], line: Line) -> None:
        server = self.topology.servers[found[1]]
        mark = self._serial()
        if found[2] == "is killed":
            await server.kill()
        if found[2] in ("stops", "restarts"):
            await server.stop()
        for stream in self.streams.values():
            if not server.running and self._server_of(stream) == found[1]:
                await stream.close()
        self._forget_presence(mark)
        if found[2] in ("starts", "restarts"):
            await server.start()
            daemon = self.topology.daemon
            if found[1] == "montague" and daemon is not None and daemon.running:
                await daemon.log_says("ready", 90.0)

    @step(r"fault of ([\w-]+): (silent|error|result|none)")
    async def _fault(self, found: re.Match[str], line: Line) -> None:
        server = self.topology.server_of(self.words.account(found[1]).host)
        if server is None:
            raise AssertionError(f"nobody serves {found[1]}")
        server.set_fault(self.words.jid(found[1]), read_fault(found[2], line.body, self.words))

    @step(r"journal settles")
    async def _settles(self, found: re.Match[str], line: Line) -> None:
        if self.topology.daemon is None:
            raise AssertionError("there is no component")
        await self.topology.daemon.settled([self.words.jid(a) for a in self.scenario.accounts])

    @step(r"journal of ([\w-]+) is empty")
    async def _empty(self, found: re.Match[str], line: Line) -> None:
        await self.settle()
        await self._journal(found[1], [])

    @step(r"journal of ([\w-]+) is:")
    async def _journal_is(self, found: re.Match[str], line: Line) -> None:
        await self._journal(found[1], [w.strip() for w in line.body.splitlines() if w.strip()])

    async def _journal(self, alias: str, wanted: Sequence[str]) -> None:
        """Wait until the records are these: ``state``, ``state reason`` or with `` old -> new``."""
        daemon = self.topology.daemon
        if daemon is None:
            raise AssertionError("there is no component")
        jids = {self.words.jid(name): name for name in self.scenario.accounts}

        def fits(moves: Sequence[MoveRecord]) -> bool:
            left = [
                f"{m.state} {m.reason or '-'} {jids.get(m.old, m.old)} -> {jids.get(m.new, m.new)}"
                for m in moves
            ]
            for want in sorted(wanted, key=len, reverse=True):
                hit = next((text for text in left if f"{text} ".startswith(f"{want} ")), None)
                if hit is None:
                    return False
                left.remove(hit)
            return not left

        def fits_or_never_will(moves: Sequence[MoveRecord]) -> bool:
            if fits(moves):
                return True
            if len(moves) >= len(wanted) and all(move.state.final for move in moves):
                shown = "; ".join(f"{m.state} {m.reason}" for m in moves)
                raise AssertionError(f"the journal is final, and says: {shown}")
            return False

        what = "; ".join(wanted) or "empty"
        await daemon.journal_says(self.words.jid(alias), fits_or_never_will, what)

    @step(r"roster of ([\w-]+) is unchanged")
    async def _unchanged(self, found: re.Match[str], line: Line) -> None:
        arranged = self.rosters.get(self.words.jid(found[1]), [])
        hidden = [e for e in arranged if e.pending and e.subscription == "none" and not e.ask]
        await self._compare_roster(found[1], [e for e in arranged if e not in hidden])

    @step(r"roster of ([\w-]+) is(?: empty|:)")
    async def _roster(self, found: re.Match[str], line: Line) -> None:
        entries = [self.words.entry(text) for text in line.body.splitlines() if text.strip()]
        await self._compare_roster(found[1], entries)

    async def _compare_roster(self, alias: str, entries: Sequence[RosterEntry]) -> None:
        seen = await self.read_roster(alias)
        plain = {
            e.jid: RosterEntry(e.jid, e.subscription, e.name, tuple(sorted(e.groups)), e.ask)
            for e in entries
        }
        if seen != plain:
            wanted = "\n".join(f"  {entry}" for entry in plain.values())
            got = "\n".join(f"  {entry}" for entry in seen.values())
            raise AssertionError(f"the roster should be\n{wanted or '  -'}\nbut is\n{got or '  -'}")

    async def _do(self, line: Line) -> None:
        for pattern, method in _steps:
            found = pattern.fullmatch(line.text)
            if found:
                await method(self, found, line)
                return
        raise self.scenario.error(line.number, f"unknown step: {line.text}")

    def _client(self, alias: str, resource: str) -> Client:
        server = self.topology.server_of(self.words.account(alias).host)
        if server is None:
            raise AssertionError(f"nobody serves {alias}")
        jid = f"{self.words.jid(alias)}/{resource}"
        own = self.topology.kind.side(server.spec.name).noise

        def noise(stanza: ET.Element) -> bool:
            return self._bounced_probe(stanza) or (own is not None and own(stanza))

        return Client(f"{alias}/{resource}", jid, server.spec.address, noise=noise)

    def _stream(self, name: str) -> Stream:
        if name not in self.streams:
            raise AssertionError(f"{name} never connected")
        return self.streams[name]

    def _server_of(self, stream: Stream) -> str:
        host = stream.jid.partition("/")[0].rpartition("@")[2]
        return "montague" if host in (*MONTAGUE_HOSTS, STRANGER_HOST) else "capulet"

    def _bounced_probe(self, stanza: ET.Element) -> bool:
        """Whether this is the error for the probe that a device sends when it connects (RFC 6121
        4.2.2), from a domain that nobody serves: it comes whenever the resolver has given up.
        What is sent for a user, not for a device, bounces to the bare JID and is not hidden."""
        sender = stanza.get("from", "").partition("@")[2]
        return (
            stanza.tag == "{jabber:client}presence"
            and stanza.get("type") == "error"
            and "/" in stanza.get("to", "")
            and self.topology.server_of(sender) is None
        )

    def _serial(self) -> int:
        return max((s.history[-1].serial for s in self.streams.values() if s.history), default=0)

    def _forget_presence(self, mark: int) -> None:
        """Drop availability that came since ``mark``: it follows from connecting."""
        for stream in self.streams.values():
            stream.inbox = [r for r in stream.inbox if r.serial <= mark or not _availability(r)]

    def _inbox(self, stream: Stream) -> str:
        shown = "\n".join(show(received.element, indent=1) for received in stream.inbox)
        return f"{stream.name} has in its inbox:\n{shown or '  nothing'}"

    def _story(self, line: Line, what: str) -> str:
        logs = [str(server.log_path) for server in self.topology.servers.values()]
        if self.topology.daemon is not None:
            logs.append(str(self.topology.daemon.log_path))
        names = ", ".join(f"{a} = {self.words.jid(a)}" for a in self.scenario.accounts)
        return (
            f"{self.scenario.path.name}:{line.number} on {self.topology.kind.name}: {line.text}\n"
            f"{what}\naccounts: {names}\nlogs: {' '.join(logs)}"
        )


def _availability(received: Received) -> bool:
    element: ET.Element = received.element
    return element.tag == "{jabber:client}presence" and element.get("type") in _AVAILABILITY
