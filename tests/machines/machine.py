"""Machines: a Debian root each, booted by its own systemd, and the network that joins them.

No container engine is needed, only root.  A machine is a set of namespaces: its root is an overlay
whose upper layer takes every change (:meth:`Machine.changes`), its processes, users' sockets and
clock of processes are its own; kernel settings are read-only to it.
"""

from __future__ import annotations

import contextlib
import ctypes
import fnmatch
import hashlib
import itertools
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.machines.dns import Dns

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "machines"
GATEWAY = "10.99.0.1"
BOOT_SECONDS = 120.0
_SCRIPT = ROOT / "tests" / "bootstrap" / "machines.sh"
_CLONE_NEWNET = 0x40000000
_POWER_OFF = signal.SIGRTMIN + 4
"""What systemd takes for a poweroff (systemd(1), SIGNALS)."""
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "TERM": "dumb",
}

_BOOT = r"""
set -e
mount -t overlay -o "lowerdir=$LOWER,upperdir=$UPPER,workdir=$WORK" overlay "$ROOT"
cd "$ROOT"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for one in null zero full random urandom tty; do
    touch dev/$one
    mount --bind /dev/$one dev/$one
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for one in 0/stdin 1/stdout 2/stderr; do ln -s fd/${one%/*} dev/${one#*/}; done
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
for one in $SHARED; do
    mkdir -p "${one#*:}"
    mount --bind "${one%%:*}" "${one#*:}"
    mount -o remount,bind,ro "${one#*:}"
done
hostname "$NAME"
pivot_root . mnt
# Shared within the machine, as systemd has it anywhere but in what it takes for a container: units
# get their credentials by that.
exec chroot . /bin/sh -c 'umount -l /mnt; mount --make-rshared /; exec setpriv \
    --bounding-set -sys_module,-sys_rawio,-sys_time,-mac_admin,-mac_override,-syslog \
    env -i container=lxc PATH="$0" /lib/systemd/systemd --unit=multi-user.target' "$PATH"
"""


class MachineError(Exception):
    """A machine cannot be made or booted, or a command in it failed; says which and why."""


def missing() -> str | None:
    """Why no machine can be booted here; None: one can."""
    if os.geteuid() != 0:
        return "machines need root"
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no namespaces here: {done.stderr.strip()}" if done.returncode else None


def layers(suite: str, name: str, packages: Sequence[str]) -> tuple[Path, Path]:
    """The layers of a root, the upper one first; made where they are not in the cache.

    :raises MachineError: the packages cannot be had.
    """
    done = subprocess.run(
        [str(_SCRIPT), suite, name, *packages], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise MachineError(f"{suite}-{name}: {done.stdout[-500:]}{done.stderr[-1500:]}")
    return CACHE / f"{suite}-{name}" / "upper", CACHE / suite / "root"


def inside(
    lower: Sequence[Path], script: str, *, folders: dict[Path, str], timeout: float = 900.0
) -> str:
    """Run shell lines in a root that is not booted, with this machine's own network.

    What it changes is lost, but for what it writes into ``folders`` (absolute path there by path
    here).  pip works in it as it does here.

    :returns: what was said, on both ways.
    :raises MachineError: it failed.
    """
    with tempfile.TemporaryDirectory(prefix="root-", dir=CACHE) as own:
        for part in ("upper", "work", "root"):
            Path(own, part).mkdir()
        binds = "\n".join(
            f'mkdir -p "$ROOT{there}"; mount --bind "{here}" "$ROOT{there}"'
            for here, there in folders.items()
        )
        environment = {
            **_ENVIRONMENT,
            **_pip(),
            "LOWER": ":".join(str(layer) for layer in lower),
            "OWN": own,
            "ROOT": f"{own}/root",
            "SCRIPT": script,
        }
        done = subprocess.run(
            [
                *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
                *("--propagation", "private", "sh", "-c", _INSIDE.replace("BINDS", binds)),
            ],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
    if done.returncode != 0:
        raise MachineError(f"in a root: ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout


_INSIDE = r"""
set -e
mount -t overlay -o "lowerdir=$LOWER,upperdir=$OWN/upper,workdir=$OWN/work" overlay "$ROOT"
mount -t proc proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
mount -t tmpfs tmpfs "$ROOT/run"
mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"
cat /etc/resolv.conf > "$ROOT/etc/resolv.conf"
[ ! -e /etc/ssl/certs/ca-certificates.crt ] ||
    cp /etc/ssl/certs/ca-certificates.crt "$ROOT/run/authorities.crt"
BINDS
exec chroot "$ROOT" bash -e -o pipefail -c "$SCRIPT"
"""


def _pip() -> dict[str, str]:
    """Variables with which pip finds in a root what it finds here."""
    found = {"PIP_CERT": "/run/authorities.crt", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    for name in ("index-url", "trusted-host", "proxy"):
        for place in ("global", "install"):
            done = subprocess.run(
                [sys.executable, "-m", "pip", "config", "get", f"{place}.{name}"],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode == 0:
                found[f"PIP_{name.upper().replace('-', '_')}"] = done.stdout.strip()
    proxies = ("http_proxy", "https_proxy", "no_proxy")
    return found | {name: os.environ[name] for name in proxies if name in os.environ}


class Network:
    """A bridge in a namespace of its own, with a DNS server; also a context manager.

    The addresses are seen from within only, so that several may be used side by side.
    """

    def __init__(self) -> None:
        self.name = f"xm{os.getpid()}"
        self.addresses: dict[str, str] = {}
        """By domain; what the DNS knows."""
        self._numbers = itertools.count(2)
        self._dns: Dns | None = None

    def __enter__(self) -> Self:
        _sweep()
        _ip("netns", "add", self.name)
        _ip("-n", self.name, "link", "set", "lo", "up")
        _ip("-n", self.name, "link", "add", "bridge", "type", "bridge")
        _ip("-n", self.name, "addr", "add", f"{GATEWAY}/24", "dev", "bridge")
        _ip("-n", self.name, "link", "set", "bridge", "up")
        with self.inside():
            listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.bind((GATEWAY, 53))
        self._dns = Dns(listener, self.addresses)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._dns is not None:
            self._dns.stop()
        _ip("netns", "del", self.name)

    def join(self, domain: str) -> tuple[str, str]:
        """A namespace for the machine of a domain: its name, and its address."""
        number = next(self._numbers)
        space, address = f"{self.name}-{number}", f"10.99.0.{number}"
        _ip("netns", "add", space)
        _ip(
            *("-n", self.name, "link", "add", f"v{number}", "type", "veth"),
            *("peer", "name", "host0", "netns", space),
        )
        _ip("-n", self.name, "link", "set", f"v{number}", "master", "bridge", "up")
        _ip("-n", space, "link", "set", "lo", "up")
        _ip("-n", space, "addr", "add", f"{address}/24", "dev", "host0")
        _ip("-n", space, "link", "set", "host0", "up")
        _ip("-n", space, "route", "add", "default", "via", GATEWAY)
        self.addresses[domain] = address
        return space, address

    def leave(self, domain: str, space: str) -> None:
        """Undo :meth:`join`."""
        self.addresses.pop(domain, None)
        _ip("netns", "del", space)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets that this thread makes meanwhile are in the machines' network."""
        with open("/proc/thread-self/ns/net", "rb") as before:
            with open(f"/run/netns/{self.name}", "rb") as there:
                _set_network(there.fileno())
            try:
                yield
            finally:
                _set_network(before.fileno())


class Machine:
    """One machine, from :meth:`boot` to :meth:`stop`; also a context manager that does both.

    :param name: its host name.
    :param domain: the name under which others find it.
    :param lower: the layers of its root, the upper one first.
    :param files: written before it boots: content by absolute path.
    :param shared: folders of ours, read-only in it: absolute path there by path here.
    """

    def __init__(
        self,
        network: Network,
        name: str,
        domain: str,
        lower: Sequence[Path],
        *,
        files: dict[str, str] | None = None,
        shared: dict[Path, str] | None = None,
    ) -> None:
        self.name = name
        self.domain = domain
        self._network = network
        self._lower = lower
        self._shared = shared or {}
        running = CACHE / "running"
        running.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f"xm{os.getpid()}-{name}-", dir=running))
        self._upper = self.folder / "upper"
        self._files = {
            "/etc/hostname": f"{name}\n",
            "/etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {name}\n",
            "/etc/resolv.conf": f"nameserver {GATEWAY}\n",
            # The network is ready before it boots.
            "/etc/systemd/network/10-machine.network": "[Match]\nName=host0\n[Link]\n"
            "Unmanaged=yes\n",
            **(files or {}),
        }
        self.address = ""
        self._space = ""
        self._cgroup: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._init = 0

    def __enter__(self) -> Self:
        self.boot()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # Life -------------------------------------------------------------------------------------

    def boot(self) -> None:
        """Start it, and wait until its systemd has started all that belongs to it.

        :raises MachineError: it did not come up; says what its console said.
        """
        for part in ("upper", "work", "root"):
            (self.folder / part).mkdir(exist_ok=True)
        for path, content in self._files.items():
            file = self._upper / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        self._space, self.address = self._network.join(self.domain)
        self._cgroup = _cgroups() / f"xm{os.getpid()}-{self.name}"
        self._cgroup.mkdir(exist_ok=True)
        environment = {
            **_ENVIRONMENT,
            "LOWER": ":".join(str(layer) for layer in self._lower),
            "UPPER": str(self._upper),
            "WORK": str(self.folder / "work"),
            "ROOT": str(self.folder / "root"),
            "NAME": self.name,
            "SHARED": " ".join(
                f"{here}:{there.lstrip('/')}" for here, there in self._shared.items()
            ),
        }
        enter = f'echo $$ > {self._cgroup}/cgroup.procs; exec "$@"'
        spaces = ("--pid", "--mount", "--uts", "--ipc", "--cgroup")
        self._process = subprocess.Popen(
            [
                # Its end is ours, however we end.
                *("setpriv", "--pdeathsig", "KILL", "sh", "-c", enter, "sh"),
                *("ip", "netns", "exec", self._space),
                *("unshare", *spaces, "--fork", "--kill-child", "--propagation", "private"),
                *("sh", "-c", _BOOT),
            ],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=(self.folder / "console").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._wait_for_boot()
        self.sh("if command -v update-ca-certificates >/dev/null; then update-ca-certificates; fi")

    def _wait_for_boot(self) -> None:
        assert self._process is not None
        until = time.monotonic() + BOOT_SECONDS
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        state = ""
        while time.monotonic() < until and self._process.poll() is None:
            time.sleep(0.2)
            with contextlib.suppress(OSError):
                self._init = int((children.read_text().split() or ["0"])[0])
            if not self._init or not self._is_systemd():
                continue
            done = self.run("systemctl", "is-system-running", "--wait", check=False, timeout=60)
            state = done.stdout.strip()
            if state in ("running", "degraded"):
                return
        console = (self.folder / "console").read_text(errors="replace")[-2000:]
        raise MachineError(f"{self.name} did not boot (it is {state or 'not there'}): {console}")

    def _is_systemd(self) -> bool:
        with contextlib.suppress(OSError):
            return Path(f"/proc/{self._init}/comm").read_text().strip() == "systemd"
        return False

    def stop(self) -> None:
        """Power it off; what it had changed is gone."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._init, _POWER_OFF)
            try:
                self._process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.kill(self._init or self._process.pid, signal.SIGKILL)
                self._process.wait(timeout=30)
        if self._space:
            self._network.leave(self.domain, self._space)
            self._space = ""
        if self._cgroup is not None:
            _remove_cgroup(self._cgroup)
        shutil.rmtree(self.folder, ignore_errors=True)

    # What is done in it -----------------------------------------------------------------------

    def run(
        self,
        *command: str,
        input: str | None = None,
        timeout: float = 120.0,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it as root, with a clean environment, in /root.

        :raises MachineError: it failed, unless ``check`` is false.
        """
        spaces = ("-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w")
        variables = [f"{key}={value}" for key, value in _ENVIRONMENT.items()]
        done = subprocess.run(
            [
                *("nsenter", "-t", str(self._init), *spaces),
                *("env", "-i", "-C", "/root", *variables, *command),
            ],
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            said = f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
            raise MachineError(
                f"{self.name}: {' '.join(command)[:300]} ended with {done.returncode}:\n{said}"
            )
        return done

    def sh(self, script: str, *, timeout: float = 120.0) -> str:
        """Run lines as if they were pasted into root's shell; ends at the first that fails.

        :returns: what was said, on both ways.
        :raises MachineError: one failed.
        """
        done = self.run(
            "bash", "-e", "-o", "pipefail", "-c", f"exec 2>&1\n{script}", timeout=timeout
        )
        return done.stdout

    def write(self, path: str, content: str) -> None:
        """Write a file, owned by root, readable for all."""
        self.run("sh", "-c", 'mkdir -p "${1%/*}" && cat > "$1"', "sh", path, input=content)

    def read(self, path: str) -> str:
        """The content of a file."""
        return self.run("cat", path).stdout

    def journal(self, unit: str, lines: int = 60) -> str:
        """The end of what a unit logged."""
        return self.run(
            "journalctl", "-u", unit, "-n", str(lines), "--no-pager", check=False
        ).stdout

    def until(self, command: str, what: str, timeout: float = 60.0) -> str:
        """Run shell lines over and over until they succeed; returns what they said then.

        :raises MachineError: they do not within ``timeout`` seconds.
        """
        end = time.monotonic() + timeout
        while True:
            done = self.run("bash", "-c", command, check=False)
            if done.returncode == 0:
                return done.stdout
            if time.monotonic() > end:
                raise MachineError(f"{self.name}: no {what}: {done.stdout}{done.stderr}")
            time.sleep(0.3)

    def changes(self, without: Iterable[str] = ()) -> dict[str, str]:
        """All that differs from the root that it booted from: what each path is, by path.

        :param without: patterns (fnmatch) of absolute paths that are left out, with all below them.
        """
        left_out = re.compile("|".join(fnmatch.translate(pattern) for pattern in without) or "$.")
        found: dict[str, str] = {}
        for folder, names, files in os.walk(self._upper):
            at = Path(folder).relative_to(self._upper)
            for name in [*names, *files]:
                path = str(at / name)
                if left_out.match(f"/{path}"):
                    names[:] = [one for one in names if one != name]
                elif (now := _described(Path(folder) / name)) != self._booted_from(path):
                    found[f"/{path}"] = now
        return found

    def _booted_from(self, path: str) -> str:
        """What a path was before it booted; one that was not there was "removed"."""
        for layer in self._lower:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                return _described(layer / path)
        return "removed"


def _described(path: Path) -> str:
    """Kind, mode, owner and content of a file in an overlay's upper layer.

    Of a folder only that it is there: a layer has each that anything below was touched in.
    """
    status = path.lstat()
    mode = status.st_mode
    if stat.S_ISCHR(mode) and status.st_rdev == 0:
        return "removed"
    if stat.S_ISDIR(mode):
        return "folder"
    who = f"{stat.filemode(mode)} {status.st_uid}:{status.st_gid}"
    if stat.S_ISLNK(mode):
        return f"{who} -> {os.readlink(path)}"
    if stat.S_ISREG(mode):
        return f"{who} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    return who


def _cgroups() -> Path:
    """Where the unified hierarchy of cgroups is.

    :raises MachineError: this machine has none.
    """
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    for _, place, kind, *_ in mounts:
        if kind == "cgroup2":
            return Path(place)
    raise MachineError("no cgroup2 is mounted here")


def _sweep() -> None:
    """Remove what tests have left that were killed; their machines died with them."""

    def dead(path: Path) -> bool:
        found = re.match(r"xm(\d+)\b", path.name)
        return found is not None and not Path("/proc", found[1]).exists()

    for space in filter(dead, Path("/run/netns").glob("xm*")):
        _ip("netns", "del", space.name)
    for cgroup in filter(dead, _cgroups().glob("xm*")):
        _remove_cgroup(cgroup)
    for folder in filter(dead, (CACHE / "running").glob("xm*")):
        shutil.rmtree(folder, ignore_errors=True)


def _remove_cgroup(cgroup: Path) -> None:
    for folder, _, _ in os.walk(cgroup, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def _set_network(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MachineError(f"ip {' '.join(words)}: {done.stderr.strip()}")
