"""What the component would say to people."""

from __future__ import annotations

from typing import TypeVar

from component.core.notices import NewAddress, Notice
from component.xmpp.errors import LinkLost

N = TypeVar("N")


class Messages:
    """A teller that remembers what it was told to say."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Notice, str | None]] = []
        self.down = False

    def tell(self, to: str, notice: Notice, *, replaces: str | None = None) -> str:
        """Note a notice."""
        if self.down:
            raise LinkLost("down")
        self.told.append((to, notice, replaces))
        return replaces or f"m{len(self.told)}"

    def answer_text(self, lang: str | None, address: NewAddress) -> tuple[str, str]:
        """A text that names the new address."""
        return lang or "en", f"now at {address.new}"

    def status_text(self, user: str, old: str, new: str) -> str:
        """A text that names both."""
        return f"{old} is now {new}"

    def of(self, kind: type[N]) -> list[N]:
        """Notices of a kind."""
        return [notice for _, notice, _ in self.told if isinstance(notice, kind)]
