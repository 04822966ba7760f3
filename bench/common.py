"""What several measurements share: what a process costs, and which process a server is."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
"""USER_HZ of /proc/PID/stat."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process uses now: CPU seconds since its start, memory in MiB, and counts."""

    cpu: float
    resident: float
    anonymous: float
    """The part of ``resident`` that is no file: heap and stacks."""
    descriptors: int
    threads: int


def usage(pid: int) -> Usage:
    """Read /proc (proc(5)).  Raises OSError where the process is gone."""
    folder = Path(f"/proc/{pid}")
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    cpu = (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
    status = dict(
        line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line
    )
    return Usage(
        cpu=cpu,
        resident=_mebibytes(status, "VmRSS"),
        anonymous=_mebibytes(status, "RssAnon"),
        descriptors=len(os.listdir(folder / "fd")),
        threads=int(status.get("Threads", "0")),
    )


def cpu_of_family(pid: int) -> float:
    """CPU seconds of a process, its living children, and those that it has awaited."""
    total = 0.0
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for member in (str(pid), *children):
        with suppress(OSError):
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15])) / TICKS_PER_SECOND
    return total


def server_process(folder: Path) -> int:
    """PID of the server that works in a folder; raises RuntimeError where none does."""
    for stat in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in stat.read_bytes():
                return int(stat.parent.name)
        except OSError:
            continue
    raise RuntimeError(f"no server in {folder}")


def waited_for_disk() -> float:
    """Seconds, since it started, in which something on this machine waited for a disk.

    0 where the kernel does not count it (Documentation/accounting/psi.rst).
    """
    with suppress(OSError):
        some = Path("/proc/pressure/io").read_text().splitlines()[0]
        return int(some.rpartition("total=")[2]) / 1e6
    return 0.0


def favour(pid: int) -> None:
    """Let our own niceness count for a process that leads a session of its own.

    Linux weighs sessions against each other, and niceness only within one (sched(7), "The
    autogroup feature"): servers that are started in sessions would have an equal share with
    whatever else runs on the machine.  Does nothing where that is off or not allowed.
    """
    with suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(f"{os.nice(0)}\n")


def _mebibytes(status: dict[str, str], key: str) -> float:
    # A zombie has no memory, and no such line.
    return int(status.get(key, "0").split()[0]) / 1024
