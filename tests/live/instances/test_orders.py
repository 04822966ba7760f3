"""What is ordered of one instance holds at the others; limits count what all of them did."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from component.core.model import Reason
from tests.live.arrange import NS_MOVED, publish
from tests.live.client import Client
from tests.live.faults.house import MOVERS_HOST, Family, until
from tests.live.instances.conftest import ONE_DATABASE
from tests.live.instances.fleet import NAMES, Fleet
from tests.live.instances.test_requests import SETTINGS, all_ended, send
from tests.live.movers.cast import Cast
from tests.live.movers.guides import GUIDES
from tests.live.movers.moves import progress_of
from tests.live.movers.people import Person
from tests.live.movers.test_stop_and_go import COUNT, SLOW, Company
from tests.live.servers.differences import KINDS, Kind
from tests.postgres import Postgres

STEP = 3.0
"""Seconds after which what one instance did is known to the others: they look every second, and
what they find has been committed by then."""


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(KINDS["prosody-0.12"], id="prosody-0.12", marks=ONE_DATABASE),
        pytest.param(KINDS["ejabberd-24.12"], id="ejabberd-24.12", marks=pytest.mark.full),
    ],
    indirect=True,
)
async def test_another_instance_takes_the_order(
    kind: Kind, tmp_path: Path, postgres: Postgres
) -> None:
    """A move is paused, resumed and cancelled at an instance that does not work on it."""
    fleet = Fleet(kind, tmp_path, postgres, settings=SLOW)
    async with fleet.running(), Cast(fleet.world) as cast:
        company = Company(fleet.world, cast)
        await company.bots.open()
        await cast.enter()
        await company.begin()
        first, second = fleet.instances
        other = GUIDES["chat"](company.old, second.name)
        assert "paused" in await other.order("pause", sure="1")
        assert fleet.sql("SELECT holder, state FROM journeys") == f"{second.name}|paused"
        assert first.daemon.said("a journey is handed over")
        told = len(company.bots.notifications)
        await cast.settled()
        assert len(company.bots.notifications) == told < COUNT
        # And back again, by the one that had it.
        assert "telling contacts" in await company.order("resume")
        assert fleet.sql("SELECT holder FROM journeys") == first.name
        await company.bots.until(lambda: len(company.bots.counts) == COUNT, "all are told")
        company.check_told_once()
        assert "undone" in await other.order("undo", sure="1")

        async def undone() -> bool:
            return fleet.sql("SELECT state FROM journeys") == "undone"

        await until(undone, "it is undone by the other", 60.0)


@pytest.mark.full
async def test_pause_all_holds_everywhere(kind: Kind, tmp_path: Path, postgres: Postgres) -> None:
    """An admin holds and frees everything at one instance; the other one's move stands still."""
    fleet = Fleet(kind, tmp_path, postgres, settings=SLOW)
    async with fleet.running(), Cast(fleet.world) as cast:
        company = Company(fleet.world, cast)
        await company.bots.open()
        await cast.enter()
        await company.begin()
        first, second = fleet.instances

        async def at_first(paused: bool) -> None:
            async def known() -> bool:
                return bool((await first.control.order("run-time"))["paused"]) is paused

            await until(known, f"the first one knows: {paused}", STEP)

        await second.control.order("pause-all")
        await at_first(True)
        await cast.settled()
        told = len(company.bots.notifications)
        queued = (await progress_of(company.home, company.old, company.new))["counts"]["queued"]
        await until(lambda: passed(fleet, STEP), "time passes", 60.0)
        assert len(company.bots.notifications) == told < COUNT
        now = await progress_of(company.home, company.old, company.new)
        assert now["counts"]["queued"] == queued
        await second.control.order("resume-all")
        await at_first(False)
        await company.bots.until(lambda: len(company.bots.counts) == COUNT, "all are told")
        company.check_told_once()


@pytest.mark.full
async def test_settings_and_limits_hold_everywhere(
    kind: Kind, tmp_path: Path, postgres: Postgres
) -> None:
    """What contacts chose at one instance counts at the other; an old account that was followed by
    one instance is not followed somewhere else by the other."""
    fleet = Fleet(kind, tmp_path, postgres, settings=SETTINGS, servers=("montague",))
    async with fleet.running(), AsyncExitStack() as stack:
        family = await stack.enter_async_context(Family(fleet, 24))
        pioneer, stubborn, late = family.contacts[0], family.contacts[1:13], family.contacts[13:]
        for contact in stubborn:
            person = Person(contact.jid, fleet.server, noise=kind.noise)
            await person.log_in("settings")
            await GUIDES["ad-hoc"](person, NAMES[0]).order("settings", follow="never")
            await person.log_out()
        await send(family, [pioneer])
        await all_ended(family, [pioneer])
        await until(lambda: passed(fleet, STEP), "the others look", 60.0)
        await send(family, stubborn)
        await all_ended(family, stubborn)
        fates = await asyncio.gather(*(family.fate(contact) for contact in stubborn))
        assert set(fates) == {(False, True)}
        assert set(fleet.holders()) == set(NAMES[:2])
        # The same old account now says that it went somewhere else.
        other = await thief_of(fleet, family, stack)
        await asyncio.gather(*(ask(other, family.old, contact.jid) for contact in late))
        await until(lambda: recorded(fleet, other), "all are judged", 60.0)
        reasons = fleet.sql(
            f"SELECT DISTINCT holder, reason FROM moves WHERE new = '{other.bare}' "
            "AND state <> 'diverted' ORDER BY 1, 2"
        ).splitlines()
        # Who had asked the old account lately may still go by its former answer.
        assert f"{elsewhere(fleet, pioneer.jid)}|{Reason.ALREADY_MOVED.value}" in reasons
        assert not [line for line in reasons if line.endswith(Reason.VERIFIED.value)]


async def thief_of(fleet: Fleet, family: Family, stack: AsyncExitStack) -> Client:
    """Somebody who got hold of the old account, and has it name another new one."""
    jid = f"thief@{MOVERS_HOST}"
    fleet.server.add_user(jid)
    owner = Client("old", f"{family.old}/thief", fleet.address, noise=fleet.kind.noise)
    await owner.open()
    await publish(owner, jid, "open", [])
    await owner.close()
    thief = Client("thief", f"{jid}/phone", fleet.address, noise=fleet.kind.noise)
    await thief.open()
    stack.push_async_callback(thief.close)
    await thief.roster()
    thief.send("<presence/>")
    await thief.ping()
    return thief


async def ask(mover: Client, old: str, contact: str) -> None:
    """A moved notification."""
    mover.send(
        f"<presence type='subscribe' to='{contact}'>"
        f"<moved xmlns='{NS_MOVED}'><old-jid>{old}</old-jid></moved></presence>"
    )
    await mover.ping()


async def recorded(fleet: Fleet, mover: Client) -> bool:
    """Whether every request of a mover has its end, of which there are some at each instance."""
    rows = fleet.sql(
        "SELECT count(*), count(settled_at), count(DISTINCT holder) FROM moves "
        f"WHERE new = '{mover.bare}'"
    )
    asked, ended, instances = map(int, rows.split("|"))
    return asked == ended > 0 and instances == 2


def elsewhere(fleet: Fleet, contact: str) -> str:
    """The instance that did not serve a contact."""
    served = fleet.sql(f"SELECT holder FROM moves WHERE contact = '{contact}'")
    return next(name for name in NAMES[:2] if name != served)


async def passed(fleet: Fleet, seconds: float) -> bool:
    """Whether so long ago, by the clock of the database, something was changed last."""
    later = f"now() - max(at) > interval '{seconds} s'"
    return fleet.sql(f"SELECT coalesce({later}, true) FROM changes") == "t"
