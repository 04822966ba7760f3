"""A person with a device: an ordinary slixmpp client that remembers what it saw."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from slixmpp import JID, ClientXMPP
from slixmpp.stanza import Iq, Message, Presence

from tests.live.servers.base import C2S_PORT, PASSWORD

_REPLACE = "{urn:xmpp:message-correct:0}replace"


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


@dataclass(slots=True)
class Heard:
    """One chat message: its first version, and those that corrected it (XEP-0308)."""

    sender: str
    """A bare JID."""
    thread: str
    versions: list[str] = field(default_factory=list)

    @property
    def body(self) -> str:
        """What a client shows now."""
        return self.versions[-1]


class Person(ClientXMPP):
    """Logs in, keeps the roster by its pushes, and notes each of them, each request and message.

    It does nothing by itself: no request is approved, nothing is answered.
    """

    def __init__(self, jid: str, device: str) -> None:
        super().__init__(f"{jid}/{device}", PASSWORD)
        self.who = f"{jid.partition('@')[0].capitalize()}'s {device}"
        self.seen: list[tuple[str, str]] = []
        """What each thing was, and what it said."""
        self.requests: list[str] = []
        self.messages: dict[str, Heard] = {}
        """By the id of the first version, in the order of their coming."""
        self.entries: dict[str, Entry] = {}
        self.changed = asyncio.Event()
        self.auto_authorize = None
        self.auto_subscribe = False
        self.enable_starttls = False
        self.enable_direct_tls = False
        self.enable_plaintext = True
        self.plugin["feature_mechanisms"].unencrypted_plain = True
        self.register_plugin("xep_0199")
        self.add_event_handler("roster_update", self._on_roster)
        self.add_event_handler("presence_subscribe", self._on_request)
        self.add_event_handler("message", self._on_message)

    async def log_in(self, address: str, port: int = C2S_PORT) -> None:
        """Connect, read the roster and become available; raises RuntimeError."""
        loop = asyncio.get_running_loop()
        started: asyncio.Future[Any] = loop.create_future()
        failed: asyncio.Future[Any] = loop.create_future()
        self.add_event_handler("session_start", lambda _: started.set_result(None), disposable=True)
        self.add_event_handler(
            "failed_all_auth", lambda _: failed.set_result(None), disposable=True
        )
        self.connect(address, port)
        done, _ = await asyncio.wait(
            {started, failed}, timeout=10, return_when=asyncio.FIRST_COMPLETED
        )
        if started not in done:
            raise RuntimeError(f"{self.who} could not log in")
        await self.get_roster()
        self.send_presence()
        await self.ping()

    async def ping(self) -> None:
        """Wait until everything sent before has been dealt with by the own server."""
        await self.plugin["xep_0199"].send_ping(JID(self.boundjid.domain), timeout=10)

    def write(self, to: str, text: str, thread: str) -> None:
        """Send a chat message."""
        message = self.make_message(mto=JID(to), mbody=text, mtype="chat")
        message["thread"] = thread
        message.send()

    def accept(self, jid: str) -> None:
        """What a click on "accept" does in most clients: approve, and ask back."""
        for kind in ("subscribed", "subscribe"):
            self.send_presence(pto=JID(jid), ptype=kind)

    def heard(self, text: str, sender: str) -> list[Heard]:
        """Messages of a sender that hold a text in their newest version."""
        return [m for m in self.messages.values() if m.sender == sender and text in m.body]

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
            gone = entry.subscription == "remove"
            if gone:
                self.entries.pop(str(jid), None)
            else:
                self.entries[str(jid)] = entry
            if iq["type"] == "set":
                news = "is no longer there" if gone else f"is now {entry}"
                self.seen.append(("roster", f"{jid} {news}"))
        self.changed.set()

    def _on_request(self, presence: Presence) -> None:
        sender, status = presence["from"].bare, presence["status"]
        self.requests.append(sender)
        said = f": “{status}”" if status else ""
        self.seen.append(("request", f"from {sender}{said}"))
        self.changed.set()

    def _on_message(self, message: Message) -> None:
        sender, body = message["from"].bare, message["body"]
        if not body:
            return
        replaced = message.xml.find(_REPLACE)
        first = message["id"] if replaced is None else replaced.get("id", "")
        heard = self.messages.setdefault(first, Heard(sender, message["thread"]))
        heard.versions.append(body)
        self.seen.append(("message", f"from {sender}: “{body}”"))
        self.changed.set()
