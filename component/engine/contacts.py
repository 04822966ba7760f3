"""The contact side at work: runs the machine of :mod:`component.core.contact` for each request."""

from __future__ import annotations

import asyncio
import contextlib
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any

import structlog

from component.core import contact as core
from component.core import jids
from component.core.contact import Case, Event
from component.core.limits import Declined, Followed, Gate, Repeats
from component.core.model import NOBODYS, Reason, same_account
from component.core.records import Accepted, MoveState, Settlement, VerdictRecord
from component.core.roster import Carry
from component.core.statement import Answer, judge
from component.engine import plans
from component.engine.acting import acting_for
from component.engine.fetcher import Fetcher
from component.engine.hook import Hook
from component.engine.ports import Clock, Gauges, Journal
from component.engine.preferences import Preferences
from component.engine.requests import Request
from component.engine.telling import ContactNotices
from component.engine.undo import Restorer
from component.store.errors import StoreError
from component.xmpp import codecs
from component.xmpp.errors import LinkError, LinkLost

log = structlog.get_logger(__name__)

# Over these limits nothing is written: a flood must not fill the disk either.
_ENDS = {
    MoveState.DONE: "followed",
    MoveState.RELEASED: "released",
    MoveState.HANDED_BACK: "handed back",
}
_FLOODS = frozenset(
    {Reason.RATE_LIMITED, Reason.OVERLOADED, Reason.TOO_LARGE, Reason.BACK_AND_FORTH}
)
_UNRECORDED = _FLOODS | {Reason.DENIED}
_TELL_EVERY = 10.0
"""Seconds between log lines on requests beyond the limits: not one for each."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long to wait, in seconds."""

    deadline: float = 45.0
    """For the old account's answer; below the hook's own time-out (60)."""
    outcome: float = 30.0
    """For the server's word on what became of a verdict."""
    settling: float = 0.1
    """For which the record of an end may wait, to be written with others."""


def _told(outcome: codecs.Outcome) -> core.OutcomeTold:
    return core.OutcomeTold(outcome.taken, outcome.why, outcome.items)


async def _nothing(move: Accepted) -> None:
    pass


class ContactSide:
    """Answers the hook's questions and closes each with what really happened."""

    def __init__(
        self,
        *,
        hosts: Collection[str],
        hook: Hook,
        journal: Journal,
        fetcher: Fetcher,
        gate: Gate,
        followed: Followed,
        declined: Declined,
        preferences: Preferences,
        restorer: Restorer,
        notices: ContactNotices,
        clock: Clock,
        gauges: Gauges,
        timing: Timing,
        carry: Carry,
    ) -> None:
        self._hosts = frozenset(hosts)
        self._hook = hook
        self._journal = journal
        self._fetcher = fetcher
        self._gate = gate
        self._followed = followed
        self._declined = declined
        self._repeats = Repeats()
        self._preferences = preferences
        self._restorer = restorer
        self._notices = notices
        self._clock = clock
        self._gauges = gauges
        self._timing = timing
        self._carry = carry
        self._epoch = 0
        self._open: dict[str, Request] = {}
        self._finishing: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.unfinished = 0
        """Requests that ended without a record of it so far; recovery looks after them."""
        self.on_taking: Callable[[Accepted], Awaitable[None]] = _nothing
        """Awaited before a verdict to follow leaves."""
        self.on_followed: Callable[[str, str, str], None] = lambda contact, old, new: None
        """Told of each contact who was followed, once that is recorded."""
        self._flood = 0
        self._flood_told = float("-inf")
        self._overloaded_at = float("-inf")

    @property
    def open_requests(self) -> int:
        """Requests that have no end yet."""
        return len(self._open)

    @property
    def overloaded(self) -> bool:
        """Whether requests were passed unfollowed lately because too many were open."""
        return self._clock.tick() - self._overloaded_at < _TELL_EVERY

    def is_open(self, request_id: str) -> bool:
        """Whether a request is being worked on in this session."""
        return request_id in self._open

    async def idle(self) -> None:
        """Return when every request has its end."""
        await self._idle.wait()

    def forget(self, jid: str) -> None:
        """An account here is gone: what was verified of its name is asked anew."""
        self._fetcher.forget(jid)

    # The wire's side ----------------------------------------------------------------------

    async def on_divert(self, iq: ET.Element) -> ET.Element:
        """Decide about one request; the returned payload is the verdict.

        :raises StanzaError: the sender may not ask, or asks unintelligibly.
        :raises LinkError: the stream was lost; the server has released the request.
        """
        loop = asyncio.get_running_loop()
        asked = codecs.read_divert(iq, self._hosts)
        divert = asked.divert
        del iq[:]  # a third of what a request under way would take
        run = Request(
            case=Case(
                divert,
                carry=self._carry,
                follow=self._preferences.of(divert.contact, divert.account).follow,
                notify=self._notices.on,
            ),
            epoch=self._epoch,
            started=self._clock.tick(),
            at=self._clock.now(),
            outcome=loop.create_future(),
            stopped=loop.create_future(),
            journal=self._journal,
        )
        self._open[divert.request_id] = run
        if self._stopping:
            run.stop()
        self._count()
        objection = self._gate.admit(divert, now=self._clock.tick())
        run.admitted = objection is None
        objection = objection or self._declined.object_to(divert)
        objection = objection or self._repeats.object_to(divert, self._clock.now().timestamp())
        if objection in _FLOODS:
            self._flooded(objection, divert.new)
        run.passes = objection is not None
        if not run.passes:  # whoever floods does not keep the contact from an undo
            self._restorer.arrived(divert)
        run.recorded = objection not in _UNRECORDED
        try:
            await self._drive(run, core.Diverted(asked.old_jids, objection))
        except BaseException:
            self._forget(run)
            raise
        self._decided(run)
        # Where the server let go by itself, any verdict is late and changes nothing.
        return run.answer if run.answer is not None else codecs.write_release()

    async def on_outcome(self, message: ET.Element) -> None:
        """Take note of what the server says became of a request."""
        outcome = codecs.read_outcome(message, self._hosts)
        run = self._open.get(outcome.request_id)
        if run is None or run.case.divert.contact != outcome.contact:
            log.info("outcome of an unknown request", id=outcome.request_id)
        elif not run.outcome.done():
            run.outcome.set_result(outcome)
            if run.patience is not None:
                run.be_patient(None)
                await self._finish(run, _told(outcome))

    def on_down(self) -> None:
        """The stream is lost: every open request is the server's again; recovery settles them."""
        self._epoch += 1
        for run in list(self._open.values()):
            run.outcome.cancel()
            self._forget(run)

    def abandon(self, instances: Collection[str]) -> None:
        """These instances of the hook are no more (a node of a cluster has died), though the stream
        stands: what they held is settled without waiting for their word."""
        for run in list(self._open.values()):
            if run.case.divert.instance in instances and not run.gone:
                run.gone = True
                if run.patience is not None:
                    self._finish_later(run, core.OutcomeMissing())
                run.stop()

    async def stop(self, grace: float) -> None:
        """Release what is not decided and wait up to ``grace`` seconds for outcomes."""
        self._stopping = True
        for run in self._open.values():
            run.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self.idle()
        self.on_down()
        await asyncio.gather(*self._finishing, return_exceptions=True)

    # The machine's side -------------------------------------------------------------------

    async def _drive(self, run: Request, event: Event | None) -> None:
        """Feed an event and run its effects, which may bring the next event."""
        divert = run.case.divert
        with acting_for({divert.contact: divert.account}):
            while event is not None:
                run.case, effects = core.step(run.case, event)
                event = None
                for effect in effects:
                    event = await self._run_effect(run, effect) or event

    async def _run_effect(self, run: Request, effect: core.Effect) -> Event | None:
        match effect:
            case core.FetchStatement():
                return await self._verify(run)
            case core.Journal():
                return await self._commit(run, effect)
            case core.Take(plan):
                self._decide(run, codecs.write_take(plan), "take", Reason.VERIFIED)
            case core.Release(reason):
                passing = None
                if reason is Reason.RATE_LIMITED:
                    passing = self._gate.spent(run.case.divert.new, self._clock.tick())
                self._decide(run, codecs.write_release(passing), "release", reason)
            case core.ReadRoster():
                divert = run.case.divert
                items = await self._hook.entries(divert.contact, (divert.old, divert.new))
                return core.RosterRead(items)
            case core.Repeat(plan):
                await self._hook.send(run.case.divert.contact, plan)
            case core.HandBack():
                divert = run.case.divert
                await self._hook.hand_back(divert.contact, divert.stanza)
            case core.PutBack(earlier):
                row = await run.row()
                items = await self._restorer.complete_return(
                    row, earlier, superseded=self._superseded(run)
                )
                return core.RosterRead(items)
            case core.Settle():
                await self._settle(run, effect)
        return None

    def _superseded(self, run: Request) -> bool:
        """Whether a newer request of the contact is about one of the same addresses."""
        mine = {run.case.divert.old, run.case.divert.new}
        for other in reversed(self._open.values()):  # the newest first
            if other is run:
                return False
            divert = other.case.divert
            same = divert.contact == run.case.divert.contact and not other.passes
            if same and mine & {divert.old, divert.new}:
                return True
        return False

    def _flooded(self, reason: Reason, new: str) -> None:
        now = self._clock.tick()
        self._flood += 1
        if reason is Reason.OVERLOADED:
            self._overloaded_at = now
        if now - self._flood_told >= _TELL_EVERY:
            log.warning(
                "requests beyond the limits pass unfollowed",
                reason=reason.value,
                last=new,
                since_last_warning=self._flood,
            )
            self._flood, self._flood_told = 0, now

    def _decide(self, run: Request, answer: ET.Element, verdict: str, reason: Reason) -> None:
        run.answer = answer
        run.decided = self._clock.tick()
        if run.recorded:
            run.note()
        self._gauges.decided(verdict, reason.value, run.decided - run.started)

    async def _verify(self, run: Request) -> Event:
        """What the old account says; where it has to be asked, the request is journalled meanwhile.

        :raises LinkLost: the stream was lost; the request is the server's again.
        """
        divert = run.case.divert
        known = self._fetcher.known(divert.old, divert.new)
        if known is not None:
            return await self._answered(run, known)
        row = run.note()
        ask = asyncio.create_task(
            self._fetcher.answer(divert.contact, divert.old, divert.new), name="verify"
        )
        try:
            async with asyncio.timeout(self._timing.deadline):
                events: set[asyncio.Future[Any]] = {ask, run.stopped, run.outcome}
                await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
                if run.outcome.cancelled():
                    raise LinkLost("the stream was lost while the old account was asked")
                if run.outcome.done():
                    return _told(run.outcome.result())
                if not ask.done():
                    return core.Stopping(Reason.RESTARTED) if run.gone else core.Stopping()
                answer = ask.result()
                await asyncio.shield(row)
        except TimeoutError:
            return core.DeadlinePassed()
        except StoreError as error:
            log.error("cannot journal a request", error=str(error))
            return core.JournalFailed()
        finally:
            ask.cancel()
        return await self._answered(run, answer)

    async def _answered(self, run: Request, answer: Answer) -> Event:
        divert = run.case.divert
        if answer.names is None:
            return core.StatementAnswered(answer)
        now = self._clock.now().timestamp()
        objection = self._followed.object_to(divert.old, divert.new, now)
        earlier = None
        if objection is None and judge(answer, divert.new) is Reason.VERIFIED:
            run.old_account = await self._account(divert.old)
            run.new_account = await self._account(divert.new)
            try:
                if run.new_account is not None and await self._has_changed_hands(run):
                    objection = Reason.OTHER_OWNER
                earlier = await self._restorer.earlier(divert)
            except StoreError as error:
                log.error("cannot read what was done before", error=str(error))
                return core.JournalFailed()
        return core.StatementAnswered(answer, objection, earlier)

    async def _has_changed_hands(self, run: Request) -> bool:
        """Whether the old account speaks of somebody who had the new address before.

        Its statement may outlive the account that it names, and nobody tell us of that one's end.
        """
        if run.new_account == NOBODYS:
            return True
        divert = run.case.divert
        led_to = await self._journal.led_to(divert.old, divert.new, run.old_account)
        return not same_account(led_to, run.new_account)

    async def _account(self, jid: str) -> str | None:
        """Which account of ours moves, so that nothing is given to a later owner of its name.

        :raises LinkLost: the stream was lost.
        """
        if jids.domain(jid) not in self._hosts:
            return None
        try:
            return await self._hook.account(jid)
        except LinkLost:
            raise
        except LinkError:
            return NOBODYS  # gone already, or not known: in no case somebody else's

    async def _commit(self, run: Request, effect: core.Journal) -> Event:
        verdict = VerdictRecord(
            at=self._clock.now(),
            reason=effect.reason,
            evidence=effect.evidence,
            plan=plans.dump(effect.plan),
            old_account=run.old_account,
            new_account=run.new_account,
        )
        try:
            kept = await run.decide(verdict)
        except StoreError as error:
            log.error("cannot journal a verdict", error=str(error))
            return core.JournalFailed()
        if kept:
            old, new = run.case.divert.old, run.case.divert.new
            await self.on_taking(Accepted(old, new, verdict.at, run.old_account, run.new_account))
        if run.epoch != self._epoch:
            raise LinkLost("the stream was lost while the verdict was journalled")
        return core.Journalled() if kept else core.JournalFailed()

    # The end of a request -----------------------------------------------------------------

    def _decided(self, run: Request) -> None:
        """The verdict leaves; what becomes of it is to be heard."""
        if run.case.phase is core.Phase.SETTLED or run.outcome.cancelled():
            self._forget(run)  # where the stream went down, the record is recovery's
        elif run.outcome.done():
            self._finish_later(run, _told(run.outcome.result()))
        elif run.gone:
            self._finish_later(run, core.OutcomeMissing())
        else:
            wait, loop = self._timing.outcome, asyncio.get_running_loop()
            missing = core.OutcomeMissing()
            run.be_patient(loop.call_later(wait, self._finish_later, run, missing))

    def _finish_later(self, run: Request, event: Event) -> None:
        run.be_patient(None)
        task = asyncio.create_task(self._finish(run, event), name="finish a request")
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)

    async def _finish(self, run: Request, event: Event) -> None:
        try:
            await self._drive(run, event)
        except (LinkError, StoreError) as error:
            self.unfinished += 1
            log.warning("a request has no recorded end yet", error=str(error))
        finally:
            self._forget(run)

    async def _settle(self, run: Request, effect: core.Settle) -> None:
        divert = run.case.divert
        if effect.state is MoveState.DONE:
            now = self._clock.now().timestamp()
            self._followed.note(divert.old, divert.new, now)
            self._repeats.note(divert, now)
        if run.answer is not None:
            self._gauges.outcome(self._clock.tick() - run.decided)
        # Of a flood, each line would be one for the sender to fill the disk with.
        say = log.debug if effect.reason in _UNRECORDED else log.info
        say(
            _ENDS[effect.state],
            contact=divert.contact,
            old=divert.old,
            new=divert.new,
            reason=effect.reason.value,
            detail=effect.detail,
        )
        if not run.recorded:
            return
        row, at = await run.row(), self._clock.now()
        if effect.undoes is not None:
            await self._restorer.taken_back(effect.undoes, at)
        settlement = Settlement(
            at,
            effect.state,
            effect.reason,
            effect.changes,
            effect.detail,
            notice=effect.note is not None,
        )
        # Nobody waits for it, and a crash before it is what recovery is for.
        patience = 0.0 if self._stopping else self._timing.settling
        kept = await self._journal.settle(row, settlement, patience=patience)
        if kept and effect.state is MoveState.DONE:
            self.on_followed(divert.contact, divert.old, divert.new)
        if kept and effect.note is not None:
            self._notices.note(
                effect.note,
                record_id=row,
                contact=divert.contact,
                name=divert.old_item.name,
                old=divert.old,
                new=divert.new,
                at=at,
            )

    def _count(self) -> None:
        self._gauges.open_requests(len(self._open))
        if self._open:
            self._idle.clear()
        else:
            self._idle.set()

    def _forget(self, run: Request) -> None:
        request_id = run.case.divert.request_id
        if self._open.get(request_id) is run:
            del self._open[request_id]
        if run.admitted:
            run.admitted = False
            self._gate.ended(run.case.divert)
        run.end()
        self._count()
