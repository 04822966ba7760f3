"""A file of a hundred megabytes is brought by a component that keeps its size."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from component.account.model import Identity
from component.core.belongings.model import JobState, Result
from component.store import Store
from tests.full import FULL
from tests.live.daemon import Daemon
from tests.live.files.large import Large
from tests.live.files.test_files import Stage, staged
from tests.live.movers.world import World
from tests.live.servers.differences import Kind
from tests.live.shared import NEWER_PROSODY, kinds
from tests.unit.account.weigh import resident

LARGE = Large(contacts=50_000, items=120, history=70_000_000)
SMALL = Large(contacts=300, items=5, history=5_000_000)
"""For every day."""
OLD = Identity("old.example", "j\u00fcl\u00efet")
MOST_MIB = 150
LONG = 1_800.0


def most_mib(pid: int) -> float:
    """The most that a process has had until now."""
    return resident(pid) / 1024


@kinds(NEWER_PROSODY, "ejabberd-24.12")
async def test_memory(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A forked one has the memory of all that the nursery has imported.
    monkeypatch.setattr(Daemon, "own_process", True)
    large = LARGE if FULL else SMALL
    file = b"".join(large.parts(OLD))
    assert not FULL or len(file) > 100_000_000
    settings = (("movers.file_mib", 120),)
    async with AsyncExitStack() as stack:
        world = World(kind, tmp_path, settings, names=("montague",), uploads=True)
        stack.push_async_callback(world.stop)
        await world.start()
        stage = await stack.enter_async_context(staged(world))
        daemon = stage.world.houses["montague"].running_daemon
        before = most_mib(daemon.pid)
        link = await stage.uploads(file)
        began = time.monotonic()
        shown = await stage.sends(link, "Nothing has been changed yet", timeout=LONG)
        seen, looked = time.monotonic() - began, most_mib(daemon.pid)
        assert f"Contacts: {large.contacts} would be added" in shown
        await stage.writes("yes", "finished|still at it")
        assert await ended(stage, LONG) == {Result.ADDED: large.things}
        took, most = time.monotonic() - began, most_mib(daemon.pid)
        print(
            f"{kind.name}: {len(file) / 1e6:.0f} MB, {large.things} things: preview {seen:.0f} s, "
            f"all {took:.0f} s; resident {before:.0f} MiB before, at most {looked:.0f} MiB in the "
            f"preview and {most:.0f} MiB in all"
        )
        assert most < MOST_MIB

        # Once more changes nothing, and that is found out in the same bounds.
        again = await stage.sends(link, "There is nothing to bring", timeout=LONG)
        assert f"Contacts: {large.contacts} there already" in again
        print(f"{kind.name}: again, at most {most_mib(daemon.pid):.0f} MiB")
        assert most_mib(daemon.pid) < MOST_MIB


async def ended(stage: Stage, timeout: float) -> dict[Result, int]:
    """What became of everything, once the copy has ended."""
    daemon = stage.world.houses["montague"].running_daemon
    await daemon.log_says("copy", timeout)
    async with await Store.open(daemon.url, writer=False) as store:
        (job,) = await store.belongings.of(stage.juliet.jid)
        assert job.state is JobState.DONE
        counts = await store.belongings.counts([job.id])
        return dict(counts[job.id])
