"""The order to leave: what moves of users here have left on their accounts goes.

For a server that stops to have this program.  The order may be given again and again: each time it
does what can be done now, and says what is left.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from component.core.conditions import Condition
from component.core.journey import stages
from component.core.journey.model import Journey, JourneyState, Kind, Progress, Refused
from component.core.journey.stages import Word
from component.core.journey.told import RETIRED
from component.core.model import NOBODYS
from component.core.notices import Withdrawn
from component.engine.movers.handovers import Handovers
from component.engine.movers.housekeeping import Housekeeping
from component.engine.movers.ports import JourneyStore
from component.engine.movers.run import Run
from component.engine.ports import Clock, Teller
from component.xmpp.errors import LinkError, LinkLost, RemoteError

log = structlog.get_logger(__name__)

SECONDS = 30.0
"""How long one order may take: whoever gave it waits for the answer."""
_EVER = datetime(1970, 1, 2, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What one order did, by the numbers of moves.

    :ivar withdrawn: had ended, and their statement is gone.
    :ivar cancelled: were under way.
    :ivar handovers: hand-overs of which something is gone.
    :ivar left: what still stands, with the reason: a state of the journey, or a sentence.
    """

    withdrawn: tuple[int, ...]
    cancelled: tuple[int, ...]
    handovers: tuple[int, ...]
    left: dict[int, str]


class Leaving:
    """Withdraws everything.

    :param find: the run of a journey; raises Refused.
    :param order: says a word to it; raises Refused.
    :param owners: sees whether the accounts of a journey are still whose they were.
    """

    def __init__(
        self,
        store: JourneyStore,
        housekeeping: Housekeeping,
        handovers: Handovers | None,
        teller: Teller,
        clock: Clock,
        find: Callable[[int], Awaitable[Run]],
        order: Callable[[Run, Word], Awaitable[Progress]],
        owners: Callable[[Journey], Awaitable[None]],
    ) -> None:
        self._store = store
        self._housekeeping = housekeeping
        self._handovers = handovers
        self._teller = teller
        self._clock = clock
        self._find = find
        self._order = order
        self._owners = owners

    async def standing(self) -> Sequence[Journey]:
        """Moves that have something left on an account, or are at work; raises StoreError."""
        found = {
            journey.id: journey
            for journey in await self._store.watched(_EVER)
            if journey.told != RETIRED
        }
        for id in await self._store.with_work():
            journey = await self._store.get(id)
            if journey is not None and journey.state is JourneyState.CANCELLED:
                found[id] = journey  # requests that nobody has answered are being taken back
        return [found[id] for id in sorted(found)]

    async def once(self) -> Withdrawal:
        """Withdraw what can be withdrawn now; each owner is told before.

        :raises LinkLost, StoreError: the rest is done by the next order.
        """
        until = self._clock.tick() + SECONDS
        withdrawn: list[int] = []
        cancelled: list[int] = []
        left: dict[int, str] = {}
        for journey in await self.standing():
            if self._clock.tick() >= until:
                left[journey.id] = journey.state.value
                continue
            try:
                await self._owners(journey)
                journey = await self._store.get(journey.id) or journey
                if journey.state is JourneyState.DONE:
                    self._tell(journey)
                    await self._retire(journey)
                    withdrawn.append(journey.id)
                elif stages.allows(journey, Word.CANCEL):
                    self._tell(journey)
                    await self._order(await self._find(journey.id), Word.CANCEL)
                    cancelled.append(journey.id)
                else:
                    left[journey.id] = journey.state.value
            except LinkLost:
                raise
            except (LinkError, Refused) as error:
                left[journey.id] = str(error)
        gone: list[int] = []
        if self._handovers is not None:
            gone, trouble = await self._handovers.withdraw()
            left = trouble | left
        log.warning(
            "an admin withdraws everything",
            statements=len(withdrawn),
            cancelled=len(cancelled),
            handovers=len(gone),
            left=len(left),
        )
        return Withdrawal(tuple(withdrawn), tuple(cancelled), tuple(gone), left)

    async def _retire(self, journey: Journey) -> None:
        try:
            await self._housekeeping.retire(journey)
        except RemoteError as error:
            if error.condition != Condition.ITEM_NOT_FOUND:
                raise
            await self._housekeeping.retired(journey)  # the statement went with its account

    def _tell(self, journey: Journey) -> None:
        if journey.kind is Kind.ARRIVE:
            return  # it says nothing of itself; that it is cancelled is told as ever
        if journey.accounts[journey.owner] == NOBODYS:
            return  # whoever has that name now has nothing to do with it
        with contextlib.suppress(LinkError):
            self._teller.tell(journey.owner, Withdrawn(journey))
