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

from .support import url_of

ROOT = Path(__file__).parents[3]
ROUNDS = 10
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
    (tmp_path / "child.py").write_text(CHILD)
    support = Path(__file__).with_name("support.py").read_text()
    (tmp_path / "tests_support.py").write_text(support)
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
