"""Reads one of the large files and says how much memory that took; a process of its own.

``python -m tests.unit.account.weigh NAME`` prints JSON: ``before`` and ``peak`` (KiB resident,
VmHWM of proc(5)), ``bytes`` of the file that were read, ``pieces``, ``seconds``, and ``why``
where it was refused.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

from component.account.errors import BadFile
from component.account.read import Reader
from tests.unit.account.files import MADE, Parts


def resident(process: int | str = "self") -> int:
    """The most of a process that has been resident (KiB)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found is not None
    return int(found[1])


def main(name: str) -> None:
    """Read it, print what there is to say."""
    file = Parts(MADE[name]())
    before, begun, pieces, why = resident(), time.monotonic(), 0, None
    try:
        for _ in Reader(file):  # type: ignore[arg-type]
            pieces += 1
    except BadFile as error:
        why = error.why.value
    seconds = round(time.monotonic() - begun, 2)
    peak = resident()
    result = {"before": before, "peak": peak, "bytes": file.given, "pieces": pieces}
    print(json.dumps({**result, "seconds": seconds, "why": why}))


if __name__ == "__main__":
    main(sys.argv[1])
