"""The unit tests with the Python and the OpenSSL of a newer suite than the developers' machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.machines.machine import CACHE, ROOT, inside, layers

PACKAGES = ("python3-venv", "openssl", "man-db", "git")


def test_units_on_trixie(record_property: Callable[[str, object], None]) -> None:
    """Python 3.13 with OpenSSL 3.5; in a root that is not booted."""
    cache = CACHE / "pip"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tree-", dir=CACHE) as folder:
        _copy(Path(folder))
        said = inside(
            layers("trixie", "units", PACKAGES),
            "export PIP_CACHE_DIR=/srv/cache; cd /srv/tree\n"
            "python3 -m venv /tmp/venv; /tmp/venv/bin/pip install -q -e '.[test]'\n"
            "/tmp/venv/bin/python -c 'import ssl, sys; print(sys.version.split()[0], "
            "ssl.OPENSSL_VERSION)'\n"
            "/tmp/venv/bin/python -m pytest -q tests --ignore tests/live -n 2 --dist worksteal "
            "-p no:cacheprovider 2>&1 | tail -n 60\n",
            folders={Path(folder): "/srv/tree", cache: "/srv/cache"},
            timeout=1500,
        )
    found = re.search(r"(\d+ passed.*) in ([\d.]+)s", said)
    assert found is not None, said
    record_property("seconds", found[2])
    assert "failed" not in found[1], said
    assert said.startswith("3.13"), said


def _copy(folder: Path) -> None:
    """The tree as it is here, without what is not part of it."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
