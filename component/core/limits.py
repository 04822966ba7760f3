"""Limits around the contact side: who may be followed, how often, and whom a move may swallow.

Pure bookkeeping: the caller brings the time.  Every refusal is a release with a reason, so a
limit that is too tight costs automation, never a request.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, replace

from component.core import jids
from component.core.model import Divert, Reason

MAX_REQUEST = 8192
"""Bytes of a request, as the journal would keep it; one of a mover has some hundred."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Settings of the ``[contacts]`` and ``[limits]`` sections that decisions need."""

    allow_domains: frozenset[str] = frozenset()
    deny_domains: frozenset[str] = frozenset()
    requests_per_minute: int = 600
    """Diverted requests for each mover's domain; a sender, and a contact, has a part of it."""
    max_open: int = 5000
    """Requests at once; a contact, and who owns the mover's domain, has a part of it."""
    max_old_into_new: int = 5
    window_seconds: float = 30 * 86400.0
    remembered_domains: int = 10_000


class Buckets:
    """A token bucket for each key, the least recently used forgotten (bounded memory)."""

    def __init__(self, per_minute: int, size: int) -> None:
        self._capacity = float(per_minute)
        self._size = size
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def set_rate(self, per_minute: int) -> None:
        """Change the rate of all buckets; what is in them stays, up to the new size."""
        self._capacity = float(per_minute)

    def _level(self, key: str, now: float) -> float:
        level, at = self._levels.get(key, (self._capacity, now))
        return min(self._capacity, level + max(0.0, now - at) * self._capacity / 60.0)

    def empty(self, key: str, now: float) -> bool:
        """Whether there is none to take."""
        return self._level(key, now) < 1.0

    def take(self, key: str, now: float) -> bool:
        """Take one token; ``now`` in seconds on any monotonic clock."""
        level = self._level(key, now)
        self._levels.pop(key, None)
        taken = level >= 1.0
        self._levels[key] = (level - 1.0 if taken else level, now)
        if len(self._levels) > self._size:
            self._levels.popitem(last=False)
        return taken


def registrable(domain: str) -> str:
    """The part of a domain that its owner has registered, as far as the name shows it.

    Two labels, or three where the second from the end looks like a registry's (``co.uk``).
    """
    labels = domain.split(".")
    registry = len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3
    return ".".join(labels[-3 if registry else -2 :])


class Room:
    """Places that are taken for a time: so many in all, and a part of them for each who uses them.

    So who takes many leaves some to the others.  Nothing is kept of whom no place is taken for.
    """

    def __init__(self, size: int, part: int) -> None:
        self._size = size
        self._part = part
        self._taken = 0
        self._of: Counter[Hashable] = Counter()

    def resize(self, size: int, part: int) -> None:
        """Make it larger or smaller; what is taken stays."""
        self._size, self._part = size, part

    @property
    def full(self) -> bool:
        """Whether there is no place for anybody."""
        return self._taken >= self._size

    def full_for(self, *users: Hashable) -> bool:
        """Whether one of these has its part already, or all is full."""
        return self.full or any(self._of[user] >= self._part for user in users)

    def take(self, *users: Hashable) -> bool:
        """Take one place, counted for each of these; False where there is none."""
        if self.full_for(*users):
            return False
        self._taken += 1
        self._of.update(users)
        return True

    def leave(self, *users: Hashable) -> None:
        """Give back what :meth:`take` took for the same."""
        self._taken -= 1
        for user in users:
            self._of[user] -= 1
            if not self._of[user]:
                del self._of[user]


def part_of(whole: int) -> int:
    """What one of many may have of what there is for all: a fifth."""
    return -(-whole // 5)


class Gate:
    """Decides before any work is done whether a request may be looked at.

    What one sender, and what one contact, may take of a domain's share comes first: so neither one
    user of a large server, nor one of ours who is sent much, uses it up for the others there.  And
    whoever has registered a domain has any number of names beneath it: an owner has the shares of
    five domains, and a fifth of what may be open at once; so has a contact.
    """

    DOMAINS = 5
    """An owner has the share of so many domains."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        size = policy.remembered_domains
        self._senders, self._contacts = Buckets(0, size), Buckets(0, size)
        self._domains, self._owners = Buckets(0, size), Buckets(0, size)
        self._open = Room(0, 0)
        self._set_rates()

    def _set_rates(self) -> None:
        whole = self._policy.requests_per_minute
        self._domains.set_rate(whole)
        self._owners.set_rate(whole * self.DOMAINS)
        for buckets in (self._senders, self._contacts):
            buckets.set_rate(part_of(whole))
        self._open.resize(self._policy.max_open, part_of(self._policy.max_open))

    def set_domains(self, allow: frozenset[str], deny: frozenset[str]) -> None:
        """Put other lists of domains in force."""
        self._policy = replace(self._policy, allow_domains=allow, deny_domains=deny)

    def set_limits(self, policy: Policy) -> None:
        """Put other limits in force; the lists of domains stay (:meth:`set_domains`)."""
        mine = self._policy
        self._policy = replace(
            policy, allow_domains=mine.allow_domains, deny_domains=mine.deny_domains
        )
        self._set_rates()

    def admit(self, divert: Divert, *, now: float) -> Reason | None:
        """None to go on, or the reason to release at once.  ``now`` is monotonic seconds.

        What is admitted is open until :meth:`ended`.
        """
        policy = self._policy
        domains = {jids.domain(jids.key(jid)) for jid in (divert.old, divert.new)}
        if domains & policy.deny_domains:
            return Reason.DENIED
        if policy.allow_domains and not domains <= policy.allow_domains:
            return Reason.DENIED
        if self._open.full:
            return Reason.OVERLOADED
        if len(divert.stanza.encode()) > MAX_REQUEST:
            return Reason.TOO_LARGE
        sender = jids.key(divert.new)
        domain = jids.domain(sender)
        owner = registrable(domain)
        # Whose owner has nothing left is not noted: a flood of names must not drive out others.
        within = (
            not self._owners.empty(owner, now)
            and not self._domains.empty(domain, now)
            and not self._open.full_for(*_users(divert))
            and self._senders.take(sender, now)
            and self._contacts.take(f"{jids.key(divert.contact)} {owner}", now)
            and self._domains.take(domain, now)
            and self._owners.take(owner, now)
            and self._open.take(*_users(divert))
        )
        return None if within else Reason.RATE_LIMITED

    def ended(self, divert: Divert) -> None:
        """A request that was admitted is open no more."""
        self._open.leave(*_users(divert))

    def spent(self, new: str, now: float) -> str | None:
        """Whose share is used up just now, the sender's or its domain's: what it sends may pass."""
        sender = jids.key(new)
        domain = jids.domain(sender)
        owner = registrable(domain)
        if (
            self._domains.empty(domain, now)
            or self._owners.empty(owner, now)
            or self._open.full_for(_OWNER + owner)
        ):
            return jids.domain(new)
        return new if self._senders.empty(sender, now) else None


_OWNER = "owner "


def _users(divert: Divert) -> tuple[str, str]:
    """For whom the place of an open request counts: the contact, and who owns the new domain."""
    owner = registrable(jids.domain(jids.key(divert.new)))
    return f"contact {jids.key(divert.contact)}", _OWNER + owner


class Followed:
    """Which old JID was followed where, in the last ``window_seconds``.

    One accepted move for each old JID, and few old JIDs into one new one: a stolen statement or
    a careless admin can then not fold a whole server into one account.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._into: dict[str, dict[str, float]] = {}
        self._where: dict[str, str] = {}

    def set_limits(self, policy: Policy) -> None:
        """Put other limits in force."""
        self._policy = policy

    def clear(self) -> None:
        """Forget all of them: they are noted anew."""
        self._into.clear()
        self._where.clear()

    def note(self, old: str, new: str, at: float) -> None:
        """Remember a move that was accepted at ``at`` (seconds since the epoch).

        A move back ends the move that it takes back: its account is free to move again.
        """
        self.forget(new, old)
        old, new = jids.key(old), jids.key(new)
        self._where[old] = new
        group = self._into.setdefault(new, {})
        group[old] = max(at, group.get(old, at))

    def forget(self, old: str, new: str) -> None:
        """Take back that ``old`` was followed to ``new``; another pair stays remembered."""
        old, new = jids.key(old), jids.key(new)
        if self._where.get(old) == new:
            del self._where[old]
        group = self._into.get(new)
        if group is not None:
            group.pop(old, None)
            if not group:
                del self._into[new]

    def object_to(self, old: str, new: str, now: float) -> Reason | None:
        """The reason against following ``old`` to ``new``, or None.  ``now``: epoch seconds."""
        old, new = jids.key(old), jids.key(new)
        self._expire(self._where.get(old), now)
        self._expire(new, now)
        where = self._where.get(old)
        if where is not None and where != new:
            return Reason.ALREADY_MOVED
        group = self._into.get(new, {})
        if old not in group and len(group) >= self._policy.max_old_into_new:
            return Reason.TOO_MANY_INTO
        return None

    def _expire(self, new: str | None, now: float) -> None:
        group = self._into.get(new, {}) if new is not None else {}
        limit = now - self._policy.window_seconds
        for old in [old for old, at in group.items() if at < limit]:
            del group[old]
            if self._where.get(old) == new:
                del self._where[old]
        if new is not None and not group:
            self._into.pop(new, None)


class Repeats:
    """How often a contact was taken from one address to another, or back, in the last day.

    There, back, and there again: who changes their mind is followed.  Beyond that each turn would
    be a change of the roster, a message and a row for nothing.
    """

    TURNS = 3
    SECONDS = 86400.0

    def __init__(self, size: int = 100_000) -> None:
        self._size = size
        self._turns: OrderedDict[tuple[str, frozenset[str]], tuple[float, ...]] = OrderedDict()

    def note(self, divert: Divert, at: float) -> None:
        """A contact was taken along at ``at`` (seconds since the epoch)."""
        key = self._key(divert)
        self._turns[key] = (*self._lately(key, at), at)
        self._turns.move_to_end(key)
        if len(self._turns) > self._size:
            self._turns.popitem(last=False)

    def object_to(self, divert: Divert, now: float) -> Reason | None:
        """The reason against doing so once more, or None.  ``now``: epoch seconds."""
        turns = len(self._lately(self._key(divert), now))
        return Reason.BACK_AND_FORTH if turns >= self.TURNS else None

    def _lately(self, key: tuple[str, frozenset[str]], now: float) -> tuple[float, ...]:
        return tuple(at for at in self._turns.get(key, ()) if at > now - self.SECONDS)

    @staticmethod
    def _key(divert: Divert) -> tuple[str, frozenset[str]]:
        pair = frozenset((jids.key(divert.old), jids.key(divert.new)))
        return jids.key(divert.contact), pair


class Declined:
    """What contacts took back: the same move is not followed for them a second time.

    The request then reaches them as any other does, and they decide.
    """

    def __init__(self) -> None:
        self._pairs: set[tuple[str, str, str]] = set()

    def note(self, contact: str, old: str, new: str) -> None:
        """An automatic change of the contact's roster was undone."""
        self._pairs.add((jids.key(contact), jids.key(old), jids.key(new)))

    def object_to(self, divert: Divert) -> Reason | None:
        """The reason against following this request for its contact, or None."""
        pair = (jids.key(divert.contact), jids.key(divert.old), jids.key(divert.new))
        return Reason.NOT_WANTED if pair in self._pairs else None
