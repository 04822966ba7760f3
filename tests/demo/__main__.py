"""Juliet moves; her contacts watch.  ``python -m tests.demo [--keep]``"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

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
ROMEO, NURSE, TYBALT = "romeo@montague.example", "nurse@verona.example", "tybalt@montague.example"
HOSTS = ("verona.example", "montague.example")
PATIENCE = 10.0
"""Seconds that anything may take here."""

# What each roster must hold of Juliet in the end, seen from the contacts and from her new account.
WANTED: Mapping[str, Mapping[str, Entry | None]] = {
    ROMEO: {
        OLD: Entry("to", name="Juliet", groups=("Capulets",)),
        NEW: Entry("both", name="Juliet", groups=("Capulets",)),
    },
    NURSE: {OLD: Entry("to", name="My lamb"), NEW: Entry("both", name="My lamb")},
    TYBALT: {OLD: None, NEW: None},
    NEW: {
        ROMEO: Entry("both"),
        NURSE: Entry("both"),
        TYBALT: Entry("none", asked=True),
    },
}


class Demo:
    """The stage, and the play in steps."""

    def __init__(self, folder: Path, console: Console) -> None:
        self.console = console
        self.address = free_address()
        zone = dict.fromkeys(HOSTS, self.address)
        spec = ServerSpec("demo", self.address, HOSTS, zone, (COMPONENT_HOST,), HookOptions())
        self.server = KINDS["prosody-0.12"].build(spec, folder / "prosody")
        self.component = Daemon(
            folder / "component",
            {
                "component": {
                    "jid": COMPONENT_HOST,
                    "secret": COMPONENT_SECRET,
                    "host": self.address,
                    "port": COMPONENT_PORT,
                },
                "served": {"hosts": list(HOSTS)},
                "metrics": {"listen": ""},
            },
        )
        self.people: list[Person] = []
        self._step = 0

    def say(self, text: str) -> None:
        """Announce a step."""
        self._step += 1
        self.console.print(f"\n[bold cyan]{self._step}.[/] [bold]{text}[/]")

    async def enter(self, jid: str, device: str, *, approves: bool = False) -> Person:
        """Log a person in."""
        person = Person(jid, device, approves=approves)
        self.people.append(person)
        await person.log_in(self.address)
        return person

    async def until(self, what: str, true: Callable[[], bool]) -> None:
        """Wait for a condition that the people's events bring about."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not true():
                    changes = [asyncio.create_task(p.changed.wait()) for p in self.people]
                    await asyncio.wait(changes, return_when=asyncio.FIRST_COMPLETED)
                    for person, change in zip(self.people, changes, strict=True):
                        person.changed.clear()
                        change.cancel()
        except TimeoutError:
            self.console.print(f"[red]  waited {PATIENCE:g} s in vain for: {what}[/]")

    async def set_stage(self) -> None:
        """Servers, accounts, rosters as they were before."""
        self.say("A throw-away Prosody starts, with the server module; the component attaches.")
        for jid in (OLD, NEW, ROMEO, NURSE, TYBALT):
            self.server.add_user(jid)
        self.server.set_roster(ROMEO, [RosterEntry(OLD, "both", "Juliet", ("Capulets",))])
        self.server.set_roster(NURSE, [RosterEntry(OLD, "both", "My lamb")])
        self.server.set_roster(OLD, [RosterEntry(ROMEO, "both"), RosterEntry(NURSE, "both")])
        await self.server.start()
        await self.component.start()
        self.console.print(f"  hosts {', '.join(HOSTS)} on {self.address}; {COMPONENT_HOST} is up")

    async def play(self) -> dict[str, Person]:
        """Everything that happens; returns who can show a roster in the end."""
        self.say("Romeo is online with two devices, Tybalt (who never knew Juliet) with one;")
        self.console.print("  the Nurse is offline.")
        phone = await self.enter(ROMEO, "phone")
        laptop = await self.enter(ROMEO, "laptop")
        tybalt = await self.enter(TYBALT, "phone")
        self.show_rosters("Before", {ROMEO: phone, TYBALT: tybalt})

        self.say(f"Juliet says on her old account that she has moved to {NEW}.")
        old = await self.enter(OLD, "old phone")
        await old.moved.publish_moved(NEW)
        for person in (phone, laptop):
            await person.ping()
            person.seen.clear()

        self.say("From her new account she asks Romeo, the Nurse and Tybalt, and does no more.")
        new = await self.enter(NEW, "new phone", approves=True)
        for contact in (ROMEO, NURSE, TYBALT):
            new.moved.send_moved(contact, OLD, pnick="Juliet")
        await self.until("Romeo's devices", lambda: _follows(phone) and _follows(laptop))
        await self.until("Tybalt's request", lambda: bool(tybalt.seen))
        await self.until("the Nurse", lambda: new.entries.get(NURSE) == Entry("both"))
        for person in (phone, laptop, tybalt):
            self.show_seen(person)
        self.console.print(
            "  [dim]Romeo touched nothing. Tybalt decides for himself, as with any request.[/]"
        )

        self.say("The Nurse comes online and finds everything done.")
        nurse = await self.enter(NURSE, "kitchen tablet")
        self.show_seen(nurse)
        return {ROMEO: laptop, NURSE: nurse, TYBALT: tybalt, NEW: new}

    def show_seen(self, person: Person) -> None:
        """What a device was told."""
        self.console.print(f"  [green]{person.who}[/] saw:")
        for line in person.seen or ["nothing"]:
            self.console.print(f"    {line}", highlight=False)

    def show_rosters(self, title: str, rosters: Mapping[str, Person]) -> bool:
        """A table of who has whom; True where it is as it must be in the end."""
        table = Table("roster of", "entry", "state", title=title, title_justify="left")
        right = True
        for owner, person in rosters.items():
            for jid, wanted in WANTED[owner].items():
                found = person.entries.get(jid)
                good = found == wanted
                right = right and good
                mark = (
                    "" if title == "Before" else " [green]✓[/]" if good else f" [red]✗ {wanted}[/]"
                )
                table.add_row(owner, jid, f"{found or 'not there'}{mark}")
        self.console.print(table)
        return right

    async def show_journal(self) -> None:
        """What the admin sees."""
        self.say("What the admin sees: xmpp-moved moves, and show 1")
        for command in (("moves",), ("show", "1")):
            _, text = await self.component.run_command(*command)
            self.console.print(text, highlight=False, markup=False)

    async def wait_for_visitors(self) -> None:
        """KEEP=1: leave it all running."""
        self.console.print(
            f"\n[bold]Log in with your own client[/] (no TLS): server {self.address} port "
            f"{C2S_PORT}, password [bold]{PASSWORD}[/], as any of\n"
            f"  {OLD}, {NEW}, {ROMEO}, {NURSE}, {TYBALT}\n"
            f"The journal: {' '.join(self.component.command('moves'))}\nEnd with Ctrl-C."
        )
        for person in self.people:
            await person.log_out()
        await asyncio.Event().wait()

    async def clear_stage(self) -> None:
        """Stop everything."""
        await asyncio.gather(*(p.log_out() for p in self.people), return_exceptions=True)
        if self.component.running:
            await self.component.stop()
        await self.server.stop()


def _follows(person: Person) -> bool:
    return person.entries.get(NEW) == WANTED[ROMEO][NEW]


async def run(keep: bool) -> bool:
    """Play; True if every roster is right in the end."""
    console = Console()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="xmpp-moved-demo-") as folder:
        demo = Demo(Path(folder), console)
        try:
            await demo.set_stage()
            rosters = await demo.play()
            right = demo.show_rosters("After", rosters)
            await demo.show_journal()
            if right:
                console.print(f"[bold green]Every roster is right[/] ({_since(began)}).")
            else:
                console.print(f"[bold red]A roster is not as it should be[/] ({_since(began)}).")
            if keep:
                await demo.wait_for_visitors()
            return right
        finally:
            await demo.clear_stage()


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.1f} s"


def main() -> int:
    """Exit code 0 only if every roster is right."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave it running afterwards")
    logging.basicConfig(level=logging.ERROR)
    try:
        return 0 if asyncio.run(run(parser.parse_args().keep)) else 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
