"""SIGKILL at random moments, under load: ``python -m tests.live.crash.kills --kills 1000``.

In each round the component is killed eight times while people move and requests arrive; then all
must be as if nothing had happened.  Then more requests arrive, and the server is killed twice.
What a killed server had in its hands alone is gone, as it would be without us: that, and nothing
else, is let pass, and is counted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

from component.core.records import MoveRecord, MoveState
from tests.live.client import ClientError
from tests.live.crash.following import MOVED, Move, state
from tests.live.crash.moving import Journey
from tests.live.crash.theatre import Act, Scene, Theatre, outlives
from tests.live.movers.people import Person
from tests.live.servers.base import COMPONENT_HOST
from tests.live.servers.differences import KINDS

COMPONENT_KILLS = 8
"""In a round, before the server's."""
SERVER_KILLS = 2
"""In a round; every other one takes the component along."""
LIFE = 0.6
"""Seconds that a component lives at most before it is killed."""
SENDING = 3.0
"""Seconds over which requests are spread."""
CROWD = 8
"""Contacts of each mover."""
LATE = {"prosody": timedelta(0), "ejabberd": timedelta(seconds=3)}
"""How late a server writes down what it has done (ejabberd: Mnesia's log, seen up to two
seconds)."""


@dataclass
class Figures:
    """What many kills came to."""

    component_kills: int = 0
    server_kills: int = 0
    followed: int = 0
    shown: int = 0
    journeys: int = 0
    untold: int = 0
    """Contacts who followed and were not told: the message died with a process."""
    died: int = 0
    """Requests that a killed server had in its hands alone."""
    forgotten: int = 0
    """Changes of rosters that a killed server had confirmed and not written down."""
    failed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counted = (f"{getattr(self, f.name)} {f.name}" for f in fields(self) if f.name != "failed")
        return f"{', '.join(counted)}, {len(self.failed)} failed".replace("_", " ")


class Load(Move):
    """Many contacts, asked one after the other at random moments."""

    def __init__(self, theatre: Theatre, dice: random.Random, figures: Figures) -> None:
        super().__init__(theatre)
        self._dice = dice
        self._figures = figures
        more = (f"more{n}" for n in range(CROWD - len(self.contacts)))
        self.near += [self.cast.person(name, "montague.example") for name in more]
        self.contacts = [*self.near, self.far]
        self._waiting = list(self.contacts)
        self.sent: set[str] = set()
        """Contacts whose request the server has certainly processed."""

    async def send(self) -> None:
        """Until all are asked, or the server is gone; the rest when it is called again."""
        with contextlib.suppress(ClientError):
            while self._waiting:
                await asyncio.sleep(self._dice.uniform(0, 2 * SENDING / len(self.contacts)))
                contact = self._waiting.pop()
                self.ask(self.new, self.old, contact)
                await self.new.device.ping()
                self.sent.add(contact.jid)

    async def check_contact(self, contact: Person) -> None:
        """See :class:`Move`."""
        await super().check_contact(contact)
        followed, shown = await self.fate(contact)
        self._count(contact, followed, shown)

    def _count(self, contact: Person, followed: bool, shown: bool) -> None:
        told = bool(contact.heard(MOVED, sender=COMPONENT_HOST))
        self._figures.followed += followed
        self._figures.shown += shown and not followed
        self._figures.untold += followed and not told

    async def return_home(self) -> None:
        """The server is back: everybody logs in, and the statement is published again.

        A killed ejabberd may have kept a node and forgotten whose it is: then there is none, and
        the requests that follow are left to the contacts.
        """
        await self.leave()
        await self.cast.enter()
        with contextlib.suppress(ClientError):
            await state(self.old, self.new)

    async def check_after_kill(self, killed_at: datetime) -> None:
        """One end for each request that the server did not take with it; whole rosters."""
        late = LATE[self.theatre.kind.name.partition("-")[0]]
        for contact in self.contacts:
            if contact.jid in self.sent:
                await self._check_survivor(contact, killed_at - late)

    async def _check_survivor(self, contact: Person, written: datetime) -> None:
        """``written``: what the server did before then is on its disk."""
        records = await self.theatre.records(contact.jid)
        followed, shown = await self.fate(contact)
        found = await contact.roster()
        ends = [(record.state.value, record.reason, record.detail) for record in records]
        story = f"{contact.jid} {followed=} {shown=} {ends=} {found=}; {self.story()}"
        assert len(records) <= 1, story
        # A killed server may deliver a message once more that it had stored; its id is the same.
        told = {line.id for line in contact.heard(MOVED, sender=COMPONENT_HOST)}
        assert len(told) <= 1, f"told twice: {story}"
        done = any(record.state is MoveState.DONE for record in records)
        if done != followed:
            assert all(_settled_after(record, written) for record in records), story
            self._figures.forgotten += 1
            return
        assert self._is_whole(contact, followed, found), f"half-written: {story}"
        if not followed and not shown:
            assert all(r.state is MoveState.RELEASED for r in records), f"lost: {story}"
            self._figures.died += 1
            return
        self._count(contact, followed, shown)

    def _is_whole(self, contact: Person, followed: bool, found: object) -> bool:
        """Whether the contact's entries are those before, or those after: never one of each."""
        assert isinstance(found, dict)
        before = self.cast.arranged(contact)
        old, new = found.get(self.old.jid), found.get(self.new.jid)
        if not followed:
            return old == before[self.old.jid] and new is None
        sees = before[self.old.jid].subscription == "both"
        if old is None or new is None:
            return False
        # The mover's client may not have approved the way back yet, or that died on its way.
        return (old.subscription, new.subscription) in (
            {("to", "both"), ("to", "from")} if sees else {("none", "from")}
        )


def _settled_after(record: MoveRecord, moment: datetime) -> bool:
    return record.settled_at is None or record.settled_at >= moment


class Killer:
    """Rounds of kills in one theatre."""

    def __init__(self, theatre: Theatre, dice: random.Random, figures: Figures) -> None:
        self._theatre = theatre
        self._dice = dice
        self._figures = figures
        self._up = asyncio.Event()

    async def round(self) -> None:
        """Kills of the component, then of the server too; raises where a promise broke."""
        await self._theatre.renew_journal()
        await self._begin()
        try:
            await self._component_dies()
            await self._server_dies()
            self._theatre.intact()
        finally:
            await self._theatre.daemon.kill()
        self._theatre.intact()

    def _loads(self, count: int) -> list[Load]:
        return [Load(self._theatre, self._dice, self._figures) for _ in range(count)]

    async def _begin(self) -> None:
        await self._theatre.daemon.begin()
        self._up.set()

    async def _component_dies(self) -> None:
        loads, journey = self._loads(2), Journey(self._theatre)
        scenes: list[Scene] = [*loads, journey]
        try:
            await asyncio.gather(*(scene.enter() for scene in scenes))
            async with asyncio.TaskGroup() as group:
                group.create_task(self._kill_component())
                for load in loads:
                    group.create_task(load.send())
                group.create_task(self._in_order(journey.acts))
            for scene in scenes:
                await self._outlived(self._theatre.nothing_open)
                if isinstance(scene, Load):
                    await scene.fates()
                await scene.check()
            self._figures.journeys += 1
        finally:
            await asyncio.gather(*(scene.leave() for scene in scenes))

    async def _in_order(self, acts: Sequence[Act]) -> None:
        for act in acts:
            await self._outlived(act)

    async def _outlived(self, act: Act) -> None:
        """Do an act, again after each death that came before its end."""
        while True:
            await self._up.wait()
            if await outlives(self._theatre.daemon, act):
                return
            await asyncio.sleep(0)

    async def _kill_component(self) -> None:
        for _ in range(COMPONENT_KILLS):
            await asyncio.sleep(self._dice.uniform(0, LIFE))
            self._up.clear()
            await self._theatre.daemon.kill()
            self._figures.component_kills += 1
            await self._begin()

    async def _server_dies(self) -> None:
        loads = self._loads(2)
        killed_at: list[datetime] = []
        try:
            await asyncio.gather(*(load.enter() for load in loads))
            for number in range(SERVER_KILLS):
                sending = [asyncio.create_task(load.send()) for load in loads]
                await asyncio.sleep(self._dice.uniform(0.1, SENDING / SERVER_KILLS))
                killed_at.append(datetime.now(UTC))
                await self._kill_server(with_component=number % 2 == 1)
                await asyncio.gather(*sending)
                await asyncio.gather(*(load.return_home() for load in loads))
                await self._come_back()
            await self._theatre.nothing_open()
            for load in loads:
                await load.cast.settled()
                await load.check_after_kill(killed_at[0])
        finally:
            await asyncio.gather(*(load.leave() for load in loads))

    async def _kill_server(self, *, with_component: bool) -> None:
        """SIGKILL, and a server again."""
        server, daemon = self._theatre.house.server, self._theatre.daemon
        await asyncio.gather(server.kill(), *([daemon.kill()] if with_component else []))
        self._figures.server_kills += 1
        self._figures.component_kills += with_component
        await server.start()

    async def _come_back(self) -> None:
        """The component finds the server, or is started."""
        if self._theatre.daemon.running:
            await self._theatre.daemon.log_says("ready", 60.0)
        else:
            await self._begin()


async def kills(
    kind: str, folder: Path, *, number: int, seed: int, say: Callable[[str], None]
) -> Figures:
    """So many kills, by a seed."""
    figures = Figures()
    began = time.monotonic()
    async with Theatre(KINDS[kind], folder).running() as theatre:
        rounds = 0
        while figures.component_kills + figures.server_kills < number:
            rounds += 1
            dice = random.Random(f"{seed} {rounds}")
            try:
                await Killer(theatre, dice, figures).round()
            except Exception as error:
                told = "".join(traceback.format_exception(error))
                figures.failed.append(f"seed {seed}, round {rounds}: {told}")
                say(figures.failed[-1])
                if len(figures.failed) > 2 and rounds < 2 * len(figures.failed):
                    break  # nothing works
                if not theatre.house.server.running:
                    await theatre.house.server.start()
            say(f"round {rounds}, {time.monotonic() - began:.0f} s: {figures}")
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="tests.live.crash.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--server", default="prosody-0.12", choices=list(KINDS))
    parser.add_argument("--keep", type=Path, help="a folder for logs and data")
    given = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        figures = asyncio.run(
            kills(
                given.server,
                folder,
                number=given.kills,
                seed=given.seed,
                say=lambda line: print(line, flush=True),
            )
        )
    print(f"{given.server}, seed {given.seed}: {figures}")
    return 1 if figures.failed else 0


if __name__ == "__main__":
    sys.exit(main())
