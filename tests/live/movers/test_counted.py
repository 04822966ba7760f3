"""An ejabberd with mod_pres_counter, as Debian's ejabberd.yml has it, drops without a word.

Five subscription presences are let through of one stream in an interval; the rest is gone, for
whoever they were. In ``make test`` the real module has a short interval, and our rates are as much
higher; ``make test-full`` has Debian's minute and our defaults.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from tests.live.movers.cast import Cast
from tests.live.movers.conftest import PAIRS, WorldFor
from tests.live.movers.guides import GUIDES, code_of
from tests.live.movers.moves import progress_of, states_of, until
from tests.live.movers.people import Manner, Person
from tests.live.movers.world import COMPONENTS, House, Settings
from tests.live.servers.base import COMPONENT_HOST
from tests.live.servers.differences import Kind
from tests.live.servers.ejabberd import Ejabberd


@dataclass(frozen=True)
class Scale:
    """A minute, and how many contacts are told."""

    interval: float
    contacts: int
    settings: Settings

    @property
    def patience(self) -> float:
        """Seconds after which everybody must have been reached."""
        return 30.0 + 3.0 * self.contacts * self.interval


SHORT = Scale(
    2.0,
    6,
    (
        ("movers.domain_per_minute", 40),
        ("movers.domain_per_minute_max", 320),
        ("movers.pending_minutes", 0.2),
    ),
)
REAL = Scale(
    60.0,
    30,
    (
        ("movers.per_mover_per_second", 1.0),
        ("movers.overall_per_second", 20.0),
        ("movers.domain_per_minute", 2),
        ("movers.domain_per_minute_max", 60),
        ("movers.look_seconds", 30.0),
        ("movers.pending_minutes", 10.0),
        ("movers.retry_hours", [1.0, 6.0, 24.0, 72.0, 168.0]),
    ),
)
SCALES = pytest.mark.parametrize(
    "scale",
    [
        pytest.param(SHORT, id="short"),
        pytest.param(REAL, id="real", marks=pytest.mark.full),  # some 20 minutes
    ],
)
OTHERS = pytest.mark.parametrize("pair", [PAIRS[1]], indirect=True)
"""Movers on Prosody, contacts on an ejabberd that knows nothing of xmpp-moved."""
OURS = pytest.mark.parametrize("pair", [PAIRS[3]], indirect=True)
"""Movers on an ejabberd, contacts on a Prosody with xmpp-moved, which answers at once."""


@asynccontextmanager
async def counting(house: House, scale: Scale) -> AsyncIterator[Ejabberd]:
    """Have an ejabberd count as Debian's does, until the end."""
    server = house.server
    assert isinstance(server, Ejabberd)
    before = dict(server.spec.extra)
    option = json.dumps({"count": 5, "interval": f"{scale.interval:g} s"})
    server.reload({**before, "modules.mod_pres_counter": option})
    try:
        yield server
    finally:
        server.reload(before)


def dropped(server: Ejabberd, since: int) -> int:
    """How many streams and sessions the server has logged that it drops of."""
    return server.log_path.read_text(errors="replace")[since:].count("is being flooded")


async def begin(house: House, old: Person, new: Person) -> None:
    """Order a move between two accounts of one house."""
    code = code_of(new, COMPONENT_HOST)
    said = await GUIDES["chat"](old, COMPONENT_HOST).order("away", new=new.jid, code=code)
    assert "has begun" in said


async def until_mutual(contacts: list[Person], new: Person, patience: float) -> None:
    """Wait until everybody sees the new account and is seen by it, by everybody's own roster."""
    async with asyncio.timeout(patience):
        for person in contacts:
            while True:
                person.news.clear()
                entry = (await person.roster()).get(new.jid)
                if entry is not None and entry.subscription == "both":
                    break
                await person.news.wait()
    roster = await new.roster()
    assert {roster[person.jid].subscription for person in contacts} == {"both"}


@SCALES
@OTHERS
async def test_contacts_on_a_default_ejabberd_are_all_reached_and_counted(
    pair: Kind, world_for: WorldFor, scale: Scale
) -> None:
    world = await world_for(pair, names=("montague", "mantua"), settings=scale.settings)
    home = world.houses["montague"]
    async with counting(world.houses["mantua"], scale) as server, Cast(world) as cast:
        old = cast.person("mercutio", "montague.example")
        new = cast.person("mercutio2", "montague.example")
        contacts = [
            cast.person(f"p{number}", "mantua.example", manner=Manner.APPROVES)
            for number in range(scale.contacts)
        ]
        for person in contacts:
            cast.friends(old, person)
        cast.arrange()
        await cast.enter()
        since = len(server.log_path.read_text(errors="replace"))
        begun = time.monotonic()
        async with home.orders.watch() as watch:
            await begin(home, old, new)
            await until(watch, old, new, ("notifying",))
            promised = (await progress_of(home, old, new))["seconds_left"]
            await until(watch, old, new, ("settling", "done"), timeout=scale.patience)
            told = time.monotonic() - begun
            await until(watch, old, new, ("done",), timeout=scale.patience)
        assert told <= promised + 3.0, "but for the order by chat"
        assert set((await states_of(home, old, new)).values()) == {"mutual"}
        await until_mutual(contacts, new, scale.patience)
        print(f"promised {promised:.0f} s, told {told:.0f} s, floods {dropped(server, since)}")


@pytest.mark.full  # on simulated time: unit/engine/movers/test_counted.py
@OTHERS
async def test_eight_contacts_of_one_user_move_in_the_same_minute(
    pair: Kind, world_for: WorldFor
) -> None:
    world = await world_for(pair, names=("montague", "mantua"), settings=SHORT.settings)
    home = world.houses["montague"]
    async with counting(world.houses["mantua"], SHORT), Cast(world) as cast:
        friend = cast.person("friend", "mantua.example", manner=Manner.APPROVES)
        movers = [
            (cast.person(f"m{n}", "montague.example"), cast.person(f"n{n}", "verona.example"))
            for n in range(8)
        ]
        for old, _ in movers:
            cast.friends(old, friend)
        cast.arrange()
        await cast.enter()
        async with home.orders.watch() as watch:
            await asyncio.gather(*(begin(home, old, new) for old, new in movers))
            for old, new in movers:
                await until(watch, old, new, ("done",), timeout=SHORT.patience)
        found = await friend.roster()
        lacking = {
            new.jid: (found.get(new.jid), await states_of(home, old, new))
            for old, new in movers
            if (entry := found.get(new.jid)) is None or entry.subscription != "both"
        }
        assert not lacking


@SCALES
@OURS
async def test_movers_on_a_default_ejabberd_of_ours(
    pair: Kind, world_for: WorldFor, scale: Scale
) -> None:
    """Old and new account on the one that counts: each contact answers with three presences."""
    names = ("montague", "capulet")
    world = await world_for(pair, names=names, settings=scale.settings, components=False)
    home = world.houses["montague"]
    async with counting(home, scale) as server, Cast(world) as cast:
        await world.start(names)
        old = cast.person("mercutio", "montague.example")
        new = cast.person("mercutio2", "montague.example")
        contacts = [
            cast.person(f"p{number}", "capulet.example")
            for number in range(5 if scale is SHORT else 8)
        ]
        for person in contacts:
            cast.friends(old, person)
        cast.arrange()
        await cast.enter(old, new)
        since = len(server.log_path.read_text(errors="replace"))
        async with home.orders.watch() as watch:
            await begin(home, old, new)
            await until(watch, old, new, ("done",), timeout=scale.patience)
        assert set((await states_of(home, old, new)).values()) == {"mutual"}
        await until_mutual(contacts, new, scale.patience)
        assert not dropped(server, since)
        code, text = await home.running_daemon.run_command("check")
        words = " ".join(text.split())
        assert code == 0, text
        assert f"montague.example: 5 of one stream in {scale.interval:g} s" in words
        assert "give mod_pres_counter count: 200" in words


@pytest.mark.full  # as the one above, and one presence less for each contact
@OURS
async def test_an_arrival_on_a_default_ejabberd_of_ours(pair: Kind, world_for: WorldFor) -> None:
    """The old account is where the contacts are."""
    names = ("montague", "capulet")
    world = await world_for(pair, names=names, settings=SHORT.settings, components=False)
    home, far = world.houses["montague"], world.houses["capulet"]
    async with counting(home, SHORT) as server, Cast(world) as cast:
        await world.start(names)
        old = cast.person("benvolio", "capulet.example")
        new = cast.person("benvolio2", "montague.example")
        contacts = [cast.person(f"p{number}", "capulet.example") for number in range(5)]
        for person in contacts:
            cast.friends(old, person)
        cast.arrange()
        await cast.enter(old, new)
        since = len(server.log_path.read_text(errors="replace"))
        async with far.orders.watch() as left, home.orders.watch() as watch:
            await GUIDES["chat"](old, COMPONENTS["capulet"]).order("away", new=new.jid)
            await until(left, old, new, ("settling",))
            await GUIDES["chat"](new, COMPONENT_HOST).order("arrive", old=old.jid)
            await until(watch, old, new, ("done",), timeout=SHORT.patience)
        await until_mutual(contacts, new, SHORT.patience)
        assert not dropped(server, since)
