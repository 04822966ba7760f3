"""One server for many scenes, each with people of its own; the component dies and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from component.core.journey.model import ContactState
from component.core.records import MoveRecord, MoveState
from tests.live.crash.daemon import CrashDaemon
from tests.live.crash.points import Target
from tests.live.faults.house import until
from tests.live.movers.bots import Bots
from tests.live.movers.cast import Cast
from tests.live.movers.world import House, Settings, World
from tests.live.servers.differences import Kind

ADMIN = "admin@montague.example"
SETTINGS: Settings = (
    ("served.admins", [ADMIN]),
    ("movers.per_mover_per_second", 400.0),
    ("movers.overall_per_second", 4000.0),
    ("movers.retry_hours", [1, 1, 1]),
    ("movers.pending_minutes", 0.05),
    ("movers.look_seconds", 0.2),
    ("limits.per_domain_per_minute", 100_000),
    ("log.level", "info"),
)
"""No retry comes due within a test: whatever reaches a contact twice was sent twice."""
NAMES = ("montague", "mantua")
RENEW = 25
"""Scenes that share a journal."""
LAST_BREATH = 1.0
"""Seconds within which a process is seen to be dead after its connections broke."""
PATIENCE = 120.0
"""Seconds that one act may take."""

Act = Callable[[], Awaitable[None]]


class Scene(Protocol):
    """What some people do, act by act.

    An act that a crash interrupts is begun again, as people do who got no answer: so each looks
    first at what is done already.
    """

    @property
    def acts(self) -> Sequence[Act]:
        """In order."""

    async def enter(self) -> None:
        """Make the accounts and their rosters; log in."""

    async def check(self) -> None:
        """See that everything is as it must be; raises AssertionError.  May be begun again too."""

    async def leave(self) -> None:
        """Everybody goes home."""


@dataclass
class Theatre:
    """A world with one component that has fail points, and one server without any."""

    kind: Kind
    folder: Path
    world: World = field(init=False)
    daemon: CrashDaemon = field(init=False)
    bots: Bots = field(init=False)
    restart_wanted: bool = False
    """Set by an act: the component is restarted when the act is done."""
    while_down: Callable[[], None] | None = None
    """Set by such an act: what is done to the journal between the two, since a component that
    lives may write over it."""
    _plays: int = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Theatre]:
        """Everything is started but the component."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.world = World(self.kind, self.folder, SETTINGS, NAMES)
        self.daemon = CrashDaemon(self.folder / "montague-component")
        self.house.daemon = self.daemon
        self.world.configure(SETTINGS)
        try:
            await self.world.start(components=False)
            self.house.server.add_user(ADMIN)
            async with Cast(self.world) as crowd:
                self.bots = await Bots(crowd).open()
                yield self
        finally:
            await self.world.stop()

    @property
    def house(self) -> House:
        """The server with the component."""
        return self.world.houses["montague"]

    async def play(self, scene: Scene, targets: Sequence[Target] = ()) -> Sequence[Target]:
        """Play a scene to its end, check it, and leave no component behind.

        :param targets: where the component dies, one after the other; each is counted from the
            death before.
        :returns: those that it died at.
        :raises AssertionError: a promise was broken.
        """
        await self.renew_journal()
        try:
            await scene.enter()
            self.daemon.forget_points()
            fate = Fate(self, targets)
            await fate.begin()
            for act in scene.acts:
                await fate.perform(act)
                if self.restart_wanted:
                    self.restart_wanted = False
                    await fate.restart()
            await fate.perform(self.nothing_open)
            await fate.perform(scene.check)
            self.intact()
            await self.daemon.kill()
            self.intact()
        finally:
            await self.daemon.kill()
            await scene.leave()
        return fate.taken

    async def renew_journal(self) -> None:
        """Forget old scenes now and then: lists of everything are to stay short."""
        self._plays += 1
        if self._plays % RENEW == 0:
            self.forget_journal()

    def forget_journal(self) -> None:
        """Remove it; no component runs."""
        for path in self.daemon.folder.glob("moved.db*"):
            path.unlink()

    async def records(self, contact: str | None = None) -> Sequence[MoveRecord]:
        """The journal's records, the newest first."""
        return await self.daemon.moves(contact)

    async def nothing_open(self) -> None:
        """Wait until every record has its end; raises AssertionError."""

        async def none() -> bool:
            return not self._open_records()

        story = self.daemon.log_path
        await until(
            none, "no open record", PATIENCE / 2, lambda: f"{self._open_records()}; {story}"
        )

    def _open_records(self) -> list[Any]:
        with closing(sqlite3.connect(self.daemon.folder / "moved.db")) as connection:
            found = connection.execute("SELECT id, state, contact, old, new FROM moves")
            return [row for row in found if not MoveState(row[1]).final]

    def shown_at_most(self, logs_in_meanwhile: bool) -> int:
        """How often a device may be shown one request.

        ejabberd notes a request and then delivers it: whoever logs in between the two gets both,
        as they would without us.
        """
        return 2 if logs_in_meanwhile and self.kind.name.startswith("ejabberd") else 1

    def intact(self) -> None:
        """The database is what SQLite calls ok, and no contact of a journey is on its way."""
        with closing(sqlite3.connect(self.daemon.folder / "moved.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
            sending = connection.execute(
                "SELECT count(*) FROM journey_contacts AS c JOIN journeys AS j"
                " ON j.id = c.journey_id WHERE c.state = ? AND j.state IN ('done', 'settling')",
                (ContactState.SENDING.value,),
            ).fetchone()
            assert sending == (0,)


class Fate:
    """Sees to it that acts are done although the component dies on the way."""

    def __init__(self, theatre: Theatre, targets: Sequence[Target]) -> None:
        self._theatre = theatre
        self._left = list(targets)
        self.taken: list[Target] = []

    async def begin(self) -> None:
        """Start the component, to die at the next target: perhaps before it is ready."""
        await self._theatre.daemon.begin(self._left[0] if self._left else None)

    async def perform(self, act: Act) -> None:
        """Do an act; again after a death that came before its end."""
        while not await outlives(self._theatre.daemon, act):
            await self.survive()

    async def survive(self) -> None:
        """Bring the component back where it died of its target; raises AssertionError."""
        daemon = self._theatre.daemon
        while not daemon.running:
            assert self._left, f"it died by itself: {daemon.log_path}"
            assert daemon.taken, f"it died, but not at its target: {daemon.log_path}"
            self.taken.append(self._left.pop(0))
            await self.begin()

    async def restart(self) -> None:
        """Restart the component; a target that was not reached counts anew."""
        await self.survive()
        await self._theatre.daemon.kill()
        change, self._theatre.while_down = self._theatre.while_down, None
        if change is not None:
            change()
        await self.begin()


async def outlives(daemon: CrashDaemon, act: Act) -> bool:
    """Do an act while the component lives; whether it came to its end.

    :raises Exception: the act's own failure, where the component is not to blame.
    """
    if not daemon.running:
        return False
    work = asyncio.ensure_future(_within(act))
    death = asyncio.create_task(daemon.ended())
    try:
        await asyncio.wait({work, death}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            return False
        if work.exception() is None:
            return True
        # Its death may be the cause: broken connections show a moment before it.
        await asyncio.wait({death}, timeout=LAST_BREATH)
        if not death.done():
            work.result()
        return False
    finally:
        for task in (work, death):
            task.cancel()
        await asyncio.gather(work, death, return_exceptions=True)


async def _within(act: Act) -> None:
    async with asyncio.timeout(PATIENCE):
        await act()
