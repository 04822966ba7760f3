"""Drafts: what a move would be, and whether it may begin.  Nobody else sees anything of them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from component.core import jids
from component.core.conditions import Condition
from component.core.journey import access as access_rules
from component.core.journey import contacts as machine
from component.core.journey import stages
from component.core.journey.model import (
    ContactState,
    Journey,
    JourneyContact,
    JourneyState,
    Kind,
    Preflight,
    Problem,
    Refused,
)
from component.core.journey.pace import estimate
from component.core.journey.preflight import Facts, domains_allowed, examine
from component.core.model import NOBODYS, RosterItem, Subscription
from component.core.statement import judge
from component.engine.acting import acting_for
from component.engine.movers.accounts import Accounts
from component.engine.movers.arrivals import Brought, NotBrought
from component.engine.movers.box import MoverSettings
from component.engine.movers.handovers import Handovers
from component.engine.movers.orders import Given
from component.engine.movers.ports import JourneyStore
from component.engine.ports import Clock
from component.xmpp.errors import RemoteError


@dataclass(frozen=True, slots=True)
class Domains:
    """Who may take part, as in force now."""

    allow: frozenset[str]
    deny: frozenset[str]


class Drafts:
    """Makes drafts and examines them."""

    def __init__(
        self,
        accounts: Accounts,
        store: JourneyStore,
        clock: Clock,
        settings: MoverSettings,
        hosts: Collection[str],
        handovers: Handovers | None = None,
    ) -> None:
        self._handovers = handovers
        self._accounts = accounts
        self._store = store
        self._clock = clock
        self._settings = settings
        self._hosts = frozenset(hosts)
        self.domains = Domains(frozenset(), frozenset())

    def serves(self, jid: str) -> bool:
        """Whether a bare JID is on a served host."""
        return jids.domain(jid) in self._hosts

    async def begin(
        self, owner: str, old: str, new: str, given: Sequence[Given] | None
    ) -> Preflight:
        """Store a draft and examine it; where only contacts are lacking that cannot go on
        anyway, nothing is stored.

        Where both accounts are here, nothing of either's contacts is read before both are
        proven to be the asker's (:meth:`fill`).

        :raises Refused: there is nothing to draft: no contacts are known, and why the old
            account, elsewhere, hands over none.
        """
        kind = self._kind(old, new)
        blocked: frozenset[str] = frozenset()
        journey = Journey(
            0,
            kind,
            old,
            new,
            owner,
            JourneyState.DRAFT,
            None,
            self._clock.now(),
            old_account=await self._account(old),
            new_account=await self._account(new),
        )
        with acting_for(journey.accounts):
            if kind is Kind.ARRIVE and given is None:
                try:
                    brought = await self._brought(old, new)
                except Refused:
                    # Nobody is to look for a list of contacts in vain.
                    found = await self.examine(journey, (), proven=False)
                    if not found.ok:
                        return found
                    raise
                given, blocked = brought.contacts, brought.blocked
            contacts: Sequence[JourneyContact] = ()
            if kind is not Kind.BOTH:
                contacts = await self._gather(journey, given or (), blocked)
            stored = await self._store.create(journey, contacts)
            return await self.examine(stored, contacts, proven=False)

    async def look_again(self, draft: Journey) -> Journey:
        """Of an address that nobody had: whose it is now.

        :raises Refused: it is no draft any more.
        """
        accounts = {
            name: await self._account(jid)
            for name, jid in (("old_account", draft.old), ("new_account", draft.new))
            if draft.accounts[jid] == NOBODYS
        }
        found = replace(
            draft,
            old_account=accounts.get("old_account", draft.old_account),
            new_account=accounts.get("new_account", draft.new_account),
        )
        if not await self._store.save(found, expect={JourneyState.DRAFT}):
            raise Refused(Problem.WRONG_STATE)
        return found

    async def _account(self, jid: str) -> str | None:
        """Whose name it is; one that is nobody's is not to become the mover's by and by."""
        if not self.serves(jid):
            return None
        return await self._accounts.account_now(jid) or NOBODYS  # the checks say so

    async def _brought(self, old: str, new: str) -> Brought:
        """What the old account, elsewhere, hands over.  Raises Refused where that is nothing."""
        if self._handovers is None or not self._handovers.wanted:
            raise Refused(Problem.NO_CONTACTS, jid=old)
        try:
            return await self._handovers.arrivals.contacts(
                old, new, most=self._settings.max_contacts
            )
        except NotBrought as lacking:
            why, detail = lacking.why.value, lacking.detail
            raise Refused(Problem.NO_CONTACTS, jid=old, lacking=why, detail=detail) from None

    async def fill(self, journey: Journey) -> Preflight:
        """Both accounts are proven: read their contacts, and examine the whole."""
        contacts = await self._gather(journey, ())
        await self._store.replace_contacts(journey.id, contacts)
        return await self.examine(journey, contacts, proven=True)

    async def _gather(
        self, journey: Journey, given: Sequence[Given], blocked: frozenset[str] = frozenset()
    ) -> list[JourneyContact]:
        kind, old, new = journey.kind, journey.old, journey.new
        known: Iterable[Given] = given
        before: Mapping[str, RosterItem] = {}
        try:
            if kind is not Kind.ARRIVE:
                known = [
                    Given(i.jid, i.name, i.groups, i.subscription, i.ask)
                    for i in (await self._accounts.roster(old)).values()
                ]
                blocked |= await self._accounts.blocked(old)
            if kind is not Kind.AWAY:
                before = await self._accounts.roster(new)
                blocked |= await self._accounts.blocked(new)
        except RemoteError as error:
            known = ()  # the checks say which account it is
            if error.condition != Condition.ITEM_NOT_FOUND:
                raise
        return _contacts(known, {old, new}, blocked, before, kind)

    def _kind(self, old: str, new: str) -> Kind:
        if self.serves(old) and self.serves(new):
            return Kind.BOTH
        return Kind.AWAY if self.serves(old) else Kind.ARRIVE

    async def choose(self, journey: Journey, chosen: Collection[str]) -> Preflight:
        """Keep exactly these contacts of a draft."""
        wanted = {jids.key(jid) for jid in chosen}
        away = journey.kind is Kind.AWAY
        waiting = ContactState.PENDING if away else ContactState.QUEUED
        contacts = [
            _chosen(contact, jids.key(contact.jid) in wanted, waiting)
            for contact in await self._store.contacts(journey.id)
        ]
        await self._store.replace_contacts(journey.id, contacts)
        return await self.examine(journey, contacts, proven=True)

    async def examine(
        self, journey: Journey, contacts: Sequence[JourneyContact], *, proven: bool
    ) -> Preflight:
        """Look at everything that must be true.

        :param proven: where both accounts are here: the asker has shown that both are theirs.
            Before that only what anybody may know is looked at.
        :raises LinkError: nothing can be learned now.
        """
        asks_code = journey.kind is Kind.BOTH and not proven
        told = [c for c in contacts if c.state is ContactState.QUEUED]
        if journey.kind is Kind.AWAY:
            told = [c for c in contacts if c.state is not ContactState.SKIPPED]
        facts = await self._facts(journey, len(told), asks_code=asks_code)
        other = journey.new if journey.owner == journey.old else journey.old
        by_domain: dict[str, int] = {}
        for contact in told:
            domain = jids.domain(contact.jid)
            by_domain[domain] = by_domain.get(domain, 0) + 1
        seconds = 0.0
        if stages.notifies(journey) and told:
            seconds = estimate(by_domain.items(), self._settings.rates, self._hosts)
        suggested = None
        if stages.publishes(journey) and not asks_code:
            suggested = access_rules.suggest(contacts, journey.kind)
        return Preflight(
            journey,
            examine(facts),
            tuple(contacts),
            seconds,
            other if asks_code else None,
            suggested,
        )

    async def _facts(self, journey: Journey, contacts: int, *, asks_code: bool) -> Facts:
        old, new, accounts = journey.old, journey.new, self._accounts
        now = self._clock.now()
        other = new if journey.owner == old else old
        facts = Facts(
            kind=journey.kind,
            old=old,
            new=new,
            owner=journey.owner,
            now=now,
            contacts=contacts,
            max_contacts=self._settings.max_contacts,
            max_chain=self._settings.max_chain,
            allowed=domains_allowed(
                {jids.domain(jids.key(other))}, self.domains.allow, self.domains.deny
            ),
            owner_trouble=await accounts.trouble(journey.owner),
        )
        if facts.owner_trouble is not None or jids.key(old) == jids.key(new):
            return facts
        if asks_code:
            return await self._own_account(journey, facts)
        facts = await self._history(journey, facts)
        return await self._other_account(journey, facts)

    async def _own_account(self, journey: Journey, facts: Facts) -> Facts:
        """What the asker may know without a proof; of the other account only that it exists."""
        old, new, owner, accounts = journey.old, journey.new, journey.owner, self._accounts
        target = await accounts.trouble(new if owner == old else old)
        own = await accounts.statement(owner, owner)
        busy = await self._busy(journey, owner)
        facts = replace(facts, target_trouble=target, busy_with=busy)
        if owner == new:
            return replace(facts, new_names=own.names)
        return replace(
            facts,
            old_names=own.names,
            pep_trouble=await accounts.pep_trouble(old),
            cooldown_until=None if busy else await self._cooldown(journey),
        )

    async def _other_account(self, journey: Journey, facts: Facts) -> Facts:
        old, new, accounts = journey.old, journey.new, self._accounts
        if journey.kind is Kind.ARRIVE:
            answer, onward = await asyncio.gather(
                accounts.statement(new, old), accounts.statement(new, new)
            )
            trouble = judge(answer, new).value if answer.names is None else None
            return replace(
                facts,
                old_names=answer.names,
                statement_trouble=trouble,
                new_names=onward.names,
            )
        if journey.kind is Kind.BOTH:
            other = new if journey.owner == old else old
            target = await accounts.trouble(other)
            if target is not None:
                return replace(facts, target_trouble=target)
            reader = new
        else:
            target = await accounts.target_trouble(old, new)
            reader = old
        own, onward = await asyncio.gather(
            accounts.statement(old, old), accounts.statement(reader, new)
        )
        return replace(
            facts,
            target_trouble=target,
            old_names=own.names,
            new_names=onward.names,
            pep_trouble=await accounts.pep_trouble(old),
        )

    async def _history(self, journey: Journey, facts: Facts) -> Facts:
        """What the accounts' earlier moves say: cooldown, a move that runs, the chain so far."""
        busy = await self._busy(journey, journey.old) or await self._busy(journey, journey.new)
        led_here, at, seen = 0, journey.old, set()
        while at not in seen and led_here < facts.max_chain:
            seen.add(at)
            into = [
                j
                for j in await self._store.last_started(at)
                if j.new == at and j.state in (JourneyState.SETTLING, JourneyState.DONE)
            ]
            if not into:
                break
            led_here, at = led_here + 1, into[0].old
        return replace(
            facts,
            busy_with=busy,
            earlier=led_here,
            # What is under way has not ended: nothing is to be said of the last one.
            cooldown_until=None if busy else await self._cooldown(journey),
        )

    async def _busy(self, journey: Journey, account: str) -> str | None:
        """Where a move of this account leads that must come to its end first."""
        started = [j for j in await self._store.last_started(account) if j.id != journey.id]
        return next((j.new for j in started if stages.in_the_way(j, journey)), None)

    async def _cooldown(self, journey: Journey) -> datetime | None:
        """When the old account may move again."""
        started = await self._store.last_started(journey.old)
        return stages.cooldown_until(
            tuple(j for j in started if j.old == journey.old and j.id != journey.id),
            success=self._settings.cooldown,
            failure=self._settings.failed_cooldown,
        )


def _chosen(contact: JourneyContact, wanted: bool, waiting: ContactState) -> JourneyContact:
    """A contact whom the new account only sees is told nothing either way, but let in if wanted."""
    seen = contact.before is not None and contact.before.subscription.receives
    state = ContactState.ACCEPTED if seen and waiting is ContactState.QUEUED else waiting
    if contact.state is state and not wanted:
        return replace(contact, state=ContactState.SKIPPED, error=NOT_CHOSEN)
    if contact.state is ContactState.SKIPPED and contact.error == NOT_CHOSEN and wanted:
        return replace(contact, state=state, error=None)
    return contact


NOT_CHOSEN = "not-chosen"
BLOCKED = "blocked"


def _contacts(
    roster: Iterable[Given],
    own: Collection[str],
    blocked: Collection[str],
    before: Mapping[str, RosterItem],
    kind: Kind,
) -> list[JourneyContact]:
    """Everybody with whom a subscription stands; the blocked get nothing.

    Nor do those who were asked and have not answered; but the mover is told who they are.
    """
    known = {jids.key(jid): item for jid, item in before.items()}
    own_keys = {jids.key(jid) for jid in own}
    found: dict[str, JourneyContact] = {}
    for given in roster:
        jid = jids.bare(given.jid)
        if jid is None or jids.key(jid) in own_keys:
            continue
        item = known.get(jids.key(jid))
        state, error = ContactState.QUEUED, None
        if given.subscription is Subscription.NONE:
            if not given.ask or (item is not None and (item.ask or item.subscription.receives)):
                continue
            state, error = ContactState.SKIPPED, machine.UNANSWERED
        if {jid, jids.domain(jid)} & set(blocked):
            state, error = ContactState.SKIPPED, BLOCKED
        elif error is not None:
            pass
        elif kind is Kind.AWAY:
            state = ContactState.PENDING
        elif item is not None and item.subscription.receives:
            # Already there: nobody is asked twice.
            both = item.subscription is Subscription.BOTH
            state = ContactState.MUTUAL if both else ContactState.ACCEPTED
        found[jids.key(jid)] = JourneyContact(
            item.jid if item is not None else jid,
            given.name,
            tuple(given.groups),
            given.subscription,
            state,
            error=error,
            before=item,
        )
    return sorted(found.values(), key=lambda contact: contact.jid)
