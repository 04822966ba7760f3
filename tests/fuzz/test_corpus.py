"""The corpus: each input that was kept, and every one that once broke something."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.mutate import Mutator
from tests.fuzz.targets import CORPUS, TARGETS, Target

CHANGED = 40
"""Changed inputs for each target, the same in each run."""
_MOST_BYTES = 300 * 1024


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
def test_kept_inputs(target: Target) -> None:
    inputs = target.inputs()
    assert inputs, f"no corpus for {target.name}"
    for name, data in inputs.items():
        try:
            target.run(data)
        except Exception as error:
            raise AssertionError(f"{target.name}/{name}: {error!r}") from error


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
def test_changed_inputs(target: Target) -> None:
    fodder = list(target.inputs().values())
    rng = random.Random(target.name)
    for _ in range(CHANGED):
        data = Mutator(rng, fodder).change(rng.choice(fodder), target.longest)
        try:
            target.run(data)
        except Exception as error:
            raise AssertionError(f"{target.name}: {data!r}: {error!r}") from error


def test_the_corpus_is_small() -> None:
    sizes = [path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()]
    assert sum(sizes) <= _MOST_BYTES
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
