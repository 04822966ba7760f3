"""Orders about things and files where there are none: for tests of other commands."""

from __future__ import annotations

from collections.abc import Mapping

from component.core.belongings.model import Job, Result
from component.core.belongings.report import Report
from component.core.journey.model import Problem, Refused
from component.engine.belongings.ports import Source
from component.engine.files.ports import Exported, FileTrouble, Trouble


class NoCopies:
    """Copies of somebody who has none."""

    async def preview(self, asker: str, source: Source) -> Report:
        raise Refused(Problem.NOT_YOURS)

    async def start(self, asker: str, id: int, *, overwrite: bool = False) -> Report:
        raise Refused(Problem.NO_SUCH_JOURNEY)

    async def report(self, asker: str, id: int) -> Report:
        raise Refused(Problem.NO_SUCH_JOURNEY)

    async def undo(self, asker: str, id: int) -> Report:
        raise Refused(Problem.NO_SUCH_JOURNEY)

    async def copies(self, asker: str) -> Mapping[Job, Mapping[Result, int]]:
        return {}

    async def done(self, id: int) -> None:
        """At once."""


class NoFiles:
    """A server without a storage for files."""

    async def preview(self, asker: str, link: str) -> Report:
        raise FileTrouble(Trouble.NO_SERVICE)

    async def export(self, asker: str) -> Exported:
        raise FileTrouble(Trouble.NO_SERVICE)
