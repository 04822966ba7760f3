"""One server and its component with the fault proxy between them; a family that moves."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol
from xml.sax.saxutils import quoteattr

from component.core.records import MoveRecord, MoveState
from component.store import Store
from tests.live.arrange import NS_MOVED, publish
from tests.live.client import Client, ClientError, Stream
from tests.live.daemon import Daemon
from tests.live.faults.proxy import FaultProxy
from tests.live.servers.addresses import free_address
from tests.live.servers.base import (
    COMPONENT_HOST,
    COMPONENT_PORT,
    COMPONENT_SECRET,
    STRANGER_HOST,
    HookOptions,
    RosterEntry,
    Server,
    ServerSpec,
)
from tests.live.servers.differences import Kind
from tests.live.vocabulary import parse_roster

HOSTS = ("montague.example", "verona.example")
CONTACTS_HOST, MOVERS_HOST = HOSTS
METRICS_PORT = 29347
POLL = 0.1
"""Seconds between looks at what nothing announces: /health, and the journal of another process."""

# As in the lines that are printed for the admin: of two streams the later counts.
_EXTRA = {"component_conflict_resolve": '"kick_old"'}

_CLIENT = "{jabber:client}"
_ROSTER = "{jabber:iq:roster}"
_numbers = count(1)


@dataclass
class FaultHouse:
    """Server, component, proxy.

    Args:
        settings: dotted keys of the component's configuration.
        database: folder of the journal; beside the log otherwise.
        environment: added to the component's.
    """

    kind: Kind
    folder: Path
    hook: HookOptions = field(default_factory=HookOptions)
    settings: Sequence[tuple[str, object]] = ()
    database: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    server: Server = field(init=False)
    daemon: Daemon = field(init=False)
    proxy: FaultProxy = field(init=False)

    def __post_init__(self) -> None:
        self.address = free_address()
        zone = dict.fromkeys(HOSTS, self.address)
        spec = ServerSpec(
            "montague",
            self.address,
            HOSTS,
            zone,
            (COMPONENT_HOST, STRANGER_HOST),
            self.hook,
            _EXTRA if self.kind.name.startswith("prosody") else {},
        )
        self.server = self.kind.build(spec, self.folder / "montague")
        self.proxy = FaultProxy(self.address, COMPONENT_PORT)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FaultHouse]:
        """Everything is started, and ready."""
        async with self.proxy:
            self.daemon = Daemon(self.folder / "component", {})
            self.daemon.environment |= self.environment
            # What is to be loaded before all else counts where a program begins, not in a fork.
            self.daemon.own_process |= bool(self.environment)
            if self.database is not None:
                self.daemon.url = f"sqlite+aiosqlite:///{self.journal}"
            self.daemon.configure(self._configuration())
            try:
                await self.server.start()
                await self.daemon.start()
                yield self
            finally:
                await self.daemon.stop()
                await self.server.stop()

    @property
    def journal(self) -> Path:
        """The database file."""
        return (self.database or self.folder / "component") / "moved.db"

    def _configuration(self) -> dict[str, dict[str, object]]:
        whole: dict[str, dict[str, object]] = {
            "component": {
                "jid": COMPONENT_HOST,
                "secret": COMPONENT_SECRET,
                "host": self.address,
                "port": self.proxy.port,
                "control": "",
            },
            "served": {"hosts": list(HOSTS)},
            "metrics": {"listen": f"{self.address}:{METRICS_PORT}"},
            "contacts": {"notice": False},
            "limits": {"per_domain_per_minute": 100_000},
        }
        for key, value in self.settings:
            section, _, option = key.partition(".")
            whole.setdefault(section, {})[option] = value
        return whole

    async def health(self, timeout: float = 3.0) -> tuple[bool, dict[str, Any]]:
        """What ``/health`` says; nothing at all within ``timeout`` is as good as a no."""
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_connection(self.address, METRICS_PORT)
                try:
                    writer.write(b"GET /health HTTP/1.0\r\n\r\n")
                    answer = await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            return False, {"unreachable": str(error) or "no answer"}
        head, _, body = answer.partition(b"\r\n\r\n")
        try:
            said = json.loads(body)
        except ValueError:
            return False, {"unreachable": answer.decode(errors="replace")}
        return b" 200 " in head.split(b"\r\n", 1)[0], said

    async def until_health(self, ok: bool, timeout: float) -> dict[str, Any]:
        """Wait until ``/health`` says this, and return what else it says."""
        said: dict[str, Any] = {}

        async def looked() -> bool:
            nonlocal said
            well, said = await self.health()
            return well is ok

        await until(looked, f"/health says {ok}", timeout, lambda: str(said))
        return said

    async def records(self) -> list[MoveRecord]:
        """The whole journal, the newest first."""
        async with await Store.open(self.daemon.url, writer=False) as store:
            return await store.list_moves(limit=100_000)

    async def open_records(self) -> list[MoveRecord]:
        """What has no end yet."""
        return await open_records(self.daemon.url)

    async def nothing_open(self, timeout: float = 30.0) -> None:
        """Wait until every record has its end: it may come a moment after the roster change."""
        await nothing_open(self.daemon.url, timeout)


class Home(Protocol):
    """Where a family lives."""

    @property
    def kind(self) -> Kind:
        """Of the server."""

    @property
    def server(self) -> Server:
        """With the hosts of :data:`HOSTS`."""

    @property
    def address(self) -> str:
        """Where it listens."""


@dataclass
class Contact:
    """Somebody on the mover's roster, and every device that was theirs."""

    jid: str
    online: bool
    devices: list[Client] = field(default_factory=list)

    def requests(self, sender: str) -> int:
        """The most requests of this sender that one device was shown."""
        return max((_count(device, "subscribe", sender) for device in self.devices), default=0)


class Family:
    """A mover with a statement at the old account, and contacts who have the old one as both."""

    def __init__(self, house: Home, contacts: int, *, offline: int = 1) -> None:
        self.house = house
        token = next(_numbers)
        self.old = f"old{token}@{MOVERS_HOST}"
        self.new = f"new{token}@{MOVERS_HOST}"
        self.contacts = [
            Contact(f"c{number}x{token}@{CONTACTS_HOST}", number < contacts - offline)
            for number in range(contacts)
        ]
        self.mover: Client | None = None
        self.sent: set[str] = set()
        """Contacts whose request the server has certainly processed."""
        self._ends = AsyncExitStack()

    async def __aenter__(self) -> Family:
        server = self.house.server
        for jid in (self.old, self.new):
            server.add_user(jid)
        for contact in self.contacts:
            server.add_user(contact.jid)
            server.set_roster(contact.jid, [RosterEntry(self.old, "both")])
        server.set_roster(self.old, [RosterEntry(c.jid, "both") for c in self.contacts])
        await self.publish()
        await self.enter()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._ends.aclose()

    async def publish(self) -> None:
        """The statement of the old account."""
        owner = await self._device(self.old)
        await publish(owner, self.new, "open", [])
        await owner.close()

    async def enter(self) -> None:
        """The mover and the contacts come online; again after the server was restarted."""
        self.mover = await self._device(self.new)
        for contact in self.contacts:
            if contact.online:
                contact.devices.append(await self._device(contact.jid))

    async def send(self, contact: Contact) -> None:
        """The mover's new account asks this contact; where the server goes away, not at all."""
        assert self.mover is not None
        with contextlib.suppress(ClientError):
            self.mover.send(
                f"<presence type='subscribe' to={quoteattr(contact.jid)}>"
                f"<moved xmlns='{NS_MOVED}'><old-jid>{self.old}</old-jid></moved></presence>"
            )
            await self.mover.ping()
            self.sent.add(contact.jid)

    async def fate(self, contact: Contact) -> tuple[bool, bool]:
        """Whether the contact was made to follow, and whether an ordinary request is pending."""
        device = next((d for d in contact.devices if d.connected), None)
        if device is None:
            device = await self._device(contact.jid)
            contact.devices.append(device)
        roster = await device.roster()
        await device.ping()
        items = {item.get("jid"): item for item in roster.findall(f"{_ROSTER}item")}
        item = items.get(self.new)
        followed = item is not None and item.get("subscription") in ("from", "both")
        return followed, contact.requests(self.new) > 0

    async def lets_in(self, contact: Contact) -> bool:
        """Whether the way back of a contact who followed came, and once.

        It is approved by itself, since both accounts are here; where nobody could be asked just
        then it was shown first.
        """
        assert self.mover is not None
        shown = self.answers("subscribe", contact)
        entry = parse_roster(await self.mover.roster()).get(contact.jid)
        approved = entry is not None and entry.subscription == "both"
        return shown <= 1 and (shown == 1 or approved)

    def answers(self, kind: str, contact: Contact) -> int:
        """Presences of a type that the new account's last device got from a contact."""
        assert self.mover is not None
        return _count(self.mover, kind, contact.jid)

    async def _device(self, jid: str) -> Client:
        client = Client(
            jid,
            f"{jid}/d{next(_numbers)}",
            self.house.address,
            noise=self.house.kind.noise,
        )
        await client.open()
        self._ends.push_async_callback(client.close)
        await client.roster()
        client.send("<presence/>")
        await client.ping()
        return client


def _count(stream: Stream, kind: str, sender: str) -> int:
    return sum(
        received.element.tag == f"{_CLIENT}presence"
        and received.element.get("type") == kind
        and received.element.get("from", "").partition("/")[0] == sender
        for received in stream.history
    )


def doubled(records: Sequence[MoveRecord]) -> list[str]:
    """Contacts who were made to follow more than once."""
    counts = Counter((r.contact, r.old, r.new) for r in records if r.state is MoveState.DONE)
    return [f"{who}: {number}" for who, number in counts.items() if number > 1]


async def open_records(url: str) -> list[MoveRecord]:
    """What has no end yet, in a component's database."""
    async with await Store.open(url, writer=False) as store:
        return await store.unsettled()


async def nothing_open(url: str, timeout: float) -> float:
    """Wait until every record of a database has its end; how many seconds it took."""
    left: list[MoveRecord] = []

    async with await Store.open(url, writer=False) as store:

        async def none() -> bool:
            left[:] = await store.unsettled()
            return not left

        return await until(none, "every request has its end", timeout, lambda: str(left))


async def until(
    holds: Callable[[], Awaitable[bool]],
    what: str,
    timeout: float,
    story: Callable[[], str] = lambda: "",
) -> float:
    """Wait for something that nothing announces; how many seconds it took.

    Raises AssertionError with the story when it does not come.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not await holds():
        if loop.time() - began > timeout:
            raise AssertionError(f"not within {timeout:g} s: {what}; {story()}")
        await asyncio.sleep(POLL)
    return loop.time() - began
