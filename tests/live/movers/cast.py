"""The people of one test, their rosters before, and what became of them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace

from tests.live.movers.people import PATIENCE, Manner, Person
from tests.live.movers.world import World
from tests.live.servers.base import RosterEntry

MIRROR = {"none": "none", "to": "from", "from": "to", "both": "both"}
Rosters = Mapping[str, Mapping[str, RosterEntry]]


class Cast:
    """Accounts that no other test has, in a world that other tests may have used.

    Use as an async context manager: at the end everybody is logged out, and ``ends`` is closed.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.token = secrets.token_hex(3)
        self.people: dict[str, Person] = {}
        self.ends = AsyncExitStack()
        self._rosters: dict[str, list[RosterEntry]] = {}

    async def __aenter__(self) -> Cast:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(person.log_out() for person in self.people.values()))
        await self.ends.aclose()

    def jid(self, name: str, host: str) -> str:
        """A bare JID that is this test's own."""
        return f"{name}-{self.token}@{host}"

    def person(
        self, name: str, host: str, *, manner: Manner = Manner.NOTHING, reads: bool = False
    ) -> Person:
        """Create an account, with a person who is not logged in yet."""
        jid = self.jid(name, host)
        house = self.world.house_of(host)
        noise = self.world.side(house.name).noise
        person = Person(jid, house.server, noise=noise, manner=manner, reads=reads)
        house.server.add_user(jid)
        self.people[jid] = person
        return person

    def friends(
        self,
        owner: Person,
        contact: Person | str,
        subscription: str = "both",
        *,
        name: str | None = None,
        groups: Iterable[str] = (),
        called: str | None = None,
        called_groups: Iterable[str] = (),
    ) -> None:
        """Let both have each other on the roster; ``subscription`` as ``owner`` has it.

        ``called`` and ``called_groups`` are what the contact has written for the owner.
        """
        jid = contact if isinstance(contact, str) else contact.jid
        self._rosters.setdefault(owner.jid, []).append(
            RosterEntry(jid, subscription, name, tuple(sorted(groups)))
        )
        if isinstance(contact, Person):
            self._rosters.setdefault(jid, []).append(
                RosterEntry(owner.jid, MIRROR[subscription], called, tuple(sorted(called_groups)))
            )

    def arrange(self) -> None:
        """Write the rosters: once, before anybody logs in."""
        for jid, entries in self._rosters.items():
            self.world.house_of(jid).server.set_roster(jid, entries)

    def arranged(self, person: Person) -> dict[str, RosterEntry]:
        """What :meth:`arrange` wrote for somebody."""
        return {entry.jid: entry for entry in self._rosters.get(person.jid, [])}

    async def enter(self, *people: Person) -> None:
        """Log these people in; everybody where none is named."""
        await asyncio.gather(*(person.log_in() for person in people or self.people.values()))

    async def rosters(self, *people: Person) -> dict[str, dict[str, RosterEntry]]:
        """The rosters of these people, or of everybody, as their servers have them."""
        wanted = list(people) or list(self.people.values())
        found = await asyncio.gather(*(person.roster() for person in wanted))
        return {person.jid: roster for person, roster in zip(wanted, found, strict=True)}

    async def settled(self) -> None:
        """Return when what was sent before has gone all ways: everybody pings every server."""
        online = [person.device for person in self.people.values() if person.online]
        hosts = [
            host
            for house in self.world.houses.values()
            if house.server.running
            for host in house.server.spec.hosts
        ]
        for host in (None, *hosts, None):
            await asyncio.gather(*(device.ping(host) for device in online))


async def until_roster(
    person: Person,
    wanted: Mapping[str, RosterEntry],
    look: Callable[[RosterEntry], RosterEntry] = lambda entry: entry,
) -> None:
    """Wait until a roster is exactly this, looking again at each stanza; raises AssertionError.

    ``look``: what of an entry is looked at.
    """
    seen: Mapping[str, RosterEntry] = {}
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                person.news.clear()
                seen = {jid: look(entry) for jid, entry in (await person.roster()).items()}
                if seen == wanted:
                    return
                await person.news.wait()
    except TimeoutError:
        raise AssertionError(f"{person.jid}:\n{compare({'': wanted}, {'': seen})}") from None


def without_labels(entry: RosterEntry) -> RosterEntry:
    """An entry without name and groups: servers may name one after whoever asks."""
    return replace(entry, name=None, groups=())


def after_follow(before: Mapping[str, RosterEntry], old: str, new: str) -> dict[str, RosterEntry]:
    """The roster of a contact whom xmpp-moved let follow, when the new account shows itself too."""
    entry = before[old]
    sees = entry.subscription == "both"
    return {
        **before,
        old: replace(entry, subscription="to" if sees else "none"),
        new: replace(entry, jid=new, subscription="both" if sees else "from"),
    }


def compare(wanted: Rosters, found: Rosters) -> str:
    """What differs, a line for each entry; empty where nothing does."""
    lines = []
    for owner in sorted(wanted.keys() | found.keys()):
        want, have = wanted.get(owner, {}), found.get(owner, {})
        for jid in sorted(want.keys() | have.keys()):
            if want.get(jid) != have.get(jid):
                lines.append(f"{owner}: {jid} should be {want.get(jid)} but is {have.get(jid)}")
    return "\n".join(lines)
