"""Accounts of every size, every item compared; a repeat changes nothing, an undo leaves nothing."""

from __future__ import annotations

import time

import pytest

from component.account.model import Blocked, Contact, Piece
from component.core.belongings.model import Result
from component.core.model import RosterItem, Subscription
from tests.live.account.test_exchange import plain
from tests.live.belongings.stage import Stage
from tests.live.shared import NEWER_PROSODY, kinds

pytestmark = kinds(NEWER_PROSODY)

_HOSTS = ("bücher.example", "例え.example", "capulet.example")
_NAMES = (
    "Rómeo 🌹",
    "\u05d0\u05d1 & <C>",
    "ジュリエット",
    "e\u0301 \"'",
    "\u202e\u05e0\u05d5\u202c",
)
_GROUPS = ("Ämter & Würden", "друзья", "🏰")


def contacts(count: int) -> list[Contact]:
    """Contacts of many scripts, some without name or groups."""
    return [
        Contact(
            f"контакт{n:05}@{_HOSTS[n % 3]}",
            f"{_NAMES[n % 5]} {n}" if n % 7 else None,
            tuple(sorted(_GROUPS[: n % 4])),
        )
        for n in range(count)
    ]


def blocked(count: int) -> list[Blocked]:
    """A twentieth of them are kept out."""
    return [Blocked(f"злодей{n:05}@{_HOSTS[n % 3]}") for n in range(count // 20)]


@pytest.mark.parametrize(
    "size", [30, *(pytest.param(size, marks=pytest.mark.full) for size in (0, 2_000, 10_000))]
)
async def test_an_account_of_this_size(stage: Stage, size: int) -> None:
    wanted = contacts(size)
    items = [RosterItem(c.jid, Subscription.NONE, False, c.name, c.groups) for c in wanted]
    for start in range(0, size, 500):
        await stage.hook.set_entries(stage.old.jid, items[start : start + 500])
    kept_out = blocked(size)
    for start in range(0, len(kept_out), 100):
        await stage.block(stage.old.jid, kept_out[start : start + 100])
    coming: list[Piece] = [*kept_out, *wanted]
    assert set(await stage.things(stage.old.jid)) == set(coming)

    began = time.monotonic()
    report = await stage.copy()
    took = time.monotonic() - began
    print(f"{stage.house.kind.name}: {report.total} things in {took:.1f} s")
    assert report.total == len(coming)
    assert report.counts[Result.ADDED] == len(coming)
    assert set(plain(await stage.things(stage.new.jid))) == set(plain(coming))

    began = time.monotonic()
    again = await stage.copy()
    print(f"{stage.house.kind.name}: again in {time.monotonic() - began:.1f} s")
    assert again.counts[Result.SAME] == again.total == len(coming)

    began = time.monotonic()
    undone = await stage.undo(report)
    print(f"{stage.house.kind.name}: undone in {time.monotonic() - began:.1f} s")
    assert undone.counts[Result.RESTORED] == len(coming)
    assert await stage.things(stage.new.jid) == []
