"""What became of all things, in figures that add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from component.core.belongings.model import Job, Line, Mark, Result, Unread

NAMED = 10
"""Lines of each mark that a report names."""


@dataclass(frozen=True, slots=True)
class Report:
    """A copy, or the preview of one: every thing that comes is counted exactly once.

    There may be a hundred thousand of them: they stay in the journal.
    """

    job: Job
    tally: Mapping[Mark, int]
    named: Sequence[Line] = ()
    """The first :data:`NAMED` lines of each mark that is :attr:`Mark.telling`, in their order."""
    unread: Sequence[Unread] = ()
    """Of a preview: parts of the old account that could not be read."""

    @property
    def total(self) -> int:
        """Things in all; the counts add up to it."""
        return sum(self.tally.values())

    @property
    def counts(self) -> Mapping[Result, int]:
        """Things by result; every result is a key."""
        found = Counter(dict.fromkeys(Result, 0))
        for mark, number in self.tally.items():
            found[mark.result] += number
        return found

    @property
    def left(self) -> int:
        """Things that are still to be written, or taken back."""
        return sum(number for mark, number in self.tally.items() if not mark.done)
