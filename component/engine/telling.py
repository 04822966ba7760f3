"""What contacts are told about moves that were followed for them: at most once each."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

import structlog

from component.core.contact import Note
from component.core.notices import ContactAsks, ContactMoved, ContactRestored, Notice
from component.core.restore import Difference
from component.xmpp.errors import LinkError

log = structlog.get_logger(__name__)


class Tells(Protocol):
    """The part of a teller (:class:`component.engine.ports.Teller`) that is needed here."""

    def tell(self, to: str, notice: Notice) -> str:
        """Queue a message to a bare JID; returns its id.  Raises LinkError."""


class ContactNotices:
    """Puts a record into a notice.

    Whoever calls has made durable that the contact is told, before they are: a crash between
    the two loses the message and never doubles it.
    """

    def __init__(self, teller: Tells, *, on: bool = True, undo_days: int = 30) -> None:
        """``on``: whether contacts are told at all ([contacts] notice)."""
        self._teller = teller
        self._undo = timedelta(days=undo_days)
        self.on = on

    def set_undo_days(self, days: int) -> None:
        """Change for how long a contact may take a change back."""
        self._undo = timedelta(days=days)

    def undo_until(self, settled: datetime) -> datetime:
        """How long a contact may take a change back that was made at ``settled``."""
        return settled + self._undo

    def note(
        self,
        note: Note,
        *,
        record_id: int,
        contact: str,
        name: str | None,
        old: str,
        new: str,
        at: datetime,
    ) -> None:
        """Tell a contact of a record that was just closed.

        :param name: what the contact's roster calls the mover.
        :param at: when it was closed.
        """
        match note:
            case Note.MOVED:
                until = self.undo_until(at)
                self._tell(contact, ContactMoved(record_id, name, old, new, until))
            case Note.ASKS:
                self._tell(contact, ContactAsks(record_id, name, old, new))

    def restored(
        self,
        *,
        record_id: int,
        contact: str,
        name: str | None,
        old: str,
        new: str,
        differences: tuple[Difference, ...] = (),
    ) -> None:
        """Tell a contact that a change was taken back, and what is not as it was before."""
        if self.on:
            self._tell(contact, ContactRestored(record_id, name, old, new, differences))

    def _tell(self, contact: str, notice: Notice) -> None:
        try:
            self._teller.tell(contact, notice)
        except LinkError as error:
            log.warning(
                "a contact was not told",
                contact=contact,
                notice=type(notice).__name__,
                error=str(error),
            )
