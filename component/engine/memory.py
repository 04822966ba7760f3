"""What is remembered in memory of what the database holds, and how it is kept true.

Every diverted request asks for it, so it is loaded at the start.  What this instance does is noted
as it is done; what other instances do comes here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from component.core.limits import Declined, Followed
from component.core.records import Accepted
from component.engine.ports import Clock
from component.engine.preferences import Preferences
from component.store.shared import Changes


class Past(Protocol):
    """Where it is durable."""

    async def accepted_since(self, since: datetime) -> list[Accepted]:
        """Moves that were followed."""

    async def declined(self) -> list[tuple[str, str, str]]:
        """(contact, old, new) of what people took back."""


class Memory:
    """Followed moves, declined ones, and what users and admins chose.

    :param window_days: how far the limits look back now
    :param on_language: told of each user's language, None: none was chosen
    :param on_run_time: told of all that an admin has set, whenever that changed elsewhere
    :param load_run_time: has that read again
    """

    def __init__(
        self,
        past: Past,
        followed: Followed,
        declined: Declined,
        preferences: Preferences,
        clock: Clock,
        *,
        window_days: Callable[[], int],
        on_language: Callable[[str, str | None], None],
        on_run_time: Callable[[Mapping[str, object]], None],
        load_run_time: Callable[[], Awaitable[None]],
    ) -> None:
        self._past = past
        self._followed = followed
        self._declined = declined
        self._preferences = preferences
        self._clock = clock
        self._window_days = window_days
        self._on_language = on_language
        self._on_run_time = on_run_time
        self._load_run_time = load_run_time

    async def load(self) -> None:
        """Everything, as at a start; raises StoreError."""
        await self.look_back(self._window_days())
        for contact, old, new in await self._past.declined():
            self._declined.note(contact, old, new)
        for jid, settings in (await self._preferences.load()).items():
            self._on_language(jid, settings.language)
        await self._load_run_time()

    async def look_back(self, days: int) -> None:
        """What the limits look back on; raises StoreError."""
        window = timedelta(days=days)
        for move in await self._past.accepted_since(self._clock.now() - window):
            self._followed.note(move.old, move.new, move.at.timestamp())

    async def take_in(self, changes: Changes) -> None:
        """What other instances did, in the order in which they did it; raises StoreError."""
        if changes.everything:
            self._followed.clear()
            await self.load()
        done = [(move.at, True, move) for move in changes.followed]
        done += [(move.at, False, move) for move in changes.undone]
        for at, follows, move in sorted(done, key=lambda one: one[0]):
            if follows:
                self._followed.note(move.old, move.new, at.timestamp())
            else:
                self._followed.forget(move.old, move.new)
        for contact, old, new in changes.declined:
            self._declined.note(contact, old, new)
        self._preferences.take_in(changes.settings)
        for jid, settings in changes.settings.items():
            self._on_language(jid, settings.language)
        if changes.run_time is not None:
            self._on_run_time(changes.run_time)
