"""Where and how a run was made: written when it begins, read by its report."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

_NAME = "about.json"


@dataclass(frozen=True, slots=True)
class About:
    """``restart_every`` in seconds, 0 for never."""

    began: str
    command: str
    commit: str
    machine: str
    server: str
    minutes: float
    rate: float
    restart_every: float
    accounts: int

    def write(self, folder: Path) -> None:
        """Keep it beside the rows."""
        (folder / _NAME).write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> About:
        """Raises OSError or TypeError where a folder holds no run."""
        return cls(**json.loads((folder / _NAME).read_text()))


def today() -> str:
    """Now, as a report says it."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def machine() -> str:
    """Processor, number of cores, memory, system."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB; "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def commit() -> str:
    """The commit of this tree, with a word where it was changed since; "unknown" without git."""
    answer = subprocess.run(
        shlex.split("git describe --always --dirty=' and changes'"),
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip() or "unknown"
