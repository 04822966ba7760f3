"""What the scenarios ask of a chat client, whichever client it is."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, Self

from tests.live.clients.terminal import SEARCH_PATH, Home, ScreenError, Terminal
from tests.live.servers.base import RosterEntry

_LEAVE = 10.0
"""Seconds that a program may take to end."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who logs in, and where: the client is told the address, no name is looked up."""

    jid: str
    address: str


class ChatClient(Protocol):
    """A client that nobody here wrote, on its screen, with one account logged in.

    Everything waits for the screen to show it and raises ScreenError when it does not.
    """

    @property
    def screen(self) -> str:
        """The screen as text."""
        ...

    async def roster(self) -> Mapping[str, RosterEntry]:
        """The roster as the client shows it, by bare JID, after all that was sent to it so far."""
        ...

    async def send(self, stanza: str) -> None:
        """Send a raw stanza with the client's own means; the answer to an IQ is waited for.

        Raises ScreenError for an error as the answer.
        """
        ...

    async def shows_request(self, jid: str) -> None:
        """Wait until the client tells its user of a subscription request."""
        ...

    def was_asked(self) -> bool:
        """True where the screen tells of any subscription request."""
        ...

    async def approve(self, jid: str) -> None:
        """See to it that the request of a contact who follows is approved, as the user would."""
        ...

    async def quit(self) -> None:
        """Leave with the client's own command; kill it if it does not go; delete its files."""
        ...


@dataclass(frozen=True, slots=True)
class Program:
    """A client program: ``start`` logs in and returns it with its roster on the screen."""

    name: str
    start: Callable[[Account], Awaitable[ChatClient]]

    @property
    def available(self) -> bool:
        """True where it is installed."""
        return shutil.which(self.name, path=SEARCH_PATH) is not None

    @property
    def missing(self) -> str:
        """Why a test that needs it is skipped."""
        return f"{self.name} is not installed: run tests/bootstrap/clients.sh"


class Screened:
    """What drivers of programs in a terminal share."""

    def __init__(self, home: Home, terminal: Terminal) -> None:
        self.home = home
        self.terminal = terminal
        self._numbers = itertools.count(1)

    @property
    def screen(self) -> str:
        """The screen as text."""
        return self.terminal.text

    def new_id(self) -> str:
        """A word that was not used before in this client."""
        return f"test-{next(self._numbers)}"

    def with_id(self, stanza: str) -> tuple[str, str]:
        """The stanza with an id of its own as the first attribute, and that id."""
        id_ = self.new_id()
        return re.sub(r"^<(\w+)", rf"<\1 id='{id_}'", stanza), id_

    async def until_ready(self, *texts: str) -> Self:
        """Return this driver when the screen shows ``texts``; else clean up and raise."""
        try:
            await self.terminal.shows(*texts)
        except BaseException:
            await self.stop(0.0)
            raise
        return self

    async def leave(self) -> None:
        """Type what ends the program; every driver has its own."""
        raise NotImplementedError

    async def quit(self) -> None:
        """Leave with the client's own command; kill it if it does not go; delete its files."""
        with contextlib.suppress(ScreenError, TimeoutError):
            await asyncio.wait_for(self.leave(), _LEAVE)
        await self.stop()

    async def stop(self, grace: float = _LEAVE) -> None:
        """Wait for the program's end, kill it after ``grace`` seconds, delete its files."""
        try:
            await self.terminal.end(grace)
        finally:
            self.home.remove()


def iq_answered(text: str, id_: str) -> bool:
    """True where ``text`` (lines joined) shows the answer with this id.

    Raises ScreenError for an error.
    """
    for tag in re.findall(r"<iq [^>]*>", text):
        if re.search(rf"""\bid=["']{re.escape(id_)}["']""", tag):
            if re.search(r"""\btype=["']error["']""", tag):
                raise ScreenError(f"an error came back: {text[text.index(tag) :]}")
            if re.search(r"""\btype=["']result["']""", tag):
                return True
    return False
