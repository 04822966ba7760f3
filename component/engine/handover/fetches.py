"""Fetches that take more than one go: what is here already is kept for a while."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from component.core import jids
from component.engine.handover.take import Taken, Taker
from component.engine.movers.accounts import Accounts
from component.engine.ports import Clock

MOST = 8
"""Parcels, or parts of some, that are kept: of a hostile account each may have 11 MB."""
KEPT_SECONDS = 900.0
AT_ONCE = 16
"""Parcels that are fetched at the same time; others wait for their turn."""
PER_DOMAIN = 4
"""Of them from one server: one that does not answer keeps nobody from others."""


class TooSlow(Exception):
    """The time for it was over; what has come is kept.

    :ivar here: chunks that have come; ``count``: how many there are, 0 before that is known.
    """

    def __init__(self, here: int, count: int) -> None:
        super().__init__(f"{here} of {count} chunks are here")
        self.here = here
        self.count = count


@dataclass
class _Kept:
    taker: Taker
    used: float
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Fetches:
    """Keeps a :class:`Taker` for each new account, for the one old account it asked for last."""

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        self._accounts = accounts
        self._clock = clock
        self._places = asyncio.Semaphore(AT_ONCE)
        self._of_domain: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._kept: OrderedDict[str, tuple[str, _Kept]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    async def fetch(self, old: str, new: str, seconds: float, *, patient: bool = False) -> Taken:
        """Fetch a parcel, or what is missing of it.

        :param patient: the time begins when it is its turn.
        :raises TooSlow: it took longer; ask again.
        :raises NotNamed, NothingOffered, BadParcel, LinkError: as :meth:`Taker.fetch`.
        """
        kept = self._of(old, new)
        domain = jids.domain(jids.key(old))
        places = self._of_domain.get(domain) or asyncio.Semaphore(PER_DOMAIN)
        self._of_domain[domain] = places
        try:
            async with asyncio.timeout(None if patient else seconds) as until:
                async with kept.lock, places, self._places:
                    if patient:
                        until.reschedule(asyncio.get_running_loop().time() + seconds)
                    return await kept.taker.fetch()
        except TimeoutError:
            raise TooSlow(*kept.taker.progress) from None
        finally:
            kept.used = self._clock.tick()

    def taker(self, old: str, new: str) -> Taker:
        """One that has nothing yet, for what else it does."""
        return Taker(self._accounts, self._clock, old, new)

    def forget(self, new: str) -> None:
        """What was fetched for a new account is in use, or no use."""
        self._kept.pop(jids.key(new), None)

    def _of(self, old: str, new: str) -> _Kept:
        now, key = self._clock.tick(), jids.key(new)
        for stale in [k for k, (_, one) in self._kept.items() if now - one.used > KEPT_SECONDS]:
            del self._kept[stale]
        found = self._kept.get(key)
        kept = found[1] if found is not None and found[0] == jids.key(old) else None
        if kept is None:
            kept = _Kept(self.taker(old, new), now)
        self._kept[key] = (jids.key(old), kept)
        self._kept.move_to_end(key)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return kept
