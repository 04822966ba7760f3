"""What must be true before a journey begins; if one thing is not, nothing at all is sent."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from component.core import jids
from component.core.journey.model import Check, CheckName, Kind


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found out.  Conditions are those of RFC 6120 8.3.3; None: nothing was wrong."""

    kind: Kind
    old: str
    new: str
    owner: str
    now: datetime
    owner_trouble: str | None = None
    """What the owner's own account answered with."""
    target_trouble: str | None = None
    """What the other account, or its server, answered with."""
    pep_trouble: str | None = None
    old_names: str | None = None
    """Where the old account's statement points, as far as it may be read."""
    statement_trouble: str | None = None
    """ARRIVE: why the old account's statement could not be read."""
    new_names: str | None = None
    """Where the new account's own statement points."""
    earlier: int = 0
    """Moves that led to the old account before, as far as we know."""
    max_chain: int = 5
    contacts: int = 0
    max_contacts: int = 10_000
    cooldown_until: datetime | None = None
    busy_with: str | None = None
    """The other journey of one of the accounts that runs."""
    allowed: bool = True
    """The domain of the other account may take part."""


def examine(facts: Facts) -> tuple[Check, ...]:
    """Every check that this kind of journey has, in the order in which people read them."""
    other = facts.new if facts.owner == facts.old else facts.old
    same = jids.key(facts.old) == jids.key(facts.new)
    checks = [
        Check(CheckName.DIFFERENT, not same, {"jid": facts.new}),
        _clean(CheckName.ACCOUNT, facts.owner_trouble, facts.owner),
        Check(CheckName.ALLOWED, facts.allowed, {"domain": jids.domain(other)}),
    ]
    if facts.kind is Kind.ARRIVE:
        checks.append(_statement(facts))
    else:
        there = CheckName.REACHABLE if facts.kind is Kind.AWAY else CheckName.TARGET
        checks.append(_clean(there, facts.target_trouble, other))
        named = facts.old_names
        unmoved = named is None or jids.key(named) == jids.key(facts.new)
        checks.append(Check(CheckName.NOT_MOVED, unmoved, {"jid": named or ""}))
        checks.append(_clean(CheckName.PEP, facts.pep_trouble, facts.old))
    onward = facts.new_names
    loop = onward is not None and jids.key(onward) == jids.key(facts.old)
    checks.append(Check(CheckName.NO_LOOP, not loop, {"jid": facts.new, "names": onward or ""}))
    if not loop:
        checks.append(_chain(facts))
    checks += [
        Check(
            CheckName.CONTACTS,
            facts.contacts <= facts.max_contacts,
            {"count": str(facts.contacts), "max": str(facts.max_contacts)},
        ),
        Check(CheckName.IDLE, facts.busy_with is None, {"jid": facts.busy_with or ""}),
        _cooldown(facts),
    ]
    return tuple(checks)


def _clean(name: CheckName, trouble: str | None, jid: str) -> Check:
    return Check(name, trouble is None, {"jid": jid, "condition": trouble or ""})


def _statement(facts: Facts) -> Check:
    """XEP-0283 4.3: the old account must name exactly the new one."""
    named = facts.old_names
    good = named is not None and jids.key(named) == jids.key(facts.new)
    told = {
        "jid": facts.old,
        "new": facts.new,
        "names": named or "",
        "condition": facts.statement_trouble or "",
    }
    return Check(CheckName.STATEMENT, good, told)


def _chain(facts: Facts) -> Check:
    """Contacts follow one move at a time: a target that moved on itself leads them astray."""
    good = facts.new_names is None and facts.earlier < facts.max_chain
    told = {
        "jid": facts.new,
        "names": facts.new_names or "",
        "earlier": str(facts.earlier),
        "max": str(facts.max_chain),
    }
    return Check(CheckName.CHAIN, good, told)


def _cooldown(facts: Facts) -> Check:
    until = facts.cooldown_until
    good = until is None or until <= facts.now
    if until is None:
        return Check(CheckName.COOLDOWN, good, {"until": ""})
    left = max(0.0, (until - facts.now).total_seconds())
    return Check(CheckName.COOLDOWN, good, {"until": until.isoformat(), "left": f"{left:.0f}"})


def domains_allowed(
    domains: Collection[str], allow: Collection[str], deny: Collection[str]
) -> bool:
    """Whether none of these domains is denied and, where a list is given, all are on it."""
    found = set(domains)
    return not found & set(deny) and (not allow or found <= set(allow))
