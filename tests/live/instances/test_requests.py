"""Requests to users here, while instances go away: none is lost, none is done twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from component.core.records import MoveRecord, MoveState
from tests.live.faults.house import Contact, Family, doubled, until
from tests.live.instances import ends
from tests.live.instances.conftest import ONE_DATABASE
from tests.live.instances.fleet import NAMES, NOTICED, Fleet
from tests.live.movers.world import Settings
from tests.live.servers.differences import KINDS, Kind
from tests.postgres import Postgres

SETTINGS: Settings = (("limits.per_domain_per_minute", 100_000),)
WAVE = 30
"""Requests that leave at once."""
NOTICE = "Your contact list has been changed"
_MESSAGE = "{jabber:client}message"
_BODY = "{jabber:client}body"


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(KINDS["prosody-0.12"], id="prosody-0.12", marks=pytest.mark.full),
        pytest.param(KINDS["ejabberd-24.12"], id="ejabberd-24.12"),
    ],
    indirect=True,
)
@pytest.mark.parametrize(
    "end",
    [
        pytest.param(end, id=name, marks=ONE_DATABASE if end is ends.kill else pytest.mark.full)
        for name, end in ends.NAMED.items()
    ],
)
async def test_requests_of_an_instance_that_goes(
    kind: Kind, tmp_path: Path, postgres: Postgres, end: ends.End
) -> None:
    """Three instances, and three waves of requests: one goes while the second wave is under way."""
    fleet = Fleet(kind, tmp_path, postgres, count=3, settings=SETTINGS, servers=("montague",))
    async with fleet.running(), Family(fleet, 3 * WAVE + 1) as family:
        waves = [family.contacts[n * WAVE : (n + 1) * WAVE] for n in range(3)]
        await send(family, waves[0])
        await all_ended(family, waves[0])
        assert set(fleet.holders()) == set(NAMES), "each serves some"
        lost = fleet.instances[1]
        await asyncio.gather(send(family, waves[1]), end(lost))
        await send(family, waves[2])
        await all_ended(family, [*waves[1], *waves[2]])
        await fleet.all_seen(2, NOTICED)
        if end is ends.put_to_sleep:
            lost.go_on()
            await fleet.all_seen(3)
        await fleet.nothing_open()
        await send(family, family.contacts[-1:])
        await all_ended(family, family.contacts[-1:])
        await fleet.nothing_open()
        print(f"\n{kind.name}: {await account(fleet, family)}")


async def send(family: Family, contacts: Sequence[Contact]) -> None:
    """The mover's new account asks all of these at once."""
    await asyncio.gather(*(family.send(contact) for contact in contacts))


async def all_ended(family: Family, contacts: Sequence[Contact]) -> None:
    """Wait until each was made to follow, or has an ordinary request."""
    waiting = list(contacts)

    async def none_left() -> bool:
        fates = await asyncio.gather(*(family.fate(contact) for contact in waiting))
        waiting[:] = [c for c, fate in zip(waiting, fates, strict=True) if not any(fate)]
        return not waiting

    await until(none_left, "each request has an end", 60.0, lambda: str(waiting))


async def account(fleet: Fleet, family: Family) -> Counter[str]:
    """See that each request has one end, in the rosters and in the journal; how they ended."""
    records = await fleet.records()
    assert not doubled(records)
    ended: Counter[str] = Counter()
    for contact in family.contacts:
        mine = [record for record in records if record.contact == contact.jid]
        ended[await _look(family, contact, mine)] += 1
    return ended


async def _look(family: Family, contact: Contact, records: Sequence[MoveRecord]) -> str:
    followed, pending = await family.fate(contact)
    ends_ = [(record.state.value, record.reason, record.detail) for record in records]
    story = f"{contact.jid} followed={followed} pending={pending} {ends_}"
    assert followed != pending, story
    assert len(records) <= 1, story
    assert followed is any(record.state is MoveState.DONE for record in records), story
    assert contact.requests(family.new) == (0 if followed else 1), story
    assert family.answers("subscribed", contact) == (1 if followed else 0), story
    assert not followed or await family.lets_in(contact), story
    assert notices(contact) <= followed, story
    return "followed" if followed else "pending"


def notices(contact: Contact) -> int:
    """How many messages a contact got, from whichever instance, that their list was changed."""
    return sum(
        received.element.tag == _MESSAGE
        and (received.element.findtext(_BODY) or "").startswith(NOTICE)
        for device in contact.devices
        for received in device.history
    )
