"""What is known of old accounts for a short while, so that one question serves many contacts.

That an account names its successor is one fact for the whole server: a verified answer serves
every contact for a minute, also one who could not read the node alone.  Any other answer decides
only requests that were there before the question was put, for the statement may have been
published since: a forged request must not spoil the true one that follows it.  What such an answer
costs is time: the account is asked again after a second, then after two, and so on.  Keyed by the
old JID alone: thousands of forged claims about one account cost one question in each such time.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from component.core import jids
from component.core.model import Reason
from component.core.statement import Answer, judge

_FIRST_WAIT = 1.0


@dataclass(frozen=True, slots=True)
class _Known:
    answer: Answer
    at: float
    wait: float
    """Seconds from then until the account is asked again."""


class Answers:
    """A bounded memory of answers.  Times are seconds on the caller's monotonic clock.

    :param verified_seconds: for how long a statement serves others.
    :param failure_seconds: after how long, at the most, an account without one is asked again.
    :param size: accounts that are remembered.
    """

    def __init__(
        self, *, verified_seconds: float = 60.0, failure_seconds: float = 10.0, size: int = 10_000
    ) -> None:
        self._verified = verified_seconds
        self._failure = failure_seconds
        self._size = size
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def lookup(self, old: str, new: str, now: float) -> Answer | None:
        """An answer that supports this claim and came lately, or None to go and ask."""
        known = self._known.get(jids.key(old))
        if known is None or now - known.at > self._verified:
            return None
        return known.answer if judge(known.answer, new) is Reason.VERIFIED else None

    def wait(self, old: str, now: float) -> float:
        """In how many seconds the account may be asked again."""
        known = self._known.get(jids.key(old))
        return 0.0 if known is None else max(0.0, known.at + known.wait - now)

    def note(self, old: str, new: str, answer: Answer, now: float) -> None:
        """Keep an answer that just came to a question about this claim."""
        key = jids.key(old)
        if not answer.shareable:
            return
        before = self._known.pop(key, None)
        wait = 0.0
        if judge(answer, new) is not Reason.VERIFIED:
            wait = _FIRST_WAIT if before is None or not before.wait else before.wait * 2
        self._known[key] = _Known(answer, now, min(wait, self._failure))
        while len(self._known) > self._size:
            self._known.popitem(last=False)
