"""Where something runs out, requests become ordinary ones, it is said, and it heals by itself."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from component.core.records import MoveState
from tests.live.client import RawComponent
from tests.live.faults.exhaustion import (
    FAKETIME,
    WallClock,
    full,
    locked,
    loop_disk,
    no_descriptors,
    processor_seconds,
    read_only,
    small_disk,
)
from tests.live.faults.house import METRICS_PORT, Contact, Family, FaultHouse, until
from tests.live.servers.base import STRANGER_HOST, Fault, HookOptions
from tests.live.servers.differences import KINDS, Kind

RED = 10.0
"""Seconds within which /health has to show a fault."""
GREEN = 15.0
"""Seconds within which all is well again."""
PASSED = 20.0
"""Seconds within which a request that cannot be followed is the contact's."""


@pytest.fixture(scope="module")
def prosody() -> Kind:
    """Any server: what runs out here is the component's."""
    kind = KINDS["prosody-0.12"]
    if not kind.available:
        pytest.skip(kind.missing)
    return kind


async def is_followed(family: Family, contact: Contact) -> None:
    """Send a request and see it followed."""
    await family.send(contact)

    async def followed() -> bool:
        return (await family.fate(contact)) == (True, False)

    await until(followed, "followed", 10.0)


async def is_passed(family: Family, contact: Contact) -> None:
    """Send a request and see it pass as an ordinary one."""
    await family.send(contact)

    async def passed() -> bool:
        return (await family.fate(contact)) == (False, True)

    await until(passed, "passed unfollowed", PASSED)


async def degrades(
    house: FaultHouse,
    fault: AbstractContextManager[None],
    says: str,
    event: str = "cannot journal a verdict",
) -> None:
    """Follow one, take the resource away, see two pass, give it back, follow one again."""
    async with Family(house, 4) as family:
        before, during, later, after = family.contacts
        await is_followed(family, before)
        with fault:
            await asyncio.gather(is_passed(family, during), is_passed(family, later))
            said = await house.until_health(False, RED)
            assert says in str(said), said
            assert house.daemon.said(event)
        await house.until_health(True, GREEN)
        await is_followed(family, after)
        await house.nothing_open()
        ends = {r.contact: r.state for r in await house.records()}
        assert ends[before.jid] is ends[after.jid] is MoveState.DONE
        assert MoveState.DONE not in (ends.get(during.jid), ends.get(later.jid))


def intact(journal: Path) -> None:
    """The database is what SQLite calls ok."""
    connection = sqlite3.connect(journal)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        connection.close()


@pytest.mark.full
async def test_disk_full(prosody: Kind, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 3) as disk:
        house = FaultHouse(prosody, tmp_path / "house", database=disk)
        async with house.running():
            await degrades(house, full(disk), "disk is full")
        intact(house.journal)


@pytest.mark.full
async def test_a_journal_that_becomes_read_only(prosody: Kind, tmp_path: Path) -> None:
    with loop_disk(tmp_path / "disk") as disk:
        house = FaultHouse(prosody, tmp_path / "house", database=disk)
        async with house.running():
            await degrades(house, read_only(house.journal), "journal")
        intact(house.journal)


async def test_a_journal_that_another_process_has_locked(prosody: Kind, tmp_path: Path) -> None:
    house = FaultHouse(prosody, tmp_path)
    async with house.running(), Family(house, 4) as family:
        before, during, later, after = family.contacts
        await is_followed(family, before)
        async with locked(house.journal):
            said, *_ = await asyncio.gather(
                house.until_health(False, RED),
                is_passed(family, during),
                is_passed(family, later),
            )
            assert "for 5 s" in said["journal"] or "locked by another program" in said["journal"]
        await house.until_health(True, GREEN)
        await is_followed(family, after)
        await house.nothing_open()
        assert house.daemon.said("cannot journal a verdict")


@pytest.mark.full
async def test_no_descriptor_is_left(prosody: Kind, tmp_path: Path) -> None:
    """The health check cannot be answered then, which a monitor takes for the no that it is.

    What needs no new descriptor goes on: a request may even be followed.
    """
    house = FaultHouse(prosody, tmp_path)
    async with house.running(), Family(house, 4) as family:
        before, during, later, after = family.contacts
        await is_followed(family, before)
        pid = house.daemon.pid
        async with no_descriptors(pid, house.address, METRICS_PORT):
            assert "unreachable" in await house.until_health(False, RED)
            assert house.daemon.said(
                "no descriptor is left: the health check cannot be answered; raise the limit "
                "(systemd: LimitNOFILE=)"
            )
            await family.send(during)
            house.proxy.reset()
            await family.send(later)
            began = processor_seconds(pid)
            await asyncio.sleep(3.0)
            busy = processor_seconds(pid) - began
            assert busy < 1.0, f"{busy:.1f} s of processor time in 3 s of waiting"
        await house.until_health(True, GREEN)

        async def ended() -> bool:
            return all([sum(await family.fate(contact)) == 1 for contact in (during, later)])

        await until(ended, "one end for each", PASSED)
        await is_followed(family, after)
        await house.nothing_open()


@pytest.mark.full
@pytest.mark.skipif(not FAKETIME.exists(), reason="libfaketime is not installed")
async def test_the_clock_jumps_a_day_ahead_and_back(prosody: Kind, tmp_path: Path) -> None:
    clock = WallClock(tmp_path / "clock")
    house = FaultHouse(prosody, tmp_path / "house", environment=clock.environment)
    async with house.running(), Family(house, 6) as family:
        before, waiting, ahead, behind, healed, _ = family.contacts
        await is_followed(family, before)
        # One is being decided while the clock jumps.
        house.proxy.latency(0.5)
        await family.send(waiting)
        clock.set(86400)
        house.proxy.heal()
        await is_followed(family, ahead)
        assert (await house.health())[0]
        clock.set(-86400)
        await is_followed(family, behind)
        assert (await house.health())[0]
        clock.set(0)
        await is_followed(family, healed)
        await house.nothing_open()
        records = {record.contact: record for record in await house.records()}
        assert [records[c.jid].state for c in (before, waiting, ahead, behind, healed)] == (
            [MoveState.DONE] * 5
        )
        now, days = datetime.now(UTC), timedelta(hours=23)
        assert records[ahead.jid].at > now + days
        assert records[behind.jid].at < now - days


@asynccontextmanager
async def stranger(house: FaultHouse) -> AsyncIterator[RawComponent]:
    """A component whose users send whatever a test likes."""
    component = RawComponent("stranger", STRANGER_HOST, house.address)
    await component.open()
    try:
        yield component
    finally:
        await component.close()


FLOOD = 800
HELD = 20


@pytest.mark.full
async def test_more_requests_than_the_hook_may_hold(kind: Kind, tmp_path: Path) -> None:
    """Forged claims about an account whose server says nothing: each would be held for long."""
    house = FaultHouse(
        kind,
        tmp_path,
        hook=HookOptions(max_held=HELD),
        settings=[("contacts.deadline_seconds", 4.0)],
    )
    async with house.running(), Family(house, 11) as family, stranger(house) as forger:
        crowd = family.contacts[:10]
        house.server.set_fault(family.old, Fault("silent"))
        for number in range(FLOOD):
            forger.send(
                f"<presence type='subscribe' from='n{number}@{STRANGER_HOST}'"
                f" to='{crowd[number % len(crowd)].jid}'><moved xmlns='urn:xmpp:moved:1'>"
                f"<old-jid>{family.old}</old-jid></moved></presence>"
            )
        said = await house.until_health(False, RED)
        assert "montague.example" in said["too_many_requests_at"]

        async def all_there() -> bool:
            shown = [_senders(contact) for contact in crowd]
            return sum(map(len, shown)) == FLOOD

        def counts() -> str:
            return str([len(_senders(contact)) for contact in crowd])

        await until(all_there, f"{FLOOD} ordinary requests", 90.0, counts)
        assert all(len(set(_senders(c))) == len(_senders(c)) for c in crowd)
        house.server.set_fault(family.old, None)
        await house.until_health(True, GREEN)
        assert (
            len(
                house.daemon.said(
                    "too many requests at once: some pass unfollowed, as ordinary "
                    "requests; see who sends them, or raise moved_hook_max_held"
                )
            )
            == 1
        )
        # The silent account is not asked again at once; another is.
        async with Family(house, 2) as other:
            await is_followed(other, other.contacts[0])
        await house.nothing_open()


def _senders(contact: Contact) -> list[str]:
    return [
        element.get("from", "")
        for received in contact.devices[0].history
        if (element := received.element).get("type") == "subscribe"
    ]
