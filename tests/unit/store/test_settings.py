"""What users choose, and what an admin sets at run time."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict

import pytest

from component.core.notices import Follow, Settings
from component.engine.movers.orders import RunTime
from component.store import RowRefused, Store, StoreClosed


async def test_what_users_chose_comes_back(url: str) -> None:
    async with await Store.open(url) as store:
        assert await store.user_settings.all() == {}
        for number, follow in enumerate(Follow):
            await store.user_settings.put(f"{number}@x", Settings(follow, None))
        await store.user_settings.put("1@x", Settings(Follow.NEVER, "de-CH"))
        await store.user_settings.put("1@x", Settings(Follow.ASK, "fr"))
    async with await Store.open(url) as store:
        assert await store.user_settings.all() == {
            "0@x": Settings(Follow.AUTO),
            "1@x": Settings(Follow.ASK, "fr"),
            "2@x": Settings(Follow.NEVER),
        }


async def test_settings_that_cannot_be_stored(store: Store) -> None:
    with pytest.raises(RowRefused):
        await store.user_settings.put("\ud800@x", Settings())
    assert await store.user_settings.all() == {}
    assert store.trouble is None


async def test_run_time_values_are_kept_as_a_whole(url: str) -> None:
    first = {"paused": True, "rate": 2.5, "deny": ["a.example", "bücher.example"], "allow": None}
    async with await Store.open(url) as store:
        assert await store.user_settings.run_time() == {}
        await store.user_settings.put_run_time(first)
    async with await Store.open(url) as store:
        assert await store.user_settings.run_time() == first
        await store.user_settings.put_run_time({"paused": False, "deny": ("c.example",)})
        assert await store.user_settings.run_time() == {"paused": False, "deny": ["c.example"]}
        with pytest.raises(TypeError):
            await store.user_settings.put_run_time({"paused": object()})
        assert (await store.user_settings.run_time())["paused"] is False
        await store.user_settings.put_run_time({})
        assert await store.user_settings.run_time() == {}


async def test_run_time_values_are_never_mixed(store: Store) -> None:
    async def put(number: int) -> None:
        await store.user_settings.put_run_time({"a": number, "b": number, str(number): number})

    async def read() -> None:
        for _ in range(20):
            found = await store.user_settings.run_time()
            assert len(set(found.values())) <= 1, json.dumps(found)

    await asyncio.gather(*(put(number) for number in range(20)), read())
    assert len(await store.user_settings.run_time()) == 3


async def test_the_admins_settings_fit(store: Store) -> None:
    values = asdict(RunTime(paused=True, overall_per_second=0.5, deny_domains=("a.example",)))
    await store.user_settings.put_run_time(values)
    found = await store.user_settings.run_time()
    assert found == values | {"deny_domains": ["a.example"]}


async def test_closed(url: str) -> None:
    store = await Store.open(url)
    await store.close()
    for call in (
        store.user_settings.all(),
        store.user_settings.run_time(),
    ):
        with pytest.raises(StoreClosed):
            await call
    with pytest.raises(StoreClosed):
        await store.user_settings.put("a@x", Settings())
