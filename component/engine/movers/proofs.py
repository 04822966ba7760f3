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
"""Codes that one account gets in an hour: an annoyance otherwise."""
_REMEMBERED = 10_000


@dataclass(slots=True)
class _Code:
    text: str
    until: float
    tries: int = 0


@dataclass(slots=True)
class Proofs:
    """The codes that are out.  ``seconds``: how long one is good."""

    seconds: float
    _codes: dict[int, _Code] = field(default_factory=dict)
    _sent: dict[str, deque[float]] = field(default_factory=dict)

    def make(self, journey: int, to: str, now: float) -> str:
        """A new code for a journey, to be sent to an account; the one before is void.

        :param now: monotonic seconds.
        :raises Refused: too many were sent to this account in the last hour.
        """
        sent = self._sent.setdefault(to, deque())
        while sent and sent[0] <= now - 3600:
            sent.popleft()
        if len(sent) >= PER_HOUR:
            raise Refused(Problem.TOO_MANY_CODES, jid=to)
        if len(self._sent) > _REMEMBERED:
            self._sent = {jid: times for jid, times in self._sent.items() if times}
        sent.append(now)
        for gone in [id for id, code in self._codes.items() if code.until <= now]:
            del self._codes[gone]
        text = f"{secrets.randbelow(10**DIGITS):0{DIGITS}d}"
        self._codes[journey] = _Code(text, now + self.seconds)
        return text

    def use(self, journey: int, given: str | None, now: float) -> None:
        """Check a code; a right one is used up.

        :raises Refused: CODE_WRONG or CODE_EXPIRED.
        """
        code = self._codes.get(journey)
        if code is None or code.until <= now or code.tries >= TRIES:
            self._codes.pop(journey, None)
            raise Refused(Problem.CODE_EXPIRED)
        typed = "".join(c for c in (given or "") if c.isascii() and c.isdigit())
        if not hmac.compare_digest(typed, code.text):
            code.tries += 1
            raise Refused(Problem.CODE_WRONG, left=str(TRIES - code.tries))
        del self._codes[journey]
