"""Runs cases: the ways take turns, and each round is looked at before it counts."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.request
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from bench.common import usage
from bench.contacts.cases import Case, Place
from bench.contacts.devices import Device, enter
from bench.contacts.house import House, running
from bench.contacts.play import Move, successor
from bench.contacts.results import Row, Sample, histogram_bound
from bench.contacts.ways import Way, of_server
from tests.live.arrange import publish
from tests.live.client import Client, ClientError
from tests.live.servers.base import ServerError

LOOKED_AT = 20
"""Rosters that are looked at after each round."""
_QUIET = 0.1
"""Seconds for which the processes must do next to nothing before the next round."""
_RESTLESS = 60.0

Watch = Callable[[House, Way], contextlib.AbstractAsyncContextManager[None]]
"""Somebody who looks on while a way's requests are under way."""


@contextlib.asynccontextmanager
async def unwatched(_house: House, _way: Way) -> AsyncIterator[None]:
    """Nobody looks on."""
    yield


@dataclass(frozen=True, slots=True)
class _Plan:
    """The moves of one case, by way and round."""

    case: Case
    moves: dict[Way, list[list[Move]]]

    def olds(self, way: Way) -> list[str]:
        return list(dict.fromkeys(m.old for moves in self.moves[way] for m in moves))


async def measure(
    cases: Sequence[Case],
    folder: Path,
    *,
    peer: Path | None = None,
    tell: Callable[[str], None] = print,
    watch: Watch = unwatched,
) -> AsyncIterator[Row]:
    """The rows of cases that share a setting, as they are done; those that fail are left out.

    Args:
        peer: see ``bench.contacts.servers.build``.
        tell: is told of each round.
        watch: is entered for each round of a way.
    """
    setting = cases[0].setting
    every = of_server(setting.server)
    ways = tuple(w for w in every if any(w in (case.ways or every) for case in cases))
    async with running(setting, ways, folder, peer) as house:
        for number, case in enumerate(cases):
            try:
                row = await _run(house, case, number, tell, watch)
            except (ClientError, ServerError, TimeoutError) as error:
                # The next one has users of its own: it need not fail too.
                tell(f"{case.setting.server}, {case.axis} {case.label}: {error!r}")
            else:
                yield row


async def _run(
    house: House, case: Case, number: int, tell: Callable[[str], None], watch: Watch
) -> Row:
    ways = [way for way in house.ways if way in (case.ways or house.ways)]
    plan = _plan(house, case, number, ways)
    await _arrange(house, plan)
    async with contextlib.AsyncExitStack() as stack:
        devices = await _log_in(house, plan, stack)
        samples: dict[Way, list[Sample]] = {way: [] for way in ways}
        before = {way: await _figures(house, way) for way in ways if way.ours}
        for turn in range(case.rounds):
            # Each way begins as often as any other: what the one before left behind hits them all.
            for way in ways[turn % len(ways) :] + ways[: turn % len(ways)]:
                moves = plan.moves[way][turn]
                sample = await _round(house, case, way, moves, devices[way], watch)
                samples[way].append(sample)
                tell(f"{case.setting.server}, {case.axis} {case.label}, {way.title}: {sample}")
    verdicts, fetches, resident = {}, {}, {}
    for way, figures in before.items():
        after = await _figures(house, way)
        verdicts[way] = histogram_bound(after.verdicts - figures.verdicts, 0.99)
        fetches[way] = (after.fetches - figures.fetches) / (case.moves * case.rounds)
        resident[way] = usage(house.daemons[way].pid).resident
    return Row(case, samples, verdicts, fetches, resident)


def _plan(house: House, case: Case, number: int, ways: Sequence[Way]) -> _Plan:
    moves: dict[Way, list[list[Move]]] = {}
    for way in ways:
        rounds = []
        for turn in range(case.rounds):
            mine = []
            for mover in range(case.movers):
                old = f"old{way.value[0]}{number}r{turn}m{mover}@{house.old_host(way)}"
                for contact in range(case.contacts):
                    user = (mover * case.contacts + contact) % case.pool
                    mine.append(Move(f"{_user(number, user)}@{way.host}", old, successor(old)))
            rounds.append(mine)
        moves[way] = rounds
    return _Plan(case, moves)


def _user(case: int, number: int) -> str:
    return f"k{case}c{number}"


async def _arrange(house: House, plan: _Plan) -> None:
    """Accounts, rosters, statements."""
    for way, rounds in plan.moves.items():
        users: dict[str, list[str]] = defaultdict(list)
        contacts: dict[str, list[str]] = defaultdict(list)
        prosody = house.setting.server.startswith("prosody")
        for move in (move for moves in rounds for move in moves):
            user = users[move.contact.partition("@")[0]]
            if way is not Way.FLOOR:
                user.append(move.old)
            elif prosody:
                user.append(f"+{move.new}")
            contacts[move.old].append(move.contact)
        filler = max(0, plan.case.roster - max(len(jids) for jids in users.values()))
        await house.rosters.fill(way.host, users, filler)
        if house.setting.place is not Place.PLAYED and way is not Way.FLOOR:
            await _old_accounts(house, way, contacts)


async def _old_accounts(house: House, way: Way, contacts: dict[str, list[str]]) -> None:
    """Real ones, with rosters and statements that anybody may read: a module asks as the host."""
    server = house.old_server
    for old, jids in contacts.items():
        if house.far is None:
            await house.rosters.fill(house.old_host(way), {old.partition("@")[0]: jids}, filler=0)
        else:
            server.add_user(old)
        owner = Client("old account", f"{old}/owner", server.spec.address)
        await owner.open()
        await publish(owner, successor(old), "open", [])
        await owner.close()


async def _log_in(
    house: House, plan: _Plan, stack: contextlib.AsyncExitStack
) -> dict[Way, list[Device]]:
    """The devices of the contacts; on ejabberd somebody must approve an ordinary request."""
    ejabberd = not house.setting.server.startswith("prosody")
    found: dict[Way, list[Device]] = {}
    for way in plan.moves:
        approves = ejabberd and way is Way.FLOOR
        count = max(plan.case.devices, 1 if approves else 0)
        users = [f"{_user_of(plan, way)}c{n}@{way.host}" for n in range(plan.case.pool)]
        jids = [f"{user}/d{n}" for user in users for n in range(count)]
        found[way] = await enter(jids, house.address, approves=approves)
        for device in found[way]:
            stack.callback(device.drop)
    return found


def _user_of(plan: _Plan, way: Way) -> str:
    return plan.moves[way][0][0].contact.partition("c")[0]


async def _round(
    house: House,
    case: Case,
    way: Way,
    moves: list[Move],
    devices: Sequence[Device],
    watch: Watch,
) -> Sample:
    daemon = house.daemons.get(way)
    await _quiet(house)
    pushed = sum(device.pushes for device in devices)
    server_before = usage(house.pid).cpu
    own_before = usage(daemon.pid).cpu if daemon is not None else 0.0
    async with watch(house, way):
        outcome = await house.play.act(way, moves, case.rate)
        await _quiet(house)
    server_cpu = usage(house.pid).cpu - server_before
    own_cpu = usage(daemon.pid).cpu - own_before if daemon is not None else 0.0
    looked_at = moves[:: max(1, len(moves) // LOOKED_AT)]
    right = await house.rosters.right(way, looked_at)
    return Sample(
        moves=len(moves),
        followed=outcome.followed,
        seconds=outcome.seconds,
        latencies=tuple(outcome.latencies),
        server_cpu=server_cpu,
        own_cpu=own_cpu,
        statements=outcome.statements,
        looked_at=len(looked_at),
        right=right,
        pushes=sum(device.pushes for device in devices) - pushed if case.devices else 0,
        pushes_due=len(moves) * case.devices * way.pushes,
    )


async def _quiet(house: House) -> None:
    """Wait until what a round left to do is done, so that the next does not pay for it."""
    pids = [house.pid, *(daemon.pid for daemon in house.daemons.values())]
    async with asyncio.timeout(_RESTLESS):
        used = sum(usage(pid).cpu for pid in pids)
        while True:
            await asyncio.sleep(_QUIET)
            now = sum(usage(pid).cpu for pid in pids)
            if now - used < 0.3 * _QUIET:
                return
            used = now


@dataclass(frozen=True, slots=True)
class _Figures:
    verdicts: Counter[float]
    """How many verdicts took at most so many seconds, by bucket; cumulative."""
    fetches: float


async def _figures(house: House, way: Way) -> _Figures:
    text = await asyncio.to_thread(_read, house.metrics(way))
    verdicts: Counter[float] = Counter()
    fetches = 0.0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "xmpp_moved_verdict_seconds_bucket":
                verdicts[float(sample.labels["le"])] = int(sample.value)
            elif sample.name == "xmpp_moved_fetches_total":
                fetches += sample.value
    return _Figures(verdicts, fetches)


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())
