"""What Prosody sees of itself: mod_bench_profile."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter

from bench.contacts.play import Play

_NS = "urn:xmpp-moved:bench:0"


async def begin(play: Play, host: str) -> None:
    """Forget what was counted."""
    await _ask(play, host, "begin")


async def end(play: Play, host: str) -> Counter[str]:
    """Microseconds of processor time since :func:`begin`, by source file."""
    answer = await _ask(play, host, "end")
    return Counter(
        {
            file.get("name", ""): round(float(file.get("seconds", "0")) * 1e6)
            for file in answer.iter(f"{{{_NS}}}file")
        }
    )


async def _ask(play: Play, host: str, what: str) -> ET.Element:
    answer = await play.request(f"<{what} xmlns='{_NS}'/>", kind="set", to=host)
    if answer.get("type") != "result":
        raise RuntimeError(f"mod_bench_profile: {ET.tostring(answer, 'unicode')[:500]}")
    return answer
