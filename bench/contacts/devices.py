"""Contacts' devices, many of them: they log in, and from then on read without looking."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from tests.live.client import Client, ClientError

_AT_ONCE = 16
_REQUEST = re.compile(rb"<presence ([^>]*type=['\"]subscribe['\"][^>]*)>")
_FROM = re.compile(rb"from=['\"]([^'\"/]*)")


class Device(Client):
    """Available, and interested in roster pushes, of which it counts the bytes that name one.

    Args:
        approves: answers each subscription request with a yes.
    """

    def __init__(self, jid: str, address: str, *, approves: bool) -> None:
        super().__init__(jid, jid, address)
        self.pushes = 0
        self._approves = approves
        self._blind = False

    async def enter(self) -> None:
        """Log in and say so."""
        await self.open()
        await self.roster()
        self._blind = True
        self.send("<presence/>")

    async def _run(self) -> None:
        try:
            while not self._blind:
                for element in self._elements():
                    self._handle(element)
                if not self._blind:
                    await self._feed()
            await self._drain()
        except (ClientError, OSError):
            self.closed_by_peer = True

    async def _drain(self) -> None:
        assert self._reader is not None
        rest = b""
        while data := await self._reader.read(65536):
            whole, end, rest = (rest + data).rpartition(b">")
            self.pushes += whole.count(b"jabber:iq:roster")
            if self._approves:
                for presence in _REQUEST.findall(whole + end):
                    for sender in _FROM.findall(presence):
                        self.send(b"<presence type='subscribed' to='%s'/>" % sender)


async def enter(jids: Sequence[str], address: str, *, approves: bool = False) -> list[Device]:
    """Devices with these full JIDs, logged in."""
    devices = [Device(jid, address, approves=approves) for jid in jids]
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(device: Device) -> None:
        async with gate:
            await device.enter()

    await asyncio.gather(*(one(device) for device in devices))
    return devices
