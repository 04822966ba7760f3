"""What the hook says and asks about movers: ways back, answers, messages to old accounts."""

from __future__ import annotations

import contextlib
import xml.etree.ElementTree as ET
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta

import structlog

from component.core.journey.model import ContactState
from component.core.model import PresenceKind, SendPlan, Step, same_account
from component.core.notices import NewAddress
from component.engine.movers.ports import JourneyStore, MoverGauges, NoGauges
from component.engine.movers.run import Run
from component.engine.movers.service import Movers
from component.engine.ports import Clock, Teller
from component.store.errors import LeaseLost, StoreError
from component.xmpp import codecs, mover_codecs
from component.xmpp.errors import LinkError
from component.xmpp.mover_codecs import WayBack

log = structlog.get_logger(__name__)

ANSWER_EVERY = timedelta(days=1)
"""How often one sender is told the new address."""
_AWAITED = 5000
"""Ways back whose outcome is awaited at once."""


class Inbound:
    """Handlers for the hook's stanzas.

    :param contact_divert, contact_outcome: the contact side's handlers, which get the rest.
    """

    def __init__(
        self,
        movers: Movers,
        store: JourneyStore,
        teller: Teller,
        clock: Clock,
        hosts: Collection[str],
        contact_divert: Callable[[ET.Element], Awaitable[ET.Element]],
        contact_outcome: Callable[[ET.Element], Awaitable[None]],
        gauges: MoverGauges | None = None,
    ) -> None:
        self._movers = movers
        self._store = store
        self._teller = teller
        self._clock = clock
        self._hosts = hosts
        self._contact_divert = contact_divert
        self._contact_outcome = contact_outcome
        self._gauges = gauges or NoGauges()
        self._awaited: OrderedDict[str, tuple[Run | None, WayBack]] = OrderedDict()

    @property
    def awaited(self) -> int:
        """Ways back that were approved, and of which the server has not said what became."""
        return len(self._awaited)

    async def on_divert(self, iq: ET.Element) -> ET.Element:
        """A held request: the way back of somebody notified, or the contact side's.

        :raises StanzaError: the sender may not ask, or asks unintelligibly.
        """
        if not mover_codecs.is_watched(iq):
            return await self._contact_divert(iq)
        way_back = mover_codecs.read_way_back(iq, self._hosts)
        for run in self._movers.runs.of(way_back.user):
            meant = run.book.journey.accounts[way_back.user]
            if (
                same_account(meant, way_back.account)
                and run.approves(way_back.user, way_back.sender, way_back.item)
                and await self._is_theirs(run, way_back.sender)
            ):
                return self._take(way_back, run)
        if await self._movers.others.approves(way_back):
            return self._take(way_back, None)
        self._gauges.way_back("release")
        return codecs.write_release()

    async def _is_theirs(self, run: Run, sender: str) -> bool:
        """Whether whoever asks is the contact, and not the next owner of the name."""
        try:
            return await run.addressees.still(sender)
        except LinkError as error:
            log.warning("a way back is left to the mover", contact=sender, error=str(error))
            return False

    def _take(self, way_back: WayBack, run: Run | None) -> ET.Element:
        log.debug("a way back is approved", user=way_back.user, contact=way_back.sender)
        self._awaited[way_back.request_id] = (run, way_back)
        if len(self._awaited) > _AWAITED:
            self._awaited.popitem(last=False)
        self._gauges.way_back("take")
        step = Step(PresenceKind.SUBSCRIBED, way_back.sender)
        return codecs.write_take(SendPlan((step,)))

    async def on_outcome(self, message: ET.Element) -> None:
        """What became of a held request."""
        if not self._awaited:  # read once is enough: there may be hundreds in a second
            await self._contact_outcome(message)
            return
        outcome = codecs.read_outcome(message, self._hosts)
        awaited = self._awaited.pop(outcome.request_id, None)
        if awaited is None:
            await self._contact_outcome(message)
            return
        run, way_back = awaited
        if outcome.contact != way_back.user:
            return
        item = next((item for item in outcome.items if item.jid == way_back.sender), None)
        if run is None:
            if outcome.taken:
                await self._movers.others.approved(way_back.user, way_back.sender, item)
            return
        with contextlib.suppress(LeaseLost):  # whoever works on it now reads the roster
            await run.found(way_back.sender, item)

    async def on_heard(self, message: ET.Element) -> None:
        """A contact answered a watched user."""
        heard = mover_codecs.read_heard(message, self._hosts)
        for run in self._movers.runs.of(heard.user):
            with contextlib.suppress(LeaseLost):
                await run.heard(heard)

    async def on_wrote(self, iq: ET.Element) -> ET.Element | None:
        """A contact wrote to an old account: tell them the new address, once a day."""
        wrote = mover_codecs.read_wrote(iq, self._hosts)
        try:
            journey = await self._movers.watches.leaves_address(wrote.user)
            if journey is None or wrote.sender in (journey.old, journey.new):
                return None
            if await self._left_out(journey.id, wrote.sender):
                return None
            if not await self._movers.tombstones.leads(journey):
                return None
            if not await self._store.may_answer(
                wrote.user, wrote.sender, self._clock.now(), ANSWER_EVERY
            ):
                return None
        except (LinkError, StoreError) as error:
            log.warning("a sender is not answered", error=str(error))
            return None
        address = NewAddress(journey.old, journey.new)
        return mover_codecs.write_answer(*self._teller.answer_text(wrote.lang, address))

    async def _left_out(self, journey: int, sender: str) -> bool:
        """Whether the mover did not choose this contact: it is not to learn the new address.

        Nor is whoever has a contact's name by now.
        """
        contact = await self._store.contact(journey, sender)
        if contact is None:
            return False
        skipped = contact.state is ContactState.SKIPPED
        return skipped or not await self._movers.tombstones.knows(contact)

    async def on_deleted(self, message: ET.Element) -> None:
        """An account of ours is gone, and its name anybody's."""
        jid, account = mover_codecs.read_deleted(message, self._hosts)
        try:
            await self._movers.deleted(jid, account)
        except (LinkError, StoreError) as error:
            log.warning("a deletion is not noted everywhere", jid=jid, error=str(error))

    async def on_tombstone(self, iq: ET.Element) -> ET.Element | None:
        """Somebody asks for the statement of an account that is no more (XEP-0283 4.3, gone)."""
        sought = mover_codecs.read_tombstone(iq, self._hosts)
        new = await self._movers.tombstones.successor(sought)
        return None if new is None else mover_codecs.write_gone(new)
