"""Where and how a run was made: written when it begins, read by its report."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import about

_NAME = "about.json"


@dataclass(frozen=True, slots=True)
class About:
    """``restart_every`` in seconds, 0 for never; ``files``: the filesystem of what is written."""

    began: str
    command: str
    commit: str
    machine: str
    server: str
    minutes: float
    rate: float
    restart_every: float
    accounts: int
    files: str

    def write(self, folder: Path) -> None:
        """Keep it beside the rows."""
        (folder / _NAME).write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> About:
        """Raises OSError or TypeError where a folder holds no run."""
        kept = json.loads((folder / _NAME).read_text())
        if "files" not in kept:  # a run of before 2026-11-22
            kept["files"] = about.filesystem(folder)
        return cls(**kept)
