"""When a ratio counts as lost: what ``make bench-check`` decides by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ALLOWED_LOSS = 0.15
"""Part of a committed ratio that may be lost before the check fails."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A guarded ratio, as committed and as measured now; bigger is better.

    ``now`` is None where it could not be measured: whatever cannot be shown is lost.
    """

    name: str
    committed: float
    now: float | None

    @property
    def loss(self) -> float:
        """Part of the committed ratio that is gone; negative where it grew."""
        return 1.0 if self.now is None else 1.0 - self.now / self.committed

    @property
    def lost(self) -> bool:
        """More than is allowed."""
        return self.now is None or self.now < self.committed * (1 - ALLOWED_LOSS)

    def __str__(self) -> str:
        now = "not measured" if self.now is None else f"{self.now:.2f}"
        word = "LOST" if self.lost else "kept"
        return f"{word}  {self.name}: {now}, committed {self.committed:.2f} ({-self.loss:+.0%})"


def compare(committed: Mapping[str, float], now: Mapping[str, float]) -> list[Finding]:
    """One finding for each committed ratio; what is measured for the first time has none."""
    return [Finding(name, ratio, now.get(name)) for name, ratio in committed.items()]
