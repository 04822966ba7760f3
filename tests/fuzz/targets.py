"""Every target by its name; the corpus of each is ``corpus/NAME/``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fuzz.files import account, http
from tests.fuzz.hooks import hook
from tests.fuzz.talks import talk
from tests.fuzz.texts import contact_list, control, jid, kept
from tests.fuzz.verdicts import verdict
from tests.fuzz.wires import stream

CORPUS: Final = Path(__file__).parent / "corpus"


@dataclass(frozen=True)
class Target:
    """Takes any input; raises where a property does not hold.

    ``longest``: bytes of an input.
    """

    name: str
    run: Callable[[bytes], None]
    longest: int = 4096

    @property
    def corpus(self) -> Path:
        """Where its inputs are kept."""
        return CORPUS / self.name

    def inputs(self) -> dict[str, bytes]:
        """The corpus, by file name."""
        return {p.name: p.read_bytes() for p in sorted(self.corpus.glob("*")) if p.is_file()}


_ALL = (
    Target("stream", stream),
    Target("hook", hook),
    Target("verdict", verdict, 6000),
    Target("command", talk, 8000),
    Target("chat", talk, 6000),
    Target("list", contact_list),
    Target("jid", jid, 2500),
    Target("control", control, 2000),
    Target("kept", kept, 2000),
    Target("account", account, 8000),
    Target("http", http, 2000),
)
TARGETS: Final[Mapping[str, Target]] = {target.name: target for target in _ALL}
