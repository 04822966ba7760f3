"""The old account's side: the parcel is offered to one account, and goes away again."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from component.account.handover import BadParcel, Fault, Manifest, Parcel, pack
from component.account.model import Piece
from component.account.parcels import (
    MANIFEST_ID,
    NODE,
    RECEIPT_NODE,
    chunk_id,
    is_receipt,
    read_manifest,
    write_chunk,
    write_manifest,
)
from component.core import jids
from component.core.belongings.model import Unread
from component.core.model import Reason
from component.core.statement import judge
from component.engine.belongings.read import look
from component.engine.handover import places
from component.engine.movers.accounts import Accounts
from component.engine.ports import Clock
from component.xmpp.errors import RemoteError, RequestTimeout


class NotNamed(Exception):
    """The old account's moved statement does not name the account that wants its things.

    :ivar reason: what it says instead.
    """

    def __init__(self, old: str, new: str, reason: Reason) -> None:
        super().__init__(f"{old} does not say that it moved to {new} ({reason.value})")
        self.reason = reason


class Ended(StrEnum):
    """How an offer ended."""

    RECEIVED = "received"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    """The statement names the new account no more."""
    UNFINISHED = "unfinished"
    """It was interrupted before its manifest was there, or somebody else wrote into the node."""
    NOTHING = "nothing"
    """There was none."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What stands in the old account, for the new one to fetch."""

    manifest: Manifest
    unread: Sequence[Unread]
    """What of the account could not be read, and so does not come along."""


class Giver:
    """Offers accounts of served hosts.  One offer of an account at a time: that is the caller's."""

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        self._accounts = accounts
        self._clock = clock

    async def offer(self, old: str, new: str) -> Offer:
        """Read the account, and publish it for one reader; the manifest last.

        What was interrupted is begun anew: nobody could have fetched it.  An offer of the very
        same things, to the same account, stays as it is.

        :param old: whose things; ``new``: who may fetch them; prepared bare JIDs.
        :raises NotNamed: the moved statement names somebody else, or there is none.
        :raises BadParcel: the account is too large, or holds what no file can.
        :raises RemoteError: the account cannot be read, or its server does not publish.
        """
        await self._named(old, new)
        reading = await look(self._accounts, old)
        now = self._clock.now()
        parcel = await asyncio.to_thread(_packed, reading.pieces, old, new, now)
        standing = await self.standing(old)
        if standing is not None and _same(standing, parcel.manifest) and now < standing.expires:
            return Offer(standing, reading.unread)
        await places.open_for(self._accounts, old, NODE, new)
        id = parcel.manifest.id
        for number, chunk in enumerate(parcel.chunks):
            payload = write_chunk(id, number, chunk)
            await places.put(self._accounts, old, NODE, chunk_id(id, number), payload)
        # Until now somebody may have changed their mind.
        await self._named(old, new)
        payload = write_manifest(parcel.manifest)
        await places.put(self._accounts, old, NODE, MANIFEST_ID, payload)
        return Offer(parcel.manifest, reading.unread)

    async def standing(self, old: str) -> Manifest | None:
        """The manifest that is there now; None where there is none that could be used.

        :raises RemoteError: the account's server refuses.
        """
        found = await places.get(self._accounts, old, old, NODE, MANIFEST_ID)
        try:
            return read_manifest(found) if found is not None else None
        except BadParcel:
            return None

    async def tidy(self, old: str) -> Ended | None:
        """Delete what is offered, if its time is over; None: it has to stay.

        To be called now and then, until it says how the offer ended.

        :raises RemoteError: the account's server refuses.
        """
        manifest = await self.standing(old)
        if manifest is None:
            return Ended.UNFINISHED if await self.withdraw(old) else Ended.NOTHING
        if self._clock.now() >= manifest.expires:
            ended = Ended.EXPIRED
        elif await self._received(manifest, old):
            ended = Ended.RECEIVED
        elif judge(await self._accounts.statement(old, old), manifest.new) in _OTHERWISE:
            ended = Ended.CANCELLED
        else:
            return None
        await self.withdraw(old)
        return ended

    async def withdraw(self, old: str) -> bool:
        """Delete what is offered; False where there was nothing.

        :raises RemoteError: the account's server refuses.
        """
        return await places.delete(self._accounts, old, NODE)

    async def _named(self, old: str, new: str) -> None:
        reason = judge(await self._accounts.statement(old, old), new)
        if reason is not Reason.VERIFIED:
            raise NotNamed(old, new, reason)

    async def _received(self, manifest: Manifest, old: str) -> bool:
        try:
            receipt = await places.get(self._accounts, old, manifest.new, RECEIPT_NODE, manifest.id)
        except (RemoteError, RequestTimeout):
            return False  # not there, or not for us: the same question is asked again
        return receipt is not None and is_receipt(receipt, manifest)


_OTHERWISE = frozenset({Reason.NO_STATEMENT, Reason.OTHER_JID, Reason.BAD_STATEMENT})
"""Answers that say it, and not only that nothing could be learned."""


def _packed(pieces: Sequence[Piece], old: str, new: str, now: datetime) -> Parcel:
    from component.account.write import write  # and lxml: 4 MiB for what is rare

    file = io.BytesIO()
    try:
        write(file, pieces)
    except ValueError as error:
        raise BadParcel(Fault.FORMAT, str(error)) from error
    return pack(file.getvalue(), old, new, now)


def _same(one: Manifest, other: Manifest) -> bool:
    whose = {(jids.key(each.old), jids.key(each.new)) for each in (one, other)}
    return len(whose) == 1 and (one.sha256, one.chunks) == (other.sha256, other.chunks)
