"""Options of the whole test run."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.full import FULL

# How long an example takes is the machine's business: a busy one must not fail a test.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

pytest_plugins = ("tests.postgres",)

_MEMORY = Path("/dev/shm")
_MEMORY_NEEDED = 4 * 1024**3

# Folders of tests lie in memory where there is room: a commit takes 0.04 ms there and 6 on a disk.
# pytest reads this variable (its _pytest/tmpdir.py) for the folder above all that it makes.
if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _MEMORY_NEEDED:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))

# Where no bytecode may be written, each worker and each child compiles all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# pytest-xdist sets these for its workers; the width of a table must not depend on it.
for _name in ("COLUMNS", "LINES"):
    os.environ.pop(_name, None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--server``."""
    parser.addoption(
        "--server",
        default="",
        help="comma-separated servers for the live tests, e.g. prosody-0.12; all by default",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what has the mark ``full``, unless this is a full run."""
    out = [] if FULL else [item for item in items if item.get_closest_marker("full")]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if not item.get_closest_marker("full")]


@pytest.fixture
def disk_path() -> Iterator[Path]:
    """A folder on a real file system, for what memory cannot do (chattr, a mount, a full disk)."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)
