"""Users with real connections, who do what people and their clients do about subscriptions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from xml.sax.saxutils import quoteattr

from tests.live.client import NS_ROSTER, Client, ClientError, Received
from tests.live.servers.differences import Kind

_CLIENT = "{jabber:client}"
_LOGINS_AT_ONCE = 16
_TRIES, _AGAIN = 10, 0.5


@dataclass(frozen=True, slots=True)
class Entry:
    """A roster entry as the device was told of it (RFC 6121 2.1.2)."""

    subscription: str
    ask: bool

    @property
    def grants(self) -> bool:
        """Whether the other one sees the owner's presence."""
        return self.subscription in ("from", "both")


ABSENT = Entry("none", False)


@dataclass
class Place:
    """The server, for those who live on it."""

    kind: Kind
    address: str
    up: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while the server is not being restarted."""
    logins: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_LOGINS_AT_ONCE))
    dropped: Callable[[str], None] = lambda jid: None
    """Called with the JID of a stream that ended for no reason that we know."""


class Person:
    """An account with one device.

    ``changed`` is called after each change of the roster, ``presence`` with type and bare sender
    of each presence, ``message`` with the bare sender of each message.
    """

    def __init__(self, jid: str, place: Place) -> None:
        self.jid = jid
        self.roster: dict[str, Entry] = {}
        self.changed: Callable[[], None] = lambda: None
        self.presence: Callable[[str, str], None] = lambda kind, sender: None
        self.message: Callable[[str], None] = lambda sender: None
        self._place = place
        self._client: Client | None = None
        self._entering = asyncio.Lock()

    def entry(self, jid: str) -> Entry:
        """The roster's entry, as last told."""
        return self.roster.get(jid, ABSENT)

    @property
    def connected(self) -> bool:
        """Whether the device has its stream."""
        return self._client is not None and self._client.connected

    async def enter(self) -> Client:
        """The stream; a new one where there is none.  Waits while the server is restarted.

        Raises ClientError when the server does not let us in, several times in a row.
        """
        async with self._entering:
            refused: Exception | None = None
            for _ in range(_TRIES):
                await self._place.up.wait()
                if self._client is not None and self._client.connected:
                    return self._client
                if self._client is not None:
                    self._place.dropped(self.jid)
                try:
                    async with self._place.logins:
                        return await self._log_in()
                except (ClientError, OSError, TimeoutError) as error:
                    refused = error
                    self.cut()
                    await asyncio.sleep(_AGAIN)
            raise ClientError(f"{self.jid} cannot log in: {refused!r}")

    def cut(self) -> None:
        """Forget a stream whose server goes away."""
        if self._client is not None:
            self._client.drop()
            self._client = None

    async def leave(self) -> None:
        """Log out."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    def tell(self, kind: str, to: str, payload: str = "") -> None:
        """Send a presence; raises ClientError where there is no stream."""
        if self._client is None:
            raise ClientError(f"{self.jid} is not connected")
        self._client.send(
            f"<presence type={quoteattr(kind)} to={quoteattr(to)}>{payload}</presence>"
        )

    async def request(self, payload: str, kind: str = "set") -> None:
        """Ask the own account something, whatever the answer; raises ClientError without one."""
        await (await self.enter()).request(payload, kind=kind)

    async def remove(self, jid: str) -> None:
        """Remove a roster entry (RFC 6121 2.5); raises ClientError."""
        await self.request(
            f"<query xmlns='{NS_ROSTER}'><item jid={quoteattr(jid)} subscription='remove'/></query>"
        )

    async def _log_in(self) -> Client:
        client = Client(
            self.jid, f"{self.jid}/soak", self._place.address, noise=self._place.kind.noise
        )
        client.listeners.append(lambda received: self._received(client, received))
        self.roster = {}
        # Before the login is over, requests that waited for us come in and want answers.
        self._client = client
        await client.open()
        query = await client.roster()
        for item in query.findall(f"{{{NS_ROSTER}}}item"):
            # What was pushed since is newer.
            self.roster.setdefault(item.get("jid", ""), _entry(item.attrib))
        client.send("<presence/>")
        await client.ping()
        self.changed()
        return client

    def _received(self, client: Client, received: Received) -> None:
        client.inbox.clear()
        client.history.clear()
        element = received.element
        sender = element.get("from", "").partition("/")[0]
        if element.tag == f"{_CLIENT}presence":
            self.presence(element.get("type", ""), sender)
        elif element.tag == f"{_CLIENT}message":
            self.message(sender)
        else:
            items = element.findall(f"{{{NS_ROSTER}}}query/{{{NS_ROSTER}}}item")
            for item in items:
                self.roster[item.get("jid", "")] = _entry(item.attrib)
            if items:
                self.changed()


def _entry(attributes: dict[str, str]) -> Entry:
    subscription = attributes.get("subscription", "none")
    if subscription == "remove":
        return ABSENT
    return Entry(subscription, attributes.get("ask") == "subscribe")
