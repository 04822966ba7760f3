"""Who may change a row where several instances share the database."""

from __future__ import annotations

from dataclasses import dataclass

from component.store.errors import LeaseLost


@dataclass(frozen=True, slots=True)
class Holder:
    """The instance that writes."""

    name: str | None = None
    """What new rows get; None: a tool, or the only process there is."""
    fenced: bool = False
    """False for SQLite: one process, held off by a file lock, may change everything."""

    def may_change(self, holder: str | None) -> bool:
        """Whether a row with this holder is ours."""
        return not self.fenced or holder == self.name

    def require(self, id_: int, holder: str | None) -> None:
        """LeaseLost where a journey with this holder is not ours."""
        if not self.may_change(holder):
            raise LeaseLost(
                f"journey {id_} is with {holder or 'an instance of an earlier release'} now; "
                f"nothing was written"
            )


ALONE = Holder()
"""Nobody else writes."""
