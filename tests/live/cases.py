"""Combinations of which ``make test`` runs a few, and ``make test-full`` all."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import product
from typing import Any

import pytest


def cases(often: Collection[str], *axes: Iterable[object]) -> list[Any]:
    """Every combination, for ``parametrize``; those that are not named have the mark ``full``.

    Its id names a combination: names of kinds, and other values as they print.
    """
    combinations = {
        "-".join(str(getattr(value, "name", value)) for value in values): values
        for values in product(*axes)
    }
    assert combinations.keys() >= set(often), combinations.keys()
    return [
        pytest.param(*values, id=name, marks=() if name in often else pytest.mark.full)
        for name, values in combinations.items()
    ]
