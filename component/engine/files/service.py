"""Brings a file that a user has uploaded, and makes one of a user's account."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import BinaryIO

import structlog

from component.account.errors import BadFile, Limits
from component.account.model import Identity, Piece
from component.core import jids, links
from component.core.belongings.report import Report
from component.engine.belongings.ports import CopyOrders, FromPieces
from component.engine.belongings.read import look
from component.engine.files.ports import Exported, FileTrouble, Trouble, Web
from component.engine.files.slots import Slots
from component.engine.movers.orders import explained

TRANSFERS = 4
"""Files on their way at the same time."""
LIMITS = Limits(contacts=50_000)
"""Ten times what a large roster has."""
_MIB = 1024 * 1024
log = structlog.get_logger(__name__)


class Files:
    """Implements :class:`~component.engine.files.ports.FileOrders`.

    :param may: whether the hook of a host lets the component ask for upload slots as a user.
    :param most_mib: how large a file may be, in MiB; 0: no files.
    """

    def __init__(
        self,
        slots: Slots,
        copies: CopyOrders,
        web: Web,
        *,
        may: Callable[[str], bool],
        most_mib: Callable[[], int],
    ) -> None:
        self._slots = slots
        self._copies = copies
        self._web = web
        self._may = may
        self._most_mib = most_mib
        self._asking: set[str] = set()
        self._transfers = asyncio.Semaphore(TRANSFERS)
        self._memory = asyncio.Lock()
        """One export at a time: it takes the account's size in memory several times."""

    async def preview(self, asker: str, link: str) -> Report:
        """See :class:`FileOrders`."""
        with self._one_at_a_time(asker):
            if not links.is_link(link):
                raise FileTrouble(Trouble.NO_LINK)
            most = self._most()
            url = await self._checked(asker, link)
            async with self._transfers:
                with TemporaryFile() as file:  # has no name, and is gone when it is closed
                    await self._web.get(url, file, most)
                    file.seek(0)
                    return await self._read(asker, file)

    async def export(self, asker: str) -> Exported:
        """See :class:`FileOrders`."""
        with self._one_at_a_time(asker):
            most = self._most()
            self._need_hook(asker)
            with explained():
                service = await self._slots.service(asker)
            async with self._transfers:
                with TemporaryFile() as file:
                    async with self._memory:
                        with explained():
                            reading = await look(self._slots.accounts, asker)
                        await asyncio.to_thread(_write, file, reading.pieces)
                    size = file.tell()
                    if size > most:
                        raise FileTrouble(Trouble.TOO_LARGE)
                    file.seek(0)
                    with explained():
                        slot = await self._slots.slot(asker, service, "account.xml", size)
                    await self._web.put(slot.put, slot.headers, file, size)
            log.info("an account was exported", asker=asker, bytes=size)
            return Exported(slot.get, reading.unread)

    async def _read(self, asker: str, file: BinaryIO) -> Report:
        """The preview of a file.  :raises FileTrouble: it cannot be read."""
        try:
            identity = await asyncio.to_thread(_whose, file)
            file.seek(0)
            found = await self._copies.preview(asker, FromPieces(_pieces(file), identity.jid))
        except BadFile as bad:
            raise FileTrouble(
                Trouble.BAD_FILE, why=bad.why.value, line=str(bad.line), element=bad.element
            ) from bad
        log.info("a file was read", asker=asker, account=identity.jid, things=found.total)
        return found

    @contextmanager
    def _one_at_a_time(self, asker: str) -> Iterator[None]:
        if asker in self._asking:
            raise FileTrouble(Trouble.BUSY)
        self._asking.add(asker)
        try:
            yield
        finally:
            self._asking.discard(asker)

    def _most(self) -> int:
        most = self._most_mib()
        if not most:
            raise FileTrouble(Trouble.OFF)
        return most * _MIB

    def _need_hook(self, asker: str) -> None:
        if not self._may(jids.domain(asker)):
            raise FileTrouble(Trouble.OLD_HOOK)

    async def _checked(self, asker: str, link: str) -> str:
        """The address to get a user's link from.

        :raises FileTrouble: it is not of the storage of the user's own server.
        """
        self._need_hook(asker)
        with explained():
            service = await self._slots.service(asker)
            # A name of its own: nothing that the user writes is in it.
            probe = await self._slots.slot(asker, service, f"{secrets.token_hex(8)}.xml", 1)
        url = links.same_storage(link, probe.get)
        if url is None:
            log.info("a link elsewhere was not followed", asker=asker)
            raise FileTrouble(Trouble.ELSEWHERE)
        return url


def _whose(file: BinaryIO) -> Identity:
    """Whose account a file holds, for it comes first.  :raises BadFile: it cannot be read."""
    first = next(iter(_pieces(file)))
    assert isinstance(first, Identity)  # the reader refuses a file without
    return first


# With these comes lxml: 4 MiB for what is rare.


def _pieces(file: BinaryIO) -> Iterable[Piece]:
    from component.account.read import Reader

    return Reader(file, limits=LIMITS)


def _write(file: BinaryIO, pieces: Iterable[Piece]) -> None:
    from component.account.write import write

    write(file, pieces)
