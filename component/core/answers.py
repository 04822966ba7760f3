"""What is known of old accounts for a short while, so that one question serves many contacts.

That an account names its successor is one fact for the whole server: a verified answer serves
every contact for a minute, also one who could not read the node alone.  Any other answer decides
only requests that were there before the question was put, for the statement may have been
published since: a forged request must not spoil the true one that follows it.  What such an answer
costs is time: the account is asked again after a second, then after two, and so on; where the
answer is about the contact who asked, only that contact waits.  So thousands of forged claims about
one account cost one question in each such time.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

from component.core import jids
from component.core.model import Reason
from component.core.statement import Answer, judge

K = TypeVar("K")
V = TypeVar("V")
_FIRST_WAIT = 1.0
_Key = tuple[str, str | None]
"""The old account, and the contact whom alone it concerns; None: everybody."""


@dataclass(frozen=True, slots=True)
class _Pause:
    until: float
    seconds: float


class Answers:
    """A bounded memory of answers.  Times are seconds on the caller's monotonic clock.

    :param verified_seconds: for how long a statement serves others.
    :param failure_seconds: after how long, at the most, an account without one is asked again.
    :param size: accounts, and pauses, that are remembered.
    """

    def __init__(
        self, *, verified_seconds: float = 60.0, failure_seconds: float = 10.0, size: int = 10_000
    ) -> None:
        self._verified = verified_seconds
        self._failure = failure_seconds
        self._size = size
        self._statements: OrderedDict[str, tuple[Answer, float]] = OrderedDict()
        self._pauses: OrderedDict[_Key, _Pause] = OrderedDict()

    def lookup(self, old: str, new: str, now: float) -> Answer | None:
        """An answer that supports this claim and came lately, or None to go and ask."""
        answer, at = self._statements.get(jids.key(old), (None, 0.0))
        if answer is None or now - at > self._verified:
            return None
        return answer if judge(answer, new) is Reason.VERIFIED else None

    def wait(self, old: str, contact: str, now: float) -> float:
        """In how many seconds the account may be asked again as this contact."""
        key = jids.key(old)
        found = (self._pauses.get((key, whom)) for whom in (None, contact))
        return max((pause.until - now for pause in found if pause is not None), default=0.0)

    def note(self, old: str, new: str, contact: str, answer: Answer, now: float) -> None:
        """Keep an answer that just came to a question about this claim, put as this contact."""
        key = jids.key(old)
        if answer.names is not None:
            self._keep(self._statements, key, (answer, now))
        whose = (key, None if answer.shareable else contact)
        before = self._pauses.pop(whose, None)
        if judge(answer, new) is Reason.VERIFIED:
            return
        seconds = _FIRST_WAIT
        if before is not None and now - before.until < self._failure:
            seconds = before.seconds * 2
        seconds = min(seconds, self._failure)
        self._keep(self._pauses, whose, _Pause(now + seconds, seconds))

    def forget(self, jid: str) -> None:
        """Nothing that names this address, or that it said itself, is known any more.

        An account is gone, and its name may be another's the next moment.
        """
        gone = jids.key(jid)
        for old, (answer, _) in list(self._statements.items()):
            if gone in (old, jids.key(answer.names or "")):
                del self._statements[old]

    def _keep(self, memory: OrderedDict[K, V], key: K, value: V) -> None:
        memory[key] = value
        memory.move_to_end(key)
        while len(memory) > self._size:
            memory.popitem(last=False)
