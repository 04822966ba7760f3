"""The README's blocks: what an administrator pastes, and the one line that a test changes."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
EXAMPLE = "example.org"
"""The host of whoever reads the README."""
_DONE_BEFORE = (
    ("apt-get install -y python3-venv && packaging/build-deb.sh && ", ""),
    ("packaging/build-deb.sh && ", ""),
    ("./dist/", "/srv/dist/"),
)
"""The package takes its libraries from the network: it is built before, for each suite."""
_BLOCK = re.compile(r"^<!-- run: (\S+) -->\n+```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def names() -> list[str]:
    """The names of all blocks, in their order."""
    return [name for name, _ in _BLOCK.findall(README.read_text())]


def block(name: str, domain: str) -> str:
    """A block as somebody pastes it whose host is ``domain``.

    :raises LookupError: the README has none of that name, or it builds the package in another way.
    """
    found = [text for named, text in _BLOCK.findall(README.read_text()) if named == name]
    if len(found) != 1:
        raise LookupError(f"README.md has {len(found)} blocks <!-- run: {name} -->")
    text: str = found[0].replace(EXAMPLE, domain)
    for theirs, ours in _DONE_BEFORE:
        text = text.replace(theirs, ours)
    if "build-deb" in text:
        raise LookupError(f"the block {name} builds the package in another way than is known here")
    return text
