"""Upload slots (XEP-0363), asked for as the user, through the hook's query."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from dataclasses import dataclass

from component.core import jids
from component.core.conditions import Condition
from component.engine.asking import Asking
from component.engine.files.ports import FileTrouble, Slot, Trouble
from component.xmpp import mover_codecs
from component.xmpp.codecs import tag
from component.xmpp.errors import RemoteError, RequestTimeout
from component.xmpp.names import NS_DISCO_ITEMS, NS_UPLOAD

MOST_ITEMS = 30
"""Services of a host that are looked at."""
CONTENT_TYPE = "application/xml"
_HEADERS = {"authorization": "Authorization", "cookie": "Cookie", "expires": "Expires"}
"""Those that a slot may ask for (XEP-0363 section 5)."""


@dataclass(frozen=True, slots=True)
class Slots:
    """Finds the upload service of users' hosts, and asks it for places."""

    accounts: Asking
    look_seconds: float = 5.0
    """How long the services of a host have to say what they are."""

    async def service(self, user: str) -> str:
        """The upload service of a user's host.

        :raises FileTrouble: there is none.
        :raises LinkError: the stream is down, or the server does not answer.
        """
        host = jids.domain(user)
        if await self._stores(user, host):
            return host
        listed = ET.Element(tag(NS_DISCO_ITEMS, "query"))
        try:
            inner = await self.accounts.query(user, "get", listed, host)
        except RemoteError as error:
            raise FileTrouble(Trouble.NO_SERVICE, condition=error.condition) from error
        items = inner.iter(tag(NS_DISCO_ITEMS, "item"))
        named = [jids.entity(item.get("jid")) for item in items if not item.get("node")]
        services = [jid for jid in dict.fromkeys(named) if jid is not None][:MOST_ITEMS]
        if not services:
            raise FileTrouble(Trouble.NO_SERVICE)
        looks = [asyncio.create_task(self._stores(user, jid)) for jid in services]
        done, late = await asyncio.wait(looks, timeout=self.look_seconds)
        for look in late:
            look.cancel()
        for jid, look in zip(services, looks, strict=True):
            if look in done and look.result():
                return jid
        raise FileTrouble(Trouble.NO_SERVICE)

    async def _stores(self, user: str, jid: str) -> bool:
        """Whether something is an upload service; what does not answer is none."""
        try:
            inner = await self.accounts.query(user, "get", mover_codecs.disco_request(), jid)
        except (RemoteError, RequestTimeout):
            return False
        features, _ = mover_codecs.read_features(inner)
        return NS_UPLOAD in features

    async def slot(self, user: str, service: str, name: str, size: int) -> Slot:
        """A place for a file of a user's.

        :param size: in bytes.
        :raises FileTrouble: the service gives none.
        :raises LinkError: the stream is down, or the server does not answer.
        """
        asked = ET.Element(
            tag(NS_UPLOAD, "request"),
            {"filename": name, "size": str(size), "content-type": CONTENT_TYPE},
        )
        try:
            inner = await self.accounts.query(user, "get", asked, service)
        except RemoteError as error:
            trouble = Trouble.REFUSED
            if error.condition == Condition.NOT_ACCEPTABLE:  # section 5.1: the file is too large
                trouble = Trouble.TOO_LARGE
            raise FileTrouble(trouble, condition=error.condition) from error
        slot = read_slot(inner)
        if slot is None:
            raise FileTrouble(Trouble.REFUSED)
        return slot


def read_slot(inner: ET.Element) -> Slot | None:
    """The slot in a result; None where there is no whole one."""
    put, get = (
        inner.find(f"{tag(NS_UPLOAD, 'slot')}/{tag(NS_UPLOAD, name)}") for name in ("put", "get")
    )
    if put is None or get is None or not put.get("url") or not get.get("url"):
        return None
    headers: dict[str, str] = {}
    for header in put.findall(tag(NS_UPLOAD, "header")):
        name = _HEADERS.get(header.get("name", "").lower())
        if name is not None:
            # Section 5: line breaks are to be removed.
            headers[name] = (header.text or "").replace("\r", "").replace("\n", "")
    return Slot(put.get("url", ""), get.get("url", ""), headers)
