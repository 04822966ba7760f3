"""The rest of the world, played by one component: who moves, and the old server where it is played.

The server of a mover would spend most of its time saving the mover's own roster, which has nothing
to do with the contact side: a component that speaks for its domain leaves that off the scale.
"""

from __future__ import annotations

import asyncio
import time
import xml.etree.ElementTree as ET
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from bench.contacts.ways import Way
from tests.live.client import RawComponent

DOMAIN = "mover.example"
"""Where movers move to; and where they come from, unless a case says otherwise."""
UNDER_WAY = 250
"""Requests at once, whichever the way: Prosody keeps 256 questions of a module, and drops the
oldest of more (util/api.lua), which would make requests of the in-process module fail."""
_STUCK = 30.0
"""Seconds without an answer after which a round is given up."""
_PRESENCE, _IQ = "{jabber:component:accept}presence", "{jabber:component:accept}iq"


@dataclass(frozen=True, slots=True)
class Move:
    """One contact's part in a move; bare JIDs."""

    contact: str
    old: str
    new: str

    def request(self, moved: bool) -> str:
        """The subscription request of the new address."""
        told = f"<moved xmlns='urn:xmpp:moved:1'><old-jid>{self.old}</old-jid></moved>"
        return (
            f"<presence type='subscribe' from='{self.new}' to='{self.contact}'>"
            f"{told if moved else ''}</presence>"
        )


@dataclass(slots=True)
class Outcome:
    """What came of the requests of one round."""

    seconds: float
    """From the first request to the end of the last."""
    followed: int
    latencies: list[float]
    """Seconds from a request to the end of it, of each that was followed."""
    statements: int
    """Requests for a statement that the played server had."""


class Play(RawComponent):
    """Sends requests, at most :data:`UNDER_WAY` at once or at a rate; answers for statements."""

    def __init__(self, address: str) -> None:
        super().__init__("mover", DOMAIN, address)
        self._statements: Counter[str] = Counter()
        self._open: dict[tuple[str, str], float] = {}
        self._latencies: list[float] = []
        self._left: deque[Move] = deque()
        self._way = Way.SHIPPED
        self._progress = asyncio.Event()
        self._paced = False

    async def act(self, way: Way, moves: Sequence[Move], rate: float | None = None) -> Outcome:
        """Send the requests of these moves and wait for their ends.

        Args:
            rate: requests a second, whatever becomes of them; None: the next as one ends.
        """
        self._way, self._left, self._paced = way, deque(moves), rate is not None
        self._open.clear()
        self._latencies, before = [], self._statements[way.host]
        began = time.perf_counter()
        if rate is None:
            for _ in range(min(UNDER_WAY, len(moves))):
                self._request_next()
        else:
            for number in range(len(moves)):
                await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
                self._request_next()
        ended = began
        try:
            while self._open:
                self._progress.clear()
                await asyncio.wait_for(self._progress.wait(), _STUCK)
            ended = time.perf_counter()
        except TimeoutError:
            pass  # those that did not follow are seen by their number
        return Outcome(
            max(ended - began, 1e-6),
            len(self._latencies),
            self._latencies,
            self._statements[way.host] - before,
        )

    def _request_next(self) -> None:
        move = self._left.popleft()
        self._open[move.contact, move.new] = time.perf_counter()
        self.send(move.request(self._way is not Way.FLOOR))

    def _handle(self, element: ET.Element) -> None:
        kind = element.get("type")
        if element.tag == _PRESENCE:
            if kind == self._way.last:
                self._ended(element.get("from", ""), element.get("to", ""))
        elif element.tag == _IQ and kind == "get" and self._state(element):
            return
        else:
            super()._handle(element)

    def _ended(self, contact: str, new: str) -> None:
        sent = self._open.pop((contact, new), None)
        if sent is None:
            return
        self._latencies.append(time.perf_counter() - sent)
        if self._left and not self._paced:
            self._request_next()
        self._progress.set()

    def _state(self, iq: ET.Element) -> bool:
        old, asker = iq.get("to", ""), iq.get("from", "")
        if not old.startswith("old"):
            return False
        self._statements[asker.rpartition("@")[2]] += 1
        self.send(statement(iq, successor(old)))
        return True


def statement(iq: ET.Element, new: str) -> str:
    """The answer to who asks for the moved statement (XEP-0283 4.1) of an account."""
    return (
        f"<iq type='result' id='{iq.get('id')}' from='{iq.get('to')}' to='{iq.get('from')}'>"
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'>"
        "<items node='urn:xmpp:moved:1'><item id='current'>"
        f"<moved xmlns='urn:xmpp:moved:1'><new-jid>{new}</new-jid></moved>"
        "</item></items></pubsub></iq>"
    )


def successor(old: str) -> str:
    """Where an old address moved to."""
    return f"new{old.partition('@')[0].removeprefix('old')}@{DOMAIN}"
