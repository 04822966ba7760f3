"""When, where and of what a measurement was made."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path


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
    return _said("git", "-C", Path(__file__).parent, "describe", "--always", "--dirty= and changes")


def filesystem(folder: Path) -> str:
    """Kind of the filesystem that holds a folder, as the kernel names it, or "unknown"."""
    return _said("df", "--output=fstype", folder).splitlines()[-1]  # under a heading


def _said(*command: str | Path) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"
