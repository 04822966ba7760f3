"""What is measured: one thing varied at a time around a base case."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from bench.contacts.ways import Way


class Place(StrEnum):
    """Where the old account, and with it the statement, is."""

    PLAYED = "played"
    """On a domain that the measurement plays: only the contact side costs anything."""
    LOCAL = "same host"
    OTHER = "other host"
    FAR = "s2s"


class Storage(StrEnum):
    """Where the server keeps rosters."""

    INTERNAL = "internal"
    SQLITE = "sqlite"
    MEMORY = "memory"
    MNESIA = "mnesia"


DEFAULT_STORAGE = {"prosody": Storage.INTERNAL, "ejabberd": Storage.MNESIA}
"""By the first word of a server's name: what an admin gets who sets nothing."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What one start of the servers serves.

    ``latency`` is in seconds, of the way to the old server; ``looks`` has Prosody note where its
    processor time goes.
    """

    server: str
    storage: Storage
    place: Place = Place.PLAYED
    latency: float = 0.0
    looks: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """A row of a table.

    Args:
        axis: what is varied.
        label: the value of it.
        setting: which servers.
        contacts: of each mover.
        movers: in each round; more than one share their contacts.
        roster: entries of each contact before the first round, those of the movers included.
        devices: of each contact, online; 0: nobody is.
        rate: requests a second; None: as fast as they are done.
        rounds: of each way.
        ways: those that are measured; None: all.
    """

    axis: str
    label: str
    setting: Setting
    contacts: int = 500
    movers: int = 1
    roster: int = 10
    devices: int = 0
    rate: float | None = None
    rounds: int = 5
    ways: tuple[Way, ...] | None = None

    @property
    def moves(self) -> int:
        """In one round of one way."""
        return self.contacts * self.movers

    @property
    def pool(self) -> int:
        """Users of each way's host; movers that share have each contact in nine of the moves."""
        return self.contacts if self.movers == 1 else max(self.contacts, self.moves // 9)


_MAIN = (Way.PEER, Way.SHIPPED, Way.PLAIN, Way.LIMIT)
_FEW = (Way.PEER, Way.PLAIN, Way.LIMIT)
_LATENCIES = (0.0, 0.05, 0.2)


def cases(server: str) -> Iterator[Case]:
    """All cases of a server, in the order in which they are best measured."""
    own = DEFAULT_STORAGE[server.partition("-")[0]]
    usual = Setting(server, own)
    base = Case("base", "500 contacts, rosters of 10", usual)
    yield base
    full = server.startswith("prosody")
    for contacts, rounds, ways in ((100, 9, None), (2000, 3, _MAIN), (10_000, 2, _FEW)):
        if full or contacts <= 2000:
            yield replace(
                base, axis="contacts", label=f"{contacts:,}", contacts=contacts, rounds=rounds,
                ways=ways,
            )  # fmt: skip
    if full:
        yield replace(
            base, axis="contacts", label="500 movers with 18 each", movers=500, contacts=18,
            roster=27, rounds=2, ways=_FEW,
        )  # fmt: skip
    for roster, contacts in ((100, 300), (1000, 100), (10_000, 20)):
        yield replace(base, axis="roster", label=f"{roster:,}", roster=roster, contacts=contacts)
    for storage in (own, Storage.SQLITE) if full else ():
        for roster in (5, 150):  # at least one entry for each round
            yield replace(
                base, axis="short rosters", label=f"{roster} entries, {storage.value}",
                setting=replace(usual, storage=storage), roster=roster, contacts=300, ways=_MAIN,
            )  # fmt: skip
    yield replace(
        base, axis="contacts online", label="two devices each", contacts=100, devices=2,
        ways=_MAIN,
    )  # fmt: skip
    yield replace(base, axis="latency", label="100 a second", rate=100.0, rounds=2, ways=_MAIN)
    for storage in (Storage.SQLITE, Storage.MEMORY) if full else (Storage.SQLITE,):
        yield replace(
            base, axis="storage", label=storage.value, setting=replace(usual, storage=storage),
            rounds=3,
        )  # fmt: skip
    # Few: the old account's roster holds them all, and is saved for each that leaves.
    away = replace(base, axis="statement", contacts=100, rounds=5, ways=_MAIN)
    for place in (Place.LOCAL, Place.OTHER):
        yield replace(away, label=place.value, setting=replace(usual, place=place))
    for latency in _LATENCIES:
        far = replace(usual, place=Place.FAR, latency=latency)
        yield replace(away, label=f"s2s, {latency * 1e3:.0f} ms added", setting=far)


def guarded(server: str) -> Case:
    """The case whose ratios ``make bench-check`` guards: many short rounds, for a steady median."""
    base = next(cases(server))
    return replace(base, axis="guard", label="200 contacts", contacts=200, rounds=21)


def shortened(case: Case, *, contacts: int, rounds: int) -> Case:
    """The same with at most so many contacts and rounds."""
    return replace(
        case,
        contacts=min(case.contacts, contacts),
        movers=min(case.movers, contacts),
        roster=min(case.roster, 100),
        rounds=min(case.rounds, rounds),
    )
