"""``make test-full``: all tests, also those that ``make test`` leaves out, in parts.

``python -m tests.full [PART ...]`` runs the parts one after another and writes after each one its
row of docs/lab/test-full.md.  A part that has not been run keeps its former row, so the page always
has the last result of each part, its commit, and how long it took.  A run that was narrowed, by
``--server`` or by a variable for sizes, is no full one: its row is printed, and not written.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

FULL = os.environ.get("XMPP_MOVED_FULL") == "1"
"""True in a run of ``make test-full``."""

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "lab" / "test-full.md"

_LIVE_TESTS = ROOT / "tests" / "live"

PARTS: Mapping[str, Sequence[str]] = {
    "unit": ("tests/unit", "tests/fuzz"),
    "scenarios": ("tests/live/test_scenarios.py",),
    "cross-server": ("tests/live/test_cross_server.py",),
    "hooks": (
        *(
            f"tests/live/{path.name}"
            for path in sorted((ROOT / "tests/live").glob("test_hook_*.py"))
        ),
        "tests/live/test_send_states.py",
        "tests/live/test_link.py",
        "tests/live/test_check.py",
    ),
    "movers": ("tests/live/movers",),
    "account": (
        "tests/live/account",
        "tests/live/belongings",
        "tests/live/fetch",
        "tests/live/files",
        "tests/live/handover",
    ),
    "authority": ("tests/live/authority",),
    "instances": ("tests/live/instances",),
    "clients": ("tests/live/test_real_clients.py",),
    "operation": (
        "tests/live/test_bench.py",
        "tests/live/test_nursery.py",
        "tests/live/test_prometheus.py",
        "tests/live/test_service_manager.py",
        "tests/live/test_soak.py",
    ),
    "faults": ("tests/live/faults",),
    "crash": ("tests/live/crash",),
}
"""What pytest is given for each part; a test sees that every test file is in exactly one."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
_NARROWS = (
    "XMPP_MOVED_TIMES",
    "XMPP_MOVED_KILLS",
    "XMPP_MOVED_SCHEDULES",
    "XMPP_MOVED_SEED",
)
"""Variables with which the tests do something else than the whole."""
_UNIT = ("-n", "3", "--dist", "worksteal")
_LIVE = ("-n", "4", "--dist", "loadgroup", "--no-loadscope-reorder")
_HEAD = """# The full run

`make test-full` runs every test there is, with all sizes, servers and repetitions; `make test-full
PART=crash` runs one part of it. This page is written by the run (`tests/full.py`): it has the last
result of each part.

| part | result | passed | skipped | failed | minutes | date (UTC) | commit |
|---|---|---|---|---|---|---|---|
"""
_ROW = re.compile(r"\| ([a-z-]+) \| .* \|")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one part; ``seconds`` is wall-clock time."""

    part: str
    passed: int
    skipped: int
    failed: int
    seconds: float
    date: str
    commit: str
    exit_code: int

    @property
    def row(self) -> str:
        """Its line of the page."""
        word = "green" if self.exit_code == 0 else f"**failed** (exit {self.exit_code})"
        return (
            f"| {self.part} | {word} | {self.passed} | {self.skipped} | {self.failed} "
            f"| {self.seconds / 60:.1f} | {self.date} | {self.commit} |"
        )


def run(part: str, more: Sequence[str] = ()) -> Result:
    """Run one part, its output going where ours goes.

    :param more: further arguments of pytest
    :returns: what became of it; one that was interrupted has that exit code (130)
    """
    begun, clock, commit = datetime.now(UTC), time.monotonic(), _commit()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-rs", f"--junitxml={report}"]
        command += [*(_UNIT if part == "unit" else _LIVE), *PARTS[part], *more]
        environment = {**os.environ, "XMPP_MOVED_FULL": "1"}
        child = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
        try:
            done = child.wait()
        except KeyboardInterrupt:
            os.killpg(child.pid, signal.SIGINT)  # once: it stops its servers then
            child.wait()
            done = INTERRUPTED
        passed, skipped, failed = counts(report.read_text() if report.exists() else "")
    return Result(
        part,
        passed,
        skipped,
        failed,
        time.monotonic() - clock,
        f"{begun:%Y-%m-%d %H:%M}",
        commit,
        done,
    )


def counts(report: str) -> tuple[int, int, int]:
    """Passed, skipped and failed tests of a JUnit report; three times 0 where there is none,
    or none that is whole."""
    try:
        suites = ET.fromstring(report).iter("testsuite")
    except ET.ParseError:
        return 0, 0, 0
    total = skipped = failed = 0
    for suite in suites:
        total += int(suite.get("tests", 0))
        skipped += int(suite.get("skipped", 0))
        failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    return total - skipped - failed, skipped, failed


def page(old: str, result: Result) -> str:
    """The page with this result in place of the part's former one; in the order of PARTS."""
    rows = {found[1]: found[0] for found in _ROW.finditer(old) if found[1] in PARTS}
    rows[result.part] = result.row
    return _HEAD + "\n".join(rows[part] for part in PARTS if part in rows) + "\n"


def _commit() -> str:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    # The page itself is changed by the run; anything else that is not committed is said.
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", f":(exclude){PAGE}")
    return git("rev-parse", "--short", "HEAD") + (" and changes" if changed else "")


def main(arguments: Sequence[str]) -> int:
    """The command; exit code 1 where a part was not green, 2 where there is no such part."""
    named = [argument for argument in arguments if not argument.startswith("-")]
    if unknown := [name for name in named if name not in PARTS]:
        print(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    more = [argument for argument in arguments if argument.startswith("-")]
    narrowed = bool(more) or any(name in os.environ for name in _NARROWS)
    results = []
    for part in named or PARTS:
        print(f"== {part}", flush=True)
        result = run(part, more)
        results.append(result)
        print(result.row, flush=True)
        if result.exit_code == INTERRUPTED:
            return INTERRUPTED
        if narrowed:
            print("(not written: this was no full run of the part)", flush=True)
            continue
        old = PAGE.read_text() if PAGE.exists() else ""
        PAGE.write_text(page(old, result))
    return int(any(result.exit_code for result in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
