"""The new account's side: the parcel is fetched as the new account, and its receipt is given."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from component.account.handover import BadParcel, Fault, Manifest, Unpacker, parcel_id
from component.account.model import Piece
from component.account.parcels import (
    MANIFEST_ID,
    NODE,
    RECEIPT_NODE,
    chunk_id,
    read_chunk,
    read_manifest,
    write_receipt,
)
from component.core.model import Reason
from component.core.statement import judge
from component.engine.handover import places
from component.engine.handover.give import NotNamed
from component.engine.movers.accounts import Accounts
from component.engine.ports import Clock
from component.xmpp.errors import RemoteError, RequestTimeout


class NothingOffered(Exception):
    """The old account has no parcel for us, or none yet."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A parcel, checked against its manifest; kept packed, for it may unpack to a lot."""

    unpacker: Unpacker

    @property
    def manifest(self) -> Manifest:
        """What it is, and whose."""
        return self.unpacker.manifest

    def pieces(self) -> Iterable[Piece]:
        """What is in it, unpacked as it is read.  Iterating raises
        :class:`component.account.errors.BadFile` where the file is none, or somebody else's."""
        from component.account.read import Reader  # and lxml: 4 MiB for what is rare

        return Reader(self.unpacker.open(), self.manifest.old)


class Taker:
    """Fetches one account's things for one other account, in as many goes as it takes.

    :param old: the account that offers; ``new``: an account of a served host; prepared bare JIDs.
    """

    def __init__(self, accounts: Accounts, clock: Clock, old: str, new: str) -> None:
        self._accounts = accounts
        self._clock = clock
        self._old = old
        self._new = new
        self._unpacker: Unpacker | None = None

    @property
    def progress(self) -> tuple[int, int]:
        """Chunks that are here, and all of them; zeroes before the manifest is."""
        if self._unpacker is None:
            return 0, 0
        count = len(self._unpacker.manifest.chunks)
        return count - len(self._unpacker.missing), count

    async def fetch(self) -> Taken:
        """Fetch what is missing, and check it.

        May be called again after whatever it raises: chunks that are here are not asked for twice,
        unless the old account has packed anew meanwhile.

        :raises NotNamed: the old account does not say that it moved to the new one.
        :raises NothingOffered: there is no parcel (yet), or it is gone.
        :raises BadParcel: it is refused, and which chunk is to blame.
        :raises LinkError: the old account's server refuses, or cannot be reached, or the stream
            is down.
        """
        reason = judge(await self._accounts.statement(self._new, self._old), self._new)
        if reason is not Reason.VERIFIED:
            raise NotNamed(self._old, self._new, reason)
        unpacker = await self._manifest()
        parcel = unpacker.manifest.id
        for number in unpacker.missing:
            found = await self._item(chunk_id(parcel, number))
            if found is None:
                raise BadParcel(Fault.INCOMPLETE, "it is not there", number)
            of, told, data = _chunk(found, number)
            if told != number:
                raise BadParcel(Fault.TAMPERED, f"it says that it is chunk {told}", number)
            unpacker.take(of, number, data)
        await asyncio.to_thread(unpacker.check, self._clock.now())
        return Taken(unpacker)

    async def acknowledge(self, sha256: str) -> None:
        """Say, to the old account alone, that its things are here.

        :param sha256: of the parcel's file, as its manifest has it.
        :raises RemoteError: the new account's server refuses; the parcel then stays until it
            expires.
        """
        await places.open_for(self._accounts, self._new, RECEIPT_NODE, self._old)
        receipt = write_receipt(self._old, sha256)
        await places.put(self._accounts, self._new, RECEIPT_NODE, parcel_id(sha256), receipt)

    async def tidy(self, expires: datetime) -> bool:
        """Delete the receipt once nobody looks for it any more; whether that is so.

        :param expires: when the parcel does.
        :raises RemoteError: the new account's server refuses.
        """
        if self._clock.now() < expires:
            try:
                found = await self._item(MANIFEST_ID)
            except (RemoteError, RequestTimeout):
                return False  # the old server is not there: it may have to look yet
            if found is not None:
                return False
        await self.withdraw()
        return True

    async def withdraw(self) -> None:
        """Delete the receipt.  :raises RemoteError: the new account's server refuses."""
        await places.delete(self._accounts, self._new, RECEIPT_NODE)

    async def _manifest(self) -> Unpacker:
        found = await self._item(MANIFEST_ID)
        if found is None:
            raise NothingOffered(f"{self._old} has nothing ready for {self._new}")
        manifest = read_manifest(found)
        if self._unpacker is None or self._unpacker.manifest != manifest:
            now = self._clock.now()
            self._unpacker = Unpacker(manifest, self._old, self._new, now)
        return self._unpacker

    async def _item(self, id: str) -> ET.Element | None:
        return await places.get(self._accounts, self._new, self._old, NODE, id)


def _chunk(element: ET.Element, number: int) -> tuple[str, int, bytes]:
    """As :func:`read_chunk`, but what is wrong is said of the chunk that was asked for."""
    try:
        return read_chunk(element)
    except BadParcel as error:
        raise BadParcel(error.fault, error.text, number) from None
