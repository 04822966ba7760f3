"""Hand-overs in the database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from component.core.journey.handover import Handover
from component.core.journey.handover import HandoverState as H
from component.core.journey.model import JourneyState
from component.store import RowRefused, Store
from tests.unit.store.support import NOON, after, journey

HASH = "0123456789abcdef" * 4


async def test_a_hand_over_comes_back(url: str) -> None:
    async with await Store.open(url) as store:
        made = await store.journeys.create(journey(), [])
        offering = Handover(made.id, H.OFFERING, after(7))
        await store.handovers.put(offering)
        assert await store.handovers.get(made.id) == offering
        offered = replace(offering, state=H.OFFERED, until=after(8), parcel=HASH)
        await store.handovers.put(offered)
    async with await Store.open(url) as store:
        assert await store.handovers.get(made.id) == offered
        assert await store.handovers.get(made.id + 1) is None


async def test_what_has_ended_is_not_open(store: Store) -> None:
    made = [
        await store.journeys.create(journey(old=f"{n % 2}@x", state=JourneyState.DONE), [])
        for n in range(len(H))
    ]
    for one, state in zip(made, H, strict=True):
        await store.handovers.put(Handover(one.id, state, NOON))
    ended = {H.RECEIVED, H.EXPIRED, H.CANCELLED, H.REFUSED}
    assert {one.state for one in await store.handovers.open()} == set(H) - ended
    assert await store.handovers.states() == dict.fromkeys(H, 1)
    of_one = await store.handovers.open("1@x")
    assert {one.journey for one in of_one} < {one.id for one in made if one.old == "1@x"}
    assert [one.journey for one in of_one] == sorted(one.journey for one in of_one)


async def test_it_goes_with_its_journey(store: Store) -> None:
    with pytest.raises(RowRefused):
        await store.handovers.put(Handover(7, H.OFFERED, NOON))
    ended = journey(state=JourneyState.CANCELLED, ended_at=NOON)
    made = await store.journeys.create(ended, [])
    await store.handovers.put(Handover(made.id, H.CANCELLED, NOON))
    assert await store.journeys.prune(after(1)) == 1
    assert await store.handovers.get(made.id) is None
