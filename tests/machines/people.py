"""People with an ordinary client: TLS, the test's authority, and nothing known of XEP-0283."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from slixmpp.stanza import Presence

from tests.demo.person import Entry, Heard, Person

T = TypeVar("T")
PORT = 5222
PATIENCE = 60.0
"""Seconds within which what somebody waits for must come; servers are at their own pace."""


class Somebody(Person):
    """One device of a user of a machine; belongs to the event loop that it is made in.

    :param address: of the machine; its certificate has to be for the user's domain.
    :param password: of the account.
    :param authority: whose certificates are trusted.
    :param approves: whether each request is accepted, and asked back.
    """

    def __init__(
        self, jid: str, address: str, password: str, authority: Path, *, approves: bool = False
    ) -> None:
        super().__init__(jid, "phone")
        self.bare = jid
        self.password = password
        self._address = address
        self._approves = approves
        self._read: set[tuple[str, int]] = set()
        self.enable_starttls = True
        self.enable_plaintext = False
        self.plugin["feature_mechanisms"].unencrypted_plain = False
        self.ca_certs = authority
        self.add_event_handler("presence_subscribe", self._on_asked)

    async def begin(self) -> None:
        """Log in; raises RuntimeError."""
        await self.log_in(self._address, PORT)

    def says(self, to: str, text: str, *, more: str = "") -> None:
        """Send a chat message; ``more`` is the element of its thread."""
        self.write(to, text, more.removeprefix("<thread>").removesuffix("</thread>"))

    async def hears(self, pattern: str = "", *, sender: str, thread: str | None = None) -> Heard:
        """The next message or correction of a sender in which ``pattern`` is found."""

        def heard() -> Heard | None:
            for id, one in self.messages.items():
                version = (id, len(one.versions))
                if (
                    version in self._read
                    or one.sender != sender
                    or thread not in (None, one.thread)
                ):
                    continue
                if re.search(pattern, one.body, re.IGNORECASE | re.DOTALL):
                    self._read.add(version)
                    return one
            return None

        return await self.until(heard, f"message from {sender} with {pattern!r}")

    async def has(self, jid: str, subscription: str) -> Entry:
        """Wait until the roster has an entry with this subscription."""

        def entry() -> Entry | None:
            found = self.entries.get(jid)
            return found if found is not None and found.subscription == subscription else None

        return await self.until(entry, f"{jid} as {subscription}")

    async def befriends(self, other: Somebody) -> None:
        """Become mutual contacts, as people do: one asks, the other accepts and asks back."""
        self._approves, before = True, self._approves
        self.send_presence(pto=other.bare, ptype="subscribe")
        await self.has(other.bare, "both")
        await other.has(self.bare, "both")
        self._approves = before

    async def until(self, found: Callable[[], T | None], what: str) -> T:
        """Wait until a client shows something.

        :raises AssertionError: it does not, in :data:`PATIENCE` seconds; says what was seen.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                while (there := found()) is None:
                    self.changed.clear()
                    await self.changed.wait()
                return there
        except TimeoutError:
            seen = "\n".join(f"{kind}: {what}" for kind, what in self.seen[-12:])
            raise AssertionError(f"{self.bare}: no {what}; seen:\n{seen}\n{self.entries}") from None

    def _on_asked(self, presence: Presence) -> None:
        if self._approves:
            asker = presence["from"].bare
            self.send_presence(pto=asker, ptype="subscribed")
            known = self.entries.get(asker, Entry("none"))
            if not known.asked and known.subscription not in ("to", "both"):
                self.send_presence(pto=asker, ptype="subscribe")
