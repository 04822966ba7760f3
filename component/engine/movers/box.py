"""What every run of a journey shares: the ways out, the clock, the pace and the settings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import TYPE_CHECKING

from component.core.journey.contacts import Schedule
from component.core.journey.model import Progress
from component.core.journey.pace import Pace, Rates
from component.engine.movers.accounts import Accounts
from component.engine.movers.ports import Carrier, FollowJournal, JourneyStore, MoverGauges
from component.engine.ports import Clock, Teller

if TYPE_CHECKING:
    from component.engine.movers.book import Book
    from component.engine.movers.handovers import Handovers


@dataclass(slots=True)
class MoverSettings:
    """The ``[movers]`` section in the units of the code.

    One object for the whole mover's side: a reload changes it in place.
    """

    rates: Rates = field(default_factory=Rates)
    schedule: Schedule = field(
        default_factory=lambda: Schedule(
            tuple(timedelta(hours=h) for h in (1, 6, 24, 72, 168)), timedelta(minutes=10)
        )
    )
    look_seconds: float = 30.0
    """How often rosters and the statement are looked at while something is awaited."""
    undo_hours: float = 72.0
    cooldown: timedelta = timedelta(days=30)
    failed_cooldown: timedelta = timedelta(minutes=5)
    statement: timedelta = timedelta(days=180)
    max_contacts: int = 10_000
    max_chain: int = 5
    code_minutes: int = 10
    answer_senders: bool = True
    tombstones: bool = True
    enabled: bool = True
    carry: bool = False
    """Whether the old account's things come into the new one."""

    def take_over(self, other: MoverSettings) -> None:
        """Become equal to ``other``."""
        for one in fields(self):
            setattr(self, one.name, getattr(other, one.name))


@dataclass(frozen=True)
class Box:
    """Handed to each run."""

    accounts: Accounts
    store: JourneyStore
    teller: Teller
    clock: Clock
    pace: Pace
    settings: MoverSettings
    hosts: frozenset[str]
    up: asyncio.Event
    """Set while the stream is up and the hooks are greeted."""
    held: Callable[[], bool]
    """Whether an admin has paused everything."""
    rewatch: Callable[[str], Awaitable[None]]
    """Have the hook watch a user as the journeys of now need it."""
    keep: Callable[[Book], Awaitable[None]]
    """Have the hook know whom a deletion of the old account is not to cut off."""
    changed: Callable[[Callable[[], Progress]], None]
    """Tell whoever looks on (``xmpp-moved moves --watch``); mostly nobody does."""
    let_out: Callable[[str], None]
    """A contact's account is gone: have its name taken off the whitelists that it is on."""
    gauges: MoverGauges
    journal: FollowJournal
    follows: Callable[[str, str | None], bool]
    """Whether an account here, by its name and token, wants contacts who move to be followed
    unasked."""
    carrier: Carrier | None = None
    """Brings the account's things along (:mod:`component.engine.belongings`)."""
    handovers: Handovers | None = None
    """Brings them to and from servers elsewhere."""
