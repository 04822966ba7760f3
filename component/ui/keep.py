"""Files that a command makes for its user: whole or not there, and for nobody else to read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from component.ui.exits import CommandFailed


def check_target(target: Path, *, force: bool) -> None:
    """Say what is wrong with a file's place before any work is done for it.

    :raises CommandFailed: it cannot be made there.
    """
    if target.is_dir():
        raise CommandFailed(f"{target} is a folder; name a file in it")
    if not force and os.path.lexists(target):
        raise _exists(target)
    if not os.access(target.parent, os.W_OK | os.X_OK):
        what = "may not be written to" if target.parent.is_dir() else "does not exist"
        raise CommandFailed(f"the folder {target.parent} {what}; name another one")


@contextmanager
def new_file(target: Path, *, force: bool) -> Iterator[BinaryIO]:
    """A file with mode 0600, which gets its name when the block has ended well, and not before.

    :param force: whether it may take the place of another.
    :raises CommandFailed: it cannot be made there, or another has come there meanwhile.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with open(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if force:
                os.replace(name, target)
            else:
                os.link(name, target)  # unlike a rename, it replaces nothing
        finally:
            Path(name).unlink(missing_ok=True)
    except FileExistsError:
        raise _exists(target) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise CommandFailed(f"{target} cannot be written: {reason}; name another place") from error


def _exists(target: Path) -> CommandFailed:
    return CommandFailed(f"{target} exists; name another file, or give --force")
