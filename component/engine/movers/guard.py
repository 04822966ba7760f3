"""Nobody is told of a move while its statement cannot be read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from component.core.conditions import Condition
from component.core.journey import stages
from component.core.journey.stages import Word
from component.core.model import Reason, same_account
from component.engine.movers.book import Book
from component.engine.movers.box import Box
from component.engine.movers.statement import Statement
from component.xmpp.errors import LinkLost, RemoteError

log = structlog.get_logger(__name__)

LATELY_SECONDS = 0.2
"""For how long a look at the statement holds while notifications leave."""
UNREADABLE_SECONDS = 20.0
"""For how long a statement may be unreadable before the journey is paused."""
WORTH_A_WORD_SECONDS = 5.0
"""For how long an old server elsewhere may be away before the mover is told that all wait."""
TROUBLE_SECONDS = 300.0
"""The same where our own server has troubles that pass by themselves."""
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
        self._failing_since: float | None = None
        """Since when each look has found it unreadable."""
        self._stood_at = float("-inf")

    def look_anew(self) -> None:
        """The journey begins, or goes on: what was seen before it was stopped does not count."""
        self._failing_since = None
        self._stood_at = float("-inf")

    def _fails_for(self) -> float:
        """Seconds since the first of the looks that found it unreadable, with this one."""
        tick = self._box.clock.tick()
        if self._failing_since is None:
            self._failing_since = tick
        return tick - self._failing_since

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
            if await self._may_pass(error) and self._fails_for() < UNREADABLE_SECONDS:
                return False
            await self._become(Word.UNPUBLISHABLE, error.condition)
            return True
        if reason is None:
            self._failing_since = None
            await self._become(Word.READABLE, None)
            return True
        # What one contact could not read, their server may only not know yet.
        passing = reason in _PASSING or " " in reason
        if passing and self._fails_for() < UNREADABLE_SECONDS:
            return False
        await self._become(Word.UNPUBLISHABLE, reason)
        return True

    async def _may_pass(self, error: RemoteError) -> bool:
        """Whether a refusal to publish may be gone a moment later.

        ejabberd 24.12 answers ``item-not-found`` to one of two accounts that make their node in the
        same moment.
        """
        if error.condition != Condition.ITEM_NOT_FOUND:
            return error.type == "wait"
        journey = self._book.journey
        now = await self._box.accounts.account_now(journey.old)
        return now is not None and same_account(journey.old_account, now)

    async def stands(self) -> bool:
        """See that the statement still stands; publish it again if it has vanished.

        Where another move is stated, or it stays unreadable, the journey is paused.
        """
        book = self._book
        if not stages.notifies(book.journey) and not stages.publishes(book.journey):
            return True
        reason = await self._statement.unreadable()
        if reason is None:
            self._failing_since = None
            book.waits = False
            self._stood_at = self._box.clock.tick()
            return True
        failing = self._fails_for()
        book.waits = not stages.publishes(book.journey) and failing >= WORTH_A_WORD_SECONDS
        # The journey may have been cancelled while it was read.
        if stages.publishes(book.journey) and reason != Reason.OTHER_JID.value:
            log.warning("the statement was gone; published again", id=book.journey.id)
            try:
                await self._statement.put()
                if await self._statement.unreadable() is None:
                    return True
            except RemoteError as error:
                if error.condition == Condition.ITEM_NOT_FOUND:
                    raise  # the account is gone
                reason = error.condition
        # An old server elsewhere that is down says nothing against the move: nobody is told
        # meanwhile.  Ours is there, so its owner or admin has to know what it does not do.
        if reason not in _PASSING:
            lasting = failing >= UNREADABLE_SECONDS
        else:
            lasting = stages.publishes(book.journey) and failing >= TROUBLE_SECONDS
        if lasting or reason == Reason.OTHER_JID.value:
            await self._become(Word.PAUSE, reason)
        return False

    async def stands_lately(self) -> bool:
        """The same before each batch; a look holds for a moment."""
        if self._box.clock.tick() - self._stood_at < LATELY_SECONDS:
            return True
        return await self.stands()
