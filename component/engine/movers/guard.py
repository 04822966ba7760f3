"""Nobody is told of a move while its statement cannot be read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from component.core.journey import stages
from component.core.journey.stages import Word
from component.core.model import Reason
from component.engine.movers.book import Book
from component.engine.movers.box import Box
from component.engine.movers.statement import Statement
from component.xmpp.errors import LinkLost, RemoteError

log = structlog.get_logger(__name__)

LATELY_SECONDS = 0.2
"""For how long a look at the statement holds while notifications leave."""
MOST_LOOKS = 5
"""Looks at an unreadable statement before the journey is paused."""
MOST_LOOKS_AT_OURS = 60
"""The same where our own server has troubles that pass by themselves: some minutes."""
_PASSING = frozenset({Reason.UNREACHABLE.value, Reason.OVERLOADED.value, Reason.FETCH_ERROR.value})
"""Reasons that may be gone a moment later."""


class Guard:
    """Sees to a journey's statement: at first, and as long as contacts are told.

    :param become: takes the journey to its next state, for a reason.
    """

    def __init__(
        self,
        box: Box,
        book: Book,
        statement: Statement,
        become: Callable[[Word, str | None], Awaitable[bool]],
    ) -> None:
        self._box = box
        self._book = book
        self._statement = statement
        self._become = become
        self._looks = 0
        """At an unreadable statement, one after the other."""
        self._stood_at = float("-inf")

    def look_anew(self) -> None:
        """The journey begins, or goes on: what was seen before it was stopped does not count."""
        self._looks = 0
        self._stood_at = float("-inf")

    async def publish(self) -> bool:
        """Publish, read back as a contact would, and only then let the journey go on (XEP-0283
        4.1); where it cannot be published, the journey is paused.

        :returns: False where it is worth another try soon.
        """
        try:
            if stages.publishes(self._book.journey):
                await self._statement.put()
            reason = await self._statement.unreadable()
        except LinkLost:
            raise
        except RemoteError as error:
            await self._become(Word.UNPUBLISHABLE, error.condition)
            return True
        if reason is None:
            self._looks = 0
            await self._become(Word.READABLE, None)
            return True
        self._looks += 1
        if reason in _PASSING and self._looks < MOST_LOOKS:
            return False
        await self._become(Word.UNPUBLISHABLE, reason)
        return True

    async def stands(self) -> bool:
        """See that the statement still stands; publish it again if it has vanished.

        Where another move is stated, or it stays unreadable, the journey is paused.
        """
        book = self._book
        if not stages.notifies(book.journey) and not stages.publishes(book.journey):
            return True
        reason = await self._statement.unreadable()
        if reason is None:
            self._looks = 0
            self._stood_at = self._box.clock.tick()
            return True
        self._looks += 1
        # The journey may have been cancelled while it was read.
        if stages.publishes(book.journey) and reason != Reason.OTHER_JID.value:
            log.warning("the statement was gone; published again", id=book.journey.id)
            await self._statement.put()
            if await self._statement.unreadable() is None:
                return True
        # An old server elsewhere that is down says nothing against the move: nobody is told
        # meanwhile.  Ours is there, so its owner or admin has to know what it does not do.
        most = MOST_LOOKS if reason not in _PASSING else MOST_LOOKS_AT_OURS
        lasting = self._looks >= most and (reason not in _PASSING or stages.publishes(book.journey))
        if lasting or reason == Reason.OTHER_JID.value:
            await self._become(Word.PAUSE, reason)
        return False

    async def stands_lately(self) -> bool:
        """The same before each batch; a look holds for a moment."""
        if self._box.clock.tick() - self._stood_at < LATELY_SECONDS:
            return True
        return await self.stands()
