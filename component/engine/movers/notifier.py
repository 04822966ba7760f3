"""Telling contacts: whom the pace allows, each once, and what to do where an answer was lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from component.core import jids
from component.core.conditions import Condition
from component.core.journey import contacts as machine
from component.core.journey.model import ContactState, JourneyContact, JourneyState, Kind
from component.core.journey.pace import PRESENCES
from component.core.model import PresenceKind, RosterItem, SendPlan, Step, Subscription
from component.xmpp.errors import RemoteError
from component.xmpp.mover_codecs import Notification

if TYPE_CHECKING:
    from component.engine.movers.run import Run

log = structlog.get_logger(__name__)

BATCH = 64
"""Notifications under way at once for one journey."""
WITHDRAW_SECONDS = 10.0
"""How long the answer to a withdrawn request is awaited; not every server gives one."""
TOLD_AGAIN = 3
"""How often at most, where a domain drops; once where it only may."""
LOOK_MAX_SECONDS = 3600.0
_EVERYBODY = ""
_AT_WORK = frozenset({JourneyState.NOTIFYING, JourneyState.SETTLING})


class Notifier:
    """Sends a journey's notifications."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._known_as: str | None = None
        self._withdrawing: dict[str, asyncio.Event] = {}
        self._gaps: dict[str, datetime] = {}
        self._unseen = False
        """Nobody has looked since the last gap."""
        self._approved: dict[str, tuple[datetime, int]] = {}
        """When a way back was approved, and how often again."""
        self._again: dict[str, datetime] = {}
        """When one is approved again whose approval may be lost."""
        self._once: defaultdict[str, set[str]] = defaultdict(set)
        """By domain: whose way back was approved once."""
        self._old_blocks: tuple[frozenset[str], float] = frozenset(), 0.0
        """Whom the old account blocks, and until when that is taken to be so."""
        self._told_again: Counter[str] = Counter()
        """How often, as what they were told may have been dropped."""

    @property
    def owes(self) -> bool:
        """Whether somebody may lack our approval."""
        return bool(self._again) or any(map(machine.owed, self._run.book))

    def approved(self, jid: str, item: RosterItem | None) -> None:
        """A contact's way back was approved; the new account's entry as it is now."""
        box, book = self._run.box, self._run.book
        now, tick, domain = box.clock.now(), box.clock.tick(), jids.domain(jid)
        self._approved[jid] = now, 0
        box.pace.answered(domain, tick, book.journey.id, jid)
        sure = box.pace.approved(domain, tick)
        if sure:
            self._once[domain].add(jid)
        again = None if sure else timedelta(seconds=box.pace.minute)
        for event in (machine.Found(item), machine.Approved(again)):
            book.apply(jid, event, now, box.settings.schedule)

    def cut_off(self, domain: str = _EVERYBODY) -> None:
        """What was said lately may be lost: our server was away, or theirs could not be reached.

        Where only we were away, our server has kept it.
        """
        now, schedule = self._run.box.clock.now(), self._run.box.settings.schedule
        self._gaps[domain] = now
        self._unseen |= domain == _EVERYBODY
        for jid, (at, again) in list(self._approved.items()):
            if at + schedule.pending_after < now or again >= len(schedule.retries):
                del self._approved[jid]
            elif domain == _EVERYBODY:
                self._again.setdefault(jid, now)
            elif domain == jids.domain(jid):
                self._again.setdefault(jid, now + schedule.retries[again])

    def looked(self) -> None:
        """The roster was read: whom the first look after a gap finds asked was asked before it."""
        if self._unseen:
            self._gaps[_EVERYBODY] = self._run.box.clock.now()
            self._unseen = False

    def heard_from(self, jid: str) -> bool:
        """Something came from a contact: whether a withdrawal has waited for it, and may go on."""
        waiting = self._withdrawing.get(jid)
        if waiting is None:
            return False
        waiting.set()
        return True

    async def catch_up(self) -> float:
        """See who has been silent for too long, and who is due; seconds until the next may be."""
        run = self._run
        now = run.box.clock.now()
        if run.book.journey.state not in (*_AT_WORK, JourneyState.CANCELLED):
            return LOOK_MAX_SECONDS  # stopped while the rosters were looked at
        self._doubt(now)
        silent = run.book.ripen(now)
        lost = [c for jid in silent if (c := run.book.get(jid)) and self._may_have_asked(c)]
        for jid in set(silent).difference(contact.jid for contact in lost):
            passed = machine.TimePassed(self._cut_off_since(jid), self._may_be_dropped(jid))
            run.book.apply(jid, passed, now, run.box.settings.schedule)
        self._again |= {contact.jid: now for contact in lost}
        await self.pay(now)
        await run.save()
        due = min(self._again.values(), default=None)
        return LOOK_MAX_SECONDS if due is None else max(0.0, (due - now).total_seconds())

    def _doubt(self, now: datetime) -> None:
        """Where a domain has turned out to drop, whoever was approved once is approved again."""
        run, tick = self._run, self._run.box.clock.tick()
        for domain in [name for name in self._once if run.box.pace.drops(name, tick)]:
            for jid in self._once.pop(domain):
                run.book.apply(jid, machine.Approved(timedelta()), now, run.box.settings.schedule)

    async def pay(self, now: datetime) -> None:
        """Give the approvals that are due again, as far as the pace allows."""
        pace, tick = self._run.box.pace, self._run.box.clock.tick()
        room: dict[str, int] = {}
        for jid in [jid for jid, due in self._again.items() if due <= now]:
            domain = jids.domain(jid)
            # Less than there is room for: nobody will see what was dropped.
            wait = pace.may_say(domain, tick, room.get(domain, 0) + PRESENCES + 1)
            if wait > 0.0:
                self._again[jid] = now + timedelta(seconds=wait)
                continue
            room[domain] = room.get(domain, 0) + 1
        await self._approve([jid for jid, due in self._again.items() if due <= now])

    def may_speak(self) -> tuple[bool, float]:
        """Whether somebody is due whom the pace allows to be told now; else in how many seconds."""
        domain, wait = self._next(self._run.box.clock.tick())
        return domain is not None, wait

    def _next(self, tick: float) -> tuple[str | None, float]:
        """The domain where somebody may be told now; or None, and in how many seconds."""
        run = self._run
        domains = run.book.domains()
        if not domains or run.book.journey.state not in _AT_WORK:
            return None, LOOK_MAX_SECONDS
        return run.box.pace.next(run.book.journey.id, domains, tick)

    async def send_due(self) -> float:
        """Notify whom the pace allows now; seconds until the next may be."""
        run = self._run
        nick = await self._nick() if run.book.domains() else ""
        now, tick = run.box.clock.now(), run.box.clock.tick()
        journey = run.book.journey
        batch: list[JourneyContact] = []
        wait = LOOK_MAX_SECONDS
        while len(batch) < BATCH:
            domain, wait = self._next(tick)
            if domain is None:
                break
            contact = run.book.pop(domain, now)
            if contact is None:
                continue
            again = machine.maybe_dropped(contact)
            run.box.pace.spend(journey.id, domain, tick, contact.jid, again=again)
            self._told_again[contact.jid] += again
            run.book.apply(contact.jid, machine.Leaving(), now, run.box.settings.schedule)
            batch.append(contact)
        if not batch:
            return wait
        await run.save()
        status = run.box.teller.status_text(journey.owner, journey.old, journey.new)
        words = Notification(journey.old, status, nick)
        batch = await self._leave_out(batch, words)
        results = await asyncio.gather(
            *(self._notify(contact.jid, machine.withdraws(contact), words) for contact in batch),
            return_exceptions=True,
        )
        now = run.box.clock.now()
        failed: BaseException | None = None
        for contact, result in zip(batch, results, strict=True):
            run.box.gauges.notified(
                again=machine.repeats(contact), left=isinstance(result, machine.Left)
            )
            if isinstance(result, BaseException):
                failed = result  # it may have left: the next look tells
            else:
                run.book.apply(contact.jid, result, now, run.box.settings.schedule)
        await run.save()
        if failed is not None:
            raise failed
        return 0.0

    async def _leave_out(
        self, batch: list[JourneyContact], words: Notification
    ) -> list[JourneyContact]:
        """Of those who are about to be told, who still is a contact of the old account.

        Its owner may have removed, blocked or revoked somebody since the draft was made.  What such
        a contact was asked before is taken back.
        """
        run, old = self._run, self._run.book.journey.old
        if run.book.journey.kind is not Kind.BOTH or run.statement.old_is_gone:
            return batch
        chosen = await run.box.accounts.entries(old, [contact.jid for contact in batch])
        items = {jids.key(item.jid): item for item in chosen}
        blocked = await self._blocked()
        gone = []
        for contact in batch:
            keys = {jids.key(contact.jid), jids.key(jids.domain(contact.jid))}
            item = items.get(jids.key(contact.jid))
            if keys & blocked or machine.was_taken_back(contact, item):
                gone.append(contact.jid)
        # What our own follow for an account did to its list is not its owner's hand.
        gone = [jid for jid in gone if not await run.onward.concerns(jid)]
        asked = [c.jid for c in batch if c.jid in gone and machine.repeats(c)]
        taken = (self.take_back(jid, words) for jid in asked)
        for result in await asyncio.gather(*taken, return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, RemoteError):
                raise result
        now, schedule = run.box.clock.now(), run.box.settings.schedule
        for jid in gone:
            run.book.apply(jid, machine.TakenBack(), now, schedule)
            log.info("a contact is left out", id=run.book.journey.id, contact=jid)
        return [contact for contact in batch if contact.jid not in gone]

    async def _blocked(self) -> frozenset[str]:
        """Whom the old account blocks; a look holds for a while, as that at a roster does."""
        box, (keys, until) = self._run.box, self._old_blocks
        if box.clock.tick() >= until:
            blocked = await box.accounts.blocked(self._run.book.journey.old)
            keys = frozenset(jids.key(jids.entity(jid) or jid) for jid in blocked)
            self._old_blocks = keys, box.clock.tick() + box.settings.look_seconds
        return keys

    def _may_have_asked(self, contact: JourneyContact) -> bool:
        """Whether the way back of a contact that accepted, or our approval, may have been lost.

        It may where no answer came to our first request, somebody was cut off since the last, or
        the contact's server or ours may have dropped it, which was told faster than at first: a
        person who accepts several requests in one minute floods their own server.
        """
        counted = self._run.box.settings.rates.counted
        dropped = counted or self._run.box.pace.rushed(jids.domain(contact.jid))
        lost = contact.attempts > 1 or dropped or self._cut_off_since(contact.jid)
        return machine.owed(contact) or (lost and machine.asks_back(contact))

    def _may_be_dropped(self, jid: str) -> bool:
        """Whether what a silent contact was told may have been dropped: others did answer."""
        domain, pace, contact = jids.domain(jid), self._run.box.pace, self._run.book.get(jid)
        assert contact is not None
        if machine.maybe_dropped(contact):  # told again already; that may be dropped as well
            drops = pace.drops(domain, self._run.box.clock.tick())
            return drops and self._told_again[jid] < TOLD_AGAIN
        answers = self._run.book.has_answered(domain) or pace.has_answered(domain)
        return answers and pace.doubts(domain)

    def _cut_off_since(self, jid: str) -> bool:
        """Whether what a contact has said since it was told may be lost."""
        contact = self._run.book.get(jid)
        told = None if contact is None else contact.sent_at
        gaps = (self._gaps.get(place) for place in (_EVERYBODY, jids.domain(jid)))
        return told is not None and any(gap is not None and gap >= told for gap in gaps)

    async def _approve(self, contacts: list[str]) -> None:
        """Approve ways back that were lost, or whose approval was: nobody else repeats them.

        The server of a contact that has asked takes it for the answer, any other ignores it (RFC
        6121 section 3.1.6).  Where it was not asked for it stands for the day that it is.
        """
        run, new = self._run, self._run.book.journey.new
        now, schedule = run.box.clock.now(), run.box.settings.schedule
        roster = await run.box.accounts.roster(new) if contacts else {}
        for jid in contacts:
            contact, item = run.book.get(jid), roster.get(jid)
            if contact is not None and item is not None and _stands(contact, item):
                with contextlib.suppress(RemoteError):  # the block list, or a rule, is against it
                    if not await run.addressees.still(jid):
                        del self._again[jid]
                        continue
                    (item,) = await run.box.accounts.approve(new, [jid])
                    run.box.pace.said(jids.domain(jid), run.box.clock.tick())
                    _, again = self._approved.get(jid, (now, 0))
                    self._approved[jid] = now, again + 1
            run.book.apply(jid, machine.Found(item), now, schedule)
            run.book.apply(jid, machine.TimePassed(), now, schedule)
            run.book.apply(jid, machine.Approved(None), now, schedule)
            del self._again[jid]

    async def _nick(self) -> str:
        """What the mover calls themself, for people whose client knows nothing of moves."""
        if self._known_as is None:
            run = self._run
            accounts = [run.book.journey.new, run.book.journey.old]
            names = [
                await run.box.accounts.nick(jid)
                for jid in accounts
                if jids.domain(jid) in run.box.hosts
            ]
            mine = next((name for name in names if name), None)
            self._known_as = mine or run.book.journey.new.partition("@")[0]
        return self._known_as

    async def _notify(self, jid: str, withdraw: bool, words: Notification) -> machine.Event:
        run = self._run
        contact = run.book.get(jid)
        assert contact is not None
        before = contact.before
        item = RosterItem(jid, Subscription.NONE, False, contact.name, contact.groups)
        named = item if contact.name or contact.groups else None
        try:
            first = contact.attempts == 1 and not machine.repeats(contact)
            asked = first and before is not None and before.ask
            try:
                if not await run.addressees.still(jid):
                    return machine.Bounced(Condition.GONE)
            except RemoteError as error:  # tried again as one whose server is away, not for ever
                return machine.Bounced(error.condition)
            if withdraw or asked:
                await self.take_back(jid, words)
            if run.book.journey.state not in _AT_WORK:
                return machine.NotLeft(run.book.journey.state.value)
            plan = SendPlan((Step(PresenceKind.SUBSCRIBE, jid),), named)
            items = await run.box.accounts.notify(run.speaker, plan, words)
        except RemoteError as error:
            if error.condition == Condition.ITEM_NOT_FOUND:
                raise
            return machine.NotLeft(error.condition, error.condition == Condition.NOT_ACCEPTABLE)
        return machine.Left(items.get(jid))

    async def take_back(self, jid: str, words: Notification) -> None:
        """Withdraw an earlier request, and await what its addressee's server says to that.

        ejabberd answers ``unsubscribe`` with ``unsubscribed`` (seen on 24.12).  If that came
        after the new request, our server would take it for the answer to that one and forget
        that we asked.
        """
        run = self._run
        answered = self._withdrawing.setdefault(jid, asyncio.Event())
        try:
            plan = SendPlan((Step(PresenceKind.UNSUBSCRIBE, jid),))
            run.box.pace.said(jids.domain(jid), run.box.clock.tick())
            await run.box.accounts.notify(run.speaker, plan, words)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WITHDRAW_SECONDS):
                    await answered.wait()
        finally:
            self._withdrawing.pop(jid, None)


def _stands(contact: JourneyContact, item: RosterItem) -> bool:
    """Whether nobody has taken back since what a contact's state says: mutual, or accepted."""
    if contact.state is ContactState.MUTUAL:
        return item.subscription is Subscription.BOTH
    return contact.state is ContactState.ACCEPTED and item.subscription.receives
