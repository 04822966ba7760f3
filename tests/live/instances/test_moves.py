"""A user's own move, while the instance that works on it goes away."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live.cases import cases
from tests.live.faults.house import until
from tests.live.instances import ends
from tests.live.instances.conftest import ONE_DATABASE
from tests.live.instances.fleet import NOTICED, Fleet
from tests.live.movers import crowd as crowds
from tests.live.movers.cast import Cast
from tests.live.movers.crowd import Crowd
from tests.live.servers.differences import KINDS, Kind
from tests.postgres import Postgres

TOLD_BEFORE = 60
"""How many contacts elsewhere are told when it happens, of 175."""


async def journey_is_with(fleet: Fleet, name: str, timeout: float) -> float:
    """Wait until an instance holds the only journey; how many seconds it took."""

    async def there() -> bool:
        return fleet.sql("SELECT holder FROM journeys") == name

    return await until(there, f"the journey is with {name}", timeout)


@ONE_DATABASE
@pytest.mark.parametrize(
    ("kind", "way"),
    cases(["prosody-0.12-kill"], [KINDS["prosody-0.12"], KINDS["ejabberd-24.12"]], ends.NAMED),
    indirect=["kind"],
)
async def test_a_move_goes_on_elsewhere(
    kind: Kind, tmp_path: Path, postgres: Postgres, way: str
) -> None:
    """Two hundred contacts: each is told once, and all of them follow; requests to those who are
    users here are spread over the instances, and fare as any others when one goes."""
    end = ends.NAMED[way]
    fleet = Fleet(kind, tmp_path, postgres, settings=crowds.SETTINGS)
    async with fleet.running(), Cast(fleet.world) as cast:
        crowd = Crowd(fleet.world, cast)
        await crowd.enter()
        await crowd.begin()
        first, second = fleet.instances
        await crowd.until_told(TOLD_BEFORE)
        await end(first)
        took = await journey_is_with(fleet, second.name, NOTICED)
        assert took < 5.0 or end is not ends.terminate, "a clean stop hands everything over at once"
        fleet.speak_to(second)
        await crowd.finish()
        assert crowd.told > TOLD_BEFORE
        if end is ends.put_to_sleep:
            first.go_on()
            await fleet.all_seen(2)
            assert first.daemon.said(
                "this instance slept, and begins anew with what the others left"
            )
        took = await fleet.nothing_open()
        await crowd.check()
        print(f"\n{kind.name}: settled {took:.1f} s later; requests: {dict(fleet.holders())}")
