"""Puts the server modules where a server finds them."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

MODULE = "mod_moved_hook"
"""The module's name, and the folder it comes in, on both servers."""
PROSODY_FOLDER = Path("/usr/local/lib/prosody/modules")
EJABBERD_FOLDER = Path("/var/lib/ejabberd/.ejabberd-modules/sources")
EJABBERD_USER = "ejabberd"
"""As whom Debian's ejabberd runs."""


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
    :raises InstallError: it does not exist, cannot be written to, or ejabberd cannot compile there
    """
    if folder.is_dir() and (wrong := ejabberd_cannot_write(folder)):
        raise InstallError(wrong)
    return _install("ejabberd", folder, "the folder sources in ejabberd's CONTRIB_MODULES_PATH")


def ejabberd_cannot_write(folder: Path) -> str | None:
    """Why ``module_install`` would fail: it writes beside ``sources`` as ejabberd's own user."""
    try:
        user = pwd.getpwnam(EJABBERD_USER)
    except KeyError:
        return None  # ejabberd runs elsewhere, or as somebody whom we do not know
    both = (folder.absolute().parent, folder.absolute())
    if all(path.stat().st_uid == user.pw_uid for path in both):
        return None
    return (
        f"ejabberd compiles the module in {both[0]}, and not all of it is its own; "
        f"run: install -d -o {EJABBERD_USER} -g {EJABBERD_USER} {both[0]} {both[1]}"
    )


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of a server's on this machine that has the module."""

    folder: Path
    found: str
    wrong: str | None
    """What to do; None: nothing is amiss."""


def placed() -> Iterator[Place]:
    """The module in the folders that the README names, as far as we may look into them."""
    for server, folder in (("prosody", PROSODY_FOLDER), ("ejabberd", EJABBERD_FOLDER)):
        with suppress(OSError):
            if (folder / MODULE).is_dir():
                yield _look(server, folder)


def _look(server: str, folder: Path) -> Place:
    source = files("component.hooks").joinpath(server, MODULE)
    again = f"run: xmpp-moved hook {server} --to {folder}, and do what it prints"
    for path, item in _walk(source):
        target = folder / MODULE / path
        if not target.is_file() or target.read_bytes() != item.read_bytes():
            return Place(folder, "of another version than this program", again)
        if not target.stat().st_mode & 0o004:
            return Place(folder, f"{path} cannot be read by the server", f"chmod a+r {target}")
    if server == "ejabberd":
        if wrong := ejabberd_cannot_write(folder):
            return Place(folder, "not all of it is ejabberd's own", wrong)
        if not ejabberd_compiled(folder):
            return Place(folder, "not compiled", f"run: ejabberdctl module_install {MODULE}")
    return Place(folder, "of this version", None)


def ejabberd_compiled(folder: Path) -> bool:
    """Whether ``module_install`` has compiled the module whose sources are in this folder."""
    return (folder.absolute().parent / MODULE / "ebin" / f"{MODULE}.beam").is_file()


def _install(server: str, folder: Path, meant: str) -> Installed:
    """Copy a module: each file in one step and only if it differs, nothing else touched."""
    if not folder.is_dir():
        raise InstallError(f"{folder} is no folder; create it (mkdir -p {folder}), or name {meant}")
    source = files("component.hooks").joinpath(server, MODULE)
    try:
        owner = folder.stat()
        found = {_put(item, folder / MODULE / path, owner) for path, item in _walk(source)}
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


def make_folder(folder: Path) -> None:
    """Make a folder that belongs to whom the one around it belongs to.

    :raises InstallError: it cannot be made
    """
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o755)
            _give(folder, folder.parent.stat())
    except OSError as error:
        raise InstallError(
            f"{folder} cannot be made ({error.strerror or error}); is its place right?"
        ) from error


def write_own(file: Path, text: str, header: str) -> Installed:
    """Write a file that is ours alone, with the secret in it: the server's group may read it.

    :param header: how a file of ours begins; another is not replaced
    :raises InstallError: it cannot be written, or holds something else
    """
    try:
        with suppress(FileNotFoundError):
            if not file.read_text(errors="replace").startswith(header):
                raise InstallError(f"{file} holds something else; name a file of its own")
        return _write(file, text.encode(), file.parent.stat(), 0o640)
    except OSError as error:
        raise _unwritable(file, error) from error


def write_edited(
    file: Path, edit: Callable[[str], str], without: Callable[[str], str]
) -> Installed:
    """Change a server's configuration; what it was is kept beside it as ``FILE.before-moved``.

    :param edit: the new text from the old
    :param without: the text without what ``edit`` puts in
    :raises InstallError: it cannot be read or written; then it is as it was
    """
    try:
        old = file.read_bytes()
        text, ends = old.decode(), "\n"
        if text.count("\r\n") == text.count("\n") > 0:
            text, ends = text.replace("\r\n", "\n"), "\r\n"
        new = edit(text).replace("\n", ends).encode()
        if new != old and without(text) == text:
            shutil.copy2(file, before := file.with_name(f"{file.name}.before-moved"))
            _give(before, file.stat())
        return _write(file, new, file.stat(), file.stat().st_mode & 0o777)
    except UnicodeDecodeError:
        raise InstallError(f"{file} is no UTF-8 text; it is untouched") from None
    except OSError as error:
        raise _unwritable(file, error) from error


def _unwritable(file: Path, error: OSError) -> InstallError:
    reason = error.strerror or type(error).__name__
    return InstallError(f"{file} cannot be written ({reason}); run this as root, or name another")


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


def _put(source: Traversable, target: Path, owner: os.stat_result) -> Installed:
    """Write one file, readable by all (servers have users of their own)."""
    for parent in reversed(target.parents):
        if not parent.exists():
            parent.mkdir()
            parent.chmod(0o755)
            _give(parent, owner)
    return _write(target, source.read_bytes(), owner, 0o644)


def _write(target: Path, content: bytes, owner: os.stat_result, mode: int) -> Installed:
    """Write a file in one step, and only if it differs; root gives it to the owner named."""
    with suppress(FileNotFoundError):
        if target.read_bytes() == content:
            return Installed.SAME
    state = Installed.UPDATED if target.exists() else Installed.NEW
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        _give(temporary, owner)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return state


def _give(path: Path, owner: os.stat_result) -> None:
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)
