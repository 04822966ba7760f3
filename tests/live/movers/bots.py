"""A remote server with any number of users, each of whom treats requests like an ordinary client.

It is a component of mantua's on a raw socket: what it is sent has crossed s2s and is what the
contact's server gets, so counting here is counting there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Self
from xml.sax.saxutils import quoteattr

from tests.live.client import RawComponent, Received
from tests.live.movers.cast import Cast
from tests.live.movers.people import Manner
from tests.live.movers.readings import Notification, Proof, Readings, notification_of
from tests.live.movers.world import BOTS_HOST
from tests.live.news import News

PRESENCE = "{jabber:component:accept}presence"


class Bots:
    """The users of ``BOTS_HOST``, until the test ends.

    ``notifications`` holds every request with ``<moved/>`` that a bot was shown, in order;
    ``asked`` holds who was asked at all, if by a request without ``<moved/>``, as Prosody repeats
    one that nobody answered; ``sees`` and ``shows`` hold per bot who the bot sees, and whom it lets
    see; ``waiting`` holds what a bot was shown and has not answered.

    As any server does (RFC 6121 section 3.1.3), this one answers a request by itself where the user
    has approved already, and shows none twice that waits for an answer.  What it knows outlives
    its restart, as a roster does.
    """

    def __init__(self, cast: Cast, manner: Manner = Manner.APPROVES) -> None:
        self.manner = manner
        self.notifications: list[Notification] = []
        self.asked: set[tuple[str, str]] = set()
        self.waiting: set[tuple[str, str]] = set()
        self.withdrawn: list[tuple[str, str]] = []
        self.sees: dict[str, set[str]] = defaultdict(set)
        self.shows: dict[str, set[str]] = defaultdict(set)
        self._address = cast.world.houses["mantua"].server.spec.address
        cast.ends.push_async_callback(self.close)
        self._news = News()
        self._stream: RawComponent | None = None
        self.readings = Readings(self._news.wake)

    @staticmethod
    def jid(name: str) -> str:
        """Bare JID of a bot."""
        return f"{name}@{BOTS_HOST}"

    async def open(self) -> Self:
        """Connect; again after the server was restarted."""
        stream = RawComponent("bots", BOTS_HOST, self._address)
        stream.listeners.append(self._on_stanza)
        stream.answers = True  # they have no PEP; silence would cost a move ten seconds
        await stream.open()
        self._stream = stream
        self.readings.resume(stream)
        return self

    async def close(self) -> None:
        """Disconnect; harmless where the server has done so."""
        self.readings.stop()
        if self._stream is not None:
            await self._stream.close()
            self._stream = None

    @property
    def proofs(self) -> list[Proof]:
        """What the old account's statement said when each notification came."""
        return self.readings.proofs

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """How many notifications each (bot, new address) got."""
        return Counter((n.to, n.new) for n in self.notifications)

    async def until(self, holds: Callable[[], bool], what: str, timeout: float = 60.0) -> None:
        """Wait for something that the bots are told; raises AssertionError."""
        await self._news.until(
            holds, what, timeout, story=lambda: f"; {len(self.notifications)} notifications came"
        )

    async def until_proven(self) -> None:
        """Wait until every notification was followed by a look at the statement."""
        await self.until(lambda: not self.readings.open, "statements read")
        assert len(self.proofs) == len(self.notifications)

    def _on_stanza(self, received: Received) -> None:
        element = received.element
        if element.tag != PRESENCE:
            return
        bot = element.get("to", "").partition("/")[0]
        peer = element.get("from", "").partition("/")[0]
        match element.get("type"):
            case "subscribe":
                self._on_request(received, bot, peer)
            case "subscribed":
                self.sees[bot].add(peer)
            case "unsubscribed":
                self.sees[bot].discard(peer)
                self.withdrawn.append((bot, peer))
            case "unsubscribe":
                self.shows[bot].discard(peer)
                self.waiting.discard((bot, peer))
                self.withdrawn.append((bot, peer))
            case _:
                return
        self._news.wake()

    def _on_request(self, received: Received, bot: str, peer: str) -> None:
        self.asked.add((bot, peer))
        if peer in self.shows[bot]:
            self._send("subscribed", bot, peer)
            return
        if (bot, peer) in self.waiting:
            return
        notification = notification_of(received, bot)
        if notification is not None:
            self.notifications.append(notification)
            assert self._stream is not None
            self.readings.add(self._stream, notification)
        if self.manner is Manner.APPROVES:
            self.shows[bot].add(peer)
            self._send("subscribed", bot, peer)
            if peer not in self.sees[bot]:
                self._send("subscribe", bot, peer)
        elif self.manner is Manner.REFUSES:
            self._send("unsubscribed", bot, peer)
        else:
            self.waiting.add((bot, peer))

    def _send(self, kind: str, bot: str, peer: str) -> None:
        assert self._stream is not None
        self._stream.send(f"<presence type='{kind}' from={quoteattr(bot)} to={quoteattr(peer)}/>")
