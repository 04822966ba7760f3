"""What a start does not load: each is for something rare, and takes memory for good."""

from __future__ import annotations

import subprocess
import sys

RARE = {
    "aiohttp": "files in the server's upload storage",
    "alembic": "an older database",
    "asyncpg": "PostgreSQL",
    "lxml": "XEP-0227 files",
}


def test_what_is_rare_is_not_loaded() -> None:
    program = "import sys, component.process; print(*sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in said.stdout.split()}
    assert "slixmpp" in loaded
    assert not loaded & RARE.keys()
