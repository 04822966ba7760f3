"""A domain whose users all follow at once: the contacts of one mover, and their server."""

from __future__ import annotations

import asyncio
import time
import xml.etree.ElementTree as ET
from collections import Counter
from xml.sax.saxutils import quoteattr

from tests.live.client import RawComponent
from tests.live.servers.base import STRANGER_HOST

_PRESENCE = "{jabber:component:accept}presence"


class Contacts(RawComponent):
    """Counts requests; answers each with ``subscribed``, and ``subscribe`` for the way back.

    Args:
        address: of the server whose component this is.
        expected: how many contacts there are.
    """

    def __init__(self, address: str, expected: int) -> None:
        super().__init__("contacts", STRANGER_HOST, address)
        self.requests: Counter[str] = Counter()
        """How often each contact was notified."""
        self.approved: set[str] = set()
        """Whose way back was approved."""
        self.began = 0.0
        self.ended = 0.0
        """``time.perf_counter`` of the first request, and of the last approval."""
        self.asked_last = 0.0
        """The same of the last request."""
        self.everybody = asyncio.Event()
        self._expected = expected

    def _handle(self, element: ET.Element) -> None:
        if element.tag != _PRESENCE:
            super()._handle(element)
            return
        contact = element.get("to", "").partition("/")[0]
        mover = element.get("from", "").partition("/")[0]
        now = time.perf_counter()
        if element.get("type") == "subscribe":
            self.began = self.began or now
            self.asked_last = now
            self.requests[contact] += 1
            for kind in ("subscribed", "subscribe"):
                self.send(
                    f"<presence type='{kind}' from={quoteattr(contact)} to={quoteattr(mover)}/>"
                )
        elif element.get("type") == "subscribed":
            self.approved.add(contact)
            self.ended = now
            if len(self.approved) == self._expected:
                self.everybody.set()
