"""What hand-overs have left in accounts beyond its time, as the accounts themselves say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from component.account.handover import parcel_id
from component.account.parcels import NODE, RECEIPT_NODE
from component.core import jids
from component.core.journey.handover import Handover, overdue
from component.core.journey.model import Journey, Kind
from component.engine.handover import places
from component.engine.handover.give import Giver
from component.engine.movers.accounts import Accounts
from component.engine.ports import Clock
from component.xmpp.errors import LinkError


@dataclass(frozen=True, slots=True)
class Leftover:
    """A node that should be gone.

    :ivar trouble: why it cannot even be looked at; None: it is there.
    """

    account: str
    node: str
    trouble: str | None = None


async def leftovers(
    accounts: Accounts,
    clock: Clock,
    handovers: Sequence[Handover],
    journey_of: Callable[[int], Awaitable[Journey | None]],
) -> list[Leftover]:
    """Look into the accounts of those that should have ended.

    :param handovers: what the journal has as open.
    """
    found: list[Leftover] = []
    for known in handovers:
        journey = await journey_of(known.journey)
        if journey is None or not overdue(known, journey, clock.now()):
            continue
        away = journey.kind is Kind.AWAY
        account, node = (journey.old, NODE) if away else (journey.new, RECEIPT_NODE)
        try:
            stands = await (_offered if away else _received)(accounts, clock, journey, known)
        except LinkError as error:
            found.append(Leftover(account, node, str(error)))
        else:
            if stands:
                found.append(Leftover(account, node))
    return found


async def _offered(accounts: Accounts, clock: Clock, journey: Journey, _: Handover) -> bool:
    manifest = await Giver(accounts, clock).standing(journey.old)
    return manifest is not None and jids.key(manifest.new) == jids.key(journey.new)


async def _received(accounts: Accounts, _: Clock, journey: Journey, known: Handover) -> bool:
    if known.parcel is None:
        return False
    new, id = journey.new, parcel_id(known.parcel)
    return await places.get(accounts, new, new, RECEIPT_NODE, id) is not None
