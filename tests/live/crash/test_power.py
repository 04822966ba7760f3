"""The power fails in the middle of a write: the files are copied as they stand at that moment.

The process is stopped while they are copied, so that the copy is an image of one moment; the index
(``-shm``) is left out, since it lives in memory.  Of what the kernel had not put on the disk yet,
anything may be missing after a power loss.  With the journal mode WAL and ``synchronous=FULL`` that
can be the end of the log, behind the last commit that was confirmed, or pages of the database that
a checkpoint was copying out of the log; so in further images these are torn.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import component
from component.store import Store
from tests.unit.store.support import url_of

SEEDS = [
    pytest.param(1, 4, id="1"),
    *(
        pytest.param(
            seed,
            75,
            id=f"{seed}",
            marks=[pytest.mark.full, pytest.mark.xdist_group(f"power {seed}")],
        )
        for seed in range(2, 6)
    ),
]
"""Seeds, and how many images there are for each."""
FRESH = 4
"""Images of one database: later ones have seen checkpoints, for which a new one is too short."""
_STATES = {"added": 0, "decided": 1, "settled": 2}
_REACHED = {"diverted": 0, "taking": 1, "done": 2}
_LOG_HEADER, _FRAME_HEADER = 32, 24
_CHECKPOINT = 1000
"""Pages in the log at which SQLite copies it into the database (its wal_autocheckpoint)."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """One write that had returned before the power failed."""

    kind: str
    id: int
    log_size: int
    """Bytes that the log had when it returned: whatever it wrote lies before that."""


class Victim:
    """The writing process, and its files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.path = folder / "moved.db"
        self.confirmed: list[Confirmed] = []
        self._rest = b""
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.live.crash.writing", url_of(self.path)],
            cwd=Path(component.__file__).parent.parent,
            stdout=subprocess.PIPE,
        )

    def run(self, lines: int) -> None:
        """Let it work until it has confirmed so many more writes."""
        assert self._child.stdout is not None
        os.set_blocking(self._child.stdout.fileno(), True)
        goal = len(self.confirmed) + lines
        while len(self.confirmed) < goal:
            part = os.read(self._child.stdout.fileno(), 1 << 16)
            assert part, "the writer has ended"
            self._hear(part)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop it; ``confirmed`` holds all that it was told until then."""
        assert self._child.stdout is not None
        self._child.send_signal(signal.SIGSTOP)
        _, status = os.waitpid(self._child.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        os.set_blocking(self._child.stdout.fileno(), False)
        try:
            while part := os.read(self._child.stdout.fileno(), 1 << 16):
                self._hear(part)
        except BlockingIOError:
            pass
        try:
            yield
        finally:
            self._child.send_signal(signal.SIGCONT)

    def image(self, folder: Path) -> Path:
        """Copy what is on the disk."""
        folder.mkdir()
        copy = folder / "moved.db"
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{self.path}{suffix}", f"{copy}{suffix}")
        return copy

    def kill(self) -> None:
        """End it."""
        self._child.kill()
        self._child.communicate()

    def _hear(self, part: bytes) -> None:
        *lines, self._rest = (self._rest + part).split(b"\n")
        for line in lines:
            kind, id_, size = line.decode().split()
            self.confirmed.append(Confirmed(kind, int(id_), int(size)))


async def check(path: Path, wanted: Sequence[Confirmed], story: str) -> None:
    """The product opens it and goes on; it is sound, whole, and has what was confirmed."""
    async with await Store.open(url_of(path)) as store:
        await store.ping()
        counted = await store.counts()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)], story
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == [], story
        states: dict[int, str] = dict(connection.execute("SELECT id, state FROM moves"))
        audited = {id_ for (id_,) in connection.execute("SELECT move_id FROM audit")}
    assert sum(counted.values()) == len(states), story
    # Commits come back from the first to some last one: none is missing in between.
    assert sorted(states) == list(range(1, len(states) + 1)), story
    # An end and its explanation are one commit.
    assert audited == {id_ for id_, state in states.items() if state == "done"}, story
    lost = [
        write
        for write in wanted
        if _REACHED.get(states.get(write.id, ""), -1) < _STATES[write.kind]
    ]
    assert not lost, f"{lost[:5]} of {len(wanted)}: {story}"


def cut_log(
    path: Path, confirmed: Sequence[Confirmed], dice: random.Random
) -> tuple[int, Sequence[Confirmed]]:
    """Lose what lies behind some byte of the log: it is missing, or it is garbage.

    :returns: where it was cut, and what must be there all the same.
    """
    log = Path(f"{path}-wal")
    whole = log.read_bytes()
    if len(list(frames(whole))) >= _CHECKPOINT:
        # It may be copied into the database by now, and for that it was synced: all of it stays.
        return len(whole), confirmed
    size = dice.randint(0, len(whole))
    log.write_bytes(whole[:size] + (dice.randbytes(len(whole) - size) * dice.randint(0, 1)))
    if _was_begun_anew(whole):
        return size, []  # nobody can say by its size what lies where
    return size, [write for write in confirmed if write.log_size <= size]


def _was_begun_anew(log: bytes) -> bool:
    """Whether a checkpoint had emptied it (its header counts that): what it held before is in the
    database then, and what it held since stands at its beginning again."""
    return len(log) >= _LOG_HEADER and struct.unpack_from(">I", log, 12)[0] > 0


def frames(log: bytes) -> Iterator[tuple[int, bool]]:
    """Page and whether it ends a commit, of each frame written since the log was begun (anew)."""
    if len(log) < _LOG_HEADER:
        return
    page_size, _, salt = struct.unpack_from(">II8s", log, 8)
    for at in range(_LOG_HEADER, len(log) - _FRAME_HEADER, _FRAME_HEADER + page_size):
        page, after_commit, frame_salt = struct.unpack_from(">II8s", log, at)
        if frame_salt != salt:
            break  # left over from before the last checkpoint
        yield page, bool(after_commit)


def tear_pages(path: Path, dice: random.Random) -> int:
    """Make garbage of every page whose newest content is in the log; how many there were."""
    log = Path(f"{path}-wal").read_bytes()
    if len(log) < _LOG_HEADER:
        return 0
    (page_size,) = struct.unpack_from(">I", log, 8)
    pages: set[int] = set()
    committed: set[int] = set()
    for page, ends in frames(log):
        pages.add(page)
        if ends:
            committed |= pages
    with path.open("r+b") as file:
        length = file.seek(0, os.SEEK_END)
        torn = [page for page in committed if page * page_size <= length]
        for page in torn:
            file.seek((page - 1) * page_size)
            # Half a page is old, half is new: what a sector-wise write leaves.
            file.seek(page_size // 2, os.SEEK_CUR)
            file.write(dice.randbytes(page_size // 2))
    return len(torn)


@pytest.mark.parametrize(("seed", "images"), SEEDS)
async def test_what_was_confirmed_survives_a_power_loss(
    tmp_path: Path, seed: int, images: int
) -> None:
    dice = random.Random(seed)
    cut_short = torn_pages = 0
    victim: Victim | None = None
    try:
        for number in range(images):
            if number % FRESH == 0:
                if victim is not None:
                    victim.kill()
                victim = Victim(tmp_path / f"victim{number}")
                victim.run(1)
            assert victim is not None
            # Some images soon after the start, some behind the next checkpoint or two.
            victim.run(dice.randint(1, 300 if number % 2 else 3000))
            with victim.frozen():
                confirmed: Sequence[Confirmed] = list(victim.confirmed)
                image = victim.image(tmp_path / f"image{number}")
            for variant in ("whole", "log", "pages"):
                copy = tmp_path / f"{number}-{variant}"
                shutil.copytree(image.parent, copy)
                path, wanted = copy / "moved.db", confirmed
                story = f"seed {seed}, image {number}, {variant}"
                if variant == "log":
                    size, wanted = cut_log(path, confirmed, dice)
                    cut_short += len(wanted) < len(confirmed)
                    story += f" cut at {size}"
                elif variant == "pages":
                    torn_pages += tear_pages(path, dice)
                await check(path, wanted, story)
                shutil.rmtree(copy)
            shutil.rmtree(image.parent)
    finally:
        if victim is not None:
            victim.kill()
    print(f"\n{images} images: {cut_short} logs cut short, {torn_pages} pages torn")
    assert cut_short
    assert torn_pages
