"""How much memory a file may cost, whatever is in it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from component.account.errors import Why


# Large files: the peak of a process of its own (KiB above what it was before).
@pytest.mark.parametrize(
    ("name", "why", "most"),
    [
        ("nested", Why.DEPTH, 8_192),
        ("siblings", Why.SIZE, 8_192),
        ("text", Why.SIZE, 24_576),
        ("escaped", Why.SIZE, 24_576),
        ("attribute", Why.LENGTH, 24_576),
        ("comment", Why.LENGTH, 24_576),
        ("names", Why.NAMES, 8_192),
        ("laughs", Why.ENTITIES, 8_192),
        ("archive", None, 8_192),
        ("contacts", None, 16_384),
    ],
)
def test_memory_is_bounded_before_it_is_taken(name: str, why: Why | None, most: int) -> None:
    weighed = weigh(name)
    assert weighed["why"] == (why and why.value)
    assert weighed["peak"] - weighed["before"] < most
    if why is not None:
        assert weighed["bytes"] < 6_000_000


@pytest.mark.full  # 20 s
def test_a_hundred_megabytes_of_contacts() -> None:
    weighed = weigh("contacts-full")
    assert weighed["bytes"] > 100_000_000
    assert weighed["pieces"] == 50_001
    assert weighed["peak"] < 150 * 1024


def weigh(name: str) -> dict[str, Any]:
    """Read a large file in a process of its own."""
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "tests.unit.account.weigh", name]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    print(name, done.stdout)
    weighed: dict[str, Any] = json.loads(done.stdout)
    return weighed
