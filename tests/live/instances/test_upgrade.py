"""From the release before to this one, without a moment in which nobody is at work."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.live.faults.house import Family
from tests.live.instances.fleet import Fleet
from tests.live.instances.test_requests import SETTINGS, account, all_ended, send
from tests.live.movers import crowd as crowds
from tests.live.movers.cast import Cast
from tests.live.movers.crowd import Crowd
from tests.live.servers.differences import Kind
from tests.postgres import Postgres

BEFORE = "3b47c61"
"""The last commit with schema 0002: it knows of no other instances."""
_ROOT = Path(__file__).parents[3]


def code_before(folder: Path) -> Path:
    """The package as it was."""
    command = ["git", "archive", "--format=tar", BEFORE, "component"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no history to take {BEFORE} from: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.full
async def test_upgraded_while_it_works(kind: Kind, tmp_path: Path, postgres: Postgres) -> None:
    """The one that runs goes on through ``db upgrade``; a new one joins under a second name; then
    the old one ends, and one of this release takes its name."""
    fleet = Fleet(kind, tmp_path, postgres, settings=(*crowds.SETTINGS, *SETTINGS))
    async with fleet.running(start=False), Cast(fleet.world) as cast:
        first, second = fleet.instances
        now, first.daemon.code = first.daemon.code, code_before(tmp_path / "before")
        await first.daemon.start()
        crowd = Crowd(fleet.world, cast)
        async with Family(fleet, 61) as family:
            waves = [family.contacts[20 * n : 20 * (n + 1)] for n in range(3)]
            await crowd.enter()
            await crowd.begin()
            await crowd.until_told(20)
            await send(family, waves[0])
            code, said = await first.daemon.run_command("db", "upgrade")
            assert code == 0, said
            await crowd.until_told(40)
            await second.daemon.start()
            await send(family, waves[1])
            await all_ended(family, [*waves[0], *waves[1]])
            assert second.name in fleet.holders()
            assert fleet.sql("SELECT count(*) FROM journeys WHERE holder IS NOT NULL") == "0"
            await send(family, waves[2])
            assert await first.daemon.stop() == 0
            first.daemon.code = now
            await first.daemon.start()
            await fleet.all_seen(2)
            await crowd.finish()
            await send(family, family.contacts[60:])
            await all_ended(family, family.contacts)
            await fleet.nothing_open()
            print(f"\n{kind.name}: {await account(fleet, family)}; {dict(fleet.holders())}")
        await crowd.check()
