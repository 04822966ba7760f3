"""Where a user draws up a move: a draft, the proof of the other account, and the start.

The authority of an order is its ``asker``: a draft obeys its owner, nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from component.core import jids
from component.core.journey import stages
from component.core.journey.model import (
    Access,
    Journey,
    JourneyContact,
    JourneyState,
    Kind,
    Preflight,
    Problem,
    Refused,
)
from component.core.model import NOBODYS, same_account
from component.core.notices import CodeSent
from component.engine.acting import acting_for
from component.engine.movers.accounts import Accounts
from component.engine.movers.box import MoverSettings
from component.engine.movers.drafts import Drafts
from component.engine.movers.handovers import Handovers
from component.engine.movers.orders import Given, explained
from component.engine.movers.ports import JourneyStore
from component.engine.movers.proofs import Proofs
from component.engine.ports import Clock, Teller


class Desk:
    """Implements :class:`~component.engine.movers.orders.DraftOrders`.

    :param begin: sets out on a draft that may begin; raises Refused.
    """

    def __init__(
        self,
        *,
        hosts: Collection[str],
        accounts: Accounts,
        store: JourneyStore,
        teller: Teller,
        clock: Clock,
        settings: MoverSettings,
        begin: Callable[[Journey, Sequence[JourneyContact]], Awaitable[Journey]],
        handovers: Handovers | None = None,
    ) -> None:
        self._accounts = accounts
        self._store = store
        self._teller = teller
        self._clock = clock
        self._settings = settings
        self._begin = begin
        self._starting = asyncio.Lock()
        """Held from the checks to the start, so that of two drafts of one account one starts."""
        self._proofs = Proofs()
        self._proven: dict[int, Mapping[str, str | None]] = {}
        """Drafts between two accounts of which the asker has shown that both are theirs, and which
        accounts those were."""
        self.drafts = Drafts(accounts, store, clock, settings, hosts, handovers)

    async def prepare_away(self, asker: str, new: str) -> Preflight:
        """See :class:`DraftOrders`."""
        prepared = self._prepared(asker, new)
        with explained():
            return await self.drafts.begin(asker, asker, prepared, None)

    async def prepare_arrive(
        self, asker: str, old: str, contacts: Sequence[Given] | None = None
    ) -> Preflight:
        """See :class:`DraftOrders`."""
        prepared = self._prepared(asker, old)
        with explained():
            return await self.drafts.begin(asker, prepared, asker, contacts)

    def _prepared(self, asker: str, other: str) -> str:
        if not self.drafts.serves(asker) or not self._settings.enabled:
            raise Refused(Problem.NOT_SERVED, jid=asker)
        prepared = jids.bare(other)
        if prepared is None:
            raise Refused(Problem.BAD_JID, jid=other[:200])
        return prepared

    async def choose(self, asker: str, journey: int, jids: Collection[str]) -> Preflight:
        """See :class:`DraftOrders`."""
        async with self._on_draft(asker, journey) as draft:
            self._need_proof(draft)
            return await self.drafts.choose(draft, jids)

    async def access(self, asker: str, journey: int, access: Access | None) -> Preflight:
        """See :class:`DraftOrders`."""
        async with self._on_draft(asker, journey) as found:
            draft = replace(found, access=access)
            if not await self._store.save(draft, expect={JourneyState.DRAFT}):
                raise Refused(Problem.WRONG_STATE)
            return await self._examine(draft)

    async def preflight(self, asker: str, journey: int) -> Preflight:
        """See :class:`DraftOrders`."""
        async with self._on_draft(asker, journey) as draft:
            return await self._examine(draft)

    async def _examine(self, draft: Journey) -> Preflight:
        contacts = await self._store.contacts(draft.id)
        return await self.drafts.examine(draft, contacts, proven=self._is_proven(draft))

    async def send_code(self, asker: str, journey: int) -> None:
        """See :class:`DraftOrders`."""
        async with self._on_draft(asker, journey, Kind.BOTH) as draft:
            other = draft.new if draft.owner == draft.old else draft.old
            if await self._accounts.trouble(other) is not None:
                raise Refused(Problem.CHECKS_FAILED, jid=other)
            minutes = self._settings.code_minutes
            code = self._proofs.make(journey, asker, other, self._clock.tick(), minutes * 60.0)
            self._teller.tell(other, CodeSent(asker, draft.old, draft.new, code, minutes))

    async def code_from(self, asker: str) -> str | None:
        """See :class:`DraftOrders`."""
        for id, other in self._proofs.open_to(asker, self._clock.tick()).items():
            with explained():
                draft = await self._store.get(id)
                account = await self._accounts.account(asker)
            if draft is not None and same_account(draft.accounts.get(asker), account):
                return other
        return None

    async def prove(self, asker: str, journey: int, code: str) -> Preflight:
        """See :class:`DraftOrders`."""
        async with self._on_draft(asker, journey, Kind.BOTH) as draft:
            self._proofs.use(journey, code, self._clock.tick())
            found = await self.drafts.fill(draft)
            self._proven[journey] = draft.accounts
            return found

    async def start(self, asker: str, journey: int) -> Journey:
        """See :class:`DraftOrders`."""
        async with self._starting, self._on_draft(asker, journey) as draft:
            self._need_proof(draft)
            found = await self._examine(draft)
            if not found.ok:
                failed = ", ".join(check.name.value for check in found.checks if not check.ok)
                raise Refused(Problem.CHECKS_FAILED, checks=failed)
            chosen = replace(draft, access=draft.access or found.suggested)
            begun = await self._begin(chosen, found.contacts)
            self._proven.pop(journey, None)
            return begun

    async def both_proven(self, asker: str, id: int) -> Journey:
        """A move between two accounts here of which the asker has shown that both are theirs.

        The proof of a move that has begun is good for as long as its undo: later somebody else may
        have one of the addresses.

        :raises Refused: it is no such move, not the asker's, not proven yet or too long ago.
        """
        with explained():
            journey = await self._stored(id)
        until = stages.undo_until(journey, self._settings.undo_hours)  # none begins unproven
        theirs = asker == journey.owner or (until is not None and asker in journey.accounts)
        with explained():
            account = await self._accounts.account(asker) if theirs else None
        if not theirs or not same_account(journey.accounts[asker], account):
            raise Refused(Problem.NOT_YOURS, id=str(id))
        for jid, known in journey.accounts.items():
            with explained():
                now = known if known is None else await self._accounts.account_now(jid)
            if known != now:
                raise Refused(Problem.OTHER_OWNER, jid=jid)
        if journey.kind is not Kind.BOTH or journey.state in _TAKEN_BACK:
            raise Refused(Problem.WRONG_STATE, state=journey.state.value)
        if until is None:
            self._need_proof(journey)
        elif until < self._clock.now():
            raise Refused(Problem.TOO_LATE, until=until.isoformat())
        return journey

    def _need_proof(self, draft: Journey) -> None:
        if draft.kind is Kind.BOTH and not self._is_proven(draft):
            raise Refused(Problem.CODE_EXPIRED)

    def _is_proven(self, draft: Journey) -> bool:
        return self._proven.get(draft.id) == draft.accounts

    @asynccontextmanager
    async def _on_draft(
        self, asker: str, id: int, kind: Kind | None = None
    ) -> AsyncIterator[Journey]:
        """Work on the asker's own draft, and on no later owner's of its addresses."""
        with explained():
            draft = await self._draft(asker, id, kind)
            if NOBODYS in draft.accounts.values():
                # It may have been made by now; that it is the asker's is still to be shown, by a
                # code that this account was sent.
                self._proofs.forget(id)
                draft = await self.drafts.look_again(draft)
            with acting_for(draft.accounts):
                yield draft

    async def _stored(self, id: int, lacking: Problem = Problem.NO_SUCH_JOURNEY) -> Journey:
        journey = await self._store.get(id)
        if journey is None:
            raise Refused(lacking, id=str(id))
        return journey

    async def _draft(self, asker: str, id: int, kind: Kind | None = None) -> Journey:
        """The asker's own draft, of this kind if one is given."""
        journey = await self._stored(id, Problem.DRAFT_GONE)
        if journey.owner != asker or not self.drafts.serves(asker):
            raise Refused(Problem.NOT_YOURS, id=str(id))
        if not same_account(journey.accounts[asker], await self._accounts.account(asker)):
            raise Refused(Problem.NOT_YOURS, id=str(id))
        if journey.state is not JourneyState.DRAFT:
            raise Refused(Problem.WRONG_STATE, state=journey.state.value)
        if kind not in (None, journey.kind):
            raise Refused(Problem.WRONG_STATE)
        return journey


_TAKEN_BACK = frozenset({JourneyState.CANCELLED, JourneyState.UNDOING, JourneyState.UNDONE})
