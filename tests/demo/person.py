"""A person with a device: an ordinary slixmpp client that remembers what it saw."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, cast

from slixmpp import JID, ClientXMPP
from slixmpp.stanza import Iq, Presence

import component.xmpp.xep_0283 as xep_0283
from tests.live.servers.base import C2S_PORT, PASSWORD


@dataclass(frozen=True, slots=True)
class Entry:
    """A roster entry as a client shows it."""

    subscription: str
    asked: bool = False
    name: str = ""
    groups: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = self.subscription + (", asked" if self.asked else "")
        if self.name:
            text += f', "{self.name}"'
        if self.groups:
            text += f" in {', '.join(self.groups)}"
        return text


class Person(ClientXMPP):
    """Logs in, keeps the roster by its pushes, and notes each of them and each request.

    :param approves: whether requests are approved without asking the person, as the new account
        of a mover does for the contacts who come along.
    """

    def __init__(self, jid: str, device: str, *, approves: bool = False) -> None:
        super().__init__(f"{jid}/{device}", PASSWORD)
        self.who = f"{jid.partition('@')[0].capitalize()}'s {device}"
        self.seen: list[str] = []
        self.entries: dict[str, Entry] = {}
        self.changed = asyncio.Event()
        self.auto_authorize = True if approves else None
        self.auto_subscribe = False
        self.enable_starttls = False
        self.enable_direct_tls = False
        self.enable_plaintext = True
        self.plugin["feature_mechanisms"].unencrypted_plain = True
        for plugin in ("xep_0060", "xep_0163", "xep_0199"):
            self.register_plugin(plugin)
        self.register_plugin("xep_0283", module=xep_0283)
        self.add_event_handler("roster_update", self._on_roster)
        self.add_event_handler("presence_subscribe", self._on_request)

    @property
    def moved(self) -> xep_0283.XEP_0283:
        """The plugin, whose name slixmpp's own type for plugins does not know."""
        return cast("dict[str, xep_0283.XEP_0283]", self.plugin)["xep_0283"]

    async def log_in(self, address: str) -> None:
        """Connect, read the roster and become available."""
        loop = asyncio.get_running_loop()
        started: asyncio.Future[Any] = loop.create_future()
        failed: asyncio.Future[Any] = loop.create_future()
        self.add_event_handler("session_start", lambda _: started.set_result(None), disposable=True)
        self.add_event_handler(
            "failed_all_auth", lambda _: failed.set_result(None), disposable=True
        )
        self.connect(address, C2S_PORT)
        done, _ = await asyncio.wait(
            {started, failed}, timeout=10, return_when=asyncio.FIRST_COMPLETED
        )
        if started not in done:
            raise RuntimeError(f"{self.who} could not log in")
        await self.get_roster()
        self.send_presence()
        await self.ping()
        self.seen.clear()

    async def ping(self) -> None:
        """Wait until everything sent before has been dealt with by the own server."""
        await self.plugin["xep_0199"].send_ping(JID(self.boundjid.domain), timeout=10)

    async def log_out(self) -> None:
        """Disconnect in order."""
        await self.disconnect(wait=2)

    def _on_roster(self, iq: Iq) -> None:
        for jid, item in iq["roster"]["items"].items():
            entry = Entry(
                item["subscription"],
                item["ask"] == "subscribe",
                item["name"],
                tuple(sorted(item["groups"])),
            )
            self.entries[str(jid)] = entry
            if iq["type"] == "set":
                self.seen.append(f"roster: {jid} is now {entry}")
        self.changed.set()

    def _on_request(self, presence: Presence) -> None:
        self.seen.append(f"a subscription request from {presence['from'].bare}")
        self.changed.set()
