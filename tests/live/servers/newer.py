"""Servers of Debian's newer suites: run only where they are named (``make test-matrix``)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.live.servers import ejabberd, prosody
from tests.live.servers.base import Server, ServerSpec
from tests.live.servers.differences import KINDS, Kind
from tests.live.servers.rootfs import SUITES, RootFs

NAMES = {
    "trixie-backports": ("prosody-13.0.6", "ejabberd-26.07"),
    "forky": ("prosody-13.0.7", "ejabberd-26.07-otp29"),
    "trixie": ("prosody-13.0.1-trixie", "ejabberd-24.12-otp27"),
}
"""What newer.sh found in each suite.  A suite moves on: then its servers are not available under
these names, the reason says so, and the names here are to be changed."""

SUITE_OF = {name: suite for suite, names in NAMES.items() for name in names}
"""The suite of each name."""


def _prosody(rootfs: RootFs, name: str, _: Path, spec: ServerSpec, folder: Path) -> Server:
    inside = Path("/usr/bin/prosody")
    return prosody.Prosody(prosody.Installation(name, inside, rootfs.launcher), spec, folder)


def _ejabberd(rootfs: RootFs, name: str, root: Path, spec: ServerSpec, folder: Path) -> Server:
    return ejabberd.Ejabberd(ejabberd.Installation(name, root, rootfs.launcher), spec, folder)


def _kinds() -> Iterator[Kind]:
    for suite in SUITES:
        rootfs = RootFs(suite)
        for name in NAMES[suite]:
            server, wanted = name.split("-")[:2]
            found = rootfs.version(server)
            program = rootfs.path / ("usr/bin/prosody" if server == "prosody" else "")
            missing = f"{name} is not there: run tests/bootstrap/newer.sh {suite}"
            if found is not None and not found.startswith(f"{wanted}-"):
                # A path that never exists: what is there is not what the name says.
                program /= "another-version"
                missing = (
                    f"{suite} has {server} {found}, which has no name in {Path(__file__).name}"
                )
            if server == "prosody":
                make, noise = partial(_prosody, rootfs), KINDS["prosody-13.0"].noise
                like = KINDS["prosody-13.0"]
            else:
                make, noise = partial(_ejabberd, rootfs), ejabberd.Differences()
                like = KINDS["ejabberd-24.12"]
            yield replace(like, name=name, program=program, missing=missing, noise=noise, make=make)


NEWER = {kind.name: kind for kind in _kinds()}
"""The kinds of Debian's newer suites, by the names that ``--server`` takes."""
