"""A scene of a hand-over: what the old account has packed is fetched, copied and acknowledged."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from component.account.handover import pack
from component.account.model import Contact, Identity, Piece, in_order
from component.account.parcels import MANIFEST_ID, NODE, chunk_id, write_chunk, write_manifest
from component.account.write import write
from component.core.model import Subscription
from component.engine.asking import Asking
from component.engine.handover import places
from component.xmpp.errors import RemoteError
from tests.live.client import Client
from tests.live.crash.elsewhere import Arriving
from tests.live.crash.following import SEEN
from tests.live.crash.theatre import Act
from tests.live.faults.house import until
from tests.live.movers.guides import GUIDES
from tests.live.servers.base import COMPONENT_HOST

KNOWN = "aunt@elsewhere.example"
"""On the old roster without any subscription: only the copy brings it."""


class Device(Asking):
    """Asks as the account that a device is logged in to."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def query(
        self, user: str, kind: Literal["get", "set"], payload: ET.Element, to: str | None = None
    ) -> ET.Element:
        """See :class:`Asking`; ``user`` is the account of the device."""
        answer = await self._client.request(ET.tostring(payload, "unicode"), kind=kind, to=to)
        if answer.get("type") != "result":
            raise RemoteError.from_element(answer)
        return answer


class Fetched(Arriving):
    """From a server whose component has packed everything, and sleeps."""

    async def enter(self) -> None:
        """See :class:`Scene`."""
        await super().enter()
        packed = io.BytesIO()
        contacts = [
            Contact(jid, "Somebody", (), Subscription(entry.subscription))
            for jid, entry in self.cast.arranged(self.old).items()
        ]
        user, _, host = self.old.jid.partition("@")
        pieces: list[Piece] = [Identity(host, user), *contacts, Contact(KNOWN, "Aunt", ("B",))]
        write(packed, in_order(pieces))
        parcel = pack(packed.getvalue(), self.old.jid, self.new.jid, datetime.now(UTC))
        device, old, id_ = Device(self.old.device), self.old.jid, parcel.manifest.id
        await places.open_for(device, old, NODE, self.new.jid)
        for number, chunk in enumerate(parcel.chunks):
            payload = write_chunk(id_, number, chunk)
            await places.put(device, old, NODE, chunk_id(id_, number), payload)
        await places.put(device, old, NODE, MANIFEST_ID, write_manifest(parcel.manifest))

    @property
    def acts(self) -> Sequence[Act]:
        """See :class:`Scene`."""
        begin, done, *undone = super().acts
        return [begin, done, self.brought, *undone]

    async def begin(self) -> None:
        """At the new account; the contacts come from the old one."""
        if await self.found() is None:
            guide = GUIDES["chat"](self.new, COMPONENT_HOST)
            said = await guide.order("arrive", old=self.old.jid)
            assert "has begun" in said, said

    async def brought(self) -> None:
        """Everything is there by the end of the move, or was taken back again."""

        async def there() -> bool:
            entry = (await self.new.roster()).get(KNOWN)
            return entry is not None and (entry.name, entry.groups) == ("Aunt", ("B",))

        if await self.state() == "done":
            await until(there, "what only the copy brings is there", SEEN, self.story)
