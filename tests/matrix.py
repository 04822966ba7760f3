"""Runs the live scenarios on each server in each version; ``make test-matrix``.

Prints a table and keeps it in docs/lab/versions.md, where the rows of servers that are not part of
a run stay as they were.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import component
from tests.live.servers.differences import KINDS, Kind
from tests.live.servers.newer import NEWER, SUITE_OF
from tests.live.servers.rootfs import RootFs

_ROOT = Path(__file__).parents[1]
DOCS = _ROOT / "docs" / "lab" / "versions.md"
MACHINES = "\n## Machines\n"
"""Where the section begins that ``make test-machines`` writes (tests/machines)."""
_WHAT = "tests/live/test_scenarios.py"
_TIMEOUT = 1800.0
_ALL = {**KINDS, **NEWER}

_HEAD = f"""# Versions

What was really run, and when: written by `make test-matrix`, which runs `{_WHAT}`
on one server after the other; each row is the last run there. The first three are part of
`make test` too; the others come from Debian's newer suites (`tests/bootstrap/newer.sh`) and run in
a root of their own, with the libraries of that suite.

| server | from | what was run | when (UTC) | passed | failed | skipped |
|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Row:
    """The outcome on one server; ``failed`` and ``skipped`` name the scenarios."""

    kind: str
    origin: str
    checkout: str
    when: datetime
    passed: int
    failed: tuple[str, ...]
    skipped: tuple[str, ...]

    def markdown(self) -> str:
        """One line of the table in docs/lab/versions.md."""
        cells = (
            self.kind,
            self.origin,
            f"all {self.passed + len(self.failed) + len(self.skipped)} scenarios, {self.checkout}",
            f"{self.when:%Y-%m-%d %H:%M}",
            str(self.passed),
            _counted(self.failed),
            _counted(self.skipped),
        )
        return f"| {' | '.join(cells)} |"


def main() -> int:
    """Run what is chosen and there; return 1 when a scenario failed, 0 otherwise."""
    parser = argparse.ArgumentParser(prog="make test-matrix")
    parser.add_argument("--server", default=",".join(_ALL), help="comma-separated; all by default")
    names = parser.parse_args().server.split(",")
    unknown = [name for name in names if name not in _ALL]
    if unknown:
        parser.error(f"no server {', '.join(unknown)}; there are {', '.join(_ALL)}")
    rows: dict[str, Row] = {}
    for name in names:
        kind = _ALL[name]
        if not kind.available:
            print(f"{name}: not run: {kind.missing}", flush=True)
            continue
        row = run(kind)
        if row is None:
            print(f"{name}: not run: pytest ended without a report", flush=True)
            return 1
        rows[name] = row
        write(rows)
        for scenario in row.failed:
            print(f"{name}: failed: {scenario}")
    print(f"\n{'server':<24}{'passed':>8}{'failed':>8}{'skipped':>9}  date (UTC)")
    for row in rows.values():
        numbers = f"{row.passed:>8}{len(row.failed):>8}{len(row.skipped):>9}"
        print(f"{row.kind:<24}{numbers}  {row.when:%Y-%m-%d %H:%M}  {row.origin}")
    return 1 if any(row.failed for row in rows.values()) else 0


def run(kind: Kind) -> Row | None:
    """Run all scenarios on this server; None where pytest wrote no report."""
    commit, when = checkout(), datetime.now(UTC)
    print(f"{kind.name}: {_origin(kind)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-rs", _WHAT, "--server", kind.name]
        subprocess.run(
            [*command, f"--junitxml={report}"],
            cwd=_ROOT,
            env={**os.environ, "XMPP_MOVED_FULL": "1"},
            timeout=_TIMEOUT,
            check=False,
        )
        if not report.exists():
            return None
        cases = list(ET.parse(report).iter("testcase"))
    failed, skipped = [], []
    for case in cases:
        # test_scenario[name-kind]
        name = case.get("name", "").partition("[")[2].removesuffix(f"-{kind.name}]")
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(name)
        elif case.find("skipped") is not None:
            skipped.append(name)
    passed = len(cases) - len(failed) - len(skipped)
    return Row(kind.name, _origin(kind), commit, when, passed, tuple(failed), tuple(skipped))


def write(rows: Mapping[str, Row]) -> None:
    """Put these rows into docs/lab/versions.md; rows of other servers stay, and other sections."""
    lines: dict[str, str] = {}
    rest = ""
    if DOCS.exists():
        mine, mark, text = DOCS.read_text().partition(MACHINES)
        rest = mark + text
        for line in mine.splitlines():
            name = line.removeprefix("| ").partition(" ")[0]
            if line.startswith("| ") and name in _ALL:
                lines[name] = line
    lines |= {name: row.markdown() for name, row in rows.items()}
    rows_now = "".join(f"{lines[name]}\n" for name in _ALL if name in lines)
    DOCS.write_text(_HEAD + rows_now + rest)


def _origin(kind: Kind) -> str:
    suite = SUITE_OF.get(kind.name)
    if suite is None:
        return _version(kind)
    rootfs, server = RootFs(suite), kind.name.partition("-")[0]
    runtime = f", Erlang {rootfs.version('erlang-base')}" if server == "ejabberd" else ""
    return f"Debian {suite}, {rootfs.version(server)}{runtime}"


def _version(kind: Kind) -> str:
    if kind.program.is_file():
        library = kind.program.parents[1] / "lib" / "prosody" / "prosody.version"
        version = library.read_text().strip()
    else:
        version = next(kind.program.glob("usr/lib/*/ejabberd-*")).resolve().name.partition("-")[2]
    fetched = kind.program.is_relative_to(_ROOT)
    return f"{'Debian bookworm-backports' if fetched else 'this system'}, {version}"


def _counted(names: tuple[str, ...]) -> str:
    return f"{len(names)}: {', '.join(names)}" if names else "0"


def checkout() -> str:
    """The version and the commit that is tested."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=False, timeout=30
        )
        return done.stdout.strip()

    changed = " with changes" if git("status", "--porcelain", "component", "tests") else ""
    return f"{component.__version__} at {git('rev-parse', '--short', 'HEAD')}{changed}"


if __name__ == "__main__":
    sys.exit(main())
