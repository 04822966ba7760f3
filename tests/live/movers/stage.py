"""Juliet's household: old and new account in one house, a contact of every sort."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.live.movers.cast import Cast, after_follow, compare, until_roster
from tests.live.movers.guides import GUIDES, Answer, code_of
from tests.live.movers.moves import until
from tests.live.movers.people import Manner, Person
from tests.live.movers.world import House, World
from tests.live.servers.base import COMPONENT_HOST, RosterEntry

NAMES = ("montague", "mantua")


@dataclass
class Juliet:
    """Old and new account of a mover, and her contacts wherever they are."""

    cast: Cast
    old: Person
    new: Person
    romeo: Person
    """On the old account's host, with a device."""
    nurse: Person
    """On the other host, without any."""
    tybalt: Person
    """Lets her see him, and does not see her."""
    friar: Person
    """Elsewhere, with an ordinary client and server."""
    stranger: Person

    @property
    def contacts(self) -> list[Person]:
        """All of them."""
        return [self.romeo, self.nurse, self.tybalt, self.friar]

    @property
    def home(self) -> House:
        """The server of both accounts."""
        return self.cast.world.houses["montague"]

    def roster_of_new(self) -> dict[str, RosterEntry]:
        """What the new account has in the end."""
        return self.cast.arranged(self.old)

    def roster_of_old(self) -> dict[str, RosterEntry]:
        """What is left on the old account: who followed has taken the old one's view away."""
        before = dict(self.cast.arranged(self.old))
        for contact, left in (
            (self.romeo, "from"),
            (self.nurse, "from"),
            (self.tybalt, "none"),
        ):
            before[contact.jid] = replace(before[contact.jid], subscription=left)
        return before


async def enter_juliet(world: World, cast: Cast) -> Juliet:
    """Everybody on the stage; the nurse stays offline."""
    old = cast.person("juliet", "montague.example")
    new = cast.person("juliet2", "verona.example")
    romeo = cast.person("romeo", "montague.example")
    nurse = cast.person("nurse", "verona.example")
    tybalt = cast.person("tybalt", "montague.example")
    friar = cast.person("friar", "mantua.example", manner=Manner.APPROVES, reads=True)
    stranger = cast.person("stranger", "montague.example")
    cast.friends(old, romeo, name="Romeo", groups=("Love",), called="Juliet", called_groups=("A",))
    cast.friends(old, nurse, called="My lamb")
    cast.friends(old, tybalt, "to", name="Tybalt")
    cast.friends(old, friar, name="Friar Laurence", groups=("Church", "Verona"))
    cast.arrange()
    await cast.enter(old, new, romeo, tybalt, friar, stranger)
    return Juliet(cast, old, new, romeo, nurse, tybalt, friar, stranger)


async def check_end(stage: Juliet) -> None:
    """See that every roster is exactly as it must be, and that nobody had to tap."""
    await until_roster(stage.new, stage.roster_of_new())
    await stage.cast.settled()
    found = await stage.cast.rosters()
    old, new = stage.old.jid, stage.new.jid
    wanted = {
        person.jid: after_follow(stage.cast.arranged(person), old, new)
        for person in (stage.romeo, stage.nurse, stage.tybalt)
    }
    wanted[old] = stage.roster_of_old()
    wanted[new] = stage.roster_of_new()
    wanted[stage.stranger.jid] = {}
    friar = found.pop(stage.friar.jid)
    assert {jid: (entry.subscription, entry.ask) for jid, entry in friar.items()} == {
        old: ("both", False),
        new: ("both", False),
    }
    assert compare(wanted, found) == ""
    for person in (stage.romeo, stage.nurse, stage.tybalt, stage.new, stage.old):
        assert not person.requests, person
    assert [(n.old, n.new) for n in stage.friar.notifications] == [(old, new)]
    assert all(proof.holds for proof in stage.friar.proofs)
    assert not stage.stranger.lines


async def move_her(stage: Juliet, **answers: Answer) -> None:
    """The whole move, ordered by chat at the old account, until it is done."""
    async with stage.home.orders.watch() as watch:
        await begin_her(stage, **answers)
        await until(watch, stage.old, stage.new, ("done",))


async def begin_her(stage: Juliet, **answers: Answer) -> str:
    """Order the move by chat at the old account, with the code; return the last word."""
    guide = GUIDES["chat"](stage.old, COMPONENT_HOST)
    code = code_of(stage.new, COMPONENT_HOST)
    return await guide.order("away", new=stage.new.jid, **{"code": code, **answers})
