"""What makes inputs: atheris (libFuzzer, guided by coverage) where it is there, else chance.

Either runs one target for a while in a process of its own, so that a target that grows without
bound or never returns ends that process alone: ``python -m tests.fuzz.engines TARGET SECONDS RUNS
SEED LEARNT FINDINGS``.  That process must not have imported the component before: atheris marks the
code as it is imported.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import random
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Final

MEMORY_MB: Final = 700
INPUT_SECONDS: Final = 10
"""What one input may take."""
PACKAGES: Final = ["component"]
"""Whose coverage counts."""


def has_atheris() -> bool:
    """Whether the optional extra ``fuzz`` is installed."""
    return importlib.util.find_spec("atheris") is not None


def guided(name: str, seconds: int, runs: int, learnt: Path, findings: Path) -> None:
    """Run a target by atheris until time or runs are used up; does not return.

    :param learnt: the folder that inputs go to which reach something new.
    :param findings: gets the input of a failure.
    """
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=PACKAGES):
        target = importlib.import_module("tests.fuzz.targets").TARGETS[name]
    mutate = importlib.import_module("tests.fuzz.mutate")
    fodder = list(target.inputs().values())

    def change(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.3:
            changed: bytes = atheris.Mutate(data, most)
            return changed
        made: bytes = mutate.Mutator(rng, fodder).change(data, most)
        return made

    arguments = [
        sys.argv[0],
        f"-max_total_time={seconds}",
        f"-runs={runs}",
        f"-max_len={target.longest}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-timeout={INPUT_SECONDS}",
        f"-artifact_prefix={findings}/{name}-",
        "-print_final_stats=1",
        "-verbosity=1",
        "-len_control=0",
        str(learnt),
        str(target.corpus),
    ]
    atheris.Setup(arguments, target.run, custom_mutator=change)
    atheris.Fuzz()


def by_chance(name: str, seconds: int, runs: int, seed: int, findings: Path) -> int:
    """Run a target with changed inputs of its corpus; returns how many were run.

    :raises AssertionError: a property does not hold; the input is in ``findings``.
    """
    targets = importlib.import_module("tests.fuzz.targets")
    mutate = importlib.import_module("tests.fuzz.mutate")
    target = targets.TARGETS[name]
    fodder = list(target.inputs().values()) or [b""]
    rng = random.Random(f"{name} {seed}")
    until = time.monotonic() + seconds
    done = 0
    while done < runs and time.monotonic() < until:
        data = mutate.Mutator(rng, fodder).change(rng.choice(fodder), target.longest)
        try:
            target.run(data)
        except Exception:
            found = findings / f"{name}-crash-{hashlib.sha1(data).hexdigest()}"
            found.write_bytes(data)
            traceback.print_exc()
            raise AssertionError(f"{name}: see {found}") from None
        done += 1
    return done


def main(name: str, seconds: str, runs: str, seed: str, learnt: str, findings: str) -> None:
    """One turn of one target."""
    if has_atheris():
        guided(name, int(seconds), int(runs), Path(learnt), Path(findings))
    else:
        done = by_chance(name, int(seconds), int(runs), int(seed), Path(findings))
        print(f"stat::number_of_executed_units: {done}")


if __name__ == "__main__":
    main(*sys.argv[1:])
