"""What is needed around files of users, and what may be ordered about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, Protocol

from component.core.belongings.model import Unread
from component.core.belongings.report import Report


class Trouble(StrEnum):
    """Why a file was not brought, nor made; the interfaces have a sentence for each."""

    OFF = "off"
    """The admin has switched it off."""
    OLD_HOOK = "old-hook"
    """The server module is of a release that cannot do this, or its admin does not let it."""
    NO_SERVICE = "no-service"
    """The server keeps no files (XEP-0363)."""
    REFUSED = "refused"
    """The upload service gives no place."""
    NO_LINK = "no-link"
    ELSEWHERE = "elsewhere"
    """The link does not lead into the storage of the user's own server."""
    TOO_LARGE = "too-large"
    NOT_THERE = "not-there"
    """The server answers with another status than 200, a redirect for one."""
    UNREACHABLE = "unreachable"
    SLOW = "slow"
    BAD_FILE = "bad-file"
    BUSY = "busy"


class FileTrouble(Exception):
    """A file cannot be brought, or made.

    :ivar trouble: why.
    :ivar facts: for the sentence: ``mib``, ``status``, ``condition``; of a bad file ``why``
        (:class:`component.account.errors.Why`), ``line`` and ``element``.
    """

    def __init__(self, trouble: Trouble, **facts: str) -> None:
        super().__init__(trouble.value, facts)
        self.trouble, self.facts = trouble, facts


class Web(Protocol):
    """Gets and puts files, following no redirect and keeping no cookie.

    Both raise :class:`FileTrouble`: NOT_THERE, UNREACHABLE, SLOW and, of what is got, TOO_LARGE.
    """

    async def get(self, url: str, into: BinaryIO, most: int) -> None:
        """Get a file of at most so many bytes."""

    async def put(self, url: str, headers: Mapping[str, str], file: BinaryIO, size: int) -> None:
        """Put a file of exactly this many bytes, from where it stands."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one file (XEP-0363 section 5)."""

    put: str
    get: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Exported:
    """An account as a file."""

    link: str
    """Whoever has it can read the file."""
    unread: Sequence[Unread] = ()
    """What the server did not hand out."""


class FileOrders(Protocol):
    """Orders of a user about files; the ``asker`` is the authority, and it is served here.

    What cannot be done raises :class:`FileTrouble`, or
    :class:`~component.core.journey.model.Refused`.
    """

    async def preview(self, asker: str, link: str) -> Report:
        """What a file would add, change and leave alone, as a copy's preview does."""

    async def export(self, asker: str) -> Exported:
        """Put the asker's account as a file into the upload service."""
