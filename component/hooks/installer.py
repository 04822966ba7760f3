"""Puts the server modules where a server finds them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

MODULE = "mod_moved_hook"
"""The module's name, and the folder it comes in, on both servers."""


class InstallError(Exception):
    """The module cannot be installed; the text says why and what to do."""


class Installed(StrEnum):
    """What an installation changed."""

    NEW = "new"
    UPDATED = "updated"
    SAME = "the same"


def install_prosody(folder: Path) -> Installed:
    """Copy the Prosody module to ``folder/mod_moved_hook/``.

    :param folder: one of Prosody's ``plugin_paths``; must exist
    :raises InstallError: it does not exist, or cannot be written to
    """
    return _install("prosody", folder, "one of those in Prosody's plugin_paths")


def install_ejabberd(folder: Path) -> Installed:
    """Copy the ejabberd module to ``folder/mod_moved_hook/``, for ``module_install`` to find.

    :param folder: the folder ``sources`` in ejabberd's ``CONTRIB_MODULES_PATH``; must exist
    :raises InstallError: it does not exist, or cannot be written to
    """
    return _install("ejabberd", folder, "the folder sources in ejabberd's CONTRIB_MODULES_PATH")


def _install(server: str, folder: Path, meant: str) -> Installed:
    """Copy a module: each file in one step and only if it differs, nothing else touched."""
    if not folder.is_dir():
        raise InstallError(f"{folder} is no folder; create it (mkdir -p {folder}), or name {meant}")
    source = files("component.hooks").joinpath(server, MODULE)
    try:
        found = {_put(item, folder / MODULE / path) for path, item in _walk(source)}
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InstallError(
            f"{folder} cannot be written to ({reason}); run this as a user who may, such as root"
        ) from error
    if not found:
        raise InstallError("this installation of xmpp-moved lacks the module; install it anew")
    if found == {Installed.SAME}:
        return Installed.SAME
    return Installed.NEW if found == {Installed.NEW} else Installed.UPDATED


def _walk(source: Traversable, under: str = "") -> Iterator[tuple[str, Traversable]]:
    """The files of a package folder with their relative paths, hidden ones left out."""
    if not source.is_dir():
        return
    for item in sorted(source.iterdir(), key=lambda item: item.name):
        if item.name.startswith((".", "__")):
            continue
        path = f"{under}{item.name}"
        if item.is_dir():
            yield from _walk(item, f"{path}/")
        else:
            yield path, item


def _put(source: Traversable, target: Path) -> Installed:
    """Write one file, readable by all (servers have users of their own), in one step."""
    content = source.read_bytes()
    with suppress(FileNotFoundError):
        if target.read_bytes() == content:
            return Installed.SAME
    state = Installed.UPDATED if target.exists() else Installed.NEW
    for parent in reversed(target.parents):
        if not parent.exists():
            parent.mkdir()
            parent.chmod(0o755)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return state
