"""What is known of old accounts for a short while, so that one question serves many contacts.

That an account names its successor is one fact for the whole server: a verified answer serves
every contact for a minute, also one who could not read the node alone.  A failure is kept for a
few seconds; a refusal says nothing about other contacts and is kept for the refused one only.
Keyed by the old JID alone: thousands of forged claims about one account cost one question.
"""

from __future__ import annotations

from collections import OrderedDict

from component.core import jids
from component.core.statement import Answer


class Answers:
    """A bounded memory of answers.  Times are seconds on the caller's monotonic clock."""

    def __init__(
        self, *, verified_seconds: float = 60.0, failure_seconds: float = 10.0, size: int = 10_000
    ) -> None:
        self._verified = verified_seconds
        self._failure = failure_seconds
        self._size = size
        self._shared: OrderedDict[str, tuple[Answer, float]] = OrderedDict()
        self._refused: OrderedDict[tuple[str, str], tuple[Answer, float]] = OrderedDict()

    def lookup(self, old: str, new: str, contact: str, now: float) -> Answer | None:
        """An answer fit to judge this claim by, or None to go and ask.

        An answer that does not support the claim ages like a failure: the mover may have
        corrected the statement since.
        """
        shared = self._shared.get(jids.key(old))
        if shared is not None:
            answer, at = shared
            supports = answer.names is not None and jids.key(answer.names) == jids.key(new)
            if now - at <= (self._verified if supports else self._failure):
                return answer
        refused = self._refused.get((jids.key(old), contact))
        if refused is not None and now - refused[1] <= self._failure:
            return refused[0]
        return None

    def note(self, old: str, contact: str, answer: Answer, now: float) -> None:
        """Keep an answer that just came."""
        if answer.shareable:
            self._shared[jids.key(old)] = (answer, now)
            self._shared.move_to_end(jids.key(old))
            while len(self._shared) > self._size:
                self._shared.popitem(last=False)
        else:
            self._refused[jids.key(old), contact] = (answer, now)
            self._refused.move_to_end((jids.key(old), contact))
            while len(self._refused) > self._size:
                self._refused.popitem(last=False)
