"""What the engine needs of the layers around it, as narrow Protocols."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import datetime
from typing import Literal, Protocol

from component.core.notices import NewAddress, Notice
from component.core.records import (
    Accepted,
    MoveRecord,
    NewRecord,
    Settlement,
    VerdictRecord,
)


class Wire(Protocol):
    """The stream to the server."""

    async def request(
        self, kind: Literal["get", "set"], to: str, payload: ET.Element, *, timeout: float
    ) -> ET.Element:
        """Send an IQ and return the whole answer; raises LinkError subclasses."""


class Journal(Protocol):
    """The durable record of what was asked, decided and changed."""

    async def add(self, d: NewRecord) -> int:
        """Durable on return."""

    async def add_decided(self, d: NewRecord, v: VerdictRecord) -> tuple[int, bool]:
        """Add and verdict in one write, with the results of both; durable on return."""

    async def verdict(self, id: int, v: VerdictRecord) -> bool:
        """Durable on return; False where the record is closed already."""

    async def settle(self, id: int, s: Settlement, *, patience: float = 0.0) -> bool:
        """Durable on return; False where the record is closed already.

        :param patience: seconds that it may be put off to be written with others.
        """

    async def unsettled(self) -> list[MoveRecord]:
        """Records with no end yet, oldest first."""

    async def accepted_since(self, since: datetime) -> list[Accepted]:
        """Moves that were followed."""

    async def led_to(self, old: str, new: str, old_account: str | None) -> str | None:
        """The token of the account that an old one was last known to lead to; None: not known."""


class Clock(Protocol):
    """Both clocks: ``now`` for records, ``tick`` (monotonic seconds) for intervals."""

    def now(self) -> datetime:
        """Aware UTC time of day."""

    def tick(self) -> float:
        """Monotonic seconds."""


class Gauges(Protocol):
    """Figures that the engine reports as it goes."""

    def decided(self, verdict: str, reason: str, seconds: float) -> None:
        """A verdict left ``seconds`` after its request came."""

    def outcome(self, seconds: float) -> None:
        """The server said what became of a verdict, ``seconds`` after it left."""

    def fetched(self, result: str, seconds: float) -> None:
        """An old account answered, or did not."""

    def open_requests(self, count: int) -> None:
        """Requests being worked on now."""


class Teller(Protocol):
    """Says things to users, in their language."""

    def tell(self, to: str, notice: Notice, *, replaces: str | None = None) -> str:
        """Queue a chat message to a bare JID; returns its id.

        :param replaces: the id of the message that this one corrects (XEP-0308).
        :raises LinkError: the stream is down.
        """

    def answer_text(self, lang: str | None, address: NewAddress) -> tuple[str, str]:
        """The language and the text of the answer to somebody who wrote to an old account.

        :param lang: the language tag of what they wrote, if it had one.
        """

    def status_text(self, user: str, old: str, new: str) -> str:
        """What a request says to people whose server or client knows nothing of moves.

        :param user: the mover, whose language it is in.
        """
