"""One request of the contact side under way, and its row in the journal."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import datetime

from component.core.contact import Case
from component.core.records import NewRecord, VerdictRecord
from component.engine.ports import Journal
from component.store.errors import StoreError
from component.xmpp.codecs import Outcome


@dataclass(eq=False, slots=True)
class Request:
    """What is known of it.  Its methods raise StoreError where the journal cannot be written."""

    case: Case
    epoch: int
    """Of the stream that it came on."""
    started: float
    at: datetime
    """When it came: its entries are of that time."""
    outcome: asyncio.Future[Outcome]
    """What the server says became of it; cancelled when the stream is lost."""
    stopped: asyncio.Future[None]
    """Done when there is no more time: the component stops, or whoever held it is gone."""
    journal: Journal
    gone: bool = False
    """Whether the hook instance that held it is no more: nobody will say what became of it."""
    admitted: bool = False
    """Whether it takes a place of those there are for open requests."""
    passes: bool = False
    """Whether it was clear from the start that it would not be followed."""
    recorded: bool = True
    """Whether the journal is to know of it."""
    decided: float = 0.0
    answer: ET.Element | None = None
    old_account: str | None = None
    """The token of the old account, where that is on a served host and was asked for."""
    new_account: str | None = None
    """The same of the new one."""
    patience: asyncio.TimerHandle | None = None
    """Set while the outcome is awaited."""
    _row: asyncio.Future[int] | None = None

    @property
    def noted(self) -> bool:
        """Its row is in the journal, or on its way there."""
        return self._row is not None

    def note(self) -> asyncio.Future[int]:
        """Have the journal take note of it, unless it has; nobody need wait for that."""
        if self._row is None:
            adding = self.journal.add(self._record())
            self._row = asyncio.create_task(adding, name="journal a request")
        return self._row

    async def row(self) -> int:
        """The number of its row, which is durable then."""
        row = self.note()
        return row.result() if row.done() else await asyncio.shield(row)

    async def decide(self, verdict: VerdictRecord) -> bool:
        """Make a verdict durable; False where the record is closed, or was decided before.

        What is decided as it comes is one write.
        """
        if self._row is not None:
            return await self.journal.verdict(await self.row(), verdict)
        row = self._row = asyncio.get_running_loop().create_future()
        try:
            id_, kept = await self.journal.add_decided(self._record(), verdict)
        except StoreError as error:
            row.set_exception(error)
            raise
        except BaseException:
            row.cancel()
            raise
        row.set_result(id_)
        return kept

    def stop(self) -> None:
        """Tell whoever waits for the old account that there is no more time."""
        if not self.stopped.done():
            self.stopped.set_result(None)

    def be_patient(self, timer: asyncio.TimerHandle | None) -> None:
        """Await its outcome until then; None: no longer."""
        if self.patience is not None:
            self.patience.cancel()
        self.patience = timer

    def end(self) -> None:
        """Nobody waits for anything of it any more."""
        self.be_patient(None)
        if self._row is not None and self._row.done() and not self._row.cancelled():
            self._row.exception()  # told where it mattered

    def _record(self) -> NewRecord:
        return NewRecord(self.at, self.case.divert)
