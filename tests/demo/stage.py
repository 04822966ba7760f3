"""The stage: one throw-away Prosody with the component, its accounts, and who is on it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from tests.demo.person import Entry, Person
from tests.live.daemon import Daemon
from tests.live.servers.addresses import free_address
from tests.live.servers.base import (
    C2S_PORT,
    COMPONENT_HOST,
    COMPONENT_PORT,
    COMPONENT_SECRET,
    PASSWORD,
    HookOptions,
    RosterEntry,
    ServerSpec,
)
from tests.live.servers.differences import KINDS

OLD, NEW = "juliet@verona.example", "juliet@montague.example"
ROMEO, NURSE, TYBALT = "romeo@montague.example", "nurse@verona.example", "tybalt@mantua.example"
SERVED, PLAIN = ("montague.example", "verona.example"), "mantua.example"
"""Hosts with the server module, and one that knows nothing of moves."""
SPARE = "romeo@verona.example"
"""For visitors who want to move somebody themselves."""
PATIENCE = 10.0
"""Seconds that anything may take here."""

BEFORE = {
    OLD: {
        ROMEO: Entry("both", name="Romeo"),
        NURSE: Entry("both", name="Nurse", groups=("Home",)),
        TYBALT: Entry("both", name="Tybalt"),
    },
    NEW: {},
    ROMEO: {OLD: Entry("both", name="Juliet", groups=("Capulets",))},
    NURSE: {OLD: Entry("both", name="My lamb")},
    TYBALT: {OLD: Entry("both", name="Cousin")},
}
"""Every roster as it is arranged."""


class Astray(Exception):
    """Something did not come, without which the play cannot go on."""


class Stage:
    """Servers and people.

    :param folder: gets all files; its path must be short enough for a Unix socket in it.
    :param console: gets what the audience reads.

    ``wrong`` holds a sentence for each thing that was not as it has to be.
    """

    def __init__(self, folder: Path, console: Console) -> None:
        self.console = console
        self.wrong: list[str] = []
        self.address = free_address()
        zone = dict.fromkeys((*SERVED, PLAIN), self.address)
        spec = ServerSpec("demo", self.address, SERVED, zone, (COMPONENT_HOST,), HookOptions())
        self.server = KINDS["prosody-0.12"].build(spec, folder / "prosody")
        with (self.server.folder / "prosody.cfg.lua").open("a") as config:
            config.write(f'\nVirtualHost "{PLAIN}"\n')
        # All else is at its default, the pace included.
        self.component = Daemon(
            folder / "component",
            {
                "component": {
                    "jid": COMPONENT_HOST,
                    "secret": COMPONENT_SECRET,
                    "host": self.address,
                    "port": COMPONENT_PORT,
                    "control": str(folder / "control.sock"),
                },
                "served": {"hosts": list(SERVED)},
                "metrics": {"listen": ""},
            },
        )
        self.people: list[Person] = []
        self._step = 0

    # What the audience reads --------------------------------------------------------------------

    def announce(self, text: str) -> None:
        """Say what happens next."""
        self._step += 1
        self.console.print(f"\n[bold cyan]{self._step}.[/] [bold]{text}[/]", highlight=False)

    def check(self, holds: bool, problem: str) -> None:
        """Note a problem where something does not hold."""
        if not holds:
            self.wrong.append(problem)

    # Life ---------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Accounts and rosters as they were before; then server and component start."""
        for jid, entries in BEFORE.items():
            self.server.add_user(jid)
            arranged = [
                RosterEntry(contact, e.subscription, e.name, e.groups)
                for contact, e in entries.items()
            ]
            self.server.set_roster(jid, arranged)
        self.server.add_user(SPARE)
        await self.server.start()
        await self.component.start()

    async def enter(self, jid: str, device: str) -> Person:
        """Log a person in."""
        person = Person(jid, device)
        self.people.append(person)
        await person.log_in(self.address)
        return person

    async def close(self) -> None:
        """Stop everything."""
        await self.empty()
        if self.component.running:
            await self.component.stop()
        await self.server.stop()

    async def empty(self) -> None:
        """Log everybody out."""
        people, self.people = self.people, []
        await asyncio.gather(*(person.log_out() for person in people), return_exceptions=True)

    # Waiting ------------------------------------------------------------------------------------

    async def until(self, what: str, true: Callable[[], bool]) -> bool:
        """Wait for what people's events bring about; notes a problem where it does not come."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not true():
                    changes = [asyncio.create_task(p.changed.wait()) for p in self.people]
                    await asyncio.wait(changes, return_when=asyncio.FIRST_COMPLETED)
                    for person, change in zip(self.people, changes, strict=True):
                        person.changed.clear()
                        change.cancel()
        except TimeoutError:
            self.wrong.append(f"waited {PATIENCE:g} s in vain for {what}")
            return False
        return True

    # The admin's side ---------------------------------------------------------------------------

    async def command(self, *arguments: str) -> str:
        """Output of ``xmpp-moved`` with this configuration, as wide as our console."""
        child = await asyncio.create_subprocess_exec(
            *self.component.command(*arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "COLUMNS": str(self.console.width)},
        )
        output, _ = await child.communicate()
        self.check(child.returncode == 0, f"xmpp-moved {' '.join(arguments)} failed")
        return output.decode(errors="replace").rstrip()

    async def wait_for_visitors(self) -> None:
        """Say how to log in by hand, and wait for Ctrl-C."""
        await self.empty()
        command = " ".join(self.component.command())
        self.console.print(
            f"\n[bold]It keeps running: log in with your own client.[/]\n"
            f"  server    {self.address} port {C2S_PORT}, no TLS\n"
            f"  password  [bold]{PASSWORD}[/]\n"
            f"  accounts  {OLD}, {NEW}, {ROMEO},\n"
            f"            {NURSE}, {TYBALT}\n"
            f"  write to  [bold]{COMPONENT_HOST}[/]: “help” lists what it does\n"
            f"  try       as {ROMEO}: “move away {SPARE}”,\n"
            f"            with that account (same password) open for the code\n"
            f"  admin     {command} moves\n"
            f"End with Ctrl-C.",
            highlight=False,
            soft_wrap=True,
        )
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ended.set)
        await ended.wait()
