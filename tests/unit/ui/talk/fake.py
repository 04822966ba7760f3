"""Orders in memory, and a link that keeps what is sent: what the talk needs around it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from component.core.journey.model import (
    Access,
    Check,
    CheckName,
    ContactState,
    Journey,
    JourneyContact,
    JourneyState,
    Kind,
    Preflight,
    Problem,
    Progress,
    Refused,
)
from component.core.model import RosterItem, Subscription
from component.core.notices import Settings
from component.core.records import MoveRecord, MoveState
from component.core.restore import Difference, Undone
from component.engine.belongings.ports import CopyOrders
from component.engine.files.ports import FileOrders
from component.engine.movers.orders import Given, RunTime
from component.ui.talk import Languages, Talk
from component.xmpp.disco import CommandList
from component.xmpp.router import IqHandler, MessageHandler
from tests.unit.ui.talk.nothing import NoCopies, NoFiles

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOSTS = {"montague.example", "capulet.example"}
ROMEO = "romeo@montague.example"
JULIET = "juliet@capulet.example"
ADMIN = "admin@montague.example"
AFAR = "romeo@verona.example"
"""An account on no served host."""
ME = "moved.montague.example"
CODE = "123456"
CONTACTS = (
    "benvolio@montague.example",
    "mercutio@verona.example",
    "nurse@capulet.example",
    "tybalt@capulet.example",
)


def journey(number: int = 7, state: JourneyState = JourneyState.NOTIFYING) -> Journey:
    """Romeo's move to an account on another of our hosts."""
    return Journey(
        number, Kind.BOTH, ROMEO, JULIET, ROMEO, state, Access.PRESENCE, NOW, started_at=NOW
    )


def contact(jid: str, state: ContactState = ContactState.QUEUED) -> JourneyContact:
    """A contact of a journey."""
    return JourneyContact(jid, jid.partition("@")[0].title(), (), Subscription.BOTH, state)


def record(number: int, contact: str = ROMEO, old: str = AFAR, new: str = JULIET) -> MoveRecord:
    """A contact of Romeo's who was followed."""
    item = RosterItem(old, Subscription.BOTH, name="Ro")
    return MoveRecord(
        id=number,
        at=NOW,
        state=MoveState.DONE,
        reason=None,
        detail=None,
        evidence=None,
        plan=None,
        decided_at=NOW,
        settled_at=NOW,
        request_id="r",
        instance="i",
        contact=contact,
        old=old,
        new=new,
        old_item=item,
        new_item=None,
        stanza="<presence/>",
    )


class FakeOrders:
    """All kinds of orders.  ``ordered`` keeps those that change something, with their askers."""

    def __init__(self) -> None:
        self.ordered: list[tuple[object, ...]] = []
        self.codes = 0
        self.started: dict[int, Journey] = {}
        self.drafts: dict[str, Preflight] = {}
        self.behind_code: dict[str, Preflight] = {}
        """What drafts between two served accounts are once they are proven."""
        self.careless = False
        """Contacts are in a draft before its proof: the talk must not show them all the same."""
        self.records: list[MoveRecord] = []
        self.differences: tuple[Difference, ...] = ()
        self.chosen: dict[str, Settings] = {}
        self.put_in_force = RunTime(overall_per_second=20.0, allow_domains=(), deny_domains=())
        self.admins = {ADMIN}
        self.contacts_of_old: Sequence[str] = CONTACTS
        self.handed_over: Sequence[Given] | None = None
        """What an old account elsewhere hands over."""
        self.lacking: dict[str, str] = {}
        """Why it does not."""
        self.failing: tuple[CheckName, ...] = ()
        self.fault: Exception | None = None
        self.owners: dict[str, str] = {}
        """Tokens of accounts; who is not named has always had the same."""
        self.old_is_gone = False
        self.unavailable = False
        """The server does not say whose an account is."""

    def _note(self, order: str, *facts: object) -> None:
        if self.fault is not None:
            raise self.fault
        self.ordered.append((order, *facts))

    def serves(self, jid: str) -> bool:
        return jid.partition("@")[2] in HOSTS

    def is_admin(self, jid: str) -> bool:
        return jid in self.admins

    # Moves --------------------------------------------------------------------------------------

    async def account(self, asker: str) -> str | None:
        if self.unavailable:
            raise Refused(Problem.UNAVAILABLE)
        return self.owners.get(asker, "first") if self.serves(asker) else None

    async def code_from(self, asker: str) -> str | None:
        sent = (d for d in self.drafts.values() if d.needs_code == asker and self.codes)
        return next((d.journey.owner for d in sent), None)

    async def journeys(self, asker: str) -> Sequence[Journey]:
        mine = [j for j in self.started.values() if asker in (j.old, j.new)]
        return sorted(mine, key=lambda j: -j.id)

    def _draft(self, asker: str, old: str, new: str, contacts: Sequence[Given]) -> Preflight:
        if self.fault is not None:
            raise self.fault
        kind = Kind.BOTH
        if not self.serves(new):
            kind = Kind.AWAY
        elif not self.serves(old):
            kind = Kind.ARRIVE
        draft = Journey(len(self.started) + 1, kind, old, new, asker, JourneyState.DRAFT, None, NOW)
        checks = [Check(name, name not in self.failing, {}) for name in CheckName]
        if old == new:
            checks[0] = Check(CheckName.DIFFERENT, False, {"jid": new})
        other = new if asker == old else old
        found = Preflight(
            draft,
            tuple(checks),
            tuple(replace(contact(g.jid), name=g.name) for g in contacts),
            12.0 * len(contacts),
            None,
            None if kind is Kind.ARRIVE else Access.PRESENCE,
        )
        if kind is Kind.BOTH:
            self.behind_code[asker] = found
            found = replace(found, needs_code=other)
            if not self.careless:
                found = replace(found, contacts=(), seconds=0.0, suggested=None)
        self.drafts[asker] = found
        return found

    async def prepare_away(self, asker: str, new: str) -> Preflight:
        return self._draft(asker, asker, new, [Given(jid) for jid in self.contacts_of_old])

    async def prepare_arrive(
        self, asker: str, old: str, contacts: Sequence[Given] | None = None
    ) -> Preflight:
        if self.serves(old):
            contacts = [Given(jid) for jid in self.contacts_of_old]
        if contacts is None:
            contacts = self.handed_over
        if contacts is None:
            raise Refused(Problem.NO_CONTACTS, jid=old, **self.lacking)
        return self._draft(asker, old, asker, contacts)

    def _own_draft(self, asker: str, number: int) -> Preflight:
        found = self.drafts.get(asker)
        if found is None or found.journey.id != number:
            raise Refused(Problem.NO_SUCH_JOURNEY)
        return found

    async def choose(self, asker: str, journey: int, jids: Collection[str]) -> Preflight:
        found = self._own_draft(asker, journey)
        chosen = tuple(
            contact(c.jid, ContactState.QUEUED if c.jid in jids else ContactState.SKIPPED)
            for c in found.contacts
        )
        self.drafts[asker] = replace(found, contacts=chosen)
        return self.drafts[asker]

    async def access(self, asker: str, journey: int, access: Access | None) -> Preflight:
        found = self._own_draft(asker, journey)
        self.drafts[asker] = replace(found, journey=replace(found.journey, access=access))
        return self.drafts[asker]

    async def send_code(self, asker: str, journey: int) -> None:
        self._own_draft(asker, journey)
        if self.codes >= 5:
            raise Refused(Problem.TOO_MANY_CODES)
        self.codes += 1

    async def prove(self, asker: str, journey: int, code: str) -> Preflight:
        found = self._own_draft(asker, journey)
        if found.journey.kind is not Kind.BOTH:
            raise Refused(Problem.WRONG_STATE)
        if found.needs_code is None:  # a right code is used up
            raise Refused(Problem.CODE_EXPIRED)
        if code != CODE:
            raise Refused(Problem.CODE_WRONG)
        self.drafts[asker] = self.behind_code.pop(asker)
        return self.drafts[asker]

    async def start(self, asker: str, journey: int) -> Journey:
        found = self._own_draft(asker, journey)
        if found.needs_code is not None:
            raise Refused(Problem.CODE_EXPIRED)
        if not (await self.preflight(asker, journey)).ok:
            raise Refused(Problem.CHECKS_FAILED)
        told = tuple(c.jid for c in found.contacts if c.state is not ContactState.SKIPPED)
        self._note("start", asker, found.journey.old, found.journey.new, found.journey.access, told)
        begun = replace(found.journey, state=JourneyState.NOTIFYING, started_at=NOW)
        self.started[begun.id] = begun
        del self.drafts[asker]
        return begun

    async def preflight(self, asker: str, journey: int) -> Preflight:
        found = self._own_draft(asker, journey)
        checks = tuple(Check(c.name, c.ok and c.name not in self.failing, {}) for c in found.checks)
        return replace(found, checks=checks)

    def _find(self, asker: str | None, number: int) -> Journey:
        found = self.started.get(number)
        if found is None:
            raise Refused(Problem.NO_SUCH_JOURNEY)
        if asker is not None and asker not in (found.old, found.new):
            raise Refused(Problem.NOT_YOURS)
        return found

    def _progress(self, journey: Journey) -> Progress:
        counts = Counter({ContactState.MUTUAL: 12, ContactState.SENT: 10, ContactState.QUEUED: 8})
        return Progress(journey, counts, 30, 125.0, old_is_gone=self.old_is_gone)

    def _change(self, order: str, asker: str | None, number: int, to: JourneyState) -> Progress:
        found = self._find(asker, number)
        self._note(order, asker, number)
        self.started[number] = replace(found, state=to)
        return self._progress(self.started[number])

    async def progress(self, asker: str, journey: int) -> Progress:
        return self._progress(self._find(asker, journey))

    async def contacts(self, asker: str, journey: int) -> Sequence[JourneyContact]:
        self._find(asker, journey)
        return [contact(jid) for jid in CONTACTS]

    async def pause(self, asker: str, journey: int) -> Progress:
        return self._change("pause", asker, journey, JourneyState.PAUSED)

    async def resume(self, asker: str, journey: int) -> Progress:
        return self._change("resume", asker, journey, JourneyState.NOTIFYING)

    async def cancel(self, asker: str, journey: int) -> Progress:
        return self._change("cancel", asker, journey, JourneyState.CANCELLED)

    async def undo(self, asker: str, journey: int) -> Progress:
        return self._change("undo", asker, journey, JourneyState.UNDOING)

    # A user's settings, and contacts who were followed ------------------------------------------

    async def settings(self, asker: str) -> Settings:
        return self.chosen.get(asker, Settings())

    async def set_settings(self, asker: str, settings: Settings) -> None:
        self._note("set_settings", asker, settings)
        self.chosen[asker] = settings

    async def followed(self, asker: str) -> Sequence[MoveRecord]:
        return [r for r in self.records if r.contact == asker]

    async def undo_followed(self, asker: str, record: int) -> Undone:
        return self._undo_record(asker, record)

    def _undo_record(self, asker: str | None, number: int) -> Undone:
        for found in self.records:
            if found.id == number and asker in (None, found.contact):
                self._note("undo_followed", asker, number)
                self.records.remove(found)
                return Undone(found, self.differences)
        raise Refused(Problem.NOT_YOURS)

    # Admins -------------------------------------------------------------------------------------

    async def all_journeys(self, *, running_only: bool = False) -> Sequence[Progress]:
        return [self._progress(j) for j in self.started.values()]

    async def show_any(self, journey: int) -> tuple[Progress, Sequence[JourneyContact]]:
        return self._progress(self._find(None, journey)), [contact(jid) for jid in CONTACTS]

    async def pause_any(self, journey: int) -> Progress:
        return self._change("pause_any", None, journey, JourneyState.PAUSED)

    async def resume_any(self, journey: int) -> Progress:
        return self._change("resume_any", None, journey, JourneyState.NOTIFYING)

    async def undo_any(self, journey: int) -> Progress:
        return self._change("undo_any", None, journey, JourneyState.UNDOING)

    async def undo_any_followed(self, record: int) -> Undone:
        return self._undo_record(None, record)

    async def run_time(self) -> RunTime:
        return self.put_in_force

    async def set_run_time(self, settings: RunTime) -> None:
        self._note("set_run_time", settings)
        self.put_in_force = settings

    async def watch(self) -> AsyncIterator[Progress]:
        for found in self.started.values():
            yield self._progress(found)


class FakeClock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    def tick(self) -> float:
        return self.seconds


class FakeLink:
    """Keeps what is sent and routed."""

    def __init__(self) -> None:
        self.sent: list[ET.Element] = []
        self.iqs: dict[tuple[str, str, str], IqHandler] = {}
        self.chat: MessageHandler | None = None
        self.commands: CommandList | None = None
        self.features: set[str] = set()

    def send(self, stanza: ET.Element) -> None:
        self.sent.append(stanza)

    def route_iq(
        self, kind: Literal["get", "set"], namespace: str, name: str, handler: IqHandler
    ) -> None:
        self.iqs[kind, namespace, name] = handler

    def route_chat(self, handler: MessageHandler) -> None:
        self.chat = handler

    def list_commands(self, commands: CommandList) -> None:
        self.commands = commands

    def add_feature(self, namespace: str) -> None:
        self.features.add(namespace)


class World:
    """A talk with all that is around it."""

    def __init__(
        self,
        language: str = "en",
        copies: CopyOrders | None = None,
        files: FileOrders | None = None,
    ) -> None:
        self.orders = FakeOrders()
        self.clock = FakeClock()
        self.link = FakeLink()
        self.languages = Languages(language)
        self.talk = Talk(
            self.link,
            self.orders,
            self.orders,
            self.orders,
            copies or NoCopies(),
            files or NoFiles(),
            languages=self.languages,
            clock=self.clock,
        )
        self.talk.register()

    def move(self, number: int = 7, state: JourneyState = JourneyState.NOTIFYING) -> None:
        """Let Romeo have a move."""
        self.orders.started[number] = journey(number, state)
