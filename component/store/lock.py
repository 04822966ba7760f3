"""One writer per SQLite file: an exclusive ``flock`` beside it, with the PID inside."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from types import TracebackType

from component.store.errors import StoreError, StoreLocked, StoreReadOnly


class FileLock:
    """Holds ``<database>.lock`` until :meth:`release`, or until the process ends.

    The file stays when the lock is gone: removing it would let two processes lock
    two different files of the same name.
    """

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self.path = path

    @classmethod
    def acquire(cls, database: Path) -> FileLock:
        """Take the lock of ``database`` without waiting.

        Raises StoreLocked if another process (or this one) has it, StoreError if the
        lock file cannot be made.
        """
        path = Path(f"{database}.lock")
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            kind = StoreReadOnly if error.errno in _READ_ONLY else StoreError
            raise kind(
                f"{path} cannot be created ({error.strerror}); give the user that runs "
                f"xmpp-moved write access to the folder {path.parent}"
            ) from error
        try:
            owned_as(path, database)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            pid = _pid_in(fd)
            os.close(fd)
            raise StoreLocked(
                f"{database} is in use by another xmpp-moved (process {pid}, lock file {path}); "
                f"stop that process first, or set another [database] url"
            ) from None
        except OSError as error:
            os.close(fd)
            raise StoreError(
                f"{path} cannot be locked ({error.strerror}); put the database on a local disk "
                f"with free space that supports file locks"
            ) from error
        return cls(fd, path)

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> FileLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def owned_as(made: Path, place: Path) -> None:
    """Give a file to whom the database, or else its folder, belongs: root may work for them."""
    like = (place if place.exists() else place.parent).stat()
    if os.geteuid() == 0:
        os.chown(made, like.st_uid, like.st_gid)


_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


def _pid_in(fd: int) -> str:
    try:
        text = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
    except OSError:
        text = ""
    return text if text.isdigit() else "unknown"
