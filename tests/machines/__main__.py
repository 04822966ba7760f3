"""``make test-machines``: all tests of machines, and their section of docs/lab/versions.md.

``python -m tests.machines [argument of pytest ...]``; a run with arguments is narrowed, and its
section is printed, not written.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.full import counts
from tests.matrix import DOCS, MACHINES, checkout

ROOT = Path(__file__).parents[2]
_HEAD = """
Written by `make test-machines`. Each machine is a Debian root of the suite, booted with its own
systemd in namespaces. The servers have Debian's own configuration (Snikket's:
`tests/machines/snikket.py`), TLS by a test's own authority, and find each other by DNS. The blocks
of the README run there to the letter, but for the line that builds the package, which is built
before in each suite.
"""


@dataclass(slots=True)
class Case:
    """What a report says of one test."""

    test: str
    result: str
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def parameter(self) -> str:
        """What stands in brackets."""
        return self.test.partition("[")[2].removesuffix("]")

    @property
    def shown(self) -> str:
        """The result, with how long it took where that was noted."""
        seconds = self.facts.get("seconds")
        return f"{self.result}, {seconds} s" if seconds else self.result


def cases(report: str) -> list[Case]:
    """The tests of a JUnit report."""
    found = []
    for case in ET.fromstring(report).iter("testcase"):
        bad = case.find("failure") is not None or case.find("error") is not None
        result = "**failed**" if bad else "green"
        if case.find("skipped") is not None:
            result = "not run"
        facts = {one.get("name", ""): one.get("value", "") for one in case.iter("property")}
        found.append(Case(case.get("name", ""), result, facts))
    return found


def section(report: str, commit: str, when: datetime, seconds: float) -> str:
    """The section of the page, without its heading."""
    passed, skipped, failed = counts(report)
    all_cases = cases(report)

    def of(test: str) -> dict[str, Case]:
        named = (case for case in all_cases if case.test.startswith(f"{test}["))
        return {case.parameter: case for case in named}

    block = of("test_the_block_of_the_readme")
    whole, moves = of("test_the_server_has_what_it_had"), of("test_a_whole_move")
    updated, removed = of("test_it_is_updated"), of("test_it_is_removed")
    lines = [
        _HEAD,
        f"The last run: {when:%Y-%m-%d %H:%M} UTC, {commit}: {passed} passed, {skipped} skipped, "
        f"{failed} failed, {seconds / 60:.0f} minutes.",
        "",
        "| machine | server | the README's block, then `check` | modules, service | updated, "
        "pasted again | removed, nothing left |",
        "|---|---|---|---|---|---|",
    ]
    for name, case in block.items():
        server = case.facts.get("server", "")
        rest = [one[name].shown if name in one else "not run" for one in (whole, updated, removed)]
        lines.append(f"| {' | '.join((name, server, case.shown, *rest))} |")
    lines += ["", "| a whole move over s2s, contacts elsewhere follow | |", "|---|---|"]
    lines += [f"| {name.replace('-to-', ' to ')} | {case.shown} |" for name, case in moves.items()]
    others = [case for case in all_cases if "[" not in case.test]
    lines += ["", "| besides | |", "|---|---|"]
    lines += [
        f"| {case.test.removeprefix('test_').replace('_', ' ')} | {case.shown} |" for case in others
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """The command; the exit code is pytest's."""
    begun, clock, commit = datetime.now(UTC), time.monotonic(), checkout()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-v", "-rs", f"--junitxml={report}"]
        command += ["-o", "junit_family=xunit1"]  # it has properties
        done = subprocess.run(
            [*command, "tests/machines", *arguments],
            cwd=ROOT,
            env={**os.environ, "XMPP_MOVED_MACHINES": "1"},
            check=False,
        ).returncode
        written = report.read_text() if report.exists() else ""
    if not written:
        return done
    text = section(written, commit, begun, time.monotonic() - clock)
    if arguments:
        print(text)
        return done
    before = DOCS.read_text().partition(MACHINES)[0]
    DOCS.write_text(before.rstrip("\n") + "\n" + MACHINES + text)
    return done


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
