"""``kill -9`` at random: what was reported as written is there, and the file is sound."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from component.store import Store
from tests.full import FULL

from .support import url_of

ROOT = Path(__file__).parents[3]
ROUNDS = 10 if FULL else 4
CHILD = """
import asyncio, sys
from component.store import Store
from tests_support import record, settlement, verdict

async def caller(store, round_, number):
    for turn in range(100_000):
        name = f"{round_}-{number}-{turn}"
        id_ = await store.add(record(name))
        print("add", id_, name, flush=True)
        await store.verdict(id_, verdict())
        if turn % 3 == 0:
            await store.settle(id_, settlement())
            print("end", id_, name, flush=True)

async def main():
    store = await Store.open(sys.argv[1])
    await asyncio.gather(*(caller(store, sys.argv[2], number) for number in range(20)))

asyncio.run(main())
"""

CONTACTS = 100
MOVERS = """
import asyncio, sys
from dataclasses import replace
from component.core.journey.model import ContactState
from component.store import Store
from tests_support import contact, journey, record

async def mover(store, number):
    made = await store.journeys.create(journey(owner=f"{number}@x"), everybody(0))
    print("made", made.id, 0, flush=True)
    for turn in range(1, 100_000):
        await store.journeys.save(replace(made, told=str(turn)), everybody(turn))
        print("saved", made.id, turn, flush=True)

def everybody(turn):
    return [contact(number, ContactState.SENT, attempts=turn) for number in range(CONTACTS)]

async def others(store, round_):
    for turn in range(100_000):
        await store.add(record(f"{round_}-{turn}"))

async def main():
    store = await Store.open(sys.argv[1])
    movers = (mover(store, number) for number in range(3))
    await asyncio.gather(others(store, sys.argv[2]), *movers)

asyncio.run(main())
""".replace("CONTACTS", str(CONTACTS))


def prepare(folder: Path, child: str) -> None:
    """Write the child's program, and what it imports."""
    (folder / "child.py").write_text(child)
    support = Path(__file__).with_name("support.py").read_text()
    (folder / "tests_support.py").write_text(support)


def run_and_kill(folder: Path, url: str, round_: int, lines: int) -> list[str]:
    """Start the child, read so many lines, kill it; all whole lines that it wrote."""
    with subprocess.Popen(
        [sys.executable, str(folder / "child.py"), url, str(round_)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{ROOT}:{folder}", "PATH": ""},
    ) as child:
        assert child.stdout is not None
        try:
            said = [child.stdout.readline() for _ in range(lines)]
        finally:
            child.kill()
        said += child.stdout.readlines()
    return [line for line in said if line.endswith("\n")]


@pytest.mark.parametrize("seed", [283])
async def test_kill_at_random_loses_nothing(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = tmp_path / "m.db"
    prepare(tmp_path, CHILD)
    added: dict[int, str] = {}
    ended: set[int] = set()
    for round_ in range(ROUNDS):
        lines = chance.randint(1, 900)
        said = await asyncio.to_thread(run_and_kill, tmp_path, url_of(path), round_, lines)
        assert len(said) >= lines
        for line in said:
            kind, id_, name = line.split()
            if kind == "add":
                added[int(id_)] = name
            else:
                ended.add(int(id_))
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        stored = {
            id_: (name, state)
            for id_, name, state in connection.execute("SELECT id, request_id, state FROM moves")
        }
        connection.close()
        assert {id_: stored[id_][0] for id_ in added} == added
        assert {stored[id_][1] for id_ in ended} <= {"done"}
    async with await Store.open(url_of(path)) as store:  # the dead held no lock
        await store.ping()
        assert len(await store.unsettled()) >= len(added) - len(ended) - 20 * ROUNDS


@pytest.mark.parametrize("seed", [284])
async def test_a_kill_leaves_whole_transactions_of_journeys(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = tmp_path / "m.db"
    prepare(tmp_path, MOVERS)
    reached: dict[int, int] = {}
    for round_ in range(ROUNDS):
        lines = chance.randint(1, 60)
        said = await asyncio.to_thread(run_and_kill, tmp_path, url_of(path), round_, lines)
        for line in said:
            journey_id, turn = line.split()[1:]
            reached[int(journey_id)] = int(turn)
        async with await Store.open(url_of(path)) as store:
            stored = {one.id: one for one in await store.journeys.list()}
            assert reached.keys() <= stored.keys()
            for id_, one in stored.items():
                contacts = await store.journeys.contacts(id_)
                assert len(contacts) == CONTACTS
                assert {str(contact.attempts) for contact in contacts} == {one.told or "0"}
                # Written is what was reported, or the one that was on its way.
                assert int(one.told or 0) - reached.get(id_, 0) in (0, 1)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
