"""Chooses which of many inputs the corpus keeps: the smallest that reach something new."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

from tests.fuzz.targets import Target

_OURS: Final = str(Path(__file__).parents[2] / "component")
_HASH = re.compile(r"[0-9a-f]{16}")
Reached = set[tuple[str, int, int]]


def merge(target: Target, learnt: Path, most: int) -> int:
    """Keep in the corpus what reaches lines, by another way, that the rest does not.

    Files whose name is no hash are seeds and regressions: they stay.

    :param learnt: the folder of inputs found.
    :param most: bytes that the chosen ones may have together.
    """
    inputs = target.inputs()
    fixed = {name: data for name, data in inputs.items() if not _HASH.fullmatch(name)}
    reached: Reached = set()
    for data in fixed.values():
        reached |= _reached(target.run, data)
    others = {data for name, data in inputs.items() if name not in fixed}
    others |= {path.read_bytes() for path in learnt.iterdir()}
    size, chosen = 0, {}
    for data in sorted(others, key=lambda data: (len(data), data)):
        if size + len(data) > most:
            break
        new = _reached(target.run, data) - reached
        if new:
            reached |= new
            size += len(data)
            chosen[hashlib.sha256(data).hexdigest()[:16]] = data
    for name in inputs.keys() - fixed.keys() - chosen.keys():
        (target.corpus / name).unlink()
    for name, data in chosen.items():
        (target.corpus / name).write_bytes(data)
    print(f"{target.name}: {len(fixed)} seeds, {len(chosen)} others of {size} bytes")
    return 0


def _reached(run: Callable[[bytes], None], data: bytes) -> Reached:
    """The steps from line to line that an input takes within the component."""
    found: Reached = set()

    def enter(frame: FrameType, event: str, _argument: Any) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(_OURS):
            return None
        before = frame.f_lineno

        def step(frame: FrameType, event: str, _argument: Any) -> Any:
            nonlocal before
            if event == "line":
                found.add((name, before, frame.f_lineno))
                before = frame.f_lineno
            return step

        return step

    sys.settrace(enter)
    try:
        run(data)
    finally:
        sys.settrace(None)
    return found
