"""What the owner of a journey is told: each piece of news once, and one message of progress."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from component.core.conditions import Condition
from component.core.journey import stages, told
from component.core.journey.model import JourneyState, Progress
from component.core.notices import (
    AllFollowed,
    Notice,
    ProgressMade,
    Stopped,
    TimeOver,
    UndoneTold,
)
from component.engine.movers.book import Book
from component.engine.movers.box import Box
from component.xmpp.errors import LinkError, RemoteError

PROGRESS_SECONDS = 5.0
"""Least time between two corrections of the progress message (XEP-0308)."""
_TELLING = (JourneyState.NOTIFYING, JourneyState.SETTLING)
TIME_OVER = "time-over"
"""Detail of a journey that ended because it had had its time."""


class Voice:
    """Speaks to the owner of one journey.

    :param note: writes down a change of the journey's own row; raises StoreError.
    """

    def __init__(
        self,
        box: Box,
        book: Book,
        note: Callable[..., Awaitable[Any]],
        old_is_gone: Callable[[], bool],
    ) -> None:
        self._box = box
        self._book = book
        self._note = note
        self._old_is_gone = old_is_gone
        self._told_at = float("-inf")
        self._held = False
        self._shown: Progress | None = None

    def now(self) -> Progress:
        """How far the journey is."""
        progress = self._book.progress(self._box.pace, self._box.clock.tick())
        return replace(progress, old_is_gone=self._old_is_gone(), all_paused=self._all_paused())

    def _all_paused(self) -> bool:
        journey = self._book.journey
        tells = stages.notifies(journey) and journey.state in _TELLING
        return tells and self._box.held()

    async def _hears(self) -> bool:
        return await self._box.accounts.owner_hears(self._book.journey)

    async def once(self, name: str, notice: Notice) -> None:
        """Tell the owner, at most once over all restarts: it is noted before it is said.

        :raises LinkError: whose the owner's name is now cannot be known; to be said again.
        """
        if self._book.journey.told == name:
            return
        hears = await self._hears()
        await self._note(told=name)
        if not hears:
            return
        with contextlib.suppress(LinkError):
            self._box.teller.tell(self._book.journey.owner, notice)

    async def end(self) -> None:
        """Say how the journey ended, or that and why it stopped."""
        journey, progress = self._book.journey, self.now()
        match journey.state:
            case JourneyState.DONE if journey.detail == TIME_OVER:
                await self.once(told.ENDED, TimeOver(progress))
            case JourneyState.DONE:
                await self.once(told.ENDED, AllFollowed(progress))
            case JourneyState.UNDONE:
                await self.once(told.UNDONE, UndoneTold(progress))
            case _:
                if journey.progress_id is not None and await self._hears():
                    await self.progress(at_once=True)  # it said that the move goes on
                await self.once(f"{told.STOPPED}-{journey.state.value}", Stopped(progress))

    async def progress(self, *, at_once: bool = False) -> None:
        """Correct the message of progress, if it has changed and was not corrected just now.

        :raises RemoteError: ``item-not-found``, as an order to the owner's account is answered that
            is gone.
        """
        tick, shown = self._box.clock.tick(), self._shown
        if shown is not None and (
            shown.counts == self._book.tally()
            and shown.journey.state is self._book.journey.state
            and shown.waits is self._book.waits
            and shown.all_paused is self._all_paused()
        ):
            self._held = False
            return
        self._held = not at_once and tick - self._told_at < PROGRESS_SECONDS
        if self._held:
            return
        if not await self._hears():
            raise RemoteError(Condition.ITEM_NOT_FOUND, "cancel", "the owner's account is gone")
        self._told_at = tick
        self._shown = progress = self.now()
        with contextlib.suppress(LinkError):
            said = self._box.teller.tell(
                self._book.journey.owner,
                ProgressMade(progress),
                replaces=progress.journey.progress_id,
            )
            if self._book.journey.progress_id is None:
                await self._note(progress_id=said)

    def waits(self) -> float | None:
        """Seconds until a held correction may leave; None: there is none."""
        if not self._held:
            return None
        return max(0.05, self._told_at + PROGRESS_SECONDS - self._box.clock.tick())
