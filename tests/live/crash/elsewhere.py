"""Scenes of moves to and from elsewhere, and of what comes after a move."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Sequence
from contextlib import closing

from tests.live.arrange import publish
from tests.live.crash.following import SEEN
from tests.live.crash.moving import Journey
from tests.live.crash.theatre import Act, Theatre
from tests.live.faults.house import until
from tests.live.movers.cast import compare
from tests.live.movers.guides import GUIDES
from tests.live.servers.base import COMPONENT_HOST


class Leaving(Journey):
    """Away to a server that knows nothing of us, until the move has had its time."""

    here_host = "mantua.example"

    @property
    def acts(self) -> Sequence[Act]:
        """See :class:`Scene`."""
        return [self.begin, self.settling, self.age, self.ended, self.withdrawn]

    async def begin(self) -> None:
        """No code: the new account's server is asked nothing."""
        if await self.found() is None:
            said = await GUIDES["chat"](self.old, COMPONENT_HOST).order("away", new=self.new.jid)
            assert "has begun" in said, said

    async def settling(self) -> None:
        """Wait until contacts may be told there."""
        await self.until_state("settling", "done")
        if not self._aged:
            assert await self.near.reads_statement(self.old.jid) == (self.new.jid, None)

    async def ended(self) -> None:
        """Wait until the move is over; the statement is withdrawn within the hour, or a start."""
        await self.until_state("done")
        await self.end_is_told()
        self.theatre.restart_wanted = True

    async def withdrawn(self) -> None:
        """Wait until the statement is gone."""

        async def gone() -> bool:
            return (await self.near.reads_statement(self.old.jid))[0] is None

        await until(gone, "the statement is withdrawn", SEEN, self.story)

    async def check(self) -> None:
        """See :class:`Scene`: nobody was told, no roster has changed."""
        found = await self.cast.rosters(self.old, self.near, self.far)
        wanted = {p.jid: self.cast.arranged(p) for p in (self.old, self.near, self.far)}
        assert compare(wanted, found) == "", self.story()
        for notice in ("now says that it has moved", "has had its time"):
            assert len(self.old.heard(notice, sender=COMPONENT_HOST)) <= 1, self.story()


class Withdrawing(Leaving):
    """Away, until an admin withdraws what all users here have left: the server stops to have us."""

    @property
    def acts(self) -> Sequence[Act]:
        """See :class:`Scene`."""
        return [self.begin, self.settling, self.withdraw, self.withdrawn]

    async def enter(self) -> None:
        """See :class:`Scene`; the order is for everybody, so nobody else is in the journal."""
        self.theatre.forget_journal()
        await super().enter()

    async def withdraw(self) -> None:
        """Until nothing is left."""

        async def nothing_left() -> bool:
            return not (await self.theatre.house.orders.order("withdraw-all"))["left"]

        await until(nothing_left, "nothing is left", SEEN, self.story)

    async def check(self) -> None:
        """See :class:`Scene`: it is as it was; whoever was told may be told anew after a death."""
        await super().check()
        assert await self.state() == "cancelled", self.story()
        assert self.old.heard("stops looking after moves", sender=COMPONENT_HOST), self.story()


class Arriving(Journey):
    """From a server that knows nothing of us, with the list pasted; then undone."""

    away_host = "mantua.example"

    async def enter(self) -> None:
        """See :class:`Scene`."""
        await super().enter()
        await publish(self.old.device, self.new.jid, "open", [])

    @property
    def acts(self) -> Sequence[Act]:
        """See :class:`Scene`."""
        return [*super().acts, self.undo, self.undone]

    async def begin(self) -> None:
        """At the new account, with everybody who was on the old one's roster."""
        if await self.found() is None:
            lines = "\n".join(f"{jid} Somebody" for jid in self.cast.arranged(self.old))
            guide = GUIDES["chat"](self.new, COMPONENT_HOST)
            said = await guide.order("arrive", old=self.old.jid, list=lines)
            assert "has begun" in said, said

    async def undo(self) -> None:
        """Ordered at the new account; at the old one its owner takes the statement back."""
        if await self.state() == "done":
            await self.check_told()
            said = await GUIDES["chat"](self.new, COMPONENT_HOST).order("undo", sure="1")
            assert "undone" in said, said
        if (await self.old.reads_statement(self.old.jid))[0] is not None:
            await self.old.retracts_statement()

    async def undone(self) -> None:
        """Wait for the end of it."""
        await self.until_state("undone")

    async def check(self) -> None:
        """See :class:`Scene`: the new account's roster is empty again, nobody was told twice."""
        await until(self.rosters_are_right, "rosters are right", SEEN, self.story)
        assert await self.new.roster() == {}, self.story()
        for bot in self.bots:
            assert self.theatre.bots.counts[bot, self.new.jid] == 1, self.story()
        for neighbour in self.neighbours:
            limit = self.theatre.shown_at_most(neighbour is self.far)
            assert len(neighbour.notifications) <= limit, self.story()
        elsewhere = self.new.heard("order the undo at", sender=COMPONENT_HOST)
        assert len([line for line in elsewhere if line.thread is None]) <= 1, self.story()


class Afterwards(Journey):
    """Contacts write to the old account; it is deleted; years later nobody remembers."""

    def __init__(self, theatre: Theatre) -> None:
        super().__init__(theatre)
        self._wrote = self._deleted = False

    @property
    def acts(self) -> Sequence[Act]:
        """See :class:`Scene`."""
        before = [*super().acts, self.end_is_told]
        return [*before, self.write, self.age, self.retired, self.prune, self.ask_for_it]

    async def write(self) -> None:
        """A contact writes twice, and is answered at most once a day."""
        if not self._wrote:
            self._wrote = True
            self.near.says(self.old.jid, "Where art thou?")
            await self.old.hears("Where art thou", sender=self.near.jid)
        await self.cast.settled()
        self.near.says(self.old.jid, "Hello?")
        await self.old.hears("Hello", sender=self.near.jid)

        async def noted() -> bool:
            # Watches of moves that are over are set after a start, not before it is ready.
            self.near.says(self.old.jid, "Anybody?")
            return self._answered() == [(self.near.jid,)]

        await until(noted, "an answer is noted", SEEN, self.story)
        await self.cast.settled()

    def _answered(self) -> list[tuple[str]]:
        """Who was answered, as it is written down."""
        with closing(sqlite3.connect(self.theatre.daemon.folder / "moved.db")) as connection:
            query = "SELECT sender FROM answered WHERE old = ?"
            return connection.execute(query, (self.old.jid,)).fetchall()

    async def retired(self) -> None:
        """Wait until the statement has had its time."""

        async def gone() -> bool:
            return (await self.near.reads_statement(self.old.jid))[0] is None

        await until(gone, "the statement is withdrawn", SEEN, self.story)

    async def prune(self) -> None:
        """Old records are removed: once a day, or here when a signal comes."""
        os.kill(self.theatre.daemon.pid, signal.SIGUSR1)

        async def forgotten() -> bool:
            # Answers go last.
            return not await self.theatre.records(self.near.jid) and not self._answered()

        await until(forgotten, "old records are gone", SEEN, self.story)
        await self.state()  # what was written down is known there before that is answered

    async def ask_for_it(self) -> None:
        """The account is deleted: its server says where it went."""
        await self.old.log_out()
        if not self._deleted:
            self._deleted = True
            self.theatre.house.server.remove_user(self.old.jid)
        answer = await self.near.reads_statement(self.old.jid)
        assert answer == (None, f"gone xmpp:{self.new.jid}"), answer

    async def check(self) -> None:
        """See :class:`Scene`."""
        await self.check_told()
        assert len(self.near.heard("automatic answer", sender=self.old.jid)) <= 1, self.story()
        roster = await self.new.roster()
        everybody = [*self.bots, *(person.jid for person in self.neighbours)]
        assert {jid: entry.subscription for jid, entry in roster.items()} == (
            dict.fromkeys(everybody, "both")
        ), self.story()
