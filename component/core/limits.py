"""Limits around the contact side: who may be followed, how often, and whom a move may swallow.

Pure bookkeeping: the caller brings the time.  Every refusal is a release with a reason, so a
limit that is too tight costs automation, never a request.
"""

from __future__ import annotations

from collections import OrderedDict
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

    def take(self, key: str, now: float) -> bool:
        """Take one token; ``now`` in seconds on any monotonic clock."""
        level, at = self._levels.pop(key, (self._capacity, now))
        level = min(self._capacity, level + max(0.0, now - at) * self._capacity / 60.0)
        taken = level >= 1.0
        self._levels[key] = (level - 1.0 if taken else level, now)
        if len(self._levels) > self._size:
            self._levels.popitem(last=False)
        return taken


class Gate:
    """Decides before any work is done whether a request may be looked at.

    What one sender, and what one contact, may take of a domain's share comes first: so neither one
    user of a large server, nor one of ours who is sent much, uses it up for the others there.
    """

    PART = 5
    """One sender, or contact, has this part of a domain's share."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        size = policy.remembered_domains
        self._senders, self._contacts, self._domains = (Buckets(0, size) for _ in range(3))
        self._set_rates()

    def _set_rates(self) -> None:
        whole = self._policy.requests_per_minute
        self._domains.set_rate(whole)
        for buckets in (self._senders, self._contacts):
            buckets.set_rate(-(-whole // self.PART))

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

    def admit(self, divert: Divert, *, open_requests: int, now: float) -> Reason | None:
        """None to go on, or the reason to release at once.  ``now`` is monotonic seconds."""
        policy = self._policy
        domains = {jids.domain(jids.key(jid)) for jid in (divert.old, divert.new)}
        if domains & policy.deny_domains:
            return Reason.DENIED
        if policy.allow_domains and not domains <= policy.allow_domains:
            return Reason.DENIED
        if open_requests > policy.max_open:
            return Reason.OVERLOADED
        if len(divert.stanza.encode()) > MAX_REQUEST:
            return Reason.TOO_LARGE
        sender = jids.key(divert.new)
        domain = jids.domain(sender)
        within = (
            self._senders.take(sender, now)
            and self._contacts.take(f"{jids.key(divert.contact)} {domain}", now)
            and self._domains.take(domain, now)
        )
        return None if within else Reason.RATE_LIMITED


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
