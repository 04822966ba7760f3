"""Where the server's processor time goes, written into ``docs/lab/performance.md``.

    python -m bench.profile [--server prosody-0.12] [--storage sqlite] [--contacts 300] [--rounds 4]

Needs ``perf`` (apt install linux-perf), and root or ``kernel.perf_event_paranoid`` of 1 or less.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from bench import pages, parts
from bench.contacts.cases import Case, Storage, cases
from bench.contacts.house import House
from bench.contacts.measure import Watch, measure
from bench.contacts.results import Row
from bench.contacts.ways import Way
from bench.profile import below, lua, page
from bench.profile.below import NoPerf, Watched, watched
from tests.live.servers.differences import KINDS

SERVERS = ("prosody-0.12", "ejabberd-24.12")
_WAYS = {
    "prosody": (Way.PEER, Way.SHIPPED, Way.PLAIN, Way.LIMIT),
    "ejabberd": (Way.SHIPPED, Way.PLAIN, Way.LIMIT, Way.FLOOR),
}

Seen = dict[Way, Counter[str]]


async def from_below(case: Case, folder: Path) -> tuple[Row, Seen]:
    """What ``perf`` sees; raises :class:`below.NoPerf`."""
    eyes: dict[Way, Watched] = {}
    maps: set[Path] = set()
    async with contextlib.AsyncExitStack() as stack:

        @contextlib.asynccontextmanager
        async def watch(house: House, way: Way) -> AsyncIterator[None]:
            maps.add(Path(f"/tmp/perf-{house.pid}.map"))  # where perf and Erlang agree to look
            if way not in eyes:
                eye = watched(folder, way.value[0], house.pid)
                eyes[way] = await stack.enter_async_context(eye)
            await eyes[way].switch(True)
            try:
                yield
            finally:
                await eyes[way].switch(False)

        row = await _one(case, folder, watch)
    try:
        return row, {way: eye.samples() for way, eye in eyes.items()}
    finally:
        for path in maps:
            path.unlink(missing_ok=True)


async def from_within(case: Case, folder: Path) -> tuple[Row, Seen]:
    """What Prosody sees of itself."""
    seen: Seen = {way: Counter() for way in case.ways or ()}

    @contextlib.asynccontextmanager
    async def watch(house: House, way: Way) -> AsyncIterator[None]:
        await lua.begin(house.play, way.host)
        yield
        seen[way] += await lua.end(house.play, way.host)

    looking = replace(case, setting=replace(case.setting, looks=True))
    return await _one(looking, folder, watch), seen


async def _one(case: Case, folder: Path, watch: Watch) -> Row:
    rows = [row async for row in measure([case], folder, watch=watch)]
    if not rows:
        raise RuntimeError("it could not be measured; see above")
    return rows[0]


async def profile(
    server: str, storage: Storage | None, contacts: int, rounds: int, folder: Path
) -> parts.Part:
    """Measure one server.

    Args:
        storage: where it keeps rosters; None: where it does by default.
    """
    origin = parts.origin("bench.profile")
    family = server.partition("-")[0]
    base = next(cases(server))
    setting = replace(base.setting, storage=storage or base.setting.storage)
    case = replace(base, setting=setting, contacts=contacts, rounds=rounds, ways=_WAYS[family])
    below_folder, within_folder = (folder / name for name in ("below", "within"))
    for part in (below_folder, within_folder):
        part.mkdir()
    row, seen = await from_below(case, below_folder)
    each = {way: row.server_cpu(way) for way in seen}
    tables = [page.table("By library", seen, each)]
    words = [page.TEXT.format(server=server, contacts=contacts, rounds=rounds)]
    words.append(page.LIBRARIES.format(hertz=below.HERTZ))
    if family == "prosody":
        _, within = await from_within(case, within_folder)
        tables.append(page.table("By file", within, each))
        words.append(page.FILES)
    return parts.Part(
        name=f"profile-{server}" + (f"-{storage}" if storage else ""),
        title=f"Where the time of {server} goes" + (f", rosters in {storage}" if storage else ""),
        text="\n".join(words),
        tables=tuple(tables),
        **origin,
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("--server", action="append", choices=list(KINDS))
    parser.add_argument("--storage", choices=list(Storage), type=Storage)
    parser.add_argument("--contacts", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=4)
    args = parser.parse_args()
    # Erlang's emulator (erl(1)) then writes down which machine code is which function.
    os.environ["ERL_FLAGS"] = "+JPperf map"
    for server in args.server or SERVERS:
        with tempfile.TemporaryDirectory(prefix="xmpp-moved-profile-") as folder:
            try:
                made = asyncio.run(
                    profile(server, args.storage, args.contacts, args.rounds, Path(folder))
                )
            except NoPerf as error:
                parser.error(str(error))
        print(made.write())
    print(pages.render())


if __name__ == "__main__":
    main()
