"""Runs the fuzzer: ``python -m tests.fuzz --minutes 60 [--target NAME]``.

Targets take turns, each in a process of its own, one process at a time.  What is found lies in
``.cache/fuzz/findings``, what was learnt in ``.cache/fuzz/learnt``; ``--keep`` puts the smallest
inputs that reach all that was reached into the corpus.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from tests.fuzz import engines
from tests.fuzz.merge import merge
from tests.fuzz.targets import TARGETS, Target

CACHE: Final = Path(__file__).parents[2] / ".cache" / "fuzz"
FINDINGS: Final = CACHE / "findings"
RUNS: Final = 10_000_000
SLICE_SECONDS: Final = 60
_KEPT_BYTES = 16_000
"""Of each target's corpus."""
_DONE = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_NEWS = re.compile(r"#\d+\s+(NEW|REDUCE|pulse|INITED|RELOAD)|NEW_FUNC|\tNEW_")
_COVERED = re.compile(r"\bcov: (\d+)")


def main() -> int:
    """The command; 1 where something was found."""
    given = _arguments()
    FINDINGS.mkdir(parents=True, exist_ok=True)
    for name in TARGETS:
        _learnt(name).mkdir(parents=True, exist_ok=True)
    names = [given.target] if given.target else list(TARGETS)
    if given.keep:
        return max(_keep(TARGETS[name]) for name in names)
    return _all(names, given.minutes * 60, given.runs)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--runs", type=int, default=RUNS, help="inputs, at most")
    parser.add_argument("--target", choices=sorted(TARGETS))
    parser.add_argument("--keep", action="store_true", help="put what was learnt into the corpus")
    return parser.parse_args()


def _learnt(name: str) -> Path:
    return CACHE / "learnt" / name


def _all(names: list[str], seconds: float, runs: int) -> int:
    engine = "atheris" if engines.has_atheris() else "chance (atheris is not installed)"
    print(f"{len(names)} targets for {seconds / 60:g} min or {runs} inputs; inputs by {engine}")
    began = time.monotonic()
    total, failures, turn = 0, 0, 0
    executed = dict.fromkeys(names, 0)
    while names and total < runs and time.monotonic() - began < seconds:
        name = names[turn % len(names)]
        left = seconds - (time.monotonic() - began)
        length = max(1, min(SLICE_SECONDS, round(seconds / len(names)), round(left)))
        done, covered, text = _turn(name, length, runs - total, turn)
        total += done
        executed[name] += done
        turn += 1
        minutes = (time.monotonic() - began) / 60
        reached = f", {covered} edges" if covered else ""
        print(f"{minutes:6.1f} min  {total:>9} inputs  {name}: {done}{reached}", flush=True)
        if text:
            failures += 1
            print(f"FOUND in {name}:\n{text}\n", flush=True)
            names = [other for other in names if other != name]
    print(f"{total} inputs, {failures} findings: {executed}")
    return 1 if failures else 0


def _turn(name: str, seconds: int, runs: int, seed: int) -> tuple[int, int, str]:
    """Inputs run, edges reached, and the end of what was said where something was found."""
    command = [sys.executable, "-m", "tests.fuzz.engines", name, str(seconds), str(runs)]
    command += [str(seed), str(_learnt(name)), str(FINDINGS)]
    child = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = child.stdout + child.stderr
    done = sum(map(int, _DONE.findall(said)))
    covered = max(map(int, _COVERED.findall(said)), default=0)
    return done, covered, _story(child.returncode, said)


def _story(code: int, said: str) -> str:
    if code == 0:
        return ""
    lines = [line for line in said.splitlines() if not _NEWS.match(line)]
    return "\n".join([*lines[-60:], f"exit code {code}"])


def _keep(target: Target) -> int:
    """Make the corpus the smallest inputs that reach what all inputs reach.

    Files whose name does not look like a hash are regressions and seeds: they stay.
    """
    return merge(target, _learnt(target.name), _KEPT_BYTES)


if __name__ == "__main__":
    sys.exit(main())
