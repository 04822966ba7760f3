"""A throw-away PostgreSQL for the tests: real, and gone at the end.

Fixtures: :func:`postgres`, the server that tests share; :func:`postgres_url`, a fresh database on
it.  Both skip the test where PostgreSQL is not installed.  A test that stops or kills a server
starts one of its own with :func:`cluster`.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest

from tests.live.servers.addresses import free_address
from tests.live.servers.process import LEASH, Process, tail

PORT = 5432
USER = "moved"
"""Owns the databases, and is no superuser."""
_ADMIN = "postgres"
_START_SECONDS = 60.0
_numbers = count(1)


def programs() -> Path | None:
    """The folder with PostgreSQL's programs, the newest where there are several; None: there is
    none."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    found.sort(key=lambda path: int(path.parent.name))
    on_path = shutil.which("initdb")
    return found[-1] if found else Path(on_path).parent if on_path else None


class Postgres:
    """A cluster in a folder, and its server while that runs.

    :param durable: sync to the disk, as a real one does; costs time
    """

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        found = programs()
        if found is None:
            pytest.skip("PostgreSQL is not installed (Debian package postgresql)")
        self._programs = found
        self._folder = folder
        self._durable = durable
        self.address = free_address()
        """Where it listens, at :data:`PORT`."""
        self._as_user: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            user = _account("postgres") or pwd.getpwnam("nobody")
            os.chown(folder, user.pw_uid, user.pw_gid)
            ids = ("--reuid", str(user.pw_uid), "--regid", str(user.pw_gid))
            self._as_user = ["setpriv", *ids, "--clear-groups"]
        # A collation of people, not of bytes: that of most real databases.
        locale = ("--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en", "-E", "UTF8")
        where = ("-D", str(folder / "data"), "-U", _ADMIN, "-A", "trust")
        self._run("initdb", "--no-sync", *where, *locale)
        self._server: Process | None = None

    async def start(self) -> None:
        """Start, or start again after :meth:`kill`; it takes connections on return."""
        assert self._server is None or self._server.returncode is not None
        settings = {
            "listen_addresses": self.address,
            "port": PORT,
            "unix_socket_directories": str(self._folder),
            "max_connections": 100,
            "fsync": "on" if self._durable else "off",
            "shared_buffers": "16MB",
            "jit": "off",
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        command = [str(self._programs / "postgres"), "-D", str(self._folder / "data"), *options]
        # The leash again, because a change of the user takes it off.
        command = [*self._as_user, *LEASH[1:], *command] if self._as_user else command
        log = self._folder / "log"
        self._server = Process(command, cwd=self._folder, output=log)
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not await asyncio.to_thread(self._ready):
                    if self._server.returncode is not None:
                        raise RuntimeError(f"PostgreSQL does not start:\n{tail(log)}")
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise RuntimeError(f"PostgreSQL is not ready:\n{tail(log)}") from None

    @property
    def pid(self) -> int:
        """Of the process whose children do the work."""
        assert self._server is not None
        return self._server.pid

    async def kill(self) -> None:
        """SIGKILL for the server and, by its own rules, for all its processes."""
        assert self._server is not None
        children = [os.pidfd_open(child) for child in _children_of(self._server.pid)]
        await self._server.kill()
        for child in children:
            await asyncio.to_thread(_gone, child)

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Stop all its processes (SIGSTOP): it neither answers nor closes anything."""
        assert self._server is not None
        stopped = [self._server.pid]  # first, so that it starts no more
        os.kill(self._server.pid, signal.SIGSTOP)
        try:
            for child in _children_of(self._server.pid):
                os.kill(child, signal.SIGSTOP)
                stopped.append(child)
            yield
        finally:
            for pid in reversed(stopped):
                os.kill(pid, signal.SIGCONT)

    async def stop(self) -> None:
        """End it, in order but without waiting for clients."""
        if self._server is None or self._server.returncode is not None:
            return
        self._run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(self._folder / "data"))
        await self._server.wait(10.0)

    def sql(self, *statements: str, database: str = "postgres") -> str:
        """Execute as a superuser; what they print, without alignment."""
        commands = [word for statement in statements for word in ("-c", statement)]
        quiet = ("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
        return self.client("psql", database, *quiet, *commands)

    def client(self, program: str, database: str, *arguments: str) -> str:
        """Run one of PostgreSQL's client programs as a superuser; what it prints."""
        where = ("-h", str(self._folder), "-p", str(PORT), "-U", _ADMIN, "-d", database)
        return self._run(program, *where, *arguments)

    @contextmanager
    def database(self, like: str = "template1") -> Iterator[str]:
        """The URL of an empty database, or a copy of another, dropped in the end.

        Dropping fails where somebody is still connected: whoever used it closes everything.
        """
        name = f"moved{next(_numbers)}"
        self.sql(f"CREATE DATABASE {name} OWNER {USER} TEMPLATE {like} STRATEGY file_copy")
        yield f"postgresql+asyncpg://{USER}@{self.address}:{PORT}/{name}"
        self.sql(f"DROP DATABASE {name}")

    def _ready(self) -> bool:
        tried = subprocess.run(
            [self._programs / "pg_isready", "-q", "-h", self.address, "-p", str(PORT)], check=False
        )
        return tried.returncode == 0

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [*self._as_user, str(self._programs / program), *arguments],
            cwd=self._folder,
            check=False,
            capture_output=True,
            text=True,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")
        return done.stdout


@asynccontextmanager
async def cluster(*, durable: bool = False) -> AsyncIterator[Postgres]:
    """A running server of the test's own; skips the test where there is no PostgreSQL."""
    # Not in pytest's folder: only its owner, and not the server's user, may enter that.
    # Beside it, in memory where there is room (tests/conftest.py); what syncs is on a disk.
    where = "/var/tmp" if durable else os.environ.get("PYTEST_DEBUG_TEMPROOT")
    folder = Path(tempfile.mkdtemp(prefix="moved-pg-", dir=where))
    try:
        made = Postgres(folder, durable=durable)
        await made.start()
        try:
            made.sql(f"CREATE ROLE {USER} LOGIN")
            yield made
        finally:
            await made.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running server that tests share; each uses a database of its own."""
    with asyncio.Runner() as runner:
        held = cluster()
        server = runner.run(held.__aenter__())
        try:
            yield server
        finally:
            runner.run(held.__aexit__(None, None, None))


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """The URL of an empty database."""
    with postgres.database() as url:
        yield url


def _account(name: str) -> pwd.struct_passwd | None:
    with suppress(KeyError):
        return pwd.getpwnam(name)
    return None


def _children_of(pid: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _gone(child: int) -> None:
    """Return when the process of this descriptor (pidfd_open(2)) has ended."""
    found, _, _ = select.select([child], [], [], 10.0)
    os.close(child)
    assert found, "a process of PostgreSQL outlives it"
