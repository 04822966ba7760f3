"""The lines of copies, for tests that look at each of them; the product never has all at once."""

from __future__ import annotations

from component.core.belongings.model import Line, Pick, Result
from component.core.belongings.report import Report
from component.engine.belongings.filling import pages
from component.store import Store


async def lines_of(store: Store, report: Report, *results: Result) -> list[Line]:
    """The lines of a copy as they are now, of these results or of all."""
    pick = Pick(results=frozenset(results))
    found = pages(store.belongings, report.job.id, pick)
    return [line async for page in found for _, line in page]


def only(report: Report) -> set[Result]:
    """The results that a report counts something of."""
    return {result for result, number in report.counts.items() if number}
