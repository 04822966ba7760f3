"""A played server whose users can upload files, to a real HTTP server."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from io import BytesIO
from typing import Literal

from component.account.model import Piece
from component.account.write import write
from component.engine.belongings.copies import Copies
from component.engine.files.service import Files
from component.engine.files.slots import Slots
from component.web.client import WebClient
from component.xmpp.codecs import tag
from component.xmpp.errors import RequestTimeout
from component.xmpp.names import (
    NS_CLIENT,
    NS_DISCO_INFO,
    NS_DISCO_ITEMS,
    NS_HOOK,
    NS_STANZAS,
    NS_UPLOAD,
)
from sim.account_server import AccountServer
from tests.unit.web.storage import Storage


class UploadServer(AccountServer):
    """Like its parent; ``service`` keeps files in ``storage``.

    :param service: the address that is an upload service: a host, or one of ``items``.
    """

    def __init__(self, storage: Storage, service: str = "upload.new.example") -> None:
        super().__init__()
        self.storage = storage
        self.service = service
        self.items = ["rooms.new.example", "late.new.example", "upload.new.example"]
        self.refuses: str | None = None
        """The condition with which the service refuses slots."""
        self.listed: str | None = None
        """The condition with which the host refuses to list its services."""
        self.slots: list[tuple[str, int]] = []
        """By whom slots were asked for, and of which size."""
        self.base = ""
        """Where slots are, if not in the storage."""

    def files(self, copies: Copies, *, most_mib: int = 1, may: bool = True) -> Files:
        """The engine's part, on this server."""
        accounts, _ = self.sides
        slots = Slots(accounts, look_seconds=0.1)
        web = WebClient(total=5.0, silent=2.0)
        return Files(slots, copies, web, may=lambda host: may, most_mib=lambda: most_mib)

    def shared(self, content: bytes | list[Piece], name: str = "juliet.xml") -> str:
        """A file that a user has uploaded: its link."""
        if isinstance(content, list):
            file = BytesIO()
            write(file, content)
            content = file.getvalue()
        path = f"/share/{len(self.storage.files)}/{name}"
        self.storage.files[path] = content
        return self.storage.base + path

    async def request(
        self, kind: Literal["get", "set"], to: str, payload: ET.Element, *, timeout: float
    ) -> ET.Element:
        """Answer questions to the host and its services; the rest is about the account."""
        inner = payload[0] if len(payload) else payload
        whom = inner.get("to")
        if payload.tag != tag(NS_HOOK, "query") or whom is None:
            return await super().request(kind, to, payload, timeout=timeout)
        if whom.startswith("late."):
            raise RequestTimeout("late")
        reply = ET.Element("iq")
        whole = ET.SubElement(ET.SubElement(reply, tag(NS_HOOK, "query")), tag(NS_CLIENT, "iq"))
        answer = self._service(to, whom, inner[0])
        whole.set("type", "error" if isinstance(answer, str) else "result")
        if isinstance(answer, str):
            error = ET.SubElement(whole, tag(NS_CLIENT, "error"), {"type": "cancel"})
            ET.SubElement(error, tag(NS_STANZAS, answer))
        else:
            whole.append(answer)
        return reply

    def _service(self, user: str, whom: str, asked: ET.Element) -> ET.Element | str:
        answer = ET.Element(asked.tag)
        if asked.tag == tag(NS_DISCO_ITEMS, "query"):
            if self.listed is not None:
                return self.listed
            for jid in self.items:
                ET.SubElement(answer, tag(NS_DISCO_ITEMS, "item"), {"jid": jid})
            return answer
        if asked.tag == tag(NS_DISCO_INFO, "query"):
            if whom == self.service:
                ET.SubElement(answer, tag(NS_DISCO_INFO, "feature"), {"var": NS_UPLOAD})
            return answer
        assert asked.tag == tag(NS_UPLOAD, "request")
        assert whom == self.service
        if self.refuses is not None:
            return self.refuses
        self.slots.append((user, int(asked.get("size", ""))))
        base = self.base or f"{self.storage.base}/share/"
        url = f"{base}s{len(self.slots)}/{asked.get('filename')}"
        slot = ET.Element(tag(NS_UPLOAD, "slot"))
        put = ET.SubElement(slot, tag(NS_UPLOAD, "put"), {"url": url})
        ET.SubElement(put, tag(NS_UPLOAD, "header"), {"name": "authorization"}).text = "To\nken"
        ET.SubElement(put, tag(NS_UPLOAD, "header"), {"name": "Host"}).text = "evil.example"
        ET.SubElement(slot, tag(NS_UPLOAD, "get"), {"url": url})
        return slot
