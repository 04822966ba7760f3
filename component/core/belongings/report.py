"""What became of all things, in figures that add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from component.core.belongings.model import Job, Line, Result, Sort, Unread


@dataclass(frozen=True, slots=True)
class Report:
    """A copy, or the preview of one: every thing that comes has exactly one line."""

    job: Job
    lines: Sequence[Line]
    unread: Sequence[Unread] = ()
    """Of a preview: parts of the old account that could not be read."""

    @property
    def total(self) -> int:
        """Things in all; the counts add up to it."""
        return len(self.lines)

    @property
    def counts(self) -> Mapping[Result, int]:
        """Things by result; every result is a key."""
        return {**dict.fromkeys(Result, 0), **Counter(line.result for line in self.lines)}

    @property
    def by_sort(self) -> Mapping[Sort, Mapping[Result, int]]:
        """The same for each sort of thing that comes."""
        found: dict[Sort, Counter[Result]] = {}
        for line in self.lines:
            found.setdefault(line.thing.sort, Counter())[line.result] += 1
        return found

    @property
    def left(self) -> int:
        """Things that are still to be written, or taken back."""
        return sum(not line.done for line in self.lines)

    def of(self, *results: Result) -> Iterable[Line]:
        """The lines with one of these results, in their order."""
        return (line for line in self.lines if line.result in results)
