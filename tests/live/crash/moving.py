"""Scenes of the mover's side: somebody's own move, and what comes after it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, ClassVar, TypeAlias

from component.core.journey.told import ENDED, RETIRED
from component.core.records import MoveState
from tests.live.arrange import publish
from tests.live.crash.following import MOVED, SEEN, disagreements
from tests.live.crash.theatre import PATIENCE, Act, Theatre
from tests.live.faults.house import until
from tests.live.movers.cast import Cast, after_follow, compare
from tests.live.movers.guides import GUIDES
from tests.live.movers.moves import is_of
from tests.live.movers.people import Manner, Person
from tests.live.servers.base import COMPONENT_HOST, RosterEntry

DELETE, CANCELLED, PAUSED, UNDONE = (
    "can now delete the old account",
    "is cancelled",
    "is paused",
    r"\AThe move from \S+ to \S+ is undone\.",
)

_Shown: TypeAlias = tuple[str, bool, str, tuple[str, ...]]
"""Of a roster entry: subscription, ask, name, groups."""


class Journey:
    """A mover with two contacts here and two elsewhere, where nobody knows of xmpp-moved.

    All answer requests as people do, so a contact whose server could not follow because the
    component was dead ends up the same.
    """

    away_host = "montague.example"
    here_host = "verona.example"

    copied: ClassVar[Mapping[str, _Shown]] = {}
    """What else the new account has at the end: subscription, ask, name, groups."""

    def __init__(self, theatre: Theatre) -> None:
        self.theatre = theatre
        self.cast = cast = Cast(theatre.world)
        self.old = cast.person("old", self.away_host)
        self.new = cast.person("new", self.here_host)
        self.near = cast.person("near", "montague.example", manner=Manner.APPROVES)
        self.far = cast.person("far", "verona.example", manner=Manner.APPROVES)
        self.neighbours = [self.near, self.far]
        self.bots = [theatre.bots.jid(f"bot{n}-{cast.token}") for n in range(2)]
        self._aged = False

    @property
    def acts(self) -> Sequence[Act]:
        """See :class:`Scene`."""
        return [self.begin, self.done]

    async def enter(self) -> None:
        """See :class:`Scene`; one neighbour has no device until the move is under way."""
        contacts: list[Person | str] = [*self.neighbours, *self.bots]
        for contact in contacts:
            self.cast.friends(self.old, contact, name="Somebody", groups=("A",), called="Juliet")
        self.cast.arrange()
        await self.cast.enter(self.old, self.new, self.near)

    async def found(self) -> dict[str, Any] | None:
        """The move as the component has it; None where it was not begun."""
        listed = await self.theatre.house.orders.order("list")
        picks = is_of(self.old, self.new)
        return next((progress for progress in listed if picks(progress)), None)

    async def state(self) -> str | None:
        """State of the move."""
        progress = await self.found()
        return None if progress is None else str(progress["journey"]["state"])

    async def begin(self) -> None:
        """Order it at the old account, with the code that the other one is sent."""
        if await self.found() is None:
            known = len(self.codes())
            guide = GUIDES["chat"](self.old, COMPONENT_HOST)
            said = await guide.order("away", new=self.new.jid, code=lambda: self.code_after(known))
            assert "has begun" in said, said

    def codes(self) -> list[str]:
        """All that the new account was sent: one for each time that the move was ordered."""
        lines = self.new.heard("enter this code there", sender=COMPONENT_HOST)
        return [line.body.partition("enter this code there: ")[2].split()[0] for line in lines]

    async def code_after(self, known: int) -> str:
        """The next one."""
        while len(codes := self.codes()) <= known:
            self.new.news.clear()
            await self.new.news.wait()
        return codes[-1]

    async def until_state(self, *states: str) -> None:
        """Wait until the move is in one of these states."""
        picks = is_of(self.old, self.new)
        async with self.theatre.house.orders.watch() as watch:
            if await self.state() not in states:
                await watch.until(
                    lambda p: picks(p) and p["journey"]["state"] in states,
                    f"{self.old.jid} {'/'.join(states)}",
                    PATIENCE,
                )

    async def done(self) -> None:
        """Everybody comes online, as they will; wait for the end of the move."""
        if not self.far.online:
            await self.far.log_in()
        await self.until_state("done")

    async def end_is_told(self) -> None:
        """Wait until it is written down that the owner knows of the end."""

        async def is_told() -> bool:
            with closing(sqlite3.connect(self.theatre.daemon.folder / "moved.db")) as connection:
                query = "SELECT told FROM journeys WHERE old = ? AND state = 'done'"
                told = connection.execute(query, (self.old.jid,)).fetchall()
                return told in ([(ENDED,)], [(RETIRED,)])

        await until(is_told, "the owner knows of the end", SEEN, self.story)
        await self.state()  # what was written down is said before that is answered

    async def age(self) -> None:
        """Let it all be years ago; a component that starts sees it."""
        if not self._aged:
            self.theatre.while_down = self._years_ago
            self._aged = self.theatre.restart_wanted = True

    def _years_ago(self) -> None:
        past = "2020-01-01 00:00:00.000000"
        connection = sqlite3.connect(self.theatre.daemon.folder / "moved.db")
        with connection:
            for change in (
                "UPDATE journeys SET started_at = :at WHERE old = :old",
                "UPDATE journeys SET ended_at = :at WHERE old = :old AND ended_at IS NOT NULL",
                "UPDATE answered SET at = :at WHERE old = :old",
                "UPDATE moves SET settled_at = :at WHERE old = :old",
            ):
                connection.execute(change, {"at": past, "old": self.old.jid})
        connection.close()

    def story(self) -> str:
        """For failures."""
        return f"{type(self).__name__} of {self.old.jid}; {self.theatre.world.logs()}"

    # The checks ---------------------------------------------------------------------------------

    async def check(self) -> None:
        """See :class:`Scene`: nobody was told twice or forgotten, and nobody had to tap."""
        await self.check_told()
        await self.theatre.bots.until_proven()
        await until(self.rosters_are_right, "rosters are right", SEEN, self.story)
        for neighbour in self.neighbours:
            await self.check_neighbour(neighbour)
        roster = await self.new.roster()
        everybody = [*self.bots, *(person.jid for person in self.neighbours)]
        theirs: _Shown = ("both", False, "Somebody", ("A",))
        wanted = {**dict.fromkeys(everybody, theirs), **self.copied}
        found = {jid: (e.subscription, e.ask, e.name, e.groups) for jid, e in roster.items()}
        assert found == wanted, self.story()
        assert len(self.old.heard(DELETE, sender=COMPONENT_HOST)) <= 1, self.story()
        await self.agree()

    async def rosters_are_right(self) -> bool:
        """Whether both accounts and the neighbours agree; what is on its way will bring it."""
        await self.cast.settled()
        return disagreements(await self.cast.rosters()) == ""

    async def check_told(self) -> None:
        """Each contact elsewhere was told exactly once, when the statement could be read."""
        bots = self.theatre.bots
        for bot in self.bots:
            told = bots.counts[bot, self.new.jid]
            assert told == 1, f"{bot} was told {told} times; {self.story()}"
        proofs = [proof for proof in bots.proofs if proof.notification.to in self.bots]
        assert not [proof for proof in proofs if not proof.holds], self.story()

    async def check_neighbour(self, neighbour: Person) -> None:
        """Followed by their server; or, where the component was dead then, shown one request."""
        records = await self.theatre.records(neighbour.jid)
        followed = [record for record in records if record.state is MoveState.DONE]
        shown = len(neighbour.notifications)
        story = f"{neighbour.jid} shown={shown} {records}; {self.story()}"
        assert len(followed) + bool(shown) == 1, story
        assert shown <= self.theatre.shown_at_most(neighbour is self.far), story
        assert len(neighbour.heard(MOVED, sender=COMPONENT_HOST)) <= len(followed), story
        if followed:
            before = self.cast.arranged(neighbour)
            wanted = after_follow(before, self.old.jid, self.new.jid)
            found = await neighbour.roster()
            assert compare({"": wanted}, {"": found}) == "", f"half-written: {found}; {story}"

    async def agree(self) -> None:
        """Rosters agree (RFC 6121 section 2.1.2.5)."""
        assert (wrong := disagreements(await self.cast.rosters())) == "", f"{wrong} {self.story()}"

    async def leave(self) -> None:
        """Everybody goes home."""
        await asyncio.gather(*(person.log_out() for person in self.cast.people.values()))


class Copying(Journey):
    """A name is on the old roster with which no subscription stands: it is only copied."""

    copied: ClassVar[Mapping[str, _Shown]] = {
        "aunt@elsewhere.example": ("none", False, "Aunt", ("B",)),
    }

    async def enter(self) -> None:
        """See :class:`Scene`."""
        for jid, (subscription, _, name, groups) in self.copied.items():
            self.cast.friends(self.old, jid, subscription, name=name, groups=groups)
        await super().enter()


class Stopping(Journey):
    """Paused, resumed, cancelled: one contact does not answer, so that it lasts.

    The old account has a statement already that everybody may read; the move makes it narrower.
    """

    async def enter(self) -> None:
        """See :class:`Scene`."""
        self.silent = self.cast.person("silent", "mantua.example")
        self.cast.friends(self.old, self.silent, called="Juliet")
        await super().enter()
        await publish(self.old.device, self.new.jid, "open", [])

    @property
    def acts(self) -> Sequence[Act]:
        """See :class:`Scene`."""
        return [self.begin, self.settling, self.pause, self.resume, self.cancel, self.withdrawn]

    async def settling(self) -> None:
        """Wait until everybody was told and all but one have answered."""
        if not self.far.online:
            await self.far.log_in()
        await self.until_state("settling")

        async def answered() -> bool:
            found = await self.found()
            return found is not None and found["counts"].get("mutual") == 4

        await until(answered, "all but one have answered", SEEN, self.story)

    async def say(self, word: str, wanted: Sequence[str]) -> None:
        """Give an order unless it was carried out already."""
        if await self.state() not in wanted:
            said = await GUIDES["chat"](self.old, COMPONENT_HOST).order(word, sure="1")
            assert await self.state() in wanted, said

    async def pause(self) -> None:
        """By the owner."""
        await self.say("pause", ("paused", "cancelled"))

    async def resume(self) -> None:
        """By the owner."""
        await self.say("resume", ("settling", "cancelled"))

    async def cancel(self) -> None:
        """By the owner."""
        await self.say("cancel", ("cancelled",))

    async def withdrawn(self) -> None:
        """Wait until the silent contact's entry is gone and the statement too."""

        async def gone() -> bool:
            known = self.silent.jid in await self.new.roster()
            return not known and (await self.near.reads_statement(self.old.jid))[0] is None

        await until(gone, "the request is withdrawn", SEEN, self.story)

    async def check(self) -> None:
        """See :class:`Scene`: who had followed stays, the others heard nothing."""
        await self.check_told()
        await until(self.rosters_are_right, "rosters are right", SEEN, self.story)
        for neighbour in self.neighbours:
            await self.check_neighbour(neighbour)
        for notice in (PAUSED, CANCELLED):
            heard = self.old.heard(rf"\AThe move from \S+ to \S+ {notice}", sender=COMPONENT_HOST)
            notices = [line for line in heard if line.thread is None]
            assert len(notices) <= 1, f"{notices} {self.story()}"
        await self.agree()


class TakingBack(Journey):
    """Done, then undone: everything as it was."""

    async def enter(self) -> None:
        """See :class:`Scene`."""
        await super().enter()
        self.before = {
            person.jid: self.cast.arranged(person) for person in (self.old, *self.neighbours)
        }

    @property
    def acts(self) -> Sequence[Act]:
        """See :class:`Scene`."""
        return [*super().acts, self.undo, self.undone]

    async def undo(self) -> None:
        """Ordered at the old account."""
        if await self.state() == "done":
            said = await GUIDES["chat"](self.old, COMPONENT_HOST).order("undo", sure="1")
            assert "undone" in said, said

    async def undone(self) -> None:
        """Wait for the end of it."""
        await self.until_state("undone")

    async def check(self) -> None:
        """See :class:`Scene`."""
        await until(self.rosters_are_right, "rosters are right", SEEN, self.story)
        for neighbour in self.neighbours:
            if neighbour.notifications:
                # They approved by hand what their server could not follow: theirs to remove.
                self.before.pop(neighbour.jid)
        people = [person for person in self.cast.people.values() if person.jid in self.before]
        found = {
            jid: _without_leftovers(roster, self.new.jid)
            for jid, roster in (await self.cast.rosters(*people)).items()
        }
        assert compare(self.before, found) == "", f"{compare(self.before, found)} {self.story()}"
        notices = [
            line for line in self.old.heard(UNDONE, sender=COMPONENT_HOST) if line.thread is None
        ]
        assert len(notices) <= 1, self.story()
        for bot in self.bots:
            assert self.theatre.bots.counts[bot, self.new.jid] == 1, self.story()
            assert self.theatre.bots.counts[bot, self.old.jid] <= 1, self.story()


def _without_leftovers(roster: dict[str, RosterEntry], mover: str) -> dict[str, RosterEntry]:
    """Without an entry of the mover's that has no subscription: it is its owner's to remove."""
    return {j: e for j, e in roster.items() if j != mover or e.subscription != "none" or e.ask}
