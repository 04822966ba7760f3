"""What keeps one user, or many, from taking more than their share."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

V = TypeVar("V")
_STALE = 6
"""Lengths of rest after which a value is forgotten altogether."""


class Kept(Generic[V]):
    """Values by key that go when they rest too long, or when there are too many.

    :param seconds: of rest, on the caller's clock.
    """

    def __init__(self, *, seconds: float, most: int) -> None:
        self._seconds = seconds
        self._most = most
        self._values: OrderedDict[str, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def put(self, key: str, value: V, now: float) -> None:
        """Keep a value, or keep it longer; the one that rested longest gives way."""
        self._values[key] = (now, value)
        self._values.move_to_end(key)
        while len(self._values) > self._most or self._stale(now):
            self._values.popitem(last=False)

    def _stale(self, now: float) -> bool:
        """Whether the longest rested is of no more use, even to say that it rested too long."""
        return now - next(iter(self._values.values()))[0] > _STALE * self._seconds

    def get(self, key: str) -> V | None:
        """The value, rested too long or not."""
        entry = self._values.get(key)
        return entry[1] if entry is not None else None

    def rested(self, key: str, now: float) -> bool:
        """Whether it rested too long."""
        entry = self._values.get(key)
        return entry is not None and now - entry[0] > self._seconds

    def drop(self, key: str) -> None:
        """Forget it."""
        self._values.pop(key, None)

    def items(self) -> list[tuple[str, V]]:
        """All of them, the longest rested first."""
        return [(key, value) for key, (_, value) in self._values.items()]


class Crowd:
    """Counts what is at work for each user.

    :param most: at the same time for one user.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside: Counter[str] = Counter()

    @contextmanager
    def enter(self, who: str) -> Iterator[bool]:
        """Whether there is room for one more; it counts until the context ends."""
        if self._inside[who] >= self._most:
            yield False
            return
        self._inside[who] += 1
        try:
            yield True
        finally:
            self._inside[who] -= 1
            if not self._inside[who]:
                del self._inside[who]


class Pace:
    """How often each user is answered: an automatic answerer at the other end may never tire.

    :param most: answers in ``seconds``.
    """

    def __init__(self, *, most: int, seconds: float, remembered: int = 10_000) -> None:
        self._most = most
        self._seconds = seconds
        self._remembered = remembered
        self._spent: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, who: str, now: float) -> bool:
        """Whether there may be one more."""
        since, spent = self._spent.get(who, (now, 0))
        if now - since > self._seconds:
            since, spent = now, 0
        self._spent[who] = (since, spent + 1)
        self._spent.move_to_end(who)
        if len(self._spent) > self._remembered:
            self._spent.popitem(last=False)
        return spent < self._most
