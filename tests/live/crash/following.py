"""Scenes of the contact's side: somebody moves, and contacts follow, or see a request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from component.core.records import MoveRecord, MoveState
from tests.live.arrange import NS_MOVED, publish
from tests.live.client import ClientError
from tests.live.crash.theatre import ADMIN, Act, Theatre
from tests.live.faults.house import until
from tests.live.movers.cast import MIRROR, Cast, after_follow, compare
from tests.live.movers.guides import GUIDES, Window
from tests.live.movers.people import Manner, Person
from tests.live.servers.base import COMPONENT_HOST, RosterEntry

SEEN = 60.0
"""Seconds within which a request has reached somebody, one way or the other."""
MOVED, GENUINE, RESTORED = "Your contact list has been changed", "is genuine", "Undone:"
_PRESENCE = "{jabber:client}presence"


class Move:
    """A mover with a statement, and contacts; the mover's client sends the requests itself.

    ``old`` and ``new`` are the accounts; ``near`` are online, of whom the last one only lets the
    mover see them; ``far`` has no device until the requests were sent.
    """

    states = True
    """Whether the old account has a statement."""

    def __init__(self, theatre: Theatre) -> None:
        self.theatre = theatre
        self.cast = cast = Cast(theatre.world)
        self.old = cast.person("old", "verona.example", manner=Manner.APPROVES)
        self.new = cast.person("new", "verona.example", manner=Manner.APPROVES)
        self.near = [cast.person(f"near{n}", "montague.example") for n in range(2)]
        self.far = cast.person("far", "montague.example")
        self.contacts = [*self.near, self.far]
        self.server_died = False
        """Presences of a plan may then be repeated, and what the server had in memory is gone."""
        self.approved: set[str] = set()
        """Contacts who approved by hand what they were shown."""
        self._sent = False

    @property
    def acts(self) -> Sequence[Act]:
        """See :class:`Scene`."""
        return [self.send, self.fates]

    async def enter(self) -> None:
        """See :class:`Scene`."""
        for number, contact in enumerate(self.contacts):
            subscription = "to" if number == 1 else "both"
            self.cast.friends(self.old, contact, subscription, called="Juliet")
        self.cast.arrange()
        await self.cast.enter(self.old, self.new, *self.near)
        if self.states:
            await state(self.old, self.new)

    async def send(self) -> None:
        """The mover's new account asks everybody, once."""
        if not self._sent:
            self._sent = True
            for contact in self.contacts:
                self.ask(self.new, self.old, contact)
        await self.new.device.ping()

    def ask(self, new: Person, old: Person, contact: Person) -> None:
        """A moved notification from a client."""
        moved = f"<moved xmlns='{NS_MOVED}'><old-jid>{old.jid}</old-jid></moved>"
        new.subscribes("subscribe", contact.jid, moved)

    async def fates(self) -> None:
        """Wait until each request has one end."""
        if not self.far.online:
            await self.far.log_in()

        async def all_ended() -> bool:
            return all([sum(await self.fate(contact)) >= 1 for contact in self.contacts])

        await until(all_ended, "each request has an end", SEEN, self.story)

    async def fate(self, contact: Person) -> tuple[bool, bool]:
        """Whether a contact was made to follow, and whether they were shown the request."""
        entry = (await contact.roster()).get(self.new.jid)
        followed = entry is not None and entry.subscription in ("from", "both")
        return followed, bool(self.shown(contact, self.new))

    @staticmethod
    def shown(contact: Person, sender: Person) -> int:
        """How many requests of this sender a person was shown."""
        return sum(
            request.element.get("from", "").partition("/")[0] == sender.jid
            for request in contact.requests
        )

    def story(self) -> str:
        """For failures."""
        shown = {contact.jid: self.shown(contact, self.new) for contact in self.contacts}
        return (
            f"{type(self).__name__} of {self.new.jid}: shown {shown}; {self.theatre.world.logs()}"
        )

    async def check(self) -> None:
        """See :class:`Scene`; then whoever was shown a request approves it as people do."""
        await self.cast.settled()
        for contact in self.contacts:
            if contact.jid not in self.approved:
                await self.check_contact(contact)
        await self.approve_the_rest()
        await self.agree()

    async def check_contact(self, contact: Person) -> None:
        """One end, once; the roster is whole; no word too many."""
        followed, shown = await self.fate(contact)
        records = await self.theatre.records(contact.jid)
        ends = [(record.state.value, record.reason, record.detail) for record in records]
        story = f"{contact.jid} followed={followed} shown={shown} records={ends}; {self.story()}"
        assert len(records) <= 1, story
        assert followed or shown, f"lost: {story}"
        assert not (followed and shown), story
        assert self.shown(contact, self.new) <= self.theatre.shown_at_most(contact is self.far), (
            story
        )
        assert followed is any(record.state is MoveState.DONE for record in records), story
        before = self.cast.arranged(contact)
        wanted = after_follow(before, self.old.jid, self.new.jid) if followed else before
        found = await contact.roster()
        assert compare({"": wanted}, {"": found}) == "", f"half-written: {found}; {story}"
        assert len(contact.heard(MOVED, sender=COMPONENT_HOST)) <= followed, story
        answered = self.answers("subscribed", contact)
        assert answered == followed or (followed and self.server_died), f"{answered}: {story}"

    def answers(self, kind: str, contact: Person) -> int:
        """Presences of a type that the new account's device got from a contact."""
        return sum(
            received.element.tag == _PRESENCE
            and received.element.get("type") == kind
            and received.element.get("from", "").partition("/")[0] == contact.jid
            for received in self.new.device.history
        )

    async def approve_the_rest(self) -> None:
        """What was shown is a request like any other: it can be approved."""
        shown = [c for c in self.contacts if self.shown(c, self.new)]
        self.approved |= {contact.jid for contact in shown}
        for contact in shown:
            contact.subscribes("subscribed", self.new.jid)
        await self.cast.settled()
        for contact in shown:
            entry = (await contact.roster()).get(self.new.jid)
            assert entry is not None, self.story()
            assert entry.subscription in ("from", "both"), self.story()

    async def agree(self) -> None:
        """Rosters agree: who sees somebody is seen by them (RFC 6121 section 2.1.2.5)."""
        await self.cast.settled()
        assert (wrong := disagreements(await self.cast.rosters())) == "", f"{wrong} {self.story()}"

    async def leave(self) -> None:
        """Everybody goes home."""
        await asyncio.gather(*(person.log_out() for person in self.cast.people.values()))


async def state(old: Person, new: Person) -> None:
    """Publish a statement; again where it is refused, as ejabberd does when many come at once."""
    for last in (False, False, True):
        try:
            await publish(old.device, new.jid, "open", [])
        except ClientError:
            if last:
                raise
        else:
            return


def disagreements(rosters: dict[str, dict[str, RosterEntry]]) -> str:
    """Pairs of accounts whose entries of each other do not mirror each other, a line for each."""
    wrong = []
    for owner, roster in rosters.items():
        for jid, entry in roster.items():
            if jid in rosters:
                other = rosters[jid].get(owner, RosterEntry(owner))
                if MIRROR[entry.subscription] != other.subscription:
                    wrong.append(f"{owner}: {entry}; {jid}: {other}")
    return "\n".join(wrong)


class Unstated(Move):
    """The old account says nothing: everybody sees a request."""

    states = False


class Asking(Move):
    """Contacts who want to be asked; they chose so beforehand."""

    @property
    def acts(self) -> Sequence[Act]:
        """See :class:`Scene`."""
        return [self.choose, *super().acts]

    async def choose(self) -> None:
        """By the window of a client; a choice made twice is the same choice."""
        for contact in self.near:
            window = Window(contact, COMPONENT_HOST)
            assert await window.order("settings", follow="ask", language="en")

    async def check_contact(self, contact: Person) -> None:
        """See :class:`Move`."""
        await super().check_contact(contact)
        followed, _ = await self.fate(contact)
        assert not (followed and contact in self.near)
        assert len(contact.heard(GENUINE, sender=COMPONENT_HOST)) <= 1


class Undoing(Move):
    """A contact takes the change back, in a chat; an admin does so for another."""

    async def enter(self) -> None:
        """See :class:`Scene`."""
        await super().enter()
        self.before = {c.jid: self.cast.arranged(c) for c in self.contacts}
        self.difference = ""

    @property
    def acts(self) -> Sequence[Act]:
        """See :class:`Scene`."""
        settled = self.theatre.nothing_open
        return [self.send, self.fates, settled, self.undo, self.undo_by_admin, self.restored]

    async def undo(self) -> None:
        """The first contact says so, again until it is answered."""
        if await self.undoable(self.near[0]):
            said = await GUIDES["chat"](self.near[0], COMPONENT_HOST).order("undo")
            assert "Undone" in said, said

    async def undo_by_admin(self) -> None:
        """By the record's id; refused where it is undone already."""
        for record in await self.undoable(self.near[1]):
            await self.theatre.house.orders.order("undo-followed", id=record.id)

    async def undoable(self, contact: Person) -> Sequence[MoveRecord]:
        """What was done for a contact and not taken back."""
        records = await self.theatre.records(contact.jid)
        return [r for r in records if r.state is MoveState.DONE and r.undone_at is None]

    async def restored(self) -> None:
        """Wait until both have their rosters back."""

        async def are_back() -> bool:
            found = await self.cast.rosters(*self.near)
            self.difference = compare({c.jid: self.before[c.jid] for c in self.near}, found)
            return self.difference == ""

        await until(are_back, "rosters are back", SEEN, lambda: self.difference + self.story())

    async def check(self) -> None:
        """See :class:`Scene`."""
        await self.cast.settled()
        await self.check_contact(self.far)
        for contact in self.near:
            records = await self.theatre.records(contact.jid)
            assert len(records) <= 1, self.story()
            done = [record for record in records if record.state is MoveState.DONE]
            assert all(record.undone_at is not None for record in done), self.story()
            assert len(contact.heard(MOVED, sender=COMPONENT_HOST)) <= len(done), self.story()
        by_admin = self.near[1].heard(RESTORED, sender=COMPONENT_HOST)
        assert len(by_admin) <= 1, self.story()
        await self.agree()


class Returning(Move):
    """The mover comes back to the old account: entries become what they were."""

    def __init__(self, theatre: Theatre) -> None:
        super().__init__(theatre)
        self._asked: set[str] = set()
        """Contacts who were asked by the old account: a death may come between two."""

    @property
    def acts(self) -> Sequence[Act]:
        """See :class:`Scene`."""
        settled = self.theatre.nothing_open
        return [self.send, self.fates, settled, self.return_, self.returned]

    async def return_(self) -> None:
        """The new account says so, and the old one asks, once."""
        await state(self.new, self.old)
        for contact in self.contacts:
            if contact.jid not in self._asked and (await self.fate(contact))[0]:
                self._asked.add(contact.jid)
                self.ask(self.old, self.new, contact)
        await self.old.device.ping()

    async def returned(self) -> None:
        """Wait until each has their roster back, or was shown a request."""

        async def all_back() -> bool:
            return all([await self.is_back(contact) for contact in self.contacts])

        await until(all_back, "each is back", SEEN, self.story)

    async def is_back(self, contact: Person) -> bool:
        """Followed the mover back, or sees a request of the old account, or had never followed."""
        seen = self.shown(contact, self.new) + self.shown(contact, self.old)
        return bool(seen) or await contact.roster() == self.cast.arranged(contact)

    async def check(self) -> None:
        """See :class:`Scene`."""
        await self.cast.settled()
        for contact in self.contacts:
            assert await self.is_back(contact), f"half-written: {contact}; {self.story()}"
            back = [r for r in await self.theatre.records(contact.jid) if r.new == self.old.jid]
            assert len(back) <= 1, self.story()
            assert self.shown(contact, self.old) <= 1, self.story()
            assert len(contact.heard(MOVED, sender=COMPONENT_HOST)) <= 2, self.story()
            if self.shown(contact, self.old):
                contact.subscribes("subscribed", self.old.jid)
        await self.agree()


class Governing(Move):
    """An admin changes what holds for all."""

    @property
    def acts(self) -> Sequence[Act]:
        """See :class:`Scene`."""
        return [self.govern]

    async def enter(self) -> None:
        """See :class:`Scene`."""
        self.admin = Person(ADMIN, self.theatre.house.server, noise=self.theatre.world.kind.noise)
        await self.admin.log_in()

    async def govern(self) -> None:
        """The same once more is the same."""
        window = Window(self.admin, COMPONENT_HOST)
        assert await window.order("admin-settings", per_second="999")

    async def check(self) -> None:
        """What was confirmed holds after a crash."""
        said = await self.theatre.house.orders.order("run-time")
        assert said["overall_per_second"] == 999

    async def leave(self) -> None:
        """See :class:`Scene`."""
        await self.admin.log_out()
