"""Codes that prove that two accounts here belong to one person.

A code goes to the other account's chat and is typed where the move was begun, so that whoever
types it reads both.  Codes live in memory only: after a restart a new one is asked for.
"""

from __future__ import annotations

import hmac
import secrets
from collections import deque
from dataclasses import dataclass, field

from component.core.journey.model import Problem, Refused

DIGITS = 6
TRIES = 5
"""Wrong codes until a new one is needed: 5 of 10^6."""
PER_HOUR = 5
"""Codes that one account may have sent to another in an hour."""
ALL_PER_HOUR = 30
"""Codes that one account gets in an hour from everybody: an annoyance otherwise, and higher than
what one account may send, so that nobody alone can keep somebody from moving."""
_REMEMBERED = 10_000


@dataclass(slots=True)
class _Code:
    text: str
    until: float
    asker: str
    to: str
    tries: int = 0


@dataclass(slots=True)
class Proofs:
    """The codes that are out."""

    _codes: dict[int, _Code] = field(default_factory=dict)
    _sent: dict[str, deque[float]] = field(default_factory=dict)

    def make(self, journey: int, asker: str, to: str, now: float, seconds: float) -> str:
        """A new code for a journey, to be sent to an account; the one before is void.

        :param now: monotonic seconds.
        :param seconds: how long it is good.
        :raises Refused: too many were sent in the last hour.
        """
        self._count(f"{asker} {to}", PER_HOUR, to, now)
        self._count(to, ALL_PER_HOUR, to, now)
        for gone in [id for id, code in self._codes.items() if code.until <= now]:
            del self._codes[gone]
        text = f"{secrets.randbelow(10**DIGITS):0{DIGITS}d}"
        self._codes[journey] = _Code(text, now + seconds, asker, to)
        return text

    def _count(self, key: str, most: int, to: str, now: float) -> None:
        sent = self._sent.setdefault(key, deque())
        while sent and sent[0] <= now - 3600:
            sent.popleft()
        if len(sent) >= most:
            raise Refused(Problem.TOO_MANY_CODES, jid=to)
        sent.append(now)
        if len(self._sent) > _REMEMBERED:
            limit = now - 3600
            self._sent = {k: times for k, times in self._sent.items() if times[-1] > limit}

    def forget(self, journey: int) -> None:
        """A code that was sent counts no more."""
        self._codes.pop(journey, None)

    def open_to(self, to: str, now: float) -> dict[int, str]:
        """Who asked for the codes that this account was sent and that are good, by journey."""
        return {
            journey: code.asker
            for journey, code in self._codes.items()
            if code.to == to and code.until > now and code.tries < TRIES
        }

    def use(self, journey: int, given: str | None, now: float) -> None:
        """Check a code; a right one is used up.

        :raises Refused: CODE_WRONG, CODE_TRIES or CODE_EXPIRED.
        """
        code = self._codes.get(journey)
        if code is None or code.until <= now:
            self._codes.pop(journey, None)
            raise Refused(Problem.CODE_EXPIRED)
        if code.tries >= TRIES:
            raise Refused(Problem.CODE_TRIES)
        typed = "".join(c for c in (given or "") if c.isascii() and c.isdigit())
        if not hmac.compare_digest(typed, code.text):
            code.tries += 1
            if code.tries >= TRIES:
                raise Refused(Problem.CODE_TRIES)
            raise Refused(Problem.CODE_WRONG, left=str(TRIES - code.tries))
        del self._codes[journey]
